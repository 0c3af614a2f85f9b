/** Pictures as bytes, and moving parts of them: crops, warps and resizes, all bilinear with pixel centres at +0.5. */

/** 8-bit RGB, rows from the top. */
export interface Picture {
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
export function warp({ rgb, width, height }: Picture, transform: Similarity, side: number): Float32Array {
  const back = inverse(transform);
  const out = new Float32Array(side * side * 3);
  const at = (x: number, y: number, c: number) =>
    x >= 0 && y >= 0 && x < width && y < height ? rgb[(y * width + x) * 3 + c]! : 0;
  for (let v = 0; v < side; v++) {
    for (let u = 0; u < side; u++) {
      const { x, y } = apply(back, { x: u, y: v });
      const [x0, y0] = [Math.floor(x), Math.floor(y)];
      if (x0 < -1 || y0 < -1 || x0 >= width || y0 >= height) continue;
      const [fx, fy] = [x - x0, y - y0];
      for (let c = 0; c < 3; c++) {
        const top = at(x0, y0, c) * (1 - fx) + at(x0 + 1, y0, c) * fx;
        const bottom = at(x0, y0 + 1, c) * (1 - fx) + at(x0 + 1, y0 + 1, c) * fx;
        out[(v * side + u) * 3 + c] = top * (1 - fy) + bottom * fy;
      }
    }
  }
  return out;
}

/** A rectangle of a picture; parts outside repeat the edge. px */
export function crop(
  { rgb, width, height }: Picture,
  left: number,
  top: number,
  w: number,
  h: number,
): Picture {
  const out = new Uint8Array(w * h * 3);
  for (let y = 0; y < h; y++) {
    const from = Math.min(Math.max(top + y, 0), height - 1) * width;
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

/** Resizes as OpenCV's bilinear: between the four nearest pixels, without antialiasing. */
export function resample({ rgb, width, height }: Picture, toWidth: number, toHeight: number): Picture {
  const out = new Uint8Array(toWidth * toHeight * 3);
  const near = (i: number, from: number, to: number) => {
    const centre = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const low = Math.min(Math.floor(centre), from - 1);
    return { low, high: Math.min(low + 1, from - 1), f: centre - low };
  };
  const columns = Array.from({ length: toWidth }, (_, x) => near(x, width, toWidth));
  for (let y = 0; y < toHeight; y++) {
    const row = near(y, height, toHeight);
    for (let x = 0; x < toWidth; x++) {
      const column = columns[x]!;
      for (let c = 0; c < 3; c++) {
        const at = (yy: number, xx: number) => rgb[(yy * width + xx) * 3 + c]!;
        const top = at(row.low, column.low) * (1 - column.f) + at(row.low, column.high) * column.f;
        const bottom = at(row.high, column.low) * (1 - column.f) + at(row.high, column.high) * column.f;
        out[(y * toWidth + x) * 3 + c] = Math.round(top * (1 - row.f) + bottom * row.f);
      }
    }
  }
  return { rgb: out, width: toWidth, height: toHeight };
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

/**
 * Resizes as Pillow does, bit for bit: antialiased, in fixed point, across then down.
 * Source: python-pillow/Pillow `src/libImaging/Resample.c`.
 */
export function resize(
  picture: Picture,
  width: number,
  height: number,
  filter: keyof typeof filters,
): Picture {
  const across =
    width === picture.width
      ? picture.rgb
      : pass(picture.rgb, picture.height, picture.width, width, 3, filter, false);
  const rgb =
    height === picture.height ? across : pass(across, width, picture.height, height, 3, filter, true);
  return { rgb: rgb === picture.rgb ? picture.rgb.slice() : rgb, width, height };
}

/** Along rows (`lines` rows of `from` px), or with `down` along columns (`lines` columns). */
function pass(
  rgb: Uint8Array,
  lines: number,
  from: number,
  to: number,
  channels: number,
  name: keyof typeof filters,
  down: boolean,
): Uint8Array {
  const BITS = 22;
  const { support: reach, at }: Filter = filters[name];
  const scale = from / to;
  const filterScale = Math.max(scale, 1);
  const support = reach * filterScale;
  const out = new Uint8Array(lines * to * channels);
  const half = 2 ** (BITS - 1);
  // Sums of integers below 2⁵³: doubles hold them exactly.
  const store = (at: number, total: number) => {
    out[at] = Math.min(Math.max(Math.floor(total / 2 ** BITS), 0), 255);
  };
  const taps = Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const low = Math.max(Math.trunc(centre - support + 0.5), 0);
    const high = Math.min(Math.trunc(centre + support + 0.5), from);
    const raw = Array.from({ length: high - low }, (_, k) => at((low + k - centre + 0.5) / filterScale));
    const sum = raw.reduce((total, w) => total + w, 0);
    const weights = Float64Array.from(raw, (w) => {
      const fixed = (w / sum) * 2 ** BITS;
      return fixed < 0 ? Math.trunc(fixed - 0.5) : Math.trunc(fixed + 0.5);
    });
    return { low, weights };
  });
  if (down) {
    // Whole rows at a time: neighbours in memory, where columns would be far apart.
    const row = lines * channels;
    const totals = new Float64Array(row);
    for (const [i, { low, weights }] of taps.entries()) {
      totals.fill(half);
      for (let k = 0; k < weights.length; k++) {
        const [weight, start] = [weights[k]!, (low + k) * row];
        for (let x = 0; x < row; x++) totals[x] = totals[x]! + weight * rgb[start + x]!;
      }
      for (let x = 0; x < row; x++) store(i * row + x, totals[x]!);
    }
    return out;
  }
  for (let line = 0; line < lines; line++) {
    for (let i = 0; i < to; i++) {
      const { low, weights } = taps[i]!;
      for (let c = 0; c < channels; c++) {
        let total = half;
        let p = (line * from + low) * channels + c;
        for (let k = 0; k < weights.length; k++, p += channels) total += weights[k]! * rgb[p]!;
        store((line * to + i) * channels + c, total);
      }
    }
  }
  return out;
}
