import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { keepAnswers } from '#src/known-answers.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

const keyOf = (about: string) => about;

it('asks once for all who want the same meanwhile, and again once the answer is old', async () => {
  const ask = vi.fn(async (about: string) => `${about} ${ask.mock.calls.length}`);
  const known = keepAnswers({ forMs: 1_000, most: 10, keyOf }, ask);
  expect(await Promise.all([known('a'), known('a'), known('b')])).toEqual(['a 1', 'a 1', 'b 2']);
  vi.advanceTimersByTime(999);
  expect(await known('a')).toBe('a 1');
  vi.advanceTimersByTime(1);
  expect(await known('a')).toBe('a 3');
});

it('keeps no failure, and of many answers those that were used last', async () => {
  let fails = true;
  const ask = vi.fn(async (about: string) => {
    if (fails) throw new Error('away');
    return about;
  });
  const known = keepAnswers({ forMs: 1_000, most: 2, keyOf }, ask);
  await expect(Promise.all([known('a'), known('a')])).rejects.toThrow('away');
  expect(ask).toHaveBeenCalledTimes(1);
  fails = false;
  expect(await known('a')).toBe('a');
  expect(ask).toHaveBeenCalledTimes(2);
  for (const about of ['b', 'c', 'a']) await known(about);
  expect(ask).toHaveBeenCalledTimes(5);
});
