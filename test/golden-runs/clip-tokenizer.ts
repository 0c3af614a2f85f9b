/** Prompts to token ids, by transformers' CLIPTokenizer. */
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { CONTEXT_LENGTH, frame, type Tokenizer } from '#pipelines/sdxl/tokenizer.ts';
import { compare, type GoldenRunner, goldenDir, openSet } from '../support/golden.ts';
import { readGoldenTokenizer } from '../support/tokenizers.ts';

const Params = z.object({ file: z.string() });
const Prompts = z.array(z.object({ prompt: z.string(), tokens: z.array(z.number()) }));

export const clipTokenizer: GoldenRunner = (set) => {
  // A folder with other prompts may leave the vocabulary out, which is 1.4 MB and the same.
  const files = existsSync(set.path('tokenizer/vocab.json')) ? set : openSet(goldenDir('clip-tokenizer'));
  const first = readGoldenTokenizer(files.path('tokenizer'));
  const second = readGoldenTokenizer(files.path('tokenizer'), files.path('tokenizer_2'));

  return (c) => {
    const prompts = Prompts.parse(JSON.parse(readFileSync(set.path(Params.parse(c.params).file), 'utf8')));
    const all = (tokenizer: Tokenizer, trigger: boolean) =>
      prompts.flatMap(({ prompt }) =>
        frame(tokenizer, tokenizer.encode(prompt, trigger ? { img: tokenizer.endId + 1 } : {})),
      );
    const ids = { ids_1: first, ids_2: second, ids_1_img: first, ids_2_img: second };
    return [
      compare(
        'tokens',
        prompts.flatMap(({ prompt }) => first.encode(prompt)),
        prompts.flatMap((p) => p.tokens),
        {},
      ),
      compare('rows', [prompts.length * CONTEXT_LENGTH], [c.get('ids_1').data.length], {}),
      ...Object.entries(ids).map(([name, tokenizer]) =>
        compare(name, all(tokenizer, name.endsWith('_img')), c.get(name).data, {}),
      ),
    ];
  };
};
