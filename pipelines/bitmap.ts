/** Pictures as bytes: crops, warps and resizes. */
import { roundHalfEven } from './tensor.ts';

/** 8-bit RGB, rows from the top. */
export interface Bitmap {
  /** [height, width, 3] */
  readonly rgb: Uint8Array;
  /** px */
  readonly width: number;
  /** px */
  readonly height: number;
}

/** px, of a corner */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** x' = a·x − b·y + tx, y' = b·x + a·y + ty: turns, scales and moves. */
export interface Similarity {
  readonly a: number;
  readonly b: number;
  readonly tx: number;
  readonly ty: number;
}

export function apply({ a, b, tx, ty }: Similarity, { x, y }: Point): Point {
  return { x: a * x - b * y + tx, y: b * x + a * y + ty };
}

export function inverse({ a, b, tx, ty }: Similarity): Similarity {
  const d = a * a + b * b;
  const [ia, ib] = [a / d, -b / d];
  return { a: ia, b: ib, tx: -(ia * tx - ib * ty), ty: -(ib * tx + ia * ty) };
}

/** Puts a point of the picture into the middle of a square of `side` px, scaled and turned about it, degrees. */
export function centred(middle: Point, side: number, scale: number, degrees = 0): Similarity {
  const angle = (degrees * Math.PI) / 180;
  const turn = { a: scale * Math.cos(angle), b: scale * Math.sin(angle), tx: 0, ty: 0 };
  const moved = apply(turn, middle);
  return { ...turn, tx: side / 2 - moved.x, ty: side / 2 - moved.y };
}

/**
 * Least-squares similarity of one point set onto another (Umeyama 1991, closed form in two dimensions, no reflection).
 */
export function fitSimilarity(from: readonly Point[], to: readonly Point[]): Similarity {
  const mean = (points: readonly Point[]) => ({
    x: points.reduce((sum, p) => sum + p.x, 0) / points.length,
    y: points.reduce((sum, p) => sum + p.y, 0) / points.length,
  });
  const [s, d] = [mean(from), mean(to)];
  let [dot, cross, norm] = [0, 0, 0];
  for (const [i, point] of from.entries()) {
    const [sx, sy] = [point.x - s.x, point.y - s.y];
    const [dx, dy] = [to[i]!.x - d.x, to[i]!.y - d.y];
    dot += dx * sx + dy * sy;
    cross += dy * sx - dx * sy;
    norm += sx * sx + sy * sy;
  }
  const [a, b] = [dot / norm, cross / norm];
  return { a, b, tx: d.x - (a * s.x - b * s.y), ty: d.y - (b * s.x + a * s.y) };
}

/**
 * The picture seen through a transform from its pixels to a square's; bilinear, black outside, as OpenCV's `warpAffine`.
 *
 * @returns [side, side, 3] levels, not rounded
 */
export function warp({ rgb, width, height }: Bitmap, transform: Similarity, side: number): Float32Array {
  const { a, b, tx, ty } = inverse(transform);
  const out = new Float32Array(side * side * 3);
  for (let v = 0, q = 0; v < side; v++) {
    for (let u = 0; u < side; u++, q += 3) {
      const [x, y] = [a * u - b * v + tx, b * u + a * v + ty];
      const [x0, y0] = [Math.floor(x), Math.floor(y)];
      if (x0 < -1 || y0 < -1 || x0 >= width || y0 >= height) continue;
      const [fx, fy] = [x - x0, y - y0];
      // Beyond the edge there is black: what lies there weighs nothing.
      const left = x0 >= 0 ? 1 - fx : 0;
      const right = x0 + 1 < width ? fx : 0;
      const top = y0 >= 0 ? 1 - fy : 0;
      const bottom = y0 + 1 < height ? fy : 0;
      const p = (y0 * width + x0) * 3;
      for (let c = 0; c < 3; c++) {
        let level = 0;
        if (top) level += top * (at(rgb, p + c, left) + at(rgb, p + 3 + c, right));
        if (bottom)
          level += bottom * (at(rgb, p + width * 3 + c, left) + at(rgb, p + width * 3 + 3 + c, right));
        out[q + c] = level;
      }
    }
  }
  return out;
}

const at = (rgb: Uint8Array, index: number, weight: number) => (weight ? weight * rgb[index]! : 0);

