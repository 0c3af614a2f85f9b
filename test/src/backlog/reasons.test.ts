import { describe, expect, it } from 'vitest';
import { reasonOf, type ToldState } from '#src/backlog/reasons.ts';

const before: ToldState = {
  bundle: 'reference',
  toAt: 60_000,
  aheadBy: { turbo: 1, relax: 4 },
  begun: { turbo: 100, relax: 50 },
  workers: 4,
};

/** After so many were begun of each, with so many before it still. */
function why(
  begun: [turbo: number, relax: number],
  ahead: [turbo: number, relax: number],
  readyMs: number,
  workers = 4,
  bundle = 'reference',
) {
  const aheadBy = { turbo: ahead[0], relax: ahead[1] };
  const place = { tier: 'relax', ahead: ahead[0] + ahead[1], aheadInTier: ahead[1], aheadBy, readyMs };
  return reasonOf(before, {
    bundle,
    at: 30_000,
    toAt: 0,
    aheadBy,
    begun: { turbo: 100 + begun[0], relax: 50 + begun[1] },
    workers,
    place,
  });
}

describe('why it is later', () => {
  it('is nothing as long as it is not', () => {
    expect(why([1, 2], [0, 2], 20_000)).toBeNull();
    // Others came between, and it is in time all the same.
    expect(why([9, 2], [3, 2], 30_000)).toBeNull();
  });

  it('is who came before it since', () => {
    expect(why([2, 2], [1, 2], 40_000)).toEqual({ kind: 'passed', tier: 'turbo', pictures: 2 });
    expect(why([1, 0], [0, 6], 20_000)).toEqual({ kind: 'passed', tier: 'relax', pictures: 2 });
  });

  it('is that workers left, where that makes more of it', () => {
    expect(why([1, 2], [0, 2], 40_000, 2)).toEqual({ kind: 'workers', gone: 2, left: 2 });
    expect(why([2, 2], [0, 2], 40_000, 2)).toEqual({ kind: 'workers', gone: 2, left: 2 });
    expect(why([9, 2], [0, 2], 40_000, 3)).toEqual({ kind: 'passed', tier: 'turbo', pictures: 8 });
  });

  it('is that pictures take longer, where it is nothing else', () => {
    expect(why([1, 2], [0, 2], 40_000)).toEqual({ kind: 'slow' });
  });

  it('is not known where another bundle’s pictures are ready last by now', () => {
    expect(why([9, 2], [3, 6], 40_000, 2, 'noir')).toBeNull();
    expect(why([9, 2], [3, 6], 40_000, 2)).not.toBeNull();
  });
});
