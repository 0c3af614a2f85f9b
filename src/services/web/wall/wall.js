/**
 * The wall without an end. Each further page of the list is fetched by the link that leads to it, and its pictures go on where those
 * before end, in every column. Without this script that link leads on.
 */
const wall = document.querySelector('.wall');
const more = document.querySelector('.more');
/** As in views.ts and wall.css: rows to a column's width, and to a gap. */
const ROWS = 60;
const GAP = 2;
/** So far beyond the window pictures are fetched, and are taken out of the page. */
const NEAR = '1600px 0px';
const FAR = '6000px 0px';
const STYLE = /<style>(.*?)<\/style>/gs;

/** @type {Map<Element, { spans: number[], kept: string | null }>} chunks in order; what is far away is kept as text */
const chunks = new Map();
const worn = new Set([location.href]);

/** @param {Element} article rows that it takes */
function spanOf({ className }) {
  const [, width, height] = /r(\d+)x(\d+)/.exec(className) ?? [];
  return Math.round((ROWS * Number(height)) / Number(width)) + GAP;
}

/** Joins the chunks: each begins in every column where the one before ends. All of it is known without measuring. */
function join() {
  const columns = Number(getComputedStyle(wall).getPropertyValue('--columns'));
  const heights = Array(columns).fill(0);
  for (const [chunk, { spans }] of chunks) {
    const top = Math.min(...heights);
    const overlap = Math.max(...heights) - top;
    const leads = heights.map((height) => height - top);
    for (const span of spans) heights[heights.indexOf(Math.min(...heights))] += span;
    const rows = Math.max(...heights) - top;
    chunk.style.marginTop = `calc(var(--column) / ${ROWS} * ${-overlap})`;
    chunk.style.height = `calc(var(--column) / ${ROWS} * ${rows})`;
    for (const lead of chunk.querySelectorAll('i')) lead.remove();
    chunk.prepend(
      ...leads.flatMap((rows, column) => {
        if (!rows) return [];
        const lead = document.createElement('i');
        lead.style.gridArea = `1 / ${column + 1} / span ${rows}`;
        return [lead];
      }),
    );
  }
}

/** What is far from the window is text until it comes near again: a wall that one has scrolled for an hour is no larger. */
const distance = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const chunk = chunks.get(target);
      if (isIntersecting && chunk.kept !== null) {
        target.innerHTML = chunk.kept;
        chunk.kept = null;
        join();
      } else if (!isIntersecting && chunk.kept === null && !target.contains(document.activeElement)) {
        chunk.kept = [...target.children]
          .filter(({ tagName }) => tagName === 'ARTICLE')
          .map((one) => one.outerHTML)
          .join('');
        target.replaceChildren();
      }
    }
  },
  { rootMargin: FAR },
);

/** @param {Element} chunk */
function take(chunk) {
  chunks.set(chunk, { spans: [...chunk.querySelectorAll('article')].map(spanOf), kept: null });
}

/** As long as more comes, what is below the pictures is out of sight: whoever is quicker than the network would see it jump away. */
function tellEnd() {
  document.body.classList.toggle('endless', more.querySelector('[rel=next]') !== null);
}

let fetching = false;
const end = new IntersectionObserver(([entry]) => void (entry?.isIntersecting && goOn()), {
  rootMargin: NEAR,
});

async function goOn() {
  const next = more.querySelector('[rel=next]');
  if (!next || fetching) return;
  fetching = true;
  wall.setAttribute('aria-busy', 'true');
  try {
    const answer = await fetch(next.href);
    if (!answer.ok) throw new Error(String(answer.status));
    const text = await answer.text();
    // This page's policy holds for what is parsed here, too, and knows no styles but its own.
    const sheets = [...text.matchAll(STYLE)].map(([, sheet]) => sheet);
    const page = new DOMParser().parseFromString(text.replaceAll(STYLE, ''), 'text/html');
    if (!worn.has(next.href)) {
      worn.add(next.href);
      // The second sheet is the page's own: its pictures' proportions and placeholders.
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(sheets[1] ?? '');
      document.adoptedStyleSheets.push(sheet);
    }
    const chunk = page.querySelector('.chunk');
    for (const image of chunk.querySelectorAll('img')) image.loading = 'lazy';
    take(chunk);
    wall.append(document.adoptNode(chunk));
    join();
    distance.observe(chunk);
    more.replaceChildren(...page.querySelector('.more').children);
    tellEnd();
    fetching = false;
    // It may be near still.
    end.unobserve(more);
    end.observe(more);
  } catch {
    // The link shows itself, for a press or the next scroll.
    document.body.classList.remove('endless');
    fetching = false;
  }
  wall.setAttribute('aria-busy', 'false');
}

/** The link that is next to one in a direction. @param {HTMLAnchorElement} from @param {string} key */
function beside(from, key) {
  const links = [...wall.querySelectorAll('article a')];
  const at = links.indexOf(from);
  if (key === 'ArrowRight') return links[at + 1];
  if (key === 'ArrowLeft') return links[at - 1];
  const sign = key === 'ArrowDown' ? 1 : -1;
  const here = from.getBoundingClientRect();
  const middle = here.x + here.width / 2;
  let best;
  let least = Number.POSITIVE_INFINITY;
  for (const link of links) {
    const box = link.getBoundingClientRect();
    const away = sign > 0 ? box.top - here.bottom : here.top - box.bottom;
    const far = away + 4 * Math.abs(box.x + box.width / 2 - middle);
    if (away > -4 && far < least) [best, least] = [link, far];
  }
  return best;
}

if (wall && more) {
  for (const chunk of wall.children) {
    take(chunk);
    distance.observe(chunk);
  }
  join();
  tellEnd();
  end.observe(more);
  addEventListener('resize', join);
  wall.addEventListener('keydown', (event) => {
    const link = event.target.closest('article a');
    if (!link || !event.key.startsWith('Arrow') || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = beside(link, event.key);
    if (!to) return;
    event.preventDefault();
    to.focus();
  });
}
