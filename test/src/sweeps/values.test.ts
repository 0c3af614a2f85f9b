import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { spread } from '#src/sweeps/values.ts';

describe('the values of an axis', () => {
  it.each([
    ['0.2, 0.4, .., 1.0', [0.2, 0.4, 0.6, 0.8, 1]],
    ['1, 0.9, .., 0.7', [1, 0.9, 0.8, 0.7]],
    ['1, 0.9, ..., 0.7', [1, 0.9, 0.8, 0.7]],
    ['0.3, 0.2, .., 0', [0.3, 0.2, 0.1, 0]],
    ['0, 0.1, 0.2, .., 0.35', ['0', 0.1, 0.2, 0.3]],
    [{ from: 0.1, to: 0.3, step: 0.1 }, [0.1, 0.2, 0.3]],
    [{ from: 3, to: 1, step: -1 }, [3, 2, 1]],
    [{ from: 5, to: 5, step: 1 }, [5]],
    [
      [0.5, 0.7],
      [0.5, 0.7],
    ],
    [0.5, [0.5]],
    ['0.1, 0.7', ['0.1', '0.7']],
  ])('%j are read', (written, values) => {
    expect(spread('detail_strength', written)).toEqual(values);
  });

  it('of a negative prompt keep their commas', () => {
    expect(spread('negative_prompt', 'blurry, hands')).toEqual(['blurry, hands']);
  });

  it.each([
    ['0.2, .., 0.8', /is not a range that I can read/],
    ['0.2, 0.4, ..', /is not a range that I can read/],
    ['0.2, 0.4, .., 0.8, 1', /is not a range that I can read/],
    ['a, b, .., c', /is not a range that I can read/],
    [{ from: 1, to: 5, step: 0 }, /never gets from its start/],
    [{ from: 5, to: 1, step: 1 }, /never gets from its start/],
    ['1, 1, .., 5', /never gets from its start/],
    [{ from: 0, to: 1, step: 0.00001 }, /has 100,001 values, and 1000 is the most/],
  ])('%j are refused', (written, says) => {
    expect(() => spread('detail_strength', written)).toThrow(says);
  });

  it('are at most a thousand, also when they are written out', () => {
    const written = Array.from({ length: 1_001 }, (_, i) => i).join(', ');
    expect(() => spread('steps', written)).toThrow(/has 1,001 values, and 1000 is the most/);
  });

  it('of any range begin at its start, go by its step, and reach its end', () => {
    const hundredths = fc.integer({ min: -1_000, max: 1_000 });
    const steps = fc.integer({ min: 1, max: 500 });
    fc.assert(
      fc.property(hundredths, steps, fc.integer({ min: 0, max: 99 }), (from, step, count) => {
        const range = { from: from / 100, to: (from + step * count) / 100, step: step / 100 };
        const values = Array.from({ length: count + 1 }, (_, i) => (from + step * i) / 100);
        expect(spread('weight', range)).toEqual(values);
      }),
    );
  });
});
