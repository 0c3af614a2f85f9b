/** PhotoMaker V2's image processor, trigger word, ID encoder, and the conditioning that they make together. */
import { existsSync } from 'node:fs';
import { z } from 'zod';
import {
  clipPicture,
  encodeWithIdentity,
  expandTrigger,
  type FaceIdentity,
  fuse,
  type IdEncoder,
  normalised,
  type Triggered,
} from '#pipelines/photomaker/photomaker.ts';
import { encodeIds, encodePrompt } from '#pipelines/sdxl/conditioning.ts';
import { CONTEXT_LENGTH } from '#pipelines/sdxl/tokenizer.ts';
import { stack } from '#pipelines/tensor.ts';
import { openSession } from '#src/doors/onnx.ts';
import {
  type Comparison,
  compare,
  compareLevels,
  type GoldenCase,
  type GoldenRunner,
  goldenDir,
  holds,
  openSet,
} from '../support/golden.ts';
import { readPicture } from '../support/read-picture.ts';
import { readGoldenTokenizer } from '../support/tokenizers.ts';
import { openTinySdxl, type TinySdxl } from './sdxl-tiny.ts';

const EMBEDS = { absolute: 1e-4 };
const TRIGGER = 'img';
const Trigger = z.object({ prompt: z.string(), id_images: z.number(), error: z.string().optional() });
const Encoder = z.object({ id_images: z.number(), id_pixel_values: z.array(z.string()) });
const Conditioning = Encoder.extend({ prompt: z.string(), negative_prompt: z.string() });

export const photomaker: GoldenRunner = async (set) => {
  const own = openSet(goldenDir('photomaker'));
  const file = (name: string) => (existsSync(set.path(name)) ? set.path(name) : own.path(name));
  const beside = (name: string) =>
    existsSync(set.path(`../${name}/cases.json`)) ? set.path(`../${name}`) : goldenDir(name);
  const encoder: IdEncoder = { whole: await openSession(file('id_encoder.onnx'), { threads: 1 }) };
  const tiny = await openTinySdxl(beside('sdxl-tiny'));
  const clip = existsSync(`${beside('clip-tokenizer')}/tokenizer/vocab.json`)
    ? beside('clip-tokenizer')
    : goldenDir('clip-tokenizer');
  const first = readGoldenTokenizer(`${clip}/tokenizer`);
  const second = readGoldenTokenizer(`${clip}/tokenizer`, `${clip}/tokenizer_2`);

  async function identityIn(c: GoldenCase): Promise<FaceIdentity> {
    const { id_images: count, id_pixel_values: names } = Encoder.parse(c.params);
    const pixels: Float32Array[] = [];
    for (const name of names) pixels.push(normalised(await readPicture(file(name))));
    const embeddings = Float32Array.from(c.get('id_embeds').data);
    return { count, embeddings, idTokens: null, pixels: stack(pixels), gender: null };
  }

  return async (c) => {
    if (c.name.startsWith('trigger')) return trigger(c);
    if (c.name.startsWith('encoder')) return encoded(c, encoder, await identityIn(c));
    if (c.name.startsWith('conditioning')) return conditioned(c, encoder, tiny, await identityIn(c));
    return processed(c);
  };

  function trigger(c: GoldenCase): Comparison[] {
    const { prompt, id_images: photos, error } = Trigger.parse(c.params);
    if (error || !c.has('ids_1'))
      return [
        holds(
          'refused',
          refuses(() => expandTrigger(first, prompt, TRIGGER, photos)),
        ),
      ];
    const one = expandTrigger(first, prompt, TRIGGER, photos);
    const two = expandTrigger(second, prompt, TRIGGER, photos);
    return [
      compare('ids_1', one.ids, c.get('ids_1').data, {}),
      compare('ids_2', two.ids, c.get('ids_2').data, {}),
      compare('class_tokens_mask', maskOf(two), c.get('class_tokens_mask').data, {}),
    ];
  }

  async function processed(c: GoldenCase): Promise<Comparison[]> {
    const { data, shape } = c.get('pixel_values_rows_0_111');
    const [count = 0] = shape;
    const [own, theirs]: Float32Array[][] = [[], []];
    const out: Comparison[] = [];
    for (let n = 0; n < count; n++) {
      const small = clipPicture(await readPicture(file(`id-${n}.png`)));
      const wanted = await readPicture(file(`id-${n}-224.png`));
      out.push(compareLevels(`id-${n}-224.png`, small.rgb, wanted.rgb, { most: 1, mean: 0.01 }));
      own!.push(rows(normalised(small)));
      theirs!.push(rows(normalised(wanted)));
    }
    return [
      ...out,
      compare('pixel values after our resize', stack(own!), data, { absolute: 0.02 }),
      compare('pixel values of the PNGs', stack(theirs!), data, { absolute: 1e-5 }),
    ];
  }
};

function maskOf({ from, count }: Triggered): number[] {
  return Array.from({ length: CONTEXT_LENGTH }, (_, i) => (i >= from && i < from + count ? 1 : 0));
}

/** Rows 0 and 111 of each channel. */
function rows(pixels: Float32Array): Float32Array {
  return stack(
    [0, 1, 2].flatMap((c) =>
      [0, 111].map((y) => pixels.subarray((c * 224 + y) * 224, (c * 224 + y + 1) * 224)),
    ),
  );
}

function refuses(work: () => unknown): boolean {
  try {
    work();
    return false;
  } catch (error) {
    return error instanceof RangeError;
  }
}

async function encoded(c: GoldenCase, encoder: IdEncoder, identity: FaceIdentity): Promise<Comparison[]> {
  const context = Float32Array.from(c.get('prompt_embeds').data);
  const from = c.get('class_tokens_mask').data.indexOf(1);
  const photos = Array.from({ length: identity.count }, (_, i) => i);
  const text = { context, tokens: CONTEXT_LENGTH, pooled: new Float32Array() };
  const updated = await fuse(encoder, text, from, identity, photos);
  return [compare('updated_prompt_embeds', updated, c.get('updated_prompt_embeds').data, EMBEDS)];
}

/** The whole way, as a portrait goes it. */
async function conditioned(
  c: GoldenCase,
  encoder: IdEncoder,
  tiny: TinySdxl,
  identity: FaceIdentity,
): Promise<Comparison[]> {
  const { prompt, negative_prompt } = Conditioning.parse(c.params);
  const { context, pooled } = await encodeWithIdentity(
    tiny,
    encoder,
    prompt,
    TRIGGER,
    identity,
    identity.count,
  );
  const negative = await encodePrompt(tiny, negative_prompt);
  const one = expandTrigger(tiny.tokenizer, prompt, TRIGGER, identity.count);
  const two = expandTrigger(tiny.tokenizer2, prompt, TRIGGER, identity.count);
  const before = await encodeIds(tiny, one.ids, two.ids);
  return [
    compare('prompt_embeds', before.context, c.get('prompt_embeds').data, EMBEDS),
    compare('class_tokens_mask', maskOf(two), c.get('class_tokens_mask').data, {}),
    compare('updated_prompt_embeds', context, c.get('updated_prompt_embeds').data, EMBEDS),
    compare('pooled_prompt_embeds', pooled, c.get('pooled_prompt_embeds').data, EMBEDS),
    compare('negative_prompt_embeds', negative.context, c.get('negative_prompt_embeds').data, EMBEDS),
    compare(
      'negative_pooled_prompt_embeds',
      negative.pooled,
      c.get('negative_pooled_prompt_embeds').data,
      EMBEDS,
    ),
  ];
}
