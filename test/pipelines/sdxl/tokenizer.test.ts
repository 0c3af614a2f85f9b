import { describe, expect, it } from 'vitest';
import { goldenDir } from '../../support/golden.ts';
import { readGoldenTokenizer } from '../../support/tokenizers.ts';

// The golden prompts are compared in test/golden.test.ts.
const tokenizer = readGoldenTokenizer(`${goldenDir('clip-tokenizer')}/tokenizer`);

describe('the tokenizer', () => {
  it.each([
    // By huggingface/tokenizers 0.23.2.
    ['ΟΔΟΣ.', [138, 123, 138, 112, 138, 123, 139, 481, 269]],
    ["'ſ", [262, 129, 379]],
    ['a\u0345b', [320, 137, 483, 321]],
    ['|ßẞİıſ', [347, 127, 253, 127, 253, 328, 16384, 18562, 129, 379]],
    ['5<|ENDOFTEXT|>>', [276, 27, 347, 40786, 4160, 91, 285, 285]],
  ])('lower-cases and splits as the reference: %s', (text, ids) => {
    expect(tokenizer.encode(text)).toEqual(ids);
  });

  it('decodes what it encoded', () => {
    expect(tokenizer.decode(tokenizer.encode('A photo of an  Astronaut'))).toBe('a photo of an astronaut');
  });
});
