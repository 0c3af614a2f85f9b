import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { normals } from '#pipelines/noise.ts';
import { distance, golden } from '../support/golden.ts';

const one = golden(
  'noise',
  z.object({ seed: z.number(), shape: z.array(z.number()), call: z.string() }),
).filter(({ name }) => name.startsWith('randn-') || name.startsWith('wide_seed-'));

describe('normals', () => {
  it.each(one.map((c) => [c.name, c] as const))('are torch.randn’s: %s', (_, { params, get }) => {
    const out = get('out');
    expect(distance(normals(params.seed).draw(out.data.length), out.data)).toBeLessThan(1e-5);
  });

  it('go on where the last draw stopped, the kept half of a pair included', () => {
    const cases = golden('noise', z.object({ seed: z.number() })).filter(({ name }) =>
      name.startsWith('sequence-'),
    );
    expect(cases.length).toBeGreaterThan(0);
    for (const { params, get } of cases) {
      const source = normals(params.seed);
      for (const name of ['first', 'second', 'third']) {
        const wanted = get(name);
        expect(distance(source.draw(wanted.data.length), wanted.data)).toBeLessThan(1e-5);
      }
    }
  });

  it('have mean 0 and variance 1', () => {
    const x = normals(7).draw(100_000);
    const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
    const variance = x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length;
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(Math.abs(variance - 1)).toBeLessThan(0.02);
  });
});
