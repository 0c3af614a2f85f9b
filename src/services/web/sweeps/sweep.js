/**
 * A sweep's page from view to view without being loaded again, and kept up to date while pictures are drawn: the server makes each view
 * whole, and what is new of it takes the place of what was there. Arrow keys go from picture to picture.
 */
const REFRESH_MS = 5_000;

const view = document.getElementById('view');
/** the view as the server last sent it */
let sent = view.innerHTML;
/** ends the request that is under way when another view is wanted */
let asking = new AbortController();

/** Pictures that stay are not loaded again, nor does anything move that was scrolled or opened. */
function take(page) {
  const fresh = page.getElementById('view');
  document.title = page.title;
  const line = page.getElementById('line').textContent;
  const told = document.getElementById('line');
  if (told.textContent !== line) told.textContent = line;
  view.toggleAttribute('data-going', fresh.hasAttribute('data-going'));
  if (fresh.innerHTML === sent) return;
  sent = fresh.innerHTML;
  const pictures = new Map(
    [...view.querySelectorAll('img')].map((image) => [image.getAttribute('src'), image]),
  );
  for (const image of fresh.querySelectorAll('img')) {
    const known = pictures.get(image.getAttribute('src'));
    if (!known || known.className !== image.className || known.sizes !== image.sizes) continue;
    pictures.delete(image.getAttribute('src'));
    image.replaceWith(known);
  }
  const { id } = document.activeElement;
  const opened = [...view.querySelectorAll('details[open]')].map((one) => one.id);
  const scrolled = [...view.querySelectorAll('#grid, .panel')].map(({ id, scrollLeft, scrollTop }) => ({
    id,
    at: [scrollLeft, scrollTop],
  }));
  // Made by our own server, with all that people wrote escaped.
  view.replaceChildren(...fresh.childNodes);
  for (const one of opened) document.getElementById(one)?.setAttribute('open', '');
  for (const { id, at } of scrolled) document.getElementById(id)?.scrollTo(...at);
  if (id) document.getElementById(id)?.focus({ preventScroll: true });
}

/** @param init of a form that is sent @param focus id of what is looked at then */
async function go(url, { init, focus, isBack = false } = {}) {
  asking.abort();
  asking = new AbortController();
  view.setAttribute('aria-busy', 'true');
  try {
    const answer = await fetch(url, { ...init, signal: asking.signal });
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    if (!answer.ok || !page.getElementById('view')) throw new Error(String(answer.status));
    const { pathname, search } = new URL(answer.url);
    if (!isBack && pathname + search !== location.pathname + location.search)
      history.pushState(null, '', pathname + search);
    take(page);
    view.removeAttribute('aria-busy');
    if (!focus) return;
    const element = document.getElementById(focus);
    element?.focus({ preventScroll: true });
    element?.scrollIntoView({ block: 'nearest' });
  } catch (error) {
    if (error.name === 'AbortError') return;
    // As without script: the browser shows what the server says, or that it is away.
    if (init) location.reload();
    else location.assign(url);
  }
}

/** Where a link of the view leads the eye: to what is opened by it, or back to where that was opened from. */
function focusAfter(link) {
  if (link.hash) return link.hash.slice(1);
  return link.dataset.back ?? link.id;
}

document.addEventListener('click', (event) => {
  const { target, button, ctrlKey, metaKey, shiftKey, altKey } = event;
  const link = target.closest('#view a');
  if (!link || button || ctrlKey || metaKey || shiftKey || altKey || link.pathname !== location.pathname)
    return;
  event.preventDefault();
  void go(link.pathname + link.search, { focus: focusAfter(link) });
});

document.addEventListener('submit', (event) => {
  const { target: form, submitter } = event;
  if (!view.contains(form)) return;
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(form));
  const focus = submitter?.id;
  if (form.method === 'post') return void go(form.action, { init: { method: 'POST', body: fields }, focus });
  for (const [name, value] of [...fields]) if (!value) fields.delete(name);
  void go(`${new URL(form.action).pathname}?${fields}`, { focus: focus ?? document.activeElement.id });
});

document.addEventListener('change', ({ target }) => {
  if (target.matches('.controls select, .controls input')) target.form.requestSubmit();
});

addEventListener('popstate', () => void go(location.href, { isBack: true }));

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The nearest picture in a direction: what stands askew counts as far off. */
function nextTo(cell, [dx, dy]) {
  const middle = (one) => {
    const { x, y, width, height } = one.getBoundingClientRect();
    return [x + width / 2, y + height / 2];
  };
  const [x, y] = middle(cell);
  let [found, least] = [null, Number.POSITIVE_INFINITY];
  for (const one of view.querySelectorAll('.cell')) {
    const [ox, oy] = middle(one);
    const along = (ox - x) * dx + (oy - y) * dy;
    const askew = Math.abs((ox - x) * dy) + Math.abs((oy - y) * dx);
    const far = along + 10 * askew;
    if (along > 1 && askew < 2 * along && far < least) [found, least] = [one, far];
  }
  return found;
}

document.addEventListener('keydown', (event) => {
  const { key, target, altKey, ctrlKey, metaKey, shiftKey } = event;
  if (altKey || ctrlKey || metaKey || shiftKey || target.closest('input, select, textarea')) return;
  if (key === 'Escape') return document.getElementById('close')?.click();
  const cell = target.closest('.cell');
  if (!STEPS[key] || !cell) return;
  event.preventDefault();
  const next = nextTo(cell, STEPS[key]);
  next?.focus({ preventScroll: true });
  // Out from under the names of rows and columns, which stay in sight.
  next?.closest('td, li').scrollIntoView({ block: 'center', inline: 'center' });
});

async function refresh() {
  const isBusy = view.hasAttribute('aria-busy') || view.querySelector('.controls :focus');
  if (document.hidden || isBusy || !view.hasAttribute('data-going')) return;
  const { signal } = asking;
  const url = location.href;
  try {
    const answer = await fetch(url, { signal, redirect: 'error' });
    const page = answer.ok ? new DOMParser().parseFromString(await answer.text(), 'text/html') : null;
    if (page?.getElementById('view') && !signal.aborted) take(page);
  } catch {
    // Away for now, or another view was wanted: asked again the next time.
  }
}

async function keepFresh() {
  await refresh();
  if (view.hasAttribute('data-going')) setTimeout(keepFresh, REFRESH_MS);
}
if (view.hasAttribute('data-going')) setTimeout(keepFresh, REFRESH_MS);
// Whoever comes back to it sees it as it is now.
document.addEventListener('visibilitychange', refresh);
