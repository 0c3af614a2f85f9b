/** Beside the numbers that Newcombe 1998 prints. */
import { describe, expect, it } from 'vitest';
import { differenceOf, sayShare, shareOf } from '#src/intervals.ts';

describe('a share', () => {
  // Statistics in Medicine 17:857, table I, method 3.
  it.each([
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
    [29, 29, 0.883, 1],
  ])('of %i of %i lies between %f and %f', (count, of, low, high) => {
    const share = shareOf(count, of);
    expect(share.share).toBeCloseTo(count / of, 12);
    expect(share.low).toBeCloseTo(low, 4);
    expect(share.high).toBeCloseTo(high, 4);
  });

  it('of nothing may be any', () => {
    expect(shareOf(0, 0)).toMatchObject({ low: 0, high: 1 });
    expect(sayShare(shareOf(0, 0))).toBe('none');
    expect(sayShare(shareOf(81, 263))).toBe('31 % (26–37 %) of 263');
  });
});

describe('a difference of shares', () => {
  // Statistics in Medicine 17:873, table II, method 10.
  it.each([
    [[56, 70], [48, 80], 0.2, 0.0524, 0.3339],
    [[9, 10], [3, 10], 0.6, 0.1705, 0.809],
    [[10, 10], [0, 20], 1, 0.6791, 1],
  ])('%j and %j', ([a = 0, ofA = 0], [b = 0, ofB = 0], difference, low, high) => {
    const found = differenceOf(shareOf(a, ofA), shareOf(b, ofB));
    expect(found.difference).toBeCloseTo(difference, 4);
    expect(found.low).toBeCloseTo(low, 4);
    expect(found.high).toBeCloseTo(high, 4);
  });
});
