/**
 * The watermark that diffusers writes into SDXL's pictures, to compare ours with: 48 bits in the blue-yellow plane. No part of Atelier.
 *
 * Source: ShieldMnt/invisible-watermark@68d0376 `imwatermark/maxDct.py`, and OpenCV's `COLOR_BGR2YUV` of 8 bits
 * (`modules/imgproc/src/color_yuv.simd.hpp`). Despite its name it has no cosine transform; on the way back it gives the wavelets' horizontal
 * and vertical details in swapped places, as the reference does.
 * Checked by: test/golden-runs/watermark.ts.
 */
import type { Bitmap } from '#pipelines/bitmap.ts';

export const BITS = 48;
/** levels of a coefficient, for both values of a bit */
const STEP = 36;
/** coefficients a side of a block: 8 px */
const BLOCK = 4;

/** OpenCV's: Y, U, V of 8 bits by whole numbers of 2⁻¹⁴. */
const SHIFT = 14;
const HALF = 1 << (SHIFT - 1);
const OFFSET = 128;
const level = (value: number) => Math.min(Math.max(value, 0), 255);
const toY = (r: number, g: number, b: number) => (b * 1868 + g * 9617 + r * 4899 + HALF) >> SHIFT;
const toU = (b: number, y: number) => level(((b - y) * 8061 + (OFFSET << SHIFT) + HALF) >> SHIFT);
const toV = (r: number, y: number) => level(((r - y) * 14369 + (OFFSET << SHIFT) + HALF) >> SHIFT);

interface Yuv {
  readonly y: Uint8Array;
  readonly u: Uint8Array;
  readonly v: Uint8Array;
}

function yuvOf({ rgb, width, height }: Bitmap): Yuv {
  const [y, u, v] = [0, 0, 0].map(() => new Uint8Array(width * height)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  for (let i = 0, p = 0; i < y.length; i++, p += 3) {
    const [r, g, b] = [rgb[p]!, rgb[p + 1]!, rgb[p + 2]!];
    y[i] = toY(r, g, b);
    u[i] = toU(b, y[i]!);
    v[i] = toV(r, y[i]!);
  }
  return { y, u, v };
}

function rgbOf({ y, u, v }: Yuv): Uint8Array {
  const rgb = new Uint8Array(y.length * 3);
  for (let i = 0, p = 0; i < y.length; i++, p += 3) {
    const [du, dv] = [u[i]! - OFFSET, v[i]! - OFFSET];
    rgb[p] = level(y[i]! + ((dv * 18678 + HALF) >> SHIFT));
    rgb[p + 1] = level(y[i]! + ((du * -6472 + dv * -9519 + HALF) >> SHIFT));
    rgb[p + 2] = level(y[i]! + ((du * 33292 + HALF) >> SHIFT));
  }
  return rgb;
}

/**
 * Haar's numbers as PyWavelets adds them up, down first, then across: sums that are equal differ in their last bit, and that decides which of
 * two is larger, and what is cut.
 */
const S = Math.SQRT1_2;
const both = (first: number, second: number) => S * second + S * first;
const apart = (first: number, second: number) => -S * second + S * first;

/** Runs through the blocks of U's low band: four levels of each 2 × 2 px, and the band's coefficients that are asked for. */
function eachBlock(
  u: Uint8Array,
  width: number,
  height: number,
  visit: (n: number, largest: number, at: number) => void,
): void {
  // The largest part whose sides are multiples of four; of its half-sized band whole blocks.
  const columns = Math.floor((Math.floor(width / 4) * 4) / 2 / BLOCK);
  const rows = Math.floor((Math.floor(height / 4) * 4) / 2 / BLOCK);
  const low = (at: number) => both(both(u[at]!, u[at + width]!), both(u[at + 1]!, u[at + width + 1]!));
  for (let row = 0, n = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, n++) {
      let largest = 0;
      let place = -1;
      for (let i = 1; i < BLOCK * BLOCK; i++) {
        const at = (row * BLOCK + Math.floor(i / BLOCK)) * 2 * width + (column * BLOCK + (i % BLOCK)) * 2;
        const value = low(at);
        if (place >= 0 && Math.abs(value) <= Math.abs(largest)) continue;
        [largest, place] = [value, at];
      }
      visit(n, largest, place);
    }
  }
}

/** @param bits [48] of 0 and 1; a new picture */
export function writeDwtDct(picture: Bitmap, bits: readonly number[]): Bitmap {
  const { width, height } = picture;
  const yuv = yuvOf(picture);
  const marks = new Map<number, number>();
  eachBlock(yuv.u, width, height, (n, largest, at) => {
    const quantised = Math.floor(Math.abs(largest) / STEP) + 0.25 + 0.5 * bits[n % BITS]!;
    marks.set(at, Math.sign(largest) * quantised * STEP);
  });
  const u = yuv.u.slice();
  for (let y = 0; y + 1 < Math.floor(height / 4) * 4; y += 2) {
    for (let x = 0; x + 1 < Math.floor(width / 4) * 4; x += 2) {
      const at = y * width + x;
      const [a, b, c, d] = [yuv.u[at]!, yuv.u[at + 1]!, yuv.u[at + width]!, yuv.u[at + width + 1]!];
      const low = marks.get(at) ?? both(both(a, c), both(b, d));
      const horizontal = both(apart(a, c), apart(b, d));
      const vertical = apart(both(a, c), both(b, d));
      const diagonal = apart(apart(a, c), apart(b, d));
      // Back across, then down. The horizontal and the vertical details have changed places; and levels are cut, not rounded.
      const [left, right] = [S * low + S * horizontal, S * low - S * horizontal];
      const [leftRest, rightRest] = [S * vertical + S * diagonal, S * vertical - S * diagonal];
      u[at] = S * left + S * leftRest;
      u[at + 1] = S * right + S * rightRest;
      u[at + width] = S * left - S * leftRest;
      u[at + width + 1] = S * right - S * rightRest;
    }
  }
  return { rgb: rgbOf({ ...yuv, u }), width, height };
}

/** @returns [48] of 0 and 1: also where nothing was written */
export function readDwtDct(picture: Bitmap): number[] {
  const sums = new Array<number>(BITS).fill(0);
  const counts = new Array<number>(BITS).fill(0);
  eachBlock(yuvOf(picture).u, picture.width, picture.height, (n, largest) => {
    sums[n % BITS]! += Math.abs(largest) % STEP > STEP / 2 ? 1 : 0;
    counts[n % BITS]!++;
  });
  return sums.map((sum, i) => ((sum / counts[i]!) * 255 > 127 ? 1 : 0));
}
