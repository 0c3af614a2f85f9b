/** People's texts inside ours: whether one can be kept, and the ways to show it as it is, without markdown or mentions. */

/** Whether Postgres can keep a text: it takes no NUL, and JSON no half of a surrogate pair. */
export function isKeepable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

/** A text as code in a sentence: short and on one line. */
export function quote(text: string): string {
  return code(text, QUOTED_MAX);
}

/** The same where no markdown is read, as in the label of a select. */
export function unmarked(text: string): string {
  return bare(text, QUOTED_MAX);
}

/** Characters of somebody's text that a sentence repeats. */
const QUOTED_MAX = 60;

/** As `quote`, with as much of it as is wanted. @param max characters */
export function code(text: string, max: number): string {
  return `\`${bare(text, max)}\``;
}

/** As `unmarked`, with as much of it as is wanted. @param max characters */
export function bare(text: string, max: number): string {
  const line = oneLine(text).replaceAll('`', 'ˋ').trim();
  return line.length > max ? `${line.slice(0, max - 1)}…` : line || ' ';
}

/** A text as a block of code of its own, with its line breaks. */
export function block(text: string): string {
  return `\`\`\`\n${text.replaceAll('`', 'ˋ')}\n\`\`\``;
}

/**
 * A text as plain words of a paragraph: no markdown, no mention, no link, no line of its own. Invisible characters that turn
 * the direction of what follows are left out.
 *
 * @param max characters, before escaping
 */
export function plain(words: string, max: number): string {
  const line = [...oneLine(words).replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '')];
  const cut = line.length > max ? `${line.slice(0, max - 1).join('')}…` : line.join('');
  return cut
    .trim()
    .replace(/[\\*_~|`<>#[\]()-]/g, '\\$&')
    .replace(/^(\d+)\./, '$1\\.')
    .replaceAll('@', '@\u200b')
    .replaceAll('://', ':\u200b//');
}

/** A text with every line break and control character turned into a space. */
export function oneLine(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, ' ');
}

/** Discord shows it in the reader's own words and time zone: "in 5 minutes". */
export function relative(date: Date): string {
  return `<t:${Math.ceil(date.getTime() / 1000)}:R>`;
}

/** `840 ms`, `12.3 s` */
export function duration(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** `12 s`, `3 min`, `5 h`: how long somebody has waited, as one would say it. */
export function roughly(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
