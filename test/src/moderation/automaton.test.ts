import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { automatonOf } from '#src/moderation/automaton.ts';
import { isOneEdit, typosOf } from '#src/moderation/typos.ts';

const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 5 });

describe('automatonOf', () => {
  it('finds what looking for each word at each place finds', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(word, { maxLength: 8 }),
        fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 40 }),
        (words, text) => {
          const found: string[] = [];
          automatonOf(words.map((one) => [[...one], one] as const)).run([...text], (end, one) =>
            found.push(`${end} ${one}`),
          );
          const expected = words.flatMap((one) =>
            [...text].flatMap((_, i) => (text.startsWith(one, i) ? [`${i + one.length - 1} ${one}`] : [])),
          );
          expect(found.sort()).toEqual(expected.sort());
        },
      ),
    );
  });
});

describe('typosOf', () => {
  /** Every word that is one edit away. */
  function edits(of: string): Set<string> {
    const letters = ['a', 'b', 'c'];
    const all = new Set([of]);
    for (let i = 0; i <= of.length; i++) {
      for (const letter of letters) {
        all.add(of.slice(0, i) + letter + of.slice(i));
        if (i < of.length) all.add(of.slice(0, i) + letter + of.slice(i + 1));
      }
      all.add(of.slice(0, i) + of.slice(i + 1));
      if (i < of.length - 1) all.add(of.slice(0, i) + of[i + 1] + of[i] + of.slice(i + 2));
    }
    return all;
  }

  it('finds the words that are one edit away, and no others', () => {
    fc.assert(
      fc.property(fc.uniqueArray(word, { maxLength: 8 }), word, (words, typed) => {
        const near = edits(typed);
        const found = typosOf(words.map((one) => [one, one] as const))(typed);
        expect(found.sort()).toEqual(words.filter((one) => near.has(one)).sort());
        for (const one of words) expect(isOneEdit(typed, one)).toBe(near.has(one));
      }),
    );
  });
});
