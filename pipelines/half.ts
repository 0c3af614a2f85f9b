/** Half precision (IEEE 754 binary16) and bfloat16 as arrays of their bits, to float32 and back. */

const bits = new Uint32Array(1);
const value = new Float32Array(bits.buffer);

/** One number as half precision's bits, rounded to nearest even; beyond 65,504 it is infinite. */
export function toHalf(x: number): number {
  value[0] = x;
  const word = bits[0]!;
  const sign = (word >>> 16) & 0x8000;
  const exponent = (word >>> 23) & 0xff;
  const fraction = word & 0x7f_ffff;
  if (exponent === 0xff) return sign | 0x7c00 | (fraction ? 0x200 : 0);
  const e = exponent - 112;
  if (e >= 0x1f) return sign | 0x7c00;
  if (e <= 0) {
    if (e < -10) return sign;
    const whole = fraction | 0x80_0000;
    const shift = 14 - e;
    const half = whole >>> shift;
    const rest = whole & ((1 << shift) - 1);
    const middle = 1 << (shift - 1);
    return sign | (half + (rest > middle || (rest === middle && half & 1) ? 1 : 0));
  }
  const half = (e << 10) | (fraction >>> 13);
  const rest = fraction & 0x1fff;
  return sign | (half + (rest > 0x1000 || (rest === 0x1000 && half & 1) ? 1 : 0));
}

/** The number that half precision's bits stand for. */
export function fromHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/**
 * Node 24's own array of halves, which is four times as fast as the functions above. Taken when this module loads: the door to
 * onnxruntime takes it away from everybody (src/doors/onnx.ts).
 */
const Native: NativeHalves | undefined = Reflect.get(globalThis, 'Float16Array');
type NativeHalves = new (
  from: ArrayLike<number> | ArrayBufferLike,
  at?: number,
  length?: number,
) => ArrayLike<number> & {
  readonly buffer: ArrayBuffer;
};

let table: Float32Array | undefined;

/** Whole arrays: a UNet's answer is 10⁵ halves at every step. */
export function fromHalves(halves: Uint16Array): Float32Array {
  if (Native) return new Float32Array(new Native(halves.buffer, halves.byteOffset, halves.length));
  table ??= Float32Array.from({ length: 65_536 }, (_, half) => fromHalf(half));
  const out = new Float32Array(halves.length);
  for (let i = 0; i < out.length; i++) out[i] = table[halves[i]!]!;
  return out;
}

export function toHalves(numbers: Float32Array): Uint16Array {
  if (Native) return new Uint16Array(new Native(numbers).buffer);
  const out = new Uint16Array(numbers.length);
  for (let i = 0; i < out.length; i++) out[i] = toHalf(numbers[i]!);
  return out;
}

/** bfloat16 is float32's upper half. */
export function fromBfloats(bfloats: Uint16Array): Float32Array {
  const words = new Uint32Array(bfloats.length);
  for (let i = 0; i < words.length; i++) words[i] = bfloats[i]! << 16;
  return new Float32Array(words.buffer);
}
