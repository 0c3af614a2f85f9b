/** Long and weighted prompts through a real pair of text encoders: the tiny SDXL's. */
import { beforeAll, describe, expect, it } from 'vitest';
import {
  emphasise,
  encodeIds,
  encodePrompt,
  evened,
  type TextConditioning,
  zerosLike,
} from '#pipelines/sdxl/conditioning.ts';
import { chunksOf, parsePrompt, tokensOf } from '#pipelines/sdxl/prompt.ts';
import type { Tokenizer } from '#pipelines/sdxl/tokenizer.ts';
import { openTinySdxl, type TinySdxl } from '../../golden-runs/sdxl-tiny.ts';
import { distance, goldenDir } from '../../support/golden.ts';

let tiny: TinySdxl;
beforeAll(async () => {
  tiny = await openTinySdxl(goldenDir('sdxl-tiny'));
});
const encode = (prompt: string) => encodePrompt(tiny, prompt);
/** [C] of one token */
const state = ({ context, tokens }: TextConditioning, at: number) => {
  const width = context.length / tokens;
  return context.subarray(at * width, (at + 1) * width);
};

describe('a weight', () => {
  it('moves its own tokens from the empty prompt’s states, and no others', async () => {
    const [plain, weighted, empty] = [
      await encode('a red dog'),
      await encode('a (red:1.5) dog'),
      await encode(''),
    ];
    const ids = tiny.tokenizer.encode('a red dog');
    const red = tiny.tokenizer.encode('a').length + 1;
    const after = red + tiny.tokenizer.encode('red').length;
    for (let t = 0; t < 77; t++) {
      const isRed = t >= red && t < after;
      const wanted = state(plain, t).map((v, i) =>
        isRed ? state(empty, t)[i]! + 1.5 * (v - state(empty, t)[i]!) : v,
      );
      expect(distance(state(weighted, t), wanted)).toBeLessThan(1e-5);
    }
    expect(ids.length).toBeGreaterThan(2);
    expect(weighted.pooled).toEqual(plain.pooled);
  });

  it('of 1 changes nothing, to the bit', async () => {
    expect(await encode('a (red:1) dog')).toEqual(await encode('a red dog'));
  });
});

describe('a long prompt', () => {
  const long = Array<string>(40).fill('an old castle at night').join(' ');

  it('keeps all of its words, 77 states for every 75 tokens', async () => {
    const [one, other] = [await encode(`${long} red`), await encode(`${long} blue`)];
    expect(one.tokens).toBe(other.tokens);
    expect(one.tokens % 77).toBe(0);
    expect(one.tokens).toBeGreaterThan(2 * 77);
    expect(distance(one.context, other.context)).toBeGreaterThan(1e-3);
  });

  it('begins as its first 75 tokens alone, whose pooled state it has', async () => {
    const whole = await encode(long);
    const first = (tokenizer: Tokenizer) =>
      chunksOf(tokenizer, tokensOf(tokenizer, parsePrompt(long)))[0]!.ids;
    const alone = await encodeIds(tiny, first(tiny.tokenizer), first(tiny.tokenizer2));
    expect(distance(whole.context.subarray(0, alone.context.length), alone.context)).toBeLessThan(1e-5);
    expect(distance(whole.pooled, alone.pooled)).toBeLessThan(1e-5);
  });

  it('fits beside a short one, which goes on with the empty prompt’s states', async () => {
    const [short, empty, whole] = [await encode('a dog'), await encode(''), await encode(long)];
    const [a, b] = evened([short, whole], empty) as [TextConditioning, TextConditioning];
    expect(a.tokens).toBe(whole.tokens);
    expect(a.context.length).toBe(b.context.length);
    expect(a.context.subarray(0, short.context.length)).toEqual(short.context);
    expect(a.context.subarray(short.context.length, 2 * short.context.length)).toEqual(empty.context);
    expect(b).toBe(whole);
  });
});

it('puts zeros for no negative prompt, which is not the empty one', async () => {
  const empty = await encode('');
  expect(zerosLike(empty).context.every((v) => v === 0)).toBe(true);
  expect(empty.context.some((v) => v !== 0)).toBe(true);
});

it('emphasises a whole prompt between the empty one and itself', async () => {
  const [empty, dog] = [await encode(''), await encode('a dog')];
  expect(emphasise(empty, dog, 1)).toBe(dog);
  expect(distance(emphasise(empty, dog, 0).context, empty.context)).toBeLessThan(1e-6);
  const twice = dog.context.map((v, i) => 2 * v - empty.context[i]!);
  expect(distance(emphasise(empty, dog, 2).context, twice)).toBeLessThan(1e-5);
});
