/** A person in a prompt, by closed forms. PhotoMaker's own results are compared in test/golden.test.ts. */
import { describe, expect, it } from 'vitest';
import type { GenderChoice } from '#pipelines/choices.ts';
import {
  behindClassWord,
  encodeWithIdentity,
  type FaceIdentity,
  type IdEncoder,
  textOnlyPrompt,
} from '#pipelines/photomaker/photomaker.ts';
import type { TextEncoders } from '#pipelines/sdxl/conditioning.ts';
import { parsePrompt } from '#pipelines/sdxl/prompt.ts';
import type { Session, Tensor } from '#pipelines/session.ts';
import { tensor } from '#pipelines/tensor.ts';
import { goldenDir } from '../../support/golden.ts';
import { readGoldenTokenizer } from '../../support/tokenizers.ts';

const clip = goldenDir('clip-tokenizer');
const tokenizer = readGoldenTokenizer(`${clip}/tokenizer`);
const tokenizer2 = readGoldenTokenizer(`${clip}/tokenizer`, `${clip}/tokenizer_2`);
const idOf = (word: string) => tokenizer.encode(word)[0]!;

/** Encoders whose states are the ids themselves: what stands where can be read off. */
const echo = (seen: number[][]): Session => ({
  inputs: [],
  outputs: [0, 1, 2].map((i) => ({ name: `hidden_states.${i}`, type: 'float32', shape: [] })),
  async run({ input_ids }) {
    const ids = [...(input_ids!.data as BigInt64Array)].map(Number);
    const [rows = 0] = input_ids!.shape;
    for (let n = 0; n < rows; n++) seen.push(ids.slice(n * 77, (n + 1) * 77));
    return {
      'hidden_states.1': tensor(Float32Array.from(ids), [rows, 77, 1]),
      text_embeds: tensor(new Float32Array(2 * rows), [rows, 2]),
    };
  },
});
const encoders = (seen: number[][] = []): TextEncoders => {
  const second = echo([]);
  const pooled = { name: 'text_embeds', type: 'float32' as const, shape: [] };
  return {
    tokenizer,
    tokenizer2,
    textEncoder: echo(seen),
    textEncoder2: { ...second, outputs: [...second.outputs, pooled] },
  };
};
/** Photo n's ID tokens are −10·n −1 and −10·n −2. */
const person = (count: number, gender: FaceIdentity['gender'] = null): FaceIdentity => ({
  count,
  embeddings: new Float32Array(512 * count),
  idTokens: Float32Array.from(
    { length: count * 4 },
    (_, i) => -10 * Math.floor(i / 4) - 1 - (Math.floor(i / 2) % 2),
  ),
  pixels: null,
  gender,
});
/** One graph, which makes every row of the mask −1. */
const whole: IdEncoder = {
  whole: {
    inputs: [],
    outputs: [],
    async run({ prompt_embeds, class_tokens_mask }) {
      const data = Float32Array.from(prompt_embeds!.data as Float32Array);
      for (const [row, isClass] of (class_tokens_mask!.data as Uint8Array).entries())
        if (isClass) data.fill(-1, row * 2, row * 2 + 2);
      return { updated_prompt_embeds: tensor(data, prompt_embeds!.shape) };
    },
  },
};
const whole1: FaceIdentity = {
  ...person(1, 'female'),
  idTokens: null,
  pixels: new Float32Array(3 * 224 * 224),
};
/** Puts the ID tokens in the place of the class words. */
const split: IdEncoder = {
  idTokens: echo([]),
  idFuse: { inputs: [], outputs: [], run: async ({ id_tokens }) => ({ fused_embeds: id_tokens! }) },
};

async function rowsOf(
  prompt: string,
  identity: FaceIdentity,
  weight: number,
  encoder: IdEncoder = split,
  gender: GenderChoice = 'auto',
) {
  const seen: number[][] = [];
  const text = await encodeWithIdentity(encoders(seen), encoder, prompt, 'img', identity, weight, gender);
  // Of each token the first encoder's half.
  return { states: [...text.context].filter((_, i) => i % 2 === 0), tokens: text.tokens, seen };
}

