/** Whole runs of a tiny SDXL against what diffusers’ own pipelines made of it: text to image, image to image, differential. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { makeScheduler, type SchedulerName } from '#pipelines/schedulers.ts';
import {
  encodePrompt,
  type TextConditioning,
  type TextEncoders,
  timeIds,
  zerosLike,
} from '#pipelines/sdxl/conditioning.ts';
import { beginOf, denoise, type Guidance } from '#pipelines/sdxl/denoise.ts';
import { makeTokenizer } from '#pipelines/sdxl/tokenizer.ts';
import { decodeToFloats } from '#pipelines/sdxl/vae.ts';
import type { Session } from '#pipelines/session.ts';
import { combine, resizePlane } from '#pipelines/tensor.ts';
import { openSession } from '#src/models.ts';
import { distance, type GoldenCase, golden, goldenDir } from '../../support/golden.ts';

const dir = goldenDir('sdxl-tiny');
const list = <T extends z.ZodType>(type: T) => z.union([type, z.array(type)]).transform((v) => [v].flat());
const Params = z.object({
  pipeline: z.string(),
  scheduler: z.string(),
  prompt: list(z.string()),
  negative_prompt: list(z.string()).optional(),
  width: z.number(),
  height: z.number(),
  guidance_scale: z.number(),
  steps: z.number(),
  strength: z.number().default(1),
  custom_timesteps: z.array(z.number()).nullish(),
  late_guidance: z.enum(['cond', 'uncond']).nullish(),
  // Ours has none of these: such cases are left out.
  guidance_rescale: z.undefined().optional(),
  original_size: z.undefined().optional(),
  prompt_2: z.undefined().optional(),
  clip_skip: z.undefined().optional(),
  num_images_per_prompt: z.undefined().optional(),
});
type Params = z.output<typeof Params>;

const kinds: Record<string, SchedulerName> = {
  DDIMScheduler: 'ddim',
  EulerDiscreteScheduler: 'euler',
  EulerAncestralDiscreteScheduler: 'euler_a',
  UniPCMultistepScheduler: 'unipc',
  LCMScheduler: 'lcm',
};
const cases = golden('sdxl-tiny', Params);
const kindOf = (name: string, { scheduler }: Params): SchedulerName =>
  kinds[scheduler] ?? (name.includes('karras') ? 'dpmpp_2m_karras' : 'dpmpp_2m');
const cutoffs: Record<string, Guidance['cutoff']> = { cond: 'conditional', uncond: 'unconditional' };

let encoders: TextEncoders;
let unet: Session;
let vaeDecoder: Session;

beforeAll(async () => {
  const tokenizer = (folder: string, pad: string) =>
    makeTokenizer(
      z
        .record(z.string(), z.number())
        .parse(JSON.parse(readFileSync(join(dir, folder, 'vocab.json'), 'utf8'))),
      readFileSync(join(dir, folder, 'merges.txt'), 'utf8'),
      pad,
    );
  const open = (folder: string) => openSession(join(dir, folder, 'model.onnx'));
  encoders = {
    tokenizer: tokenizer('tokenizer', '<|endoftext|>'),
    tokenizer2: tokenizer('tokenizer_2', '!'),
    textEncoder: await open('text_encoder'),
    textEncoder2: await open('text_encoder_2'),
  };
  unet = await open('unet');
  vaeDecoder = await open('vae_decoder');
});

const floats = (c: GoldenCase<Params>, name: string) => Float32Array.from(c.get(name).data);

async function run(c: GoldenCase<Params>) {
  const { params } = c;
  const [height, width] = [params.height / 8, params.width / 8];
  const positive = await Promise.all(params.prompt.map((prompt) => encodePrompt(encoders, prompt)));
  const negative = await Promise.all(
    positive.map((text, i): TextConditioning | Promise<TextConditioning> =>
      params.negative_prompt ? encodePrompt(encoders, params.negative_prompt[i] ?? '') : zerosLike(text),
    ),
  );
  const scheduler = makeScheduler(kindOf(c.name, params), params.steps, {
    spacing: 'leading',
    ...(params.custom_timesteps && { timesteps: params.custom_timesteps }),
  });
  const batches: number[] = [];
  const counted: Session = {
    ...unet,
    run(feeds, fetches) {
      batches.push(feeds.sample?.shape[0] ?? 0);
      return unet.run(feeds, fetches);
    },
  };
  const x = floats(c, 'initial_latents');
  const noises = c.has('step_noise') ? c.get('step_noise').data : undefined;
  let draws = 0;
  const change = c.has('map_latent') ? floats(c, 'map_latent').map((keep) => 1 - keep) : null;
  const out = await denoise(counted, scheduler, x, {
    guidance: {
      scale: params.guidance_scale,
      cutoff: cutoffs[params.late_guidance ?? ''] ?? 'none',
    },
    positive: () => positive,
    negative,
    timeIds: timeIds(params.height, params.width),
    ...{ height, width, begin: beginOf(params.steps, params.strength) },
    stepNoise: () => Float32Array.from(noises?.subarray(draws * x.length, ++draws * x.length) ?? x),
    ...(change && {
      keep: {
        latents: cleanOf(c),
        change,
        noise: floats(c, 'noise'),
        thresholds: 'diffusers' as const,
      },
    }),
  });
  return { out, positive, negative, batches };
}

/** The original's clean latents: what was noised with the last, smallest noise, less that noise. */
function cleanOf(c: GoldenCase<Params>): Float32Array {
  const { steps, strength } = c.params;
  const scheduler = makeScheduler(kindOf(c.name, c.params), steps, { spacing: 'leading' });
  const noisy = c.get('original_with_noise');
  const size = noisy.data.length / (noisy.shape[0] ?? 1);
  const last = Float32Array.from(noisy.data.subarray(noisy.data.length - size));
  const zero = new Float32Array(size);
  const i = steps - 1;
  const noiseShare = scheduler.addNoise(zero, Float32Array.of(...zero).fill(1), i)[0]!;
  const cleanShare = scheduler.addNoise(Float32Array.of(...zero).fill(1), zero, i)[0]!;
  expect(beginOf(steps, strength) + (noisy.shape[0] ?? 0)).toBe(steps);
  return combine([1 / cleanShare, last], [-noiseShare / cleanShare, floats(c, 'noise')]);
}

