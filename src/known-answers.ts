import { LruCache } from './lru-cache.ts';

/**
 * Asks once for many: an answer counts for `forMs` from when it was asked for, and whoever wants it meanwhile gets the same one. One that
 * fails is asked for again.
 *
 * @param most answers that are kept, those that were used last
 */
export function keepAnswers<A extends readonly unknown[], T>(
  { forMs, most, keyOf }: { forMs: number; most: number; keyOf: (...about: A) => string },
  ask: (...about: A) => Promise<T>,
): (...about: A) => Promise<T> {
  const known = new LruCache<{ until: number; readonly answer: Promise<T> }>(most);
  return (...about) => {
    const key = keyOf(...about);
    const before = known.get(key);
    const now = performance.now();
    if (before && now < before.until) return before.answer;
    const kept = { until: now + forMs, answer: ask(...about) };
    known.set(key, kept, 1);
    kept.answer.catch(() => {
      kept.until = 0;
    });
    return kept.answer;
  };
}
