/**
 * Text as pixels, set by Pango through sharp: in DejaVu Sans (Latin, Greek, Cyrillic, Arabic, Hebrew and signs), and what that
 * has not in M PLUS 1p (kana, and the kanji of daily life). Both come from npm: no font need be installed. Kept in memory, as
 * the same labels are set each time that a sheet is drawn.
 */
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { LruCache } from '#src/lru-cache.ts';

export interface SetText {
  /** how much of each pixel is ink, one byte each */
  readonly data: Buffer;
  /** px */
  readonly width: number;
  /** px */
  readonly height: number;
}

export interface TextStyle {
  /** px */
  readonly size: number;
  /** px; lines are broken there */
  readonly width?: number;
  /** at most; what does not fit ends in … */
  readonly lines?: number;
  readonly bold?: boolean;
  readonly centre?: boolean;
}

/** Distance from one line to the next, in sizes of the text. */
export const LINE_HEIGHT = 1.35;

const FAMILIES = 'DejaVu Sans, M PLUS 1p';
const FILES = [
  'dejavu-fonts-ttf/ttf/DejaVuSans.ttf',
  'dejavu-fonts-ttf/ttf/DejaVuSans-Bold.ttf',
  '@expo-google-fonts/m-plus-1p/400Regular/MPLUS1p_400Regular.ttf',
  '@expo-google-fonts/m-plus-1p/700Bold/MPLUS1p_700Bold.ttf',
].map((file) => fileURLToPath(import.meta.resolve(file)));

/** A text is set with one file of its own; files of earlier ones stay known, and Pango chooses among them. */
let known: Promise<unknown> | undefined;
function fontsKnown(): Promise<unknown> {
  known ??= Promise.all(
    FILES.map((fontfile) =>
      sharp({ text: { text: '.', fontfile } })
        .raw()
        .toBuffer(),
    ),
  );
  return known;
}

/** Bytes of pixels. */
const MEMORY_MAX = 16 * 1024 * 1024;
/** Bytes that a text takes beside its pixels. */
const ENTRY_BYTES = 200;
const texts = new LruCache<SetText>(MEMORY_MAX);

/** Any text, on one line or more; control characters are spaces, and markup is text. */
export async function setText(text: string, style: TextStyle): Promise<SetText> {
  // A label of millions of characters is never read, but would be laid out.
  const line = [
    ...text
      .replace(/[\s\p{Cc}]+/gu, ' ')
      .trim()
      .slice(0, 600),
  ].slice(0, 300);
  const key = JSON.stringify([line.join(''), style]);
  const known = texts.get(key);
  if (known) return known;
  const set = await fitText(line, style);
  texts.set(key, set, set.data.length + ENTRY_BYTES);
  return set;
}

/** The longest beginning that fits, by halving; a single character is shown even where it does not. */
async function fitText(line: readonly string[], style: TextStyle): Promise<SetText> {
  const { size, width = Number.POSITIVE_INFINITY, lines = Number.POSITIVE_INFINITY } = style;
  const highest = size * LINE_HEIGHT * (lines + 0.15);
  const layOut = async (length: number) => {
    const cut = length < line.length ? `${line.slice(0, length).join('').trimEnd()}…` : line.join('');
    const set = await layOutText(cut, style);
    return { set, fits: set.width <= width && set.height <= highest };
  };

  const whole = await layOut(line.length);
  if (whole.fits) return whole.set;
  let best = await layOut(1);
  let [low, high] = [1, line.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const tried = await layOut(middle);
    if (tried.fits) [low, best] = [middle, tried];
    else high = middle - 1;
  }
  return best.set;
}

async function layOutText(
  text: string,
  { size, width, bold = false, centre = false }: TextStyle,
): Promise<SetText> {
  if (!text) return { data: Buffer.alloc(0), width: 0, height: 0 };
  await fontsKnown();
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const { data, info } = await sharp({
    text: {
      text: `<span${bold ? ' weight="bold"' : ''}>${escaped}</span>`,
      font: `${FAMILIES} ${bold ? 'Bold ' : ''}${size.toFixed(1)}`,
      dpi: 72, // a point is a pixel
      rgba: true,
      ...(width !== undefined && { width: Math.max(1, Math.floor(width)), wrap: 'word-char' }),
      ...(centre && { align: 'centre' as const }),
    },
  })
    .extractChannel('alpha')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}
