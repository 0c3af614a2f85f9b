/** Pictures as planes of brightness, and what the detector makes of them. */
import type { Bitmap } from '../bitmap.ts';

export interface Plane {
  /** [height, width] */
  readonly levels: Float32Array;
  /** px */
  readonly width: number;
  readonly height: number;
}

/** Rec. 601, as in JPEG. */
export function lumaOf({ rgb, width, height }: Bitmap): Plane {
  const levels = new Float32Array(width * height);
  for (let i = 0, p = 0; i < levels.length; i++, p += 3)
    levels[i] = 0.299 * rgb[p]! + 0.587 * rgb[p + 1]! + 0.114 * rgb[p + 2]!;
  return { levels, width, height };
}

/** Half the size; an odd row or column at the end is left out. */
export function halved({ levels, width, height }: Plane): Plane {
  const [w, h] = [width >> 1, height >> 1];
  const out = new Float32Array(w * h);
  for (let y = 0, q = 0; y < h; y++) {
    for (let x = 0, p = 2 * y * width; x < w; x++, p += 2, q++)
      out[q] = 0.25 * (levels[p]! + levels[p + 1]! + levels[p + width]! + levels[p + width + 1]!);
  }
  return { levels: out, width: w, height: h };
}

/** Means over squares of 2·reach + 1 px; at the edges over what is there of them. */
export function blurred({ levels, width, height }: Plane, reach: number): Plane {
  const across = new Float32Array(levels.length);
  for (let y = 0; y < height; y++) {
    const row = y * width;
    let sum = 0;
    let count = 0;
    for (let x = 0; x < Math.min(reach, width); x++, count++) sum += levels[row + x]!;
    for (let x = 0; x < width; x++) {
      if (x + reach < width) {
        sum += levels[row + x + reach]!;
        count++;
      }
      if (x - reach - 1 >= 0) {
        sum -= levels[row + x - reach - 1]!;
        count--;
      }
      across[row + x] = sum / count;
    }
  }
  const out = new Float32Array(levels.length);
  const sums = new Float64Array(width);
  let count = 0;
  const add = (y: number, sign: number) => {
    for (let x = 0, p = y * width; x < width; x++, p++) sums[x]! += sign * across[p]!;
    count += sign;
  };
  for (let y = 0; y < Math.min(reach, height); y++) add(y, 1);
  for (let y = 0; y < height; y++) {
    if (y + reach < height) add(y + reach, 1);
    if (y - reach - 1 >= 0) add(y - reach - 1, -1);
    for (let x = 0, p = y * width; x < width; x++, p++) out[p] = sums[x]! / count;
  }
  return { levels: out, width, height };
}

/** The middle of a plane, of at most so many px a side. */
export function partOf(plane: Plane, side: number): Plane {
  const [width, height] = [Math.min(plane.width, side), Math.min(plane.height, side)];
  if (width === plane.width && height === plane.height) return plane;
  const [left, top] = [(plane.width - width) >> 1, (plane.height - height) >> 1];
  const levels = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    const from = (top + y) * plane.width + left;
    levels.set(plane.levels.subarray(from, from + width), y * width);
  }
  return { levels, width, height };
}
