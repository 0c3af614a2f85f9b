/** Tokenizers of golden sets: a vocabulary's folder, and a padding token's, which may lack the vocabulary. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { makeTokenizer, type Tokenizer } from '#pipelines/sdxl/tokenizer.ts';

const Vocabulary = z.record(z.string(), z.number());
const Config = z.object({ pad_token: z.string() });

export function readGoldenTokenizer(vocabularyDir: string, configDir = vocabularyDir): Tokenizer {
  const text = (dir: string, file: string) => readFileSync(join(dir, file), 'utf8');
  return makeTokenizer(
    Vocabulary.parse(JSON.parse(text(vocabularyDir, 'vocab.json'))),
    text(vocabularyDir, 'merges.txt'),
    Config.parse(JSON.parse(text(configDir, 'tokenizer_config.json'))).pad_token,
  );
}
