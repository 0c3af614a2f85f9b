/**
 * Puts the invisible watermark into a picture: long waves everywhere, faint as a clear sky shows all; short ones where there is much to be
 * seen anyway.
 */
import type { Bitmap } from '../bitmap.ts';
import { TILE, tilesOf } from './pattern.ts';

/** px, of the shorter side: what is smaller does not carry it, as half of it or a crop could not be read. */
export const SIDE_MIN = 256;
/** levels, root mean square: the long waves. At 1.4 they show as grain on a plain ground. */
const LONG = 0.8;
/** levels: the short waves where there is nothing to be seen, and at most: what the roughest places take, all others go without. */
const [SHORT, SHORT_MAX] = [0.4, 3] as const;
/** Activity, levels, that does not count: it is the noise of a sky, or a gradient. */
const CALM = 0.6;
/** What shows less of the mark grows slower than the activity itself. */
const POWER = 0.7;
/** Mean squared error of a marked picture at most, levels²: 42.5 dB. Rounding takes 0.1 of them, so that 42 are kept. */
const ERROR_MAX = 255 ** 2 / 10 ** 4.25;
/** levels: no mark is below minus this. */
const ABOVE = 1024;
/** levels: black and white are moved so far from their ends, where half of the mark would be cut off. */
const ROOM = 1;
/** Every so manieth sample is looked at for how many are black or white. */
const SAMPLED = 31;
/** px: the picture's activity is looked at block by block, in quarters of blocks. */
const QUARTER = 4;
const BLOCK = 2 * QUARTER;

/**
 * About 10 ms for 1024² px.
 *
 * @param bytes [8]
 * @returns a new picture; one with a side below `SIDE_MIN` comes back as it was
 */
export function embedWatermark(picture: Bitmap, bytes: Uint8Array): Bitmap {
  const { rgb, width, height } = picture;
  if (Math.min(width, height) < SIDE_MIN) return picture;
  const { long, short } = tilesOf(bytes);
  const { gains, columns, rows, scale } = gainsOf(picture);
  const out = new Uint8ClampedArray(rgb.length);
  const along = new Float32Array(columns);
  for (let y = 0, p = 0; y < height; y++) {
    const down = Math.max((y + 0.5) / BLOCK - 0.5, 0);
    const above = Math.min(Math.floor(down), rows - 1);
    const part = down - above;
    const below = Math.min(above + 1, rows - 1) * columns;
    for (let c = 0; c < columns; c++) {
      const gain = gains[above * columns + c]!;
      along[c] = scale * (gain + (gains[below + c]! - gain) * part);
    }
    const row = (y % TILE) * TILE;
    let at = row;
    // From the middle of one block to that of the next it grows evenly.
    for (let c = -1, x = 0; x < width; c++) {
      const left = along[Math.max(c, 0)]!;
      const grows = (along[Math.min(c + 1, columns - 1)]! - left) / BLOCK;
      const end = Math.min((c + 1.5) * BLOCK, width);
      let gain = left + grows * (x + 0.5 - (c + 0.5) * BLOCK);
      for (; x < end; x++, p += 3, gain += grows) {
        // Rounded to the nearest, as Math.round does it, which takes 20 ns: there are a million of them.
        const mark = ((LONG * long[at]! + gain * short[at]! + ABOVE + 0.5) | 0) - ABOVE;
        out[p] = roomy[rgb[p]!]! + mark;
        out[p + 1] = roomy[rgb[p + 1]!]! + mark;
        out[p + 2] = roomy[rgb[p + 2]!]! + mark;
        if (++at === row + TILE) at = row;
      }
    }
  }
  return { rgb: new Uint8Array(out.buffer), width, height };
}

const roomy = Uint8Array.from({ length: 256 }, (_, level) => Math.min(Math.max(level, ROOM), 255 - ROOM));

/** How strong the short waves are in each block, [rows, columns], levels; and what they are scaled by to keep the error. */
function gainsOf(picture: Bitmap) {
  const [columns, rows] = [Math.ceil(picture.width / BLOCK), Math.ceil(picture.height / BLOCK)];
  const activity = activityOf(picture, columns, rows);
  const gains = new Float32Array(columns * rows);
  let error = 0;
  for (let r = 0, i = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++, i++) {
      let sum = 0;
      let count = 0;
      for (let y = Math.max(r - 1, 0); y <= Math.min(r + 1, rows - 1); y++) {
        for (let x = Math.max(c - 1, 0); x <= Math.min(c + 1, columns - 1); x++, count++)
          sum += activity[y * columns + x]!;
      }
      // A busy block among calm ones is an edge, beside which all is seen.
      const busy = Math.max(Math.min(activity[i]!, sum / count) - CALM, 0);
      gains[i] = Math.min(SHORT + busy ** POWER, SHORT_MAX);
      error += gains[i]! ** 2;
    }
  }
  const left = ERROR_MAX - LONG ** 2 - ROOM ** 2 * shareAtEnds(picture.rgb);
  return { gains, columns, rows, scale: Math.min(1, Math.sqrt(left / (error / gains.length))) };
}

/** The share of samples that are black or white. */
function shareAtEnds(rgb: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < rgb.length; i += SAMPLED) if (rgb[i] !== roomy[rgb[i]!]) count++;
  return (count * SAMPLED) / rgb.length;
}

/** Standard deviation of brightness in each block, levels: of its four quarters that of the second calmest, as edges are no texture. */
function activityOf({ rgb, width, height }: Bitmap, columns: number, rows: number): Float32Array {
  const activity = new Float32Array(columns * rows);
  const across = columns * 2;
  const sums = new Float64Array(across);
  const squares = new Float64Array(across);
  const quarters = new Float64Array(across * 2);
  for (let r = 0, p = 0; r < rows; r++) {
    for (let half = 0; half < 2; half++) {
      const lines = Math.min(QUARTER, height - r * BLOCK - half * QUARTER);
      sums.fill(0);
      squares.fill(0);
      for (let line = 0; line < lines; line++) {
        for (let q = 0, x = 0; x < width; q++) {
          let sum = 0;
          let square = 0;
          for (const end = Math.min(x + QUARTER, width); x < end; x++, p += 3) {
            const level = 0.299 * rgb[p]! + 0.587 * rgb[p + 1]! + 0.114 * rgb[p + 2]!;
            sum += level;
            square += level * level;
          }
          sums[q]! += sum;
          squares[q]! += square;
        }
      }
      for (let q = 0; q < across; q++) {
        const count = lines * Math.min(QUARTER, width - q * QUARTER);
        quarters[half * across + q] =
          count > 0 ? Math.sqrt(Math.max(squares[q]! / count - (sums[q]! / count) ** 2, 0)) : 0;
      }
    }
    for (let c = 0; c < columns; c++) {
      const a = quarters[2 * c]!;
      const b = quarters[2 * c + 1]!;
      const d = quarters[across + 2 * c]!;
      const e = quarters[across + 2 * c + 1]!;
      // The second smallest of four.
      activity[r * columns + c] = Math.min(
        Math.max(Math.min(a, b), Math.min(d, e)),
        Math.max(a, b),
        Math.max(d, e),
      );
    }
  }
  return activity;
}
