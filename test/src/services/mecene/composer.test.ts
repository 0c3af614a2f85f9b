import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CATEGORIES } from '#config/mecene.ts';
import { checkPrompt } from '#src/moderation/words.ts';
import { makeComposer } from '#src/services/mecene/composer.ts';
import { think } from '#src/services/mecene/graph.ts';
import { cleanWords } from '#src/services/mecene/words.ts';

const composer = makeComposer();
const compose = (words: string, seed = 1n) =>
  think(composer, { words: cleanWords(words), seed }, new AbortController().signal);

describe('the composer', () => {
  it('makes an idea, eight categories, fifteen of their keywords and a prompt of two words', async () => {
    const { idea, categories, keywords, prompt } = await compose('winter queen');
    expect(idea.split(' ').length).toBeGreaterThanOrEqual(40);
    expect(idea.split(' ').length).toBeLessThanOrEqual(75);
    expect(Object.keys(categories)).toEqual([...CATEGORIES]);
    expect(keywords).toHaveLength(15);
    expect(new Set(keywords).size).toBe(15);
    const all = Object.values(categories).flat();
    for (const keyword of keywords) expect(all).toContain(keyword);
    expect(prompt).toMatch(/^portrait of a winter queen, /);
  });

  it.each(['paper moon', 'ocean', 'tea in a garden', 'my grandmother with a fox', 'Zürich tram'])(
    'keeps what the person said: %s',
    async (words) => {
      for (const seed of [1n, 2n, 3n]) expect((await compose(words, seed)).prompt).toContain(words);
    },
  );

  it('adds no second hair or garment to those that were named', async () => {
    const { prompt } = await compose('red hair and a blue coat');
    expect(prompt.match(/hair|bob|bun|braids|beard/g)).toEqual(['hair']);
    expect(prompt.match(/coat|dress|shirt|sweater|robe|cloak|kimono|suit|tunic/g)).toEqual(['coat']);
  });

  it('sets the scene that the words hint at', async () => {
    expect((await compose('snow fox hunter')).prompt).toMatch(/snow|frozen|forest|woodland/);
    expect((await compose('captain of a ship', 4n)).prompt).toMatch(/sea coast|harbour|beach/);
  });

  it('says the same for the same words and seed, and another thing for another seed', async () => {
    const seeds = Array.from({ length: 40 }, (_, i) => BigInt(i));
    const once = await Promise.all(seeds.map(async (seed) => (await compose('', seed)).prompt));
    const again = await Promise.all(seeds.map(async (seed) => (await compose('', seed)).prompt));
    expect(again).toEqual(once);
    expect(new Set(once).size).toBe(40);
    const backgrounds = new Set(once.map((prompt) => /, ([^,]+) in the background/.exec(prompt)?.[1]));
    expect(backgrounds.size).toBeGreaterThan(12);
  });

  it('never says what the rules refuse, and never draws a checkered pattern', async () => {
    for (let seed = 0n; seed < 200n; seed++) {
      const { prompt, idea } = await compose('', seed);
      expect(() => checkPrompt(prompt)).not.toThrow();
      expect(() => checkPrompt(idea)).not.toThrow();
      expect(prompt).not.toMatch(/check(er|board)|chequer/i);
    }
  });

  it('answers every step validly, whatever was typed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'grapheme', maxLength: 300 }),
        fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }),
        async (typed, seed) => {
          const { keywords, prompt } = await compose(typed, seed);
          expect(keywords).toHaveLength(15);
          expect(prompt).not.toMatch(/[<>@`*_|{}[\]():#\\/]/);
        },
      ),
      { numRuns: 200 },
    );
  });
});
