import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { frame, makeTokenizer } from '#pipelines/sdxl/tokenizer.ts';
import { golden, goldenDir } from '../../support/golden.ts';

const dir = goldenDir('clip-tokenizer');
const vocabulary = z
  .record(z.string(), z.number())
  .parse(JSON.parse(readFileSync(join(dir, 'tokenizer/vocab.json'), 'utf8')));
const merges = readFileSync(join(dir, 'tokenizer/merges.txt'), 'utf8');
const prompts = z
  .array(z.object({ prompt: z.string() }))
  .parse(JSON.parse(readFileSync(join(dir, 'prompts.json'), 'utf8')));
const [vectors] = golden('clip-tokenizer', z.object({ count: z.number() }));

const first = makeTokenizer(vocabulary, merges, '<|endoftext|>');
const second = makeTokenizer(vocabulary, merges, '!');

describe('the tokenizer', () => {
  it.each([
    ['ids_1', first, {}],
    ['ids_2', second, {}],
    ['ids_1_img', first, { img: 49408 }],
    ['ids_2_img', second, { img: 49408 }],
  ] as const)('gives the reference’s ids: %s', (name, tokenizer, specials) => {
    const wanted = vectors!.get(name).data;
    for (const [row, { prompt }] of prompts.entries()) {
      const ids = frame(tokenizer, tokenizer.encode(prompt, specials));
      expect(ids, prompt).toEqual([...wanted.subarray(row * 77, (row + 1) * 77)]);
    }
  });

  it('decodes what it encoded', () => {
    expect(first.decode(first.encode('A photo of an  Astronaut'))).toBe('a photo of an astronaut');
  });
});
