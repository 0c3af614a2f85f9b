/** Whole runs of a tiny SDXL: text to image, image to image and differential, as diffusers' own pipelines made them. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { type Generator, generator } from '#pipelines/noise.ts';
import { makeScheduler, type Scheduler } from '#pipelines/schedulers.ts';
import {
  encodeIds,
  type TextConditioning,
  type TextEncoders,
  timeIds,
  zerosLike,
} from '#pipelines/sdxl/conditioning.ts';
import { beginOf, denoise, type Guidance, type Keep } from '#pipelines/sdxl/denoise.ts';
import { frame } from '#pipelines/sdxl/tokenizer.ts';
import { CELL, decodeLatents, decodeToSample, encodeSample, type Vae } from '#pipelines/sdxl/vae.ts';
import type { Session, Tensor } from '#pipelines/session.ts';
import { floats, resizePlane, stack, tensor } from '#pipelines/tensor.ts';
import { openSession } from '#src/doors/onnx.ts';
import {
  type Comparison,
  compare,
  type GoldenCase,
  type GoldenRunner,
  type GoldenSet,
  goldenDir,
} from '../support/golden.ts';
import { readPicture } from '../support/read-picture.ts';
import { readGoldenTokenizer } from '../support/tokenizers.ts';
import { SchedulerClass, SchedulerConfig, solvers } from './schedulers.ts';

const NETWORK = { absolute: 1e-4 };
const IMAGE = { absolute: 1e-4 };
const LATENTS = { relative: 1e-4 };
/** A level of 255, where the float picture is near the middle between two. */
const PNG = { absolute: 1 };

const size = z.tuple([z.number(), z.number()]);
const list = <T extends z.ZodType>(type: T) => z.union([type, z.array(type)]).transform((v) => [v].flat());
const Run = z.object({
  pipeline: z.string(),
  scheduler: SchedulerClass,
  scheduler_config: SchedulerConfig,
  prompt: list(z.string()),
  prompt_2: list(z.string()).optional(),
  negative_prompt: list(z.string()).optional(),
  negative_prompt_2: list(z.string()).optional(),
  num_images_per_prompt: z.number().default(1),
  clip_skip: z.number().default(0),
  width: z.number(),
  height: z.number(),
  guidance_scale: z.number(),
  guidance_rescale: z.number().default(0),
  seed: z.union([z.number(), z.array(z.number())]),
  steps: z.number(),
  strength: z.number().default(1),
  custom_timesteps: z.array(z.number()).nullish(),
  late_guidance: z.enum(['cond', 'uncond']).nullish(),
  original_size: size.optional(),
  crops_coords_top_left: size.default([0, 0]),
  target_size: size.optional(),
  negative_original_size: size.optional(),
  negative_crops_coords_top_left: size.default([0, 0]),
  negative_target_size: size.optional(),
});
type Run = z.output<typeof Run>;
const cutoffs: Record<string, Guidance['cutoff']> = { cond: 'conditional', uncond: 'unconditional' };

/** The networks of a set in the Hugging Face layout. */
export interface TinySdxl extends TextEncoders, Vae {
  readonly unet: Session;
}

/** @param dir a set's folder; where it has no networks, our own copy's are taken */
export async function openTinySdxl(dir: string): Promise<TinySdxl> {
  const from = existsSync(join(dir, 'unet/model.onnx')) ? dir : goldenDir('sdxl-tiny');
  const open = (folder: string) => openSession(join(from, folder, 'model.onnx'), { threads: 1 });
  return {
    tokenizer: readGoldenTokenizer(join(from, 'tokenizer')),
    tokenizer2: readGoldenTokenizer(join(from, 'tokenizer_2')),
    textEncoder: await open('text_encoder'),
    textEncoder2: await open('text_encoder_2'),
    unet: await open('unet'),
    vaeEncoder: await open('vae_encoder'),
    vaeDecoder: await open('vae_decoder'),
    vaeScalingFactor: 0.13025,
  };
}

export const sdxlTiny: GoldenRunner = async (set) => {
  const tiny = await openTinySdxl(set.dir);
  return (c) => ('pipeline' in c.params ? wholeRun(tiny, set, c) : network(tiny, set, c));
};