/** A rectangle of a picture; parts outside repeat the edge. px */
export function crop(
  { rgb, width, height }: Bitmap,
  left: number,
  top: number,
  w: number,
  h: number,
): Bitmap {
  const out = new Uint8Array(w * h * 3);
  const isWithin = left >= 0 && left + w <= width;
  for (let y = 0; y < h; y++) {
    const from = Math.min(Math.max(top + y, 0), height - 1) * width;
    if (isWithin) {
      out.set(rgb.subarray((from + left) * 3, (from + left + w) * 3), y * w * 3);
      continue;
    }
    for (let x = 0; x < w; x++) {
      const p = (from + Math.min(Math.max(left + x, 0), width - 1)) * 3;
      const q = (y * w + x) * 3;
      out[q] = rgb[p]!;
      out[q + 1] = rgb[p + 1]!;
      out[q + 2] = rgb[p + 2]!;
    }
  }
  return { rgb: out, width: w, height: h };
}

/**
 * Resizes as OpenCV's bilinear, bit for bit: between the four nearest pixels, without antialiasing, in fixed point.
 * Source: opencv/opencv 4.x and 5.0 `modules/imgproc/src/resize.cpp` `HResizeLinear`, `VResizeLinear<uchar>`.
 */
export function resample(picture: Bitmap, toWidth: number, toHeight: number): Bitmap {
  const { rgb, width, height } = picture;
  if (width === toWidth && height === toHeight) return picture;
  const out = new Uint8Array(toWidth * toHeight * 3);
  const columns = between(width, toWidth);
  const rows = between(height, toHeight, true);
  for (let y = 0, q = 0; y < toHeight; y++) {
    const top = rows.low[y]! * width * 3;
    const bottom = rows.high[y]! * width * 3;
    const above = rows.lowShare[y]!;
    const below = rows.highShare[y]!;
    for (let x = 0; x < toWidth; x++) {
      const left = columns.low[x]! * 3;
      const right = columns.high[x]! * 3;
      const before = columns.lowShare[x]!;
      const behind = columns.highShare[x]!;
      for (let c = 0; c < 3; c++) {
        const first = rgb[top + left + c]! * before + rgb[top + right + c]! * behind;
        const second = rgb[bottom + left + c]! * before + rgb[bottom + right + c]! * behind;
        out[q++] = (((above * (first >> 4)) >> 16) + ((below * (second >> 4)) >> 16) + 2) >> 2;
      }
    }
  }
  return { rgb: out, width: toWidth, height: toHeight };
}

/** OpenCV's INTER_RESIZE_COEF_SCALE: shares are whole numbers of these. */
const SHARES = 2048;

/**
 * The two source indices around each target index, and their shares.
 *
 * @param isDown rows beyond the edge keep their shares, of one row twice, where columns get all of it: in fixed point not the same
 */
function between(from: number, to: number, isDown = false) {
  const [low, high] = [new Int32Array(to), new Int32Array(to)];
  const [lowShare, highShare] = [new Int32Array(to), new Int32Array(to)];
  const fr = Math.fround;
  const inside = (index: number) => Math.min(Math.max(index, 0), from - 1);
  for (let i = 0; i < to; i++) {
    const centre = fr((i + 0.5) * (1 / (to / from)) - 0.5);
    const at = Math.floor(centre);
    const isBeyond = centre < 0 || at >= from - 1;
    const share = isBeyond && !isDown ? 0 : fr(centre - at);
    low[i] = inside(at);
    high[i] = inside(at + 1);
    lowShare[i] = roundHalfEven(fr(fr(1 - share) * SHARES));
    highShare[i] = roundHalfEven(fr(share * SHARES));
  }
  return { low, high, lowShare, highShare };
}

