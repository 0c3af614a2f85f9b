/** Making tensors, and the few whole-array operations that the pipelines need. All float32, row-major. */
import type { Tensor } from './session.ts';

export type Shape = readonly number[];

export interface FloatTensor extends Tensor {
  readonly type: 'float32';
  readonly data: Float32Array;
}

/** How many numbers a tensor of this shape has. */
export function elementCount(shape: Shape): number {
  return shape.reduce((product, side) => product * side, 1);
}

/** @throws {RangeError} when there are not as many numbers as the shape says */
export function tensor(data: Float32Array, shape: Shape): FloatTensor {
  if (data.length !== elementCount(shape))
    throw new RangeError(`${data.length} numbers do not fill [${shape.join(', ')}]`);
  return { type: 'float32', data, shape };
}

/** @throws {TypeError} when a network gave another type than float32 */
export function floats(value: Tensor | undefined, name: string): FloatTensor {
  if (value?.type !== 'float32' || !(value.data instanceof Float32Array)) {
    throw new TypeError(`${name} is not a float32 tensor`);
  }
  return { type: 'float32', data: value.data, shape: value.shape };
}

type Term = readonly [weight: number, x: Float32Array];

/**
 * Σ wᵢ·xᵢ, element by element; one to four terms of one length. Sums are double and rounded once, at the store.
 *
 * One pass for each number of terms: term by term it took three times as long, and a step has two of these.
 */
export function combine(...terms: readonly Term[]): Float32Array {
  const [[wa, a] = none, [wb, b] = none, [wc, c] = none, [wd, d] = none] = terms;
  const n = a.length;
  const out = new Float32Array(n);
  if (terms.some(([, x]) => x.length !== n)) throw new RangeError('terms differ in length');
  switch (terms.length) {
    case 1:
      for (let i = 0; i < n; i++) out[i] = wa * a[i]!;
      return out;
    case 2:
      for (let i = 0; i < n; i++) out[i] = wa * a[i]! + wb * b[i]!;
      return out;
    case 3:
      for (let i = 0; i < n; i++) out[i] = wa * a[i]! + wb * b[i]! + wc * c[i]!;
      return out;
    case 4:
      for (let i = 0; i < n; i++) out[i] = wa * a[i]! + wb * b[i]! + wc * c[i]! + wd * d[i]!;
      return out;
    default:
      throw new RangeError('one to four terms');
  }
}
const none: Term = [0, new Float32Array()];

/** One after the other along the first axis. */
export function stack(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Bilinear resize of one plane [h, w] with half-pixel centres and without antialiasing, as torchvision's on a tensor. */
export function resizePlane(
  plane: Float32Array,
  height: number,
  width: number,
  toHeight: number,
  toWidth: number,
): Float32Array {
  const out = new Float32Array(toHeight * toWidth);
  const column = Array.from({ length: toWidth }, (_, x) => neighbours(x, width, toWidth));
  for (let y = 0; y < toHeight; y++) {
    const [y0, y1, fy] = neighbours(y, height, toHeight);
    for (let x = 0; x < toWidth; x++) {
      const [x0, x1, fx] = column[x]!;
      const top = plane[y0 * width + x0]! * (1 - fx) + plane[y0 * width + x1]! * fx;
      const bottom = plane[y1 * width + x0]! * (1 - fx) + plane[y1 * width + x1]! * fx;
      out[y * toWidth + x] = top * (1 - fy) + bottom * fy;
    }
  }
  return out;
}

/** The two source indices around a target one, and how far it is to the second, 0…1. */
function neighbours(at: number, from: number, to: number): [number, number, number] {
  const centre = Math.max(0, ((at + 0.5) * from) / to - 0.5);
  const low = Math.min(Math.floor(centre), from - 1);
  return [low, Math.min(low + 1, from - 1), centre - low];
}

/** Python's and IEEE's: halves go to the even neighbour. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
