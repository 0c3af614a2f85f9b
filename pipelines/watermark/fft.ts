/** Fourier transforms of squares whose sides are powers of two. */

/**
 * Of a square [side, side], in place and unscaled: forwards, then backwards, gives side² times what there was.
 *
 * Source: Cooley & Tukey 1965, radix 2, decimation in time.
 */
export function transform(re: Float64Array, im: Float64Array, side: number, isBackwards = false): void {
  const turns = turnsOf(side, isBackwards);
  for (let y = 0; y < side; y++) {
    const start = y * side;
    // Most rows of a pattern's waves are empty.
    if (hasAny(re, start, side) || hasAny(im, start, side))
      butterflies(re.subarray(start, start + side), im.subarray(start, start + side), 1, turns);
  }
  // All columns at once, row with row: one by one they take three times as long, as no two of their numbers are close together.
  butterflies(re, im, side, turns);
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

function turnsOf(side: number, isBackwards: boolean): Turns {
  const found = known.get(isBackwards ? -side : side);
  if (found) return found;
  const bits = Math.log2(side);
  const swapped = Uint16Array.from({ length: side }, (_, i) => {
    let out = 0;
    for (let bit = 0; bit < bits; bit++) out |= ((i >> bit) & 1) << (bits - 1 - bit);
    return out;
  });
  const angle = (isBackwards ? 2 : -2) * (Math.PI / side);
  const cos = Float64Array.from({ length: side / 2 }, (_, i) => Math.cos(angle * i));
  const sin = Float64Array.from({ length: side / 2 }, (_, i) => Math.sin(angle * i));
  const turns = { swapped, cos, sin };
  known.set(isBackwards ? -side : side, turns);
  return turns;
}

/** Transforms `width` lines that lie beside each other: number i of line n is at i · width + n. */
function butterflies(re: Float64Array, im: Float64Array, width: number, { swapped, cos, sin }: Turns): void {
  const length = swapped.length;
  for (let i = 0; i < length; i++) {
    const j = swapped[i]!;
    if (j <= i) continue;
    for (let n = 0, a = i * width, b = j * width; n < width; n++, a++, b++) {
      const r = re[a]!;
      const m = im[a]!;
      re[a] = re[b]!;
      im[a] = im[b]!;
      re[b] = r;
      im[b] = m;
    }
  }
  for (let half = 1; half < length; half *= 2) {
    const step = length / (half * 2);
    for (let k = 0; k < half; k++) {
      const c = cos[k * step]!;
      const s = sin[k * step]!;
      for (let i = k; i < length; i += half * 2) {
        for (let n = 0, a = i * width, b = (i + half) * width; n < width; n++, a++, b++) {
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
}
