/**
 * Styles and scripts. A page carries its styles in itself, named by hash in its content security policy, so that its first answer
 * shows everything but the pictures. Scripts are files of ours, each under an address that changes with what is in it.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** A script, as `asset('wall.js', import.meta.url)` reads it from beside the file that asks. */
export interface Asset {
  /** path of its address: never has other bytes */
  readonly path: string;
  readonly bytes: Buffer;
}

const assets = new Map<string, Asset>();

/** Reads a script once, and has it served. @param beside `import.meta.url` */
export function asset(file: string, beside: string): Asset {
  return served(file, Buffer.from(bare(readFileSync(new URL(file, beside), 'utf8'))));
}

/** Has a script served that is no file of ours. */
export function served(file: string, bytes: Buffer): Asset {
  const hash = createHash('sha256').update(bytes).digest('base64url').slice(0, 12);
  const one = { path: `/assets/${hash}/${file}`, bytes };
  assets.set(one.path, one);
  return one;
}

export function assetAt(path: string): Asset | undefined {
  return assets.get(path);
}

/**
 * The text of a style sheet without comments and line breaks: of one a space is left, as `100vw -` before another line is a difference.
 *
 * @param beside `import.meta.url`
 */
export function styles(file: string, beside: string): string {
  return bare(readFileSync(new URL(file, beside), 'utf8')).replaceAll('\n', ' ');
}

/** Without comments between slash and star, or on a line of their own, and without empty lines and indents. */
function bare(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
    .replace(/\s*\n\s*/g, '\n')
    .trim();
}