describe('the word that a face belongs to', () => {
  it.each([
    ['portrait of a woman, red hair', 'portrait of a woman *, red hair'],
    ['a portrait, sea', 'a portrait *, sea'],
    ['golden hour, forest', 'golden hour, forest, person *'],
    ['(a man:1.2) at night', '(a man *:1.2) at night'],
    ['portrait of a grandmother', 'portrait of a grandmother *'],
  ])('is found: %s', (prompt, wanted) => {
    expect(behindClassWord(prompt, '*', null)).toBe(wanted);
  });

  it.each([
    ['golden hour, forest,', 'golden hour, forest, woman *'],
    ['a portrait, sea', 'a portrait of a woman *, sea'],
    ['(portrait:1.2) by the sea', '(portrait of a woman *:1.2) by the sea'],
    // A person who is named is never turned into another.
    ['a portrait photo of a smith', 'a portrait * photo of a smith'],
    ['portrait of a man, sea', 'portrait of a man *, sea'],
    ['an astronaut, sea of clouds', 'an astronaut *, sea of clouds'],
  ])('is the gender’s where the prompt names nobody: %s', (prompt, wanted) => {
    expect(behindClassWord(prompt, '*', 'female')).toBe(wanted);
  });

  it('is said by the gender that the photos show, in the person’s prompt', async () => {
    for (const [gender, word] of [
      ['female', 'woman'],
      ['male', 'man'],
      [null, 'person'],
    ] as const) {
      const { seen } = await rowsOf('by the sea', person(1, gender), 1);
      const wanted = tokenizer.encode(`by the sea, ${word} ${word}`);
      expect(seen[0]!.slice(1, wanted.length + 2)).toEqual([...wanted, tokenizer.endId]);
    }
  });

  it.each<[gender: GenderChoice, prompt: string, wanted: string]>([
    ['man', 'by the sea', 'man by the sea'],
    ['woman', 'portrait of a knight', 'woman portrait of a knight'],
    ['person', 'a man at night', 'person a man at night'],
    // Words that are there already are not said twice.
    ['woman', 'portrait of a Woman, sea', 'portrait of a Woman, sea'],
    ['man', 'a dancer img by the sea', 'a dancer man by the sea'],
    ['man', 'a man img by the sea', 'a man by the sea'],
    ['none', 'by the sea', 'by the sea'],
    ['none', 'red hair (sea)', 'red hair sea'],
    ['none', 'portrait, sea', 'portrait, sea'],
    ['none', 'a dancer img by the sea', 'a dancer by the sea'],
    ['none', 'img', ', person'],
    ['auto', 'by the sea', 'by the sea, woman'],
  ])('is what the person says, %s, in both stages: %s', async (gender, prompt, wanted) => {
    const base = parsePrompt(textOnlyPrompt(prompt, 'img', 'female', gender));
    expect(tokenizer.encode(base.map(({ text }) => text).join(' '))).toEqual(tokenizer.encode(wanted));
    for (const [encoder, identity] of [
      [split, person(1, 'female')],
      [whole, whole1],
    ] as const) {
      const { states, seen } = await rowsOf(prompt, identity, 1, encoder, gender);
      const ids = seen[0]!;
      const word = ids.findIndex((id, i) => id === ids[i + 1]);
      const once = [...ids.slice(1, word), ...ids.slice(word + 1)];
      const plain = tokenizer.encode(wanted);
      expect(once.slice(0, plain.length + 1)).toEqual([...plain, tokenizer.endId]);
      // The person is in two states: of the word before the trigger, and of no other.
      expect(states.flatMap((state, i) => (state < 0 ? [i] : []))).toEqual([word, word + 1]);
      if (gender === 'man' || gender === 'woman' || gender === 'person') expect(ids[word]).toBe(idOf(gender));
    }
  });

  it.each([
    ['a woman by the sea', 'a woman by the sea'],
    ['a dancer img by the sea, a woman', 'a dancer by the sea, a woman'],
    // Neither a word that begins as the trigger nor a second one is a mistake.
    ['a woman img and img, imgur style', 'a woman and , imgur style'],
    ['img of a man', ' of a man'],
  ])('stands where the person is, and triggers are no words: %s', async (prompt, plain) => {
    const { seen } = await rowsOf(prompt, person(1), 1);
    const [ids] = seen as [number[]];
    const without = tokenizer.encode(plain);
    const word = ids.findIndex((id, i) => id === ids[i + 1]);
    expect([idOf('woman'), idOf('dancer'), idOf('man')]).toContain(ids[word]);
    const once = [...ids.slice(1, word), ...ids.slice(word + 1)];
    expect(once.slice(0, without.length)).toEqual(without);
  });
});