describe('a whole run', () => {
  it('has cases of every kind', () => {
    expect(cases.filter(({ name }) => name.startsWith('differential')).length).toBeGreaterThanOrEqual(4);
    expect(cases.filter(({ name }) => name.startsWith('img2img')).length).toBeGreaterThanOrEqual(4);
    expect(cases.length).toBeGreaterThan(20);
  });

  it.each(cases.map((c) => [c.name, c] as const))('is diffusers’: %s', async (_, c) => {
    const { out, positive, negative, batches } = await run(c);

    const both = (texts: readonly TextConditioning[], part: keyof TextConditioning) =>
      texts.flatMap((text) => [...text[part]]);
    expect(distance(both(positive, 'context'), c.get('prompt_embeds').data)).toBeLessThan(1e-4);
    expect(distance(both(positive, 'pooled'), c.get('pooled_prompt_embeds').data)).toBeLessThan(1e-4);
    if (c.params.guidance_scale > 1) {
      expect(distance(both(negative, 'context'), c.get('negative_prompt_embeds').data)).toBeLessThan(1e-4);
    }
    expect(batches).toEqual([...c.get('unet_batch').data]);

    const latents = c.get('latents');
    const size = latents.data.length / (latents.shape[0] ?? 1);
    const last = latents.data.subarray(latents.data.length - size);
    expect(distance(out, last, true)).toBeLessThan(5e-4);

    const image = c.get('image');
    const [batch = 1, , height = 0, width = 0] = image.shape;
    const each = out.length / batch;
    for (let b = 0; b < batch; b++) {
      const picture = await decodeToFloats(vaeDecoder, out.slice(b * each, (b + 1) * each), height, width);
      const wanted = image.data.subarray(
        (b * image.data.length) / batch,
        ((b + 1) * image.data.length) / batch,
      );
      const clamped = picture.data.map((v) => Math.min(1, Math.max(0, v)));
      expect(distance(clamped, wanted)).toBeLessThan(1e-3);
    }
  });

  it('resizes its map as the reference does', () => {
    const [c] = cases.filter(({ name }) => name === 'differential-euler');
    const map = c!.get('map');
    const [, height = 0, width = 0] = map.shape;
    const small = resizePlane(Float32Array.from(map.data), height, width, height / 8, width / 8);
    expect(distance(small, c!.get('map_latent').data)).toBeLessThan(1e-5);
  });
});

describe('what is kept', () => {
  it('ends as it was, exactly, where the change is 0', async () => {
    const hostile: Session = {
      inputs: [],
      outputs: [],
      run: async ({ sample }) => ({
        out_sample: { ...sample!, data: Float32Array.from(sample!.data as Float32Array, (v) => 0.3 * v - 2) },
      }),
    };
    const text = { context: new Float32Array(77), pooled: new Float32Array(1) };
    const clean = Float32Array.from({ length: 4 * 6 }, (_, i) => Math.sin(i));
    const noise = Float32Array.from({ length: 4 * 6 }, (_, i) => Math.cos(i * 3));
    const change = Float32Array.of(0, 0.3, 1, 0, 0.7, 0);
    for (const name of ['ddim', 'euler', 'dpmpp_2m', 'unipc', 'euler_a', 'lcm'] as const) {
      const scheduler = makeScheduler(name, 12);
      const begin = beginOf(12, 0.6);
      const out = await denoise(hostile, scheduler, scheduler.addNoise(clean, noise, begin), {
        guidance: { scale: 4 },
        positive: () => [text],
        negative: [text],
        timeIds: timeIds(16, 24),
        ...{ height: 2, width: 3, begin },
        keep: { latents: clean, change, noise, thresholds: 'exact' },
        stepNoise: () => noise,
      });
      for (let p = 0; p < 6; p++) {
        for (let ch = 0; ch < 4; ch++) {
          if (change[p] === 0) expect(out[ch * 6 + p]).toBe(clean[ch * 6 + p]);
          else expect(out[ch * 6 + p]).not.toBe(clean[ch * 6 + p]);
        }
      }
    }
  });
});
