/** Keeps a page up to date while its pictures are drawn: the server sends what is new of it, element by element. */
const AGAIN_AFTER_MS = 5_000;

/** @param {string} url */
function follow(url) {
  const source = new EventSource(url);
  source.addEventListener('parts', ({ data }) => {
    for (const [id, text] of Object.entries(JSON.parse(data))) {
      const element = document.getElementById(id);
      if (!element || element.innerHTML === text) continue;
      // Made by our own server, with all that people wrote escaped.
      element.innerHTML = text;
    }
  });
  source.addEventListener('end', () => {
    source.close();
    document.title = document.title.replace('Being drawn', 'Done');
  });
  source.addEventListener('error', () => {
    // Refused for now; what was cut off the browser opens again by itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(url), AGAIN_AFTER_MS);
  });
}

const board = document.querySelector('[data-live]');
if (board instanceof HTMLElement && board.dataset.live) follow(board.dataset.live);