const numbers = (c: GoldenCase, name: string) => Float32Array.from(c.get(name).data);
const asTensor = (c: GoldenCase, name: string) => tensor(numbers(c, name), c.get(name).shape);
const ids = (c: GoldenCase, name: string): Tensor => ({
  type: 'int64',
  data: BigInt64Array.from(c.get(name).data, BigInt),
  shape: c.get(name).shape,
});

/** One network alone. */
async function network(tiny: TinySdxl, set: GoldenSet, c: GoldenCase): Promise<Comparison[]> {
  const same = (name: string, value: Tensor | undefined) =>
    compare(name, floats(value, name).data, c.get(name).data, NETWORK);
  if (c.name.startsWith('text_encoder')) {
    const second = c.name === 'text_encoder_2';
    const [session, tokenizer] = second
      ? [tiny.textEncoder2, tiny.tokenizer2]
      : [tiny.textEncoder, tiny.tokenizer];
    const prompts = z.array(z.string()).parse(c.params.prompts);
    const own = prompts.flatMap((prompt) => frame(tokenizer, tokenizer.encode(prompt)));
    const result = await session.run({ input_ids: ids(c, 'input_ids') });
    const states = session.outputs.filter(({ name }) => name.startsWith('hidden_states.')).length;
    return [
      compare('input_ids', own, c.get('input_ids').data, {}),
      same('last_hidden_state', result.last_hidden_state),
      same('penultimate', result[`hidden_states.${states - 2}`]),
      second ? same('text_embeds', result.text_embeds) : same('pooler_output', result.pooler_output),
    ];
  }
  if (c.name.startsWith('vae_decoder')) {
    const { sample } = await tiny.vaeDecoder.run({ latent_sample: asTensor(c, 'z') });
    return [same('sample', sample)];
  }
  if (c.name.startsWith('vae_encoder')) {
    const result = await tiny.vaeEncoder.run({ sample: asTensor(c, 'sample') });
    return [same('latent_parameters', result.latent_parameters)];
  }
  const { timestep, inputs_of } = z.object({ timestep: z.number(), inputs_of: z.string() }).parse(c.params);
  const inputs = set.named(inputs_of);
  const { out_sample } = await tiny.unet.run({
    sample: asTensor(inputs, 'sample'),
    timestep: tensor(Float32Array.of(timestep), []),
    encoder_hidden_states: asTensor(inputs, 'encoder_hidden_states'),
    text_embeds: asTensor(inputs, 'text_embeds'),
    time_ids: asTensor(inputs, 'time_ids'),
  });
  return [same('out_sample', out_sample)];
}

