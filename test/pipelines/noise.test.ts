import { describe, expect, it } from 'vitest';
import { generator } from '#pipelines/noise.ts';

// What torch draws is compared case by case in test/golden.test.ts.
describe('normals', () => {
  it('have mean 0 and variance 1', () => {
    const x = generator(7).normals(100_000);
    const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
    const variance = x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length;
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(Math.abs(variance - 1)).toBeLessThan(0.02);
  });

  it('are those of the low 32 bits of a seed', () => {
    expect(generator(2n ** 32n + 5n).normals(20)).toEqual(generator(5).normals(20));
    expect(generator(-1).normals(20)).toEqual(generator(2 ** 32 - 1).normals(20));
  });
});
