/** Every case of every golden set in test/golden, as `npm run golden` runs them. */
import { readdirSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { runners } from './golden-runs/runners.ts';
import { type GoldenCheck, goldenDir, openSet } from './support/golden.ts';

const sets = readdirSync(goldenDir(''), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => openSet(goldenDir(name)));

it('has code for every set', () => {
  expect(sets.map(({ name }) => name).sort()).toEqual(Object.keys(runners).sort());
});

describe.each(sets.map((set) => [set.name, set] as const))('%s', (name, set) => {
  let check: GoldenCheck;
  beforeAll(async () => {
    check = await runners[name]!(set);
  });

  it.each(set.cases.map((c) => [c.name, c] as const))('is the reference’s: %s', async (_, c) => {
    const results = await check(c);
    expect(results).not.toEqual([]);
    expect(results.filter(({ passed }) => !passed)).toEqual([]);
  });
});
