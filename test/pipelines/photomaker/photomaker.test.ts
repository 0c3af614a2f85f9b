/** The trigger word and the picture processing against PhotoMaker's own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  clipPixels,
  encodeWithIdentity,
  expandTrigger,
  withTrigger,
} from '#pipelines/photomaker/photomaker.ts';
import { makeTokenizer } from '#pipelines/sdxl/tokenizer.ts';
import type { Session } from '#pipelines/session.ts';
import { distance, golden, goldenDir } from '../../support/golden.ts';
import { readPicture } from '../../support/read-picture.ts';

const clip = goldenDir('clip-tokenizer');
const vocabulary = z
  .record(z.string(), z.number())
  .parse(JSON.parse(readFileSync(join(clip, 'tokenizer/vocab.json'), 'utf8')));
const merges = readFileSync(join(clip, 'tokenizer/merges.txt'), 'utf8');
const first = makeTokenizer(vocabulary, merges, '<|endoftext|>');
const second = makeTokenizer(vocabulary, merges, '!');

const triggers = golden(
  'photomaker',
  z.object({ prompt: z.string(), id_images: z.number(), error: z.string().optional() }),
).filter(({ name }) => name.startsWith('trigger-'));

describe('the trigger word', () => {
  it('has cases, refused ones among them', () => {
    expect(triggers.length).toBeGreaterThan(20);
    expect(triggers.some(({ has }) => !has('ids_1'))).toBe(true);
  });

  it.each(triggers.map((c) => [c.name, c] as const))('is expanded as by PhotoMaker: %s', (_, c) => {
    const { prompt, id_images: photos } = c.params;
    if (!c.has('ids_1')) {
      expect(() => expandTrigger(first, prompt, 'img', photos)).toThrow(RangeError);
      return;
    }
    const one = expandTrigger(first, prompt, 'img', photos);
    const two = expandTrigger(second, prompt, 'img', photos);
    expect([...one.ids]).toEqual([...c.get('ids_1').data]);
    expect([...two.ids]).toEqual([...c.get('ids_2').data]);
    const mask = Array.from({ length: 77 }, (_, i) => (i >= two.from && i < two.from + two.count ? 1 : 0));
    expect(mask).toEqual([...c.get('class_tokens_mask').data]);
  });

  it.each([
    ['portrait of a woman, red hair', 'portrait of a woman img, red hair'],
    ['a portrait, sea', 'a portrait img, sea'],
    ['a woman img by the sea', 'a woman img by the sea'],
    ['golden hour, forest', 'golden hour, forest, person img'],
  ])('goes behind the word that a face can belong to: %s', (prompt, wanted) => {
    expect(withTrigger(prompt, 'img')).toBe(wanted);
  });
});

describe('the photos', () => {
  it('are scaled, cropped and normalised as by CLIP’s processor', async () => {
    const [c] = golden('photomaker', z.object({ class: z.string() }));
    const wanted = c!.get('pixel_values_rows_0_111').data;
    for (let n = 0; n < 4; n++) {
      const pixels = clipPixels([await readPicture(join(goldenDir('photomaker'), `id-${n}.png`))]);
      const rows = [0, 1, 2].flatMap((ch) =>
        [0, 111].flatMap((y) => [...pixels.subarray((ch * 224 + y) * 224, (ch * 224 + y + 1) * 224)]),
      );
      expect(distance(rows, wanted.subarray(n * rows.length, (n + 1) * rows.length))).toBeLessThan(0.02);
    }
  });
});

describe('the identity’s weight', () => {
  it('is none at 0 and PhotoMaker’s own at 1, and touches the class word’s rows alone', async () => {
    const states = Array.from({ length: 3 }, (_, i) => ({
      name: `hidden_states.${i}`,
      type: 'float32' as const,
      shape: [],
    }));
    const encoder = (width: number): Session => ({
      inputs: [],
      outputs: states,
      run: async () => ({
        'hidden_states.1': {
          type: 'float32',
          data: new Float32Array(77 * width).fill(0.5),
          shape: [1, 77, width],
        },
        text_embeds: { type: 'float32', data: new Float32Array(2), shape: [1, 2] },
      }),
    });
    const encoders = {
      tokenizer: first,
      tokenizer2: second,
      textEncoder: encoder(3),
      textEncoder2: encoder(2),
    };
    const fuse: Session = {
      inputs: [],
      outputs: [],
      run: async ({ id_tokens }) => ({ fused_embeds: id_tokens! }),
    };
    const tokens = new Float32Array(2 * 5).fill(2);
    const at = async (weight: number) =>
      (await encodeWithIdentity(encoders, fuse, 'a woman img', 'img', tokens, 5, weight)).context;
    const [none, whole, half] = [await at(0), await at(1), await at(0.5)];
    const rows = (context: Float32Array) => [0, 1, 2, 3, 4, 5].map((row) => context[row * 5]!);
    // <start> a woman woman …
    expect(rows(none)).toEqual([0.5, 0.5, 0.5, 0.5, 0.5, 0.5]);
    expect(rows(whole)).toEqual([0.5, 0.5, 2, 2, 0.5, 0.5]);
    expect(rows(half)).toEqual([0.5, 0.5, 1.25, 1.25, 0.5, 0.5]);
  });
});
