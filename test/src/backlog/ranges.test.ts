/** What is told as a range is kept in four of five cases, whatever comes. */
import { beforeEach, describe, expect, it } from 'vitest';
import {
  horizonOf,
  keepRanges,
  learned,
  learnRange,
  rangeOf,
  type Spread,
  spreads,
  UNLEARNED,
} from '#src/backlog/ranges.ts';
import { db } from '#src/doors/db.ts';
import { mulberry32 } from '#src/mulberry32.ts';

/** Tells of so many what was learned of those before, and learns from them. @returns the part that came as told, 0…1 */
function keptOf(count: number, ratio: (n: number) => number, start: Spread = UNLEARNED) {
  let spread = start;
  let kept = 0;
  for (let n = 0; n < count; n++) {
    const tookMs = 1_000 * ratio(n);
    const { fromMs, toMs } = rangeOf(1_000, spread);
    kept += Number(tookMs >= fromMs && tookMs <= toMs);
    spread = learned(spread, ratio(n));
  }
  return { kept: kept / count, spread };
}

describe('a range', () => {
  const random = mulberry32(7);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const noise = Array.from({ length: 20_000 }, normal);

  it.each([
    ['what comes is as it is told', (n: number) => Math.exp(0.2 * noise[n]!)],
    ['all takes three times as long', (n: number) => 3 * Math.exp(0.5 * noise[n]!)],
    [
      'it changes every few hundred',
      (n: number) => (Math.floor(n / 300) % 2 ? 0.8 : 4) * Math.exp(0.3 * noise[n]!),
    ],
    ['nothing ever ends in time', (n: number) => (2 + n / 2_000) * Math.exp(0.2 * noise[n]!)],
  ])('is kept by four of five where %s', (_, ratio) => {
    const { kept } = keptOf(noise.length, ratio);
    expect(kept).toBeGreaterThan(0.77);
    expect(kept).toBeLessThan(0.83);
  });

  it('is no wider than what comes differs', () => {
    const { spread } = keptOf(noise.length, (n) => Math.exp(0.2 * noise[n]!));
    // Of a normal distribution a tenth is above 1.28 deviations.
    expect(spread.high).toBeCloseTo(0.256, 1);
    expect(spread.low).toBeCloseTo(-0.256, 1);
  });

  it('is wide before anything is learned', () => {
    const { fromMs, toMs } = rangeOf(60_000, UNLEARNED);
    expect([fromMs, toMs].map(Math.round)).toEqual([48_000, 180_000]);
  });

  it('never ends before it begins', () => {
    expect(rangeOf(1_000, { low: 1, high: 0, count: 9 })).toEqual({ fromMs: 1_000, toMs: 1_000 * Math.E });
  });

  it('is learned apart for what is near and what is far off', () => {
    expect([0, 2_999, 3_000, 59_999, 1e9].map(horizonOf)).toEqual([0, 0, 1, 2, 4]);
  });
});

describe('what was learned', () => {
  beforeEach(async () => {
    await db.range.deleteMany();
  });

  it('is kept, and added to what others learn meanwhile', async () => {
    learnRange('fast', 1_000, 5);
    learnRange('fast', 1_000, 5);
    learnRange('relax', 100_000, 0.1);
    await keepRanges();
    const rows = await db.range.findMany({ orderBy: { tier: 'asc' } });
    expect(rows.map(({ tier, horizon, count }) => [tier, horizon, count])).toEqual([
      ['fast', 0, 2],
      ['relax', 3, 1],
    ]);
    const twice = learned(learned(UNLEARNED, 5), 5);
    expect((await spreads())('fast', 500)).toEqual(twice);
    expect((await spreads())('turbo', 500)).toEqual(UNLEARNED);

    learnRange('fast', 1_000, 5);
    await keepRanges();
    expect((await db.range.findFirstOrThrow({ where: { tier: 'fast' } })).high).toBeCloseTo(
      learned(twice, 5).high,
      9,
    );
  });

  it('has nothing of what cannot be', async () => {
    for (const ratio of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) learnRange('fast', 1_000, ratio);
    learnRange('fast', 0, 1);
    await keepRanges();
    expect(await db.range.count()).toBe(0);
  });
});
