/** How sure a share is that was counted. */

/** of the normal distribution: 95 % */
const Z = 1.959964;

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** A share that was counted, with what it may be in truth, at 95 %. */
export interface Share extends Interval {
  /** 0…1; NaN of nothing */
  readonly share: number;
  readonly of: number;
}

/**
 * Holds for few and for extreme counts, where the usual one runs beyond 0 and 1.
 * Source: Wilson 1927; Newcombe 1998, Statistics in Medicine 17:857, method 3.
 */
export function shareOf(count: number, of: number): Share {
  if (of === 0) return { share: Number.NaN, of, low: 0, high: 1 };
  const share = count / of;
  const middle = (share + Z ** 2 / (2 * of)) / (1 + Z ** 2 / of);
  const half = (Z * Math.sqrt((share * (1 - share)) / of + Z ** 2 / (4 * of ** 2))) / (1 + Z ** 2 / of);
  return { share, of, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

/** By how much the first share is above the second, −1…1, at 95 %. Source: Newcombe 1998, Statistics in Medicine 17:873, method 10. */
export function differenceOf(a: Share, b: Share): Interval & { readonly difference: number } {
  const difference = a.share - b.share;
  return {
    difference,
    low: difference - Math.hypot(a.share - a.low, b.high - b.share),
    high: difference + Math.hypot(a.high - a.share, b.share - b.low),
  };
}

/** `62 % (51–72 %) of 80` */
export function sayShare({ share, low, high, of }: Share): string {
  return of ? `${percent(share)} % (${percent(low)}–${percent(high)} %) of ${of}` : 'none';
}

const percent = (share: number) => (100 * share).toFixed(0);
