/** Sentences as the rest of Atelier writes them, which is for Discord, on a page. */
import { type Html, html, type Part } from '../html.ts';

const MARKS = /`([^`]+)`|\*\*([^*]+)\*\*|<t:(\d{1,12}):R>|\\([^\s\w])|<@(\d{1,20})>/g;

/** Code, bold, times and people; everything else as it stands. @param names of people, by their Discord ids */
export function said(text: string, names: ReadonlyMap<string, string> = new Map()): Html {
  const parts: Part[] = [];
  let from = 0;
  for (const { 0: mark, 1: code, 2: bold, 3: seconds, 4: sign, 5: id, index } of text.matchAll(MARKS)) {
    parts.push(text.slice(from, index));
    if (id !== undefined) parts.push(names.get(id) ?? id);
    else if (code !== undefined) parts.push(html`<code>${code}</code>`);
    else if (bold !== undefined) parts.push(html`<b>${bold}</b>`);
    else if (seconds !== undefined) parts.push(when(new Date(Number(seconds) * 1_000)));
    else parts.push(sign ?? mark);
    from = index + mark.length;
  }
  parts.push(text.slice(from));
  return html`${parts}`;
}

/** The same as plain text, times as ISO has them. */
export function plain(text: string): string {
  return text.replaceAll(
    MARKS,
    (mark: string, code?: string, bold?: string, seconds?: string, sign?: string) => {
      if (seconds !== undefined) return new Date(Number(seconds) * 1_000).toISOString();
      return code === undefined ? (bold ?? sign ?? mark) : `\`${code}\``;
    },
  );
}

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const full = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' });
const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
] as const;

/** "in 3 hours", "2 days ago" */
export function when(date: Date, now = new Date()): Html {
  const ms = date.getTime() - now.getTime();
  const [unit, size] = UNITS.find(([, size]) => Math.abs(ms) >= size) ?? ['second', 1_000];
  const words =
    unit === 'second' ? (ms < 0 ? 'just now' : 'in a moment') : relative.format(Math.round(ms / size), unit);
  return html`<time datetime="${date.toISOString()}" title="${full.format(date)} UTC">${words}</time>`;
}

/** `1 picture`, `4 pictures` */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}
