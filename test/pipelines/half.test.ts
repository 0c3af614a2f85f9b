import { describe, expect, it } from 'vitest';
import { fromHalf, fromHalves, toHalf, toHalves } from '#pipelines/half.ts';

describe('half precision', () => {
  it('goes there and back', () => {
    for (const x of [0, 1, -1, 0.5, 65_504, 6e-8, 1 / 3, -123.4, Number.POSITIVE_INFINITY]) {
      const back = fromHalf(toHalf(x));
      expect(Math.abs(back - x) <= Math.abs(x) * 2 ** -11 + 2 ** -25 || back === x).toBe(true);
    }
    expect(toHalf(1)).toBe(0x3c00);
    expect(toHalf(70_000)).toBe(0x7c00);
    expect(fromHalf(toHalf(Number.NaN))).toBeNaN();
  });

  it('is the same by whole arrays, whoever converts them', () => {
    const all = Uint16Array.from({ length: 65_536 }, (_, half) => half);
    expect(fromHalves(all)).toEqual(Float32Array.from(all, fromHalf));
    // Each half, the middle to the next one, and a little to either side of it.
    const near = Float32Array.from({ length: 4 * 0x7c00 }, (_, i) => {
      const [low, high] = [fromHalf(i >> 2), fromHalf((i >> 2) + 1)];
      return [low, -(low + high) / 2, low * 0.51 + high * 0.49, low * 0.49 + high * 0.51][i & 3]!;
    });
    expect(toHalves(near)).toEqual(Uint16Array.from(near, toHalf));
  });
});
