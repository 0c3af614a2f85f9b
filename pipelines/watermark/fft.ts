/** Fourier transforms of squares whose sides are powers of two. */

/**
 * Of a square [side, side], in place and unscaled: forwards, then backwards, gives side² times what there was.
 *
 * Source: Cooley & Tukey 1965, radix 2, decimation in time.
 */
export function transform(re: Float64Array, im: Float64Array, side: number, isBackwards = false): void {
  const turns = turnsOf(side);
  for (let y = 0; y < side; y++) {
    // Most rows of a pattern's waves are empty.
    if (hasAny(re, y * side, side) || hasAny(im, y * side, side))
      line(re, im, y * side, 1, side, turns, isBackwards);
  }
  for (let x = 0; x < side; x++) line(re, im, x, side, side, turns, isBackwards);
}

function hasAny(values: Float64Array, from: number, count: number): boolean {
  for (let i = from; i < from + count; i++) if (values[i]) return true;
  return false;
}

interface Turns {
  /** of each index, its bits backwards */
  readonly swapped: Uint16Array;
  readonly cos: Float64Array;
  readonly sin: Float64Array;
}

const known = new Map<number, Turns>();

function turnsOf(side: number): Turns {
  const found = known.get(side);
  if (found) return found;
  const bits = Math.log2(side);
  const swapped = Uint16Array.from({ length: side }, (_, i) => {
    let out = 0;
    for (let bit = 0; bit < bits; bit++) out |= ((i >> bit) & 1) << (bits - 1 - bit);
    return out;
  });
  const cos = Float64Array.from({ length: side / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / side));
  const sin = Float64Array.from({ length: side / 2 }, (_, i) => -Math.sin((2 * Math.PI * i) / side));
  const turns = { swapped, cos, sin };
  known.set(side, turns);
  return turns;
}

function line(
  re: Float64Array,
  im: Float64Array,
  start: number,
  stride: number,
  length: number,
  { swapped, cos, sin }: Turns,
  isBackwards: boolean,
): void {
  for (let i = 0; i < length; i++) {
    const j = swapped[i]!;
    if (j <= i) continue;
    const [a, b] = [start + i * stride, start + j * stride];
    const [r, m] = [re[a]!, im[a]!];
    re[a] = re[b]!;
    im[a] = im[b]!;
    re[b] = r;
    im[b] = m;
  }
  for (let half = 1; half < length; half *= 2) {
    const step = length / (half * 2);
    for (let k = 0; k < half; k++) {
      const c = cos[k * step]!;
      const s = isBackwards ? -sin[k * step]! : sin[k * step]!;
      for (let i = k; i < length; i += half * 2) {
        const a = start + i * stride;
        const b = a + half * stride;
        const r = re[b]! * c - im[b]! * s;
        const m = re[b]! * s + im[b]! * c;
        re[b] = re[a]! - r;
        im[b] = im[a]! - m;
        re[a] = re[a]! + r;
        im[a] = im[a]! + m;
      }
    }
  }
}
