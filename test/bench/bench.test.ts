import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { isMet } from './goal.ts';

it.each([
  [{ got: 1.05, atMost: 1.05 }, true],
  [{ got: 1.051, atMost: 1.05 }, false],
  [{ got: 0.9, atLeast: 0.9 }, true],
  [{ got: 0.89, atLeast: 0.9 }, false],
  [{ got: Number.NaN, atMost: 1 }, false],
])('%j is met: %s', (goal, met) => {
  expect(isMet({ name: 'a ratio', ...goal })).toBe(met);
});

it('asked for a bench that there is not, it says which there are, and runs none', () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['test/bench/bench.ts', 'portrait', 'everything'],
    { encoding: 'utf8' },
  );
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(/^Usage: npm run bench \[-- NAME…\], of portrait, (\w+, )*\w+\n$/);
});