async function wholeRun(tiny: TinySdxl, set: GoldenSet, c: GoldenCase): Promise<Comparison[]> {
  const params = Run.parse(c.params);
  const isGuided = params.guidance_scale > 1;
  const out: Comparison[] = [];
  const check = (name: string, got: ArrayLike<number>, limit: { absolute?: number; relative?: number }) => {
    if (c.has(name)) out.push(compare(name, got, c.get(name).data, limit));
  };
  const { positive, negative } = await texts(tiny, params);
  const of = (list: readonly TextConditioning[], part: 'context' | 'pooled') =>
    stack(list.map((text) => text[part]));
  check('prompt_embeds', of(positive, 'context'), NETWORK);
  check('pooled_prompt_embeds', of(positive, 'pooled'), NETWORK);
  if (isGuided) {
    check('negative_prompt_embeds', of(negative, 'context'), NETWORK);
    check('negative_pooled_prompt_embeds', of(negative, 'pooled'), NETWORK);
  }

  const begin = beginOf(params.steps, params.strength);
  const schedulers = positive.map(() =>
    recorded(
      makeScheduler(solvers[params.scheduler], params.steps, {
        spacing: params.scheduler_config.timestep_spacing,
        prediction: params.scheduler_config.prediction_type,
        karras: params.scheduler_config.use_karras_sigmas,
        ...(params.custom_timesteps && { timesteps: params.custom_timesteps }),
      }),
    ),
  );
  const scheduler = schedulers[0]!;
  check('timesteps', scheduler.timesteps.slice(begin), { relative: 1e-6 });
  if (c.has('sigmas_or_empty') && c.get('sigmas_or_empty').data.length)
    check('sigmas_or_empty', scheduler.sigmas, { relative: 1e-6 });

  const [height, width] = [params.height / CELL, params.width / CELL];
  const batch = positive.length;
  const draw = noiseOf(params.seed, batch, 4 * height * width);
  const start = await startOf(tiny, c, params, { draw, begin, scheduler, height, width, check });
  if (start.keep?.thresholds !== 'diffusers') check('initial_latents', start.latents, LATENTS);

  const calls: { feeds: Readonly<Record<string, Tensor>>; result: Tensor | undefined }[] = [];
  /** [B, 4, h, w] each: what the first picture asks for is drawn for all of them */
  const noises: Float32Array[] = [];
  const part = (x: Float32Array, n: number) =>
    x.subarray((n * x.length) / batch, ((n + 1) * x.length) / batch);
  const clean = await denoise(
    {
      ...tiny.unet,
      async run(feeds, fetches) {
        const result = await tiny.unet.run(feeds, fetches);
        calls.push({ feeds, result: result.out_sample });
        return result;
      },
    },
    positive.map((text, n) => ({
      x: part(start.latents, n),
      scheduler: schedulers[n]!,
      guidance: {
        scale: params.guidance_scale,
        rescale: params.guidance_rescale,
        cutoff: cutoffs[params.late_guidance ?? ''] ?? 'none',
      },
      positive: () => text,
      negative: negative[n]!,
      ...(start.keep && {
        keep: {
          ...start.keep,
          latents: part(start.keep.latents, n),
          noise: part(start.keep.noise, n),
          change: part(start.keep.change, n),
        },
      }),
      stepNoise() {
        if (n === 0) noises.push(draw());
        return part(noises.at(-1)!, n);
      },
    })),
    { ...sizes(params), height, width, begin },
  );
  const latents = clean.map((one) => one!);
  /** [steps, B, …] of what each picture's scheduler took or gave */
  const steps = (part: 'x' | 'output' | 'result') =>
    stack(scheduler.steps.flatMap((_, step) => schedulers.map((one) => one.steps[step]![part])));

  const first = calls[0]!;
  const data = (value: Tensor | undefined) => floats(value, 'a network tensor').data;
  check('unet_in_sample', data(first.feeds.sample), LATENTS);
  check('unet_in_timestep', data(first.feeds.timestep), { relative: 1e-6 });
  check('add_time_ids', data(first.feeds.time_ids), {});
  check('unet_out', data(first.result), LATENTS);
  check(
    'unet_batch',
    calls.map(({ feeds }) => feeds.sample!.shape[0] ?? 0),
    {},
  );
  check('step_input', steps('x'), LATENTS);
  check('noise_pred', steps('output'), LATENTS);
  check('latents', steps('result'), LATENTS);
  check('step_noise', stack(noises), { absolute: 1e-6, relative: 1e-6 });

  const images: Float32Array[] = [];
  for (const [n, one] of latents.entries()) {
    const sample = await decodeToSample(tiny, one, params.height, params.width);
    images.push(sample.data.map((v) => Math.min(Math.max(v * 0.5 + 0.5, 0), 1)));
    const file = set.path(`${c.name}-${n}.png`);
    if (!existsSync(file)) continue;
    const picture = await decodeLatents(tiny, one, params.height, params.width);
    out.push(compare(`${c.name}-${n}.png`, picture.rgb, (await readPicture(file)).rgb, PNG));
  }
  check('image', stack(images), IMAGE);
  return out;
}

async function texts(tiny: TinySdxl, params: Run) {
  const { tokenizer, tokenizer2 } = tiny;
  // As diffusers: what goes beyond 77 tokens is cut, and brackets are text.
  const encode = (prompt: string, prompt2: string, clipSkip: number) =>
    encodeIds(
      tiny,
      frame(tokenizer, tokenizer.encode(prompt)),
      frame(tokenizer2, tokenizer2.encode(prompt2)),
      clipSkip,
    );
  const positive: TextConditioning[] = [];
  const negative: TextConditioning[] = [];
  for (const [n, prompt] of params.prompt.entries()) {
    const text = await encode(prompt, params.prompt_2?.[n] ?? prompt, params.clip_skip);
    const not = params.negative_prompt && (params.negative_prompt[n] ?? params.negative_prompt[0] ?? '');
    const not2 = params.negative_prompt_2?.[n] ?? not;
    const opposite = not === undefined ? zerosLike(text) : await encode(not, not2 ?? not, 0);
    for (let image = 0; image < params.num_images_per_prompt; image++) {
      positive.push(text);
      negative.push(opposite);
    }
  }
  return { positive, negative };
}

