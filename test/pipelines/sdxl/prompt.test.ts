import { describe, expect, it } from 'vitest';
import { chunksOf, parsePrompt, tokensOf } from '#pipelines/sdxl/prompt.ts';
import { frame } from '#pipelines/sdxl/tokenizer.ts';
import { goldenDir } from '../../support/golden.ts';
import { readGoldenTokenizer } from '../../support/tokenizers.ts';

const tokenizer = readGoldenTokenizer(`${goldenDir('clip-tokenizer')}/tokenizer`);

describe('weights', () => {
  const rounded = (prompt: string) =>
    parsePrompt(prompt).map(({ text, weight }) => [text, Math.round(weight * 1000) / 1000]);

  it.each<[string, [string, number][]]>([
    ['a red dog', [['a red dog', 1]]],
    ['', [['', 1]]],
    [
      'a (red:1.2) dog',
      [
        ['a ', 1],
        ['red', 1.2],
        [' dog', 1],
      ],
    ],
    ['(red)', [['red', 1.1]]],
    ['((red))', [['red', 1.21]]],
    [
      '[red] dog',
      [
        ['red', 0.909],
        [' dog', 1],
      ],
    ],
    [
      '(a (red:1.5) dog:0.5)',
      [
        ['a ', 0.5],
        ['red', 0.75],
        [' dog', 0.5],
      ],
    ],
    ['(red : 1.3 )', [['red ', 1.3]]],
    ['(12:30 clock)', [['12:30 clock', 1.1]]],
    ['(ratio 16:9)', [['ratio 16', 2]]],
    ['a \\(red\\) dog', [['a (red) dog', 1]]],
    ['a (red dog', [['a (red dog', 1]]],
    ['a red) dog:1.2)', [['a red) dog:1.2)', 1]]],
    ['(a [b)', [['a [b', 1.1]]],
    ['[a (b]', [['a (b', 0.909]]],
    ['(a:1.2]', [['(a:1.2]', 1]]],
    [
      ':-) (x:9) (y:.5)',
      [
        [':-) ', 1],
        ['x', 2],
        [' ', 1],
        ['y', 0.5],
      ],
    ],
    ['()', [['', 1]]],
  ])('of %s', (prompt, parts) => {
    expect(rounded(prompt)).toEqual(parts);
  });
});

describe('chunks', () => {
  const chunks = (prompt: string) => chunksOf(tokenizer, tokensOf(tokenizer, parsePrompt(prompt)));
  const words = (count: number, word = 'dog') => Array<string>(count).fill(word).join(' ');

  it('of a short prompt are what the reference’s tokenizer gives', () => {
    for (const prompt of ['', 'a photo of an astronaut', words(75)]) {
      const [one, ...more] = chunks(prompt);
      expect(more).toEqual([]);
      expect(one!.ids).toEqual(frame(tokenizer, tokenizer.encode(prompt)));
      expect(one!.weights).toEqual(Array(77).fill(1));
    }
  });

  it('are as many as 75 tokens each take, with nothing lost', () => {
    const prompt = words(200);
    const all = chunks(prompt);
    expect(all).toHaveLength(3);
    for (const { ids, weights } of all) {
      expect([ids.length, weights.length, ids[0]]).toEqual([77, 77, tokenizer.startId]);
    }
    const inner = all.flatMap(({ ids }) => ids.slice(1, ids.indexOf(tokenizer.endId)));
    expect(inner).toEqual(tokenizer.encode(prompt));
  });

  it('do not part a word, unless it is longer than a chunk', () => {
    const name = 'zyxwvutsrq';
    const pieces = tokenizer.encode(name);
    expect(pieces.length).toBeGreaterThan(2);
    const [first, second] = chunks(`${words(74)} ${name}`);
    expect(first!.ids.indexOf(tokenizer.endId)).toBe(75);
    expect(second!.ids.slice(1, 1 + pieces.length)).toEqual(pieces);
    expect(chunks('x'.repeat(900)).length).toBeGreaterThan(2);
  });

  it('carry the weights of their tokens', () => {
    const [one] = chunks('a (red:1.3) dog');
    expect(one!.weights.slice(0, 6)).toEqual([1, 1, 1.3, 1, 1, 1]);
    expect(one!.ids.slice(0, 5)).toEqual([49406, 320, 736, 1929, 49407]);
  });
});