type Filter = { readonly support: number; readonly at: (x: number) => number };
const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const filters = {
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    at(value) {
      const x = Math.abs(value);
      const a = -0.5;
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  },
  lanczos: { support: 3, at: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
} as const satisfies Record<string, Filter>;

/** A part of a picture, px. */
export interface Window {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Resizes as Pillow does, bit for bit: antialiased, in fixed point, across then down.
 * Source: python-pillow/Pillow `src/libImaging/Resample.c`.
 *
 * @param window the part of the result that is wanted; all of it when left out
 */
export function resize(
  picture: Bitmap,
  width: number,
  height: number,
  filter: keyof typeof filters,
  window: Window = { left: 0, top: 0, width, height },
): Bitmap {
  const columns = tapsOf(picture.width, width, filter, window.left, window.width);
  const rows = tapsOf(picture.height, height, filter, window.top, window.height);
  // The rows of the picture that the window's rows are made of.
  const from = rows.first[0] ?? 0;
  const to = Math.max(from, ...rows.first.map((row, i) => row + rows.count[i]!));
  const across = resizeAcross(picture, columns, from, to);
  return { rgb: resizeDown(across, rows, from), width: window.width, height: window.height };
}

/** Bits of a fixed-point weight. With 8 for a level and 2 for what filters overshoot, sums fit into 32. */
const BITS = 22;
const HALF = 1 << (BITS - 1);

/** The first source index of each target index, and the weights from there on. */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** [targets, most] */
  readonly weights: Int32Array;
  /** largest count, or up to 3 more */
  readonly most: number;
}

/** @param start, length the target indices that are wanted */
function tapsOf(from: number, to: number, name: keyof typeof filters, start: number, length: number): Taps {
  const { support: reach, at }: Filter = filters[name];
  const scale = from / to;
  const filterScale = Math.max(scale, 1);
  const support = reach * filterScale;
  // Whole fours, the last ones weighing nothing: see resizeDown.
  const most = 4 * Math.ceil((Math.ceil(support) * 2 + 1) / 4);
  const [first, count] = [new Int32Array(length), new Int32Array(length)];
  const weights = new Int32Array(length * most);
  const raw = new Float64Array(most);
  for (let i = 0; i < length; i++) {
    if (from === to) {
      // An axis whose size does not change is left alone.
      [first[i], count[i], weights[i * most]] = [start + i, 1, 1 << BITS];
      continue;
    }
    const centre = (start + i + 0.5) * scale;
    const low = Math.max(Math.trunc(centre - support + 0.5), 0);
    const taps = Math.min(Math.trunc(centre + support + 0.5), from) - low;
    let sum = 0;
    for (let k = 0; k < taps; k++) {
      raw[k] = at((low + k - centre + 0.5) / filterScale);
      sum += raw[k]!;
    }
    first[i] = low;
    count[i] = taps;
    for (let k = 0; k < taps; k++) {
      const fixed = (raw[k]! / sum) * 2 ** BITS;
      weights[i * most + k] = fixed < 0 ? Math.trunc(fixed - 0.5) : Math.trunc(fixed + 0.5);
    }
  }
  return { first, count, weights, most };
}

/** Rows `from` to `to` of the picture, each as wide as there are taps: [to − from, taps, 3]. */
function resizeAcross({ rgb, width }: Bitmap, taps: Taps, from: number, to: number): Uint8Array {
  const { first, count, weights, most } = taps;
  const out = new Uint8ClampedArray((to - from) * first.length * 3);
  for (let row = from, q = 0; row < to; row++) {
    for (let i = 0; i < first.length; i++, q += 3) {
      let r = HALF;
      let g = HALF;
      let b = HALF;
      let p = (row * width + first[i]!) * 3;
      for (let k = i * most, end = k + count[i]!; k < end; k++, p += 3) {
        const w = weights[k]!;
        r = (r + Math.imul(w, rgb[p]!)) | 0;
        g = (g + Math.imul(w, rgb[p + 1]!)) | 0;
        b = (b + Math.imul(w, rgb[p + 2]!)) | 0;
      }
      out[q] = r >> BITS;
      out[q + 1] = g >> BITS;
      out[q + 2] = b >> BITS;
    }
  }
  return new Uint8Array(out.buffer);
}

/** Whole rows at a time: neighbours in memory, where columns would be far apart. @param from the first row that `rgb` has */
function resizeDown(rgb: Uint8Array, { first, count, weights, most }: Taps, from: number): Uint8Array {
  const rows = Math.max(...first.map((row, i) => row + count[i]!)) - from;
  const length = rgb.length / rows;
  const out = new Uint8ClampedArray(first.length * length);
  const totals = new Int32Array(length);
  for (let i = 0; i < first.length; i++) {
    totals.fill(HALF);
    const taps = count[i]!;
    for (let k = 0; k < taps; k += 4) {
      // Four rows at a time: that halves what goes through memory. Beyond the last one there are rows that weigh nothing.
      const a = (first[i]! - from + k) * length;
      const b = k + 1 < taps ? a + length : a;
      const c = k + 2 < taps ? b + length : a;
      const d = k + 3 < taps ? c + length : a;
      const w = i * most + k;
      const wa = weights[w]!;
      const wb = weights[w + 1]!;
      const wc = weights[w + 2]!;
      const wd = weights[w + 3]!;
      for (let x = 0; x < length; x++) {
        const near = Math.imul(wa, rgb[a + x]!) + Math.imul(wb, rgb[b + x]!);
        totals[x] = (totals[x]! + near + Math.imul(wc, rgb[c + x]!) + Math.imul(wd, rgb[d + x]!)) | 0;
      }
    }
    for (let x = 0; x < length; x++) out[i * length + x] = totals[x]! >> BITS;
  }
  return new Uint8Array(out.buffer);
}
