/**
 * Discord's markdown, as far as bots use it: headings, subtext, quotes, lists, code blocks; bold, italics, underline,
 * strike, spoilers, code, links; mentions and timestamps. Builds nodes, never markup.
 */
import { h, safeUrl } from './dom.js';

/**
 * @typedef {object} Names what mentions are called
 * @property {(id: string) => string | undefined} user
 * @property {(id: string) => string | undefined} role
 * @property {(id: string) => string | undefined} channel
 */

/**
 * @param {string} text
 * @param {Names} names
 * @returns {DocumentFragment}
 */
export function markdown(text, names) {
  const out = document.createDocumentFragment();
  // Code blocks first: nothing in them means anything.
  for (const [i, part] of text.split(/```(?:[a-z0-9+-]*\n)?([\s\S]*?)```\n?/).entries()) {
    if (i % 2) out.append(h('pre', {}, h('code', {}, part.replace(/\n$/, ''))));
    else blocks(part, names, out);
  }
  return out;
}

/**
 * @param {string} text
 * @param {Names} names
 * @param {Node} out
 */
function blocks(text, names, out) {
  let open = /** @type {HTMLElement | null} */ (null);
  const lines = text.split('\n');
  for (const [i, line] of lines.entries()) {
    const heading = /^(#{1,3}) +(.+)$/.exec(line);
    const sub = /^-# +(.+)$/.exec(line);
    const quote = /^> ?(.*)$/.exec(line);
    const item = /^ *(?:[-*]|\d+\.) +(.+)$/.exec(line);
    if (heading) {
      const tag = /** @type {'h1' | 'h2' | 'h3'} */ (`h${heading[1]?.length}`);
      out.appendChild(h(tag, {}, inline(heading[2] ?? '', names)));
    } else if (sub) out.appendChild(h('div', { class: 'subtext' }, inline(sub[1] ?? '', names)));
    else if (quote || item) {
      const tag = quote ? 'blockquote' : /^ *\d/.test(line) ? 'ol' : 'ul';
      if (open?.tagName.toLowerCase() !== tag) {
        open = h(tag);
        out.appendChild(open);
      }
      if (quote) open.append(...(open.childNodes.length ? [h('br')] : []), inline(quote[1] ?? '', names));
      else open.append(h('li', {}, inline(item?.[1] ?? '', names)));
      continue;
    } else {
      out.appendChild(inline(line, names));
      if (i < lines.length - 1) out.appendChild(h('br'));
    }
    open = null;
  }
}

/** @type {readonly [RegExp, (match: RegExpExecArray, names: Names) => Node][]} */
const MARKS = [
  [/^\\([*_~`|\\<>#[\]()-])/, ([, char]) => document.createTextNode(char ?? '')],
  [/^``(.+?)``|^`([^`\n]+)`/, ([, two, one]) => h('code', {}, two ?? one)],
  [/^\*\*(.+?)\*\*(?!\*)/s, ([, text], names) => h('strong', {}, inline(text ?? '', names))],
  [/^__(.+?)__/s, ([, text], names) => h('u', {}, inline(text ?? '', names))],
  [/^\*(?!\s)(.+?)\*/s, ([, text], names) => h('em', {}, inline(text ?? '', names))],
  [/^_(?!\s)(.+?)_(?!\w)/s, ([, text], names) => h('em', {}, inline(text ?? '', names))],
  [/^~~(.+?)~~/s, ([, text], names) => h('s', {}, inline(text ?? '', names))],
  [/^\|\|(.+?)\|\|/s, ([, text], names) => spoiler(inline(text ?? '', names))],
  [
    /^\[([^\]]+)\]\(<?(https?:\/\/[^\s)>]+)>?\)/,
    ([, text, url], names) => link(url ?? '', inline(text ?? '', names)),
  ],
  [/^<(https?:\/\/[^\s>]+)>/, ([, url]) => link(url ?? '', url ?? '')],
  [/^https?:\/\/[^\s<>)]+[^\s<>).,:;!?'"]/, ([url]) => link(url, url)],
  [/^<@!?(\d+)>/, ([, id], names) => pill(`@${names.user(id ?? '') ?? 'someone'}`)],
  [/^<@&(\d+)>/, ([, id], names) => pill(`@${names.role(id ?? '') ?? 'role'}`)],
  [/^<#(\d+)>/, ([, id], names) => pill(`#${names.channel(id ?? '') ?? 'unknown'}`, id)],
  [/^<\/([^:>]+):\d+>/, ([, name]) => pill(`/${name}`)],
  [/^<t:(-?\d+)(?::([tTdDfFR]))?>/, ([, seconds, style]) => timestamp(Number(seconds), style)],
  [/^<a?:(\w+):\d+>/, ([, name]) => document.createTextNode(`:${name}:`)],
];

/**
 * @param {string} text
 * @param {Names} names
 * @returns {DocumentFragment}
 */
function inline(text, names) {
  const out = document.createDocumentFragment();
  let plain = '';
  let rest = text;
  while (rest) {
    // Underscores inside words are not marks.
    const inWord = rest[0] === '_' && /\w$/.test(plain);
    const found = inWord ? undefined : firstMark(rest);
    if (found) {
      out.append(plain, found.mark(found.match, names));
      plain = '';
      rest = rest.slice(found.match[0].length);
    } else {
      plain += rest[0];
      rest = rest.slice(1);
    }
  }
  out.append(plain);
  return out;
}

/** @param {string} text */
function firstMark(text) {
  if (!/^[\\*_~`|[<h]/.test(text)) return;
  for (const [pattern, mark] of MARKS) {
    const match = pattern.exec(text);
    if (match) return { match, mark };
  }
}

/** @param {Node} content */
function spoiler(content) {
  const shown = h('span', { class: 'spoiler', onclick: () => shown.classList.add('open') }, content);
  return shown;
}

/**
 * @param {string} url
 * @param {string | Node} content
 */
function link(url, content) {
  return h('a', { href: safeUrl(url), target: '_blank', rel: 'noreferrer noopener' }, content);
}

/**
 * @param {string} text
 * @param {string} [channelId]
 */
function pill(text, channelId) {
  return h('span', { class: 'pill', 'data-channel': channelId }, text);
}

/** @type {Record<string, Intl.DateTimeFormatOptions>} */
const STYLES = {
  t: { timeStyle: 'short' },
  T: { timeStyle: 'medium' },
  d: { dateStyle: 'short' },
  D: { dateStyle: 'long' },
  f: { dateStyle: 'long', timeStyle: 'short' },
  F: { dateStyle: 'full', timeStyle: 'short' },
};

/**
 * @param {number} seconds
 * @param {string} [style]
 */
function timestamp(seconds, style = 'f') {
  const date = new Date(seconds * 1000);
  const full = new Intl.DateTimeFormat('en', STYLES.F).format(date);
  const text = style === 'R' ? relative(date) : new Intl.DateTimeFormat('en', STYLES[style]).format(date);
  return h('time', { class: 'stamp', title: full, 'data-relative': style === 'R' && String(seconds) }, text);
}

/** @type {readonly [limit: number, unit: Intl.RelativeTimeFormatUnit, seconds: number][]} */
const UNITS = [
  [60, 'second', 1],
  [3600, 'minute', 60],
  [86_400, 'hour', 3600],
  [2_592_000, 'day', 86_400],
  [31_536_000, 'month', 2_592_000],
  [Number.POSITIVE_INFINITY, 'year', 31_536_000],
];

/** @param {Date} date */
function relative(date) {
  const s = Math.round((date.getTime() - Date.now()) / 1000);
  const [, unit, per] = UNITS.find(([limit]) => Math.abs(s) < limit) ?? UNITS[0] ?? [0, 'second', 1];
  return new Intl.RelativeTimeFormat('en', { numeric: 'auto' }).format(Math.trunc(s / per), unit);
}

/** "3 seconds ago" goes on counting. */
export function refreshTimes() {
  for (const element of document.querySelectorAll('time[data-relative]')) {
    const seconds = Number(element.getAttribute('data-relative'));
    const text = relative(new Date(seconds * 1000));
    if (element.textContent !== text) element.textContent = text;
  }
}