describe('the photos', () => {
  it('are repeated in order to the weight, two tokens each', async () => {
    const { states, seen } = await rowsOf('a woman', person(2), 5);
    // <start> a, then 2 · 5 class tokens.
    expect(states.slice(2, 12)).toEqual([-1, -2, -11, -12, -1, -2, -11, -12, -1, -2]);
    expect(seen[0]!.slice(2, 12)).toEqual(Array(10).fill(idOf('woman')));
    expect(states[12]).toBe(tokenizer.endId);
  });

  it('are all used when there are more of them than the weight', async () => {
    const { states } = await rowsOf('a woman', person(3), 1);
    expect(states.slice(2, 8)).toEqual([-1, -2, -11, -12, -21, -22]);
    expect(states[8]).toBe(tokenizer.endId);
  });

  it('are no more than a chunk holds', async () => {
    const { states, tokens } = await rowsOf('woman', person(40), 1);
    expect(tokens).toBe(77);
    expect(states.slice(1, 75).every((v) => v < 0)).toBe(true);
    expect(states[75]).toBe(tokenizer.endId);
  });

  it('stay together in a long prompt, and lose none of its words', async () => {
    const fill = Array(69).fill('dog').join(' ');
    const { states, tokens } = await rowsOf(`${fill} woman, by the sea`, person(2), 4);
    expect(tokens).toBe(2 * 77);
    // 69 dogs and 8 class tokens do not fit into 75: the second chunk begins with the person.
    expect(states.slice(78, 86)).toEqual([-1, -2, -11, -12, -1, -2, -11, -12]);
    expect(states.slice(86, 91)).toEqual([...tokenizer.encode(', by the sea'), tokenizer.endId]);
    expect(states.slice(0, 77).every((v) => v >= 0)).toBe(true);
  });
});

describe('an ID encoder of one graph', () => {
  it('is given the chunk that the person is in, its mask, and the repeated photos', async () => {
    const calls: Record<string, Tensor>[] = [];
    const whole: IdEncoder = {
      whole: {
        inputs: [],
        outputs: [],
        async run(feeds) {
          calls.push({ ...feeds });
          const { data, shape } = feeds.prompt_embeds!;
          return {
            updated_prompt_embeds: tensor(
              (data as Float32Array).map((v) => -v),
              shape,
            ),
          };
        },
      },
    };
    const pixels = Float32Array.from({ length: 2 * 3 * 224 * 224 }, (_, i) => (i < 3 * 224 * 224 ? 1 : 2));
    const embeddings = Float32Array.from({ length: 1024 }, (_, i) => (i < 512 ? 1 : 2));
    const identity = { count: 2, embeddings, idTokens: null, pixels, gender: null };
    const fill = Array(80).fill('dog').join(' ');
    const { states, tokens } = await rowsOf(`${fill} woman`, identity, 3, whole);
    expect(tokens).toBe(2 * 77);
    const [call] = calls as [Record<string, Tensor>];
    expect(call.id_pixel_values!.shape).toEqual([1, 3, 3, 224, 224]);
    expect([0, 1, 2].map((n) => (call.id_pixel_values!.data as Float32Array)[n * 3 * 224 * 224])).toEqual([
      1, 2, 1,
    ]);
    expect([0, 1, 2].map((n) => (call.id_embeds!.data as Float32Array)[n * 512])).toEqual([1, 2, 1]);
    expect(call.prompt_embeds!.shape).toEqual([1, 77, 2]);
    // 75 dogs in the first chunk: five, and then the person, in the second.
    const mask = [...(call.class_tokens_mask!.data as Uint8Array)];
    expect(mask.flatMap((v, i) => (v ? [i] : []))).toEqual([6, 7, 8, 9, 10, 11]);
    expect(states.slice(0, 77).every((v) => v >= 0)).toBe(true);
    expect(states.slice(77).every((v) => v <= 0)).toBe(true);
  });
});