function sizes(params: Run) {
  const own = [params.height, params.width] as const;
  const { original_size = own, target_size = own, crops_coords_top_left: crop } = params;
  const positive = Float32Array.from([...original_size, ...crop, ...target_size]);
  const { negative_original_size: original, negative_target_size: target } = params;
  if (original && target) {
    const negative = Float32Array.from([...original, ...params.negative_crops_coords_top_left, ...target]);
    return { timeIds: positive, negativeTimeIds: negative };
  }
  return { timeIds: params.original_size ? positive : timeIds(params.height, params.width) };
}

/** [B, 4, h, w] at each call: of one generator for all pictures, or of one for each. */
function noiseOf(seed: number | number[], batch: number, count: number): () => Float32Array {
  const sources: Generator[] = [seed].flat().map((one) => generator(one));
  return () => stack(sources.map((source) => source.normals((batch / sources.length) * count)));
}

interface Start {
  readonly latents: Float32Array;
  readonly keep?: Keep;
}

async function startOf(
  tiny: TinySdxl,
  c: GoldenCase,
  params: Run,
  {
    draw,
    begin,
    scheduler,
    height,
    width,
    check,
  }: {
    draw: () => Float32Array;
    begin: number;
    scheduler: Scheduler;
    height: number;
    width: number;
    check: (name: string, got: ArrayLike<number>, limit: { absolute?: number; relative?: number }) => void;
  },
): Promise<Start> {
  if (!c.has('posterior_noise')) {
    return { latents: draw().map((n) => n * scheduler.initNoiseSigma) };
  }
  const isDifferential = c.has('map');
  const stored = numbers(c, isDifferential ? 'input_image_minus1_1' : 'input_image');
  const sample = isDifferential ? stored : stored.map((v) => 2 * v - 1);
  const batch = c.get('posterior_noise').shape[0] ?? 1;
  const encode = async (normals: Float32Array) => {
    const all: Float32Array[] = [];
    for (let n = 0; n < batch; n++) {
      const part = (x: Float32Array) => x.slice((n * x.length) / batch, ((n + 1) * x.length) / batch);
      const one = tensor(part(sample), [1, 3, params.height, params.width]);
      all.push(await encodeSample(tiny, one, part(normals)));
    }
    return stack(all);
  };
  const EXACT = { absolute: 1e-6, relative: 1e-6 };
  if (isDifferential) {
    // Made as for image to image, and thrown away: the loop begins with `original_with_noise`.
    const [firstPosterior, firstNoise] = [draw(), draw()];
    check('first_posterior_noise', firstPosterior, EXACT);
    check('first_noise', firstNoise, EXACT);
    const thrownAway = scheduler.addNoise(await encode(firstPosterior), firstNoise, begin);
    check('initial_latents', thrownAway, LATENTS);
  }
  const posterior = draw();
  check('posterior_noise', posterior, EXACT);
  const encoded = await encode(posterior);
  check('encoded_latents', encoded, LATENTS);
  const noise = draw();
  check('noise', noise, EXACT);
  const latents = scheduler.addNoise(encoded, noise, begin);
  if (!isDifferential) return { latents };

  const map = resizePlane(numbers(c, 'map'), params.height, params.width, height, width);
  check('map_latent', map, { absolute: 1e-6 });
  const indices = scheduler.timesteps.map((_, i) => i).slice(begin);
  check('original_with_noise', stack(indices.map((i) => scheduler.addNoise(encoded, noise, i))), LATENTS);
  const thresholds = scheduler.timesteps.map((_, i) => Math.fround(i / params.steps));
  check('thresholds', thresholds, { absolute: 1e-6 });
  check(
    'masks',
    indices.flatMap((_, i) => [...map].map((keep) => (keep > thresholds[i]! ? 1 : 0))),
    {},
  );
  const change = map.map((keep) => 1 - keep);
  return { latents, keep: { latents: encoded, noise, change, thresholds: 'diffusers' } };
}

/** The same scheduler, with what went in and out of each step. */
function recorded(scheduler: Scheduler) {
  const steps: { x: Float32Array; output: Float32Array; result: Float32Array }[] = [];
  return {
    ...scheduler,
    steps,
    step(output: Float32Array, i: number, x: Float32Array, noise: () => Float32Array) {
      const result = scheduler.step(output, i, x, noise);
      steps.push({ x, output, result });
      return result;
    },
  };
}
