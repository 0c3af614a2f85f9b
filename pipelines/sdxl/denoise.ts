/**
 * The denoising loop of both stages: noise, or noised pictures, to clean latents.
 *
 * Source: Ho & Salimans 2022 (classifier-free guidance, arXiv:2207.12598); Lin et al. 2023 (guidance rescale, 2305.08891 §3.4);
 * Levin & Fried 2023 (differential diffusion, 2306.00950); huggingface/diffusers@58eb52c `pipeline_stable_diffusion_xl.py`,
 * `examples/community/pipeline_stable_diffusion_xl_differential_img2img.py`.
 * Checked by: test/golden-runs/sdxl-tiny.ts.
 */
import type { GuidanceCutoff } from '../choices.ts';
import type { Scheduler } from '../schedulers.ts';
import type { Session } from '../session.ts';
import { type FloatTensor, floats, stack, tensor } from '../tensor.ts';
import type { TextConditioning } from './conditioning.ts';

/** From this share of the steps on, guidance is off: the last steps set fine detail, where it only burns colours. */
export const GUIDED_SHARE = 0.8;

export interface Guidance {
  /** [B] one for each picture: 1 ignores the negative prompt; 5–8 is usual */
  readonly scales: readonly number[];
  /** 0…1: how far the guided prediction gets back the spread of the conditional one; against burnt colours */
  readonly rescale?: number;
  /**
   * What is left of the two predictions in the last 20 % of the steps. `unconditional` is
   * `uncond + 0 · (cond − uncond)`, which some write-ups have; it forgets the prompt there.
   */
  readonly cutoff?: GuidanceCutoff;
}

/**
 * Pictures that are kept where `change` says so: before each step, what is not to change yet is put on the picture's own noisy
 * path again.
 *
 * The other definition in circulation multiplies the network's answer by the mask. Where that is 0 it says "no noise here", so
 * the noise of the first step stays in the picture: with 20 steps and strength 0.6 an error of 1.9 times the noise, by this one 0.
 */
export interface Keep {
  /** [B, 4, h, w] clean latents of them */
  readonly latents: Float32Array;
  /** [B, h, w], 0 keeps, 1 draws anew, between: anew from a later step on */
  readonly change: Float32Array;
  /** [B, 4, h, w] the one noise that all noisy versions of a picture share */
  readonly noise: Float32Array;
  /**
   * `exact`: thresholds span the steps that are run, and what is kept is put back once more at the end, so that it is what it
   * was. `diffusers`: thresholds span all steps, and the last step of what is kept is free, so that it only comes near.
   */
  readonly thresholds: 'exact' | 'diffusers';
}

export interface DenoiseOptions {
  readonly guidance: Guidance;
  /**
   * Each picture's prompt at a step, [B] of them; the step counts from 0 among those that are run. Of one length, the negative
   * ones too. The same array again costs nothing.
   */
  readonly positive: (step: number) => readonly TextConditioning[];
  /** [B] */
  readonly negative: readonly TextConditioning[];
  /** [6], see `timeIds` */
  readonly timeIds: Float32Array;
  /** [6], where the negative prompt has others */
  readonly negativeTimeIds?: Float32Array;
  /** latents' height and width, px / 8 */
  readonly height: number;
  readonly width: number;
  /** first step of the schedule that is run */
  readonly begin?: number;
  readonly keep?: Keep;
  /** fresh normals for schedulers that add noise, [B, 4, h, w] */
  readonly stepNoise: () => Float32Array;
  readonly signal?: AbortSignal | undefined;
  /** told after each step, counting from 1; `clean` gives [B, 4, h, w] what the network takes the result for so far */
  readonly onStep?: ((step: number, clean: () => Float32Array) => void) | undefined;
}

/**
 * @param x [B, 4, h, w] noisy latents of step `begin`
 * @returns [B, 4, h, w] clean latents, scaled
 * @throws  `signal.reason`, before the next step
 */
export async function denoise(
  unet: Session,
  scheduler: Scheduler,
  x: Float32Array,
  options: DenoiseOptions,
): Promise<Float32Array> {
  const { guidance, negative, keep, begin = 0, height, width } = options;
  const { cutoff = 'conditional', scales, rescale = 0 } = guidance;
  const batch = negative.length;
  const plane = height * width;
  const channels = x.length / (batch * plane);
  const steps = scheduler.timesteps.length;
  const toRun = steps - begin;
  const isGuided = scales.some((scale) => scale > 1);
  const inputsOf = inputs(options);

  for (let i = begin; i < steps; i++) {
    options.signal?.throwIfAborted();
    const step = i - begin;
    if (keep) {
      const of = keep.thresholds === 'exact' ? toRun : steps;
      x = holdBack(x, keep, scheduler, i, { step, of, plane });
    }

    const input = scheduler.scaleInput(x, i);
    const positive = options.positive(step);
    // Where guidance is off the other half is not computed at all.
    const both = isGuided && (cutoff === 'none' || step < GUIDED_SHARE * toRun);
    const alone = isGuided && cutoff === 'unconditional' ? 'negative' : 'positive';
    const { out_sample } = await unet.run({
      sample: tensor(both ? stack([input, input]) : input, [
        both ? 2 * batch : batch,
        channels,
        height,
        width,
      ]),
      timestep: tensor(Float32Array.of(scheduler.timesteps[i]!), []),
      ...inputsOf(positive, both ? 'both' : alone),
    });
    const predicted = floats(out_sample, 'out_sample').data;
    const output = both ? guided(predicted, scales, rescale) : predicted;
    const [before, index] = [x, i];
    x = scheduler.step(output, i, x, options.stepNoise);
    options.onStep?.(step + 1, () => scheduler.predictClean(output, index, before));
  }
  if (keep?.thresholds !== 'exact') return x;
  const out = x.slice();
  copyCells(keep.latents, out, keep.change, plane, (change) => change === 0);
  return out;
}

/** The network's inputs that stay the same from step to step, made once for each set of prompts. Negatives come first. */
function inputs({ negative, timeIds, negativeTimeIds = timeIds }: DenoiseOptions) {
  type Which = 'both' | 'positive' | 'negative';
  let made:
    | { for: readonly TextConditioning[]; which: Which; tensors: Record<string, FloatTensor> }
    | undefined;
  return (positive: readonly TextConditioning[], which: Which): Record<string, FloatTensor> => {
    if (made?.for === positive && made.which === which) return made.tensors;
    const texts = [...(which === 'positive' ? [] : negative), ...(which === 'negative' ? [] : positive)];
    const ids = texts.map((_, n) =>
      which === 'negative' || (which === 'both' && n < negative.length) ? negativeTimeIds : timeIds,
    );
    const [count, tokens] = [texts.length, texts[0]?.tokens ?? 0];
    const context = stack(texts.map((text) => text.context));
    const pooled = stack(texts.map((text) => text.pooled));
    const tensors = {
      encoder_hidden_states: tensor(context, [count, tokens, context.length / (count * tokens)]),
      text_embeds: tensor(pooled, [count, pooled.length / count]),
      time_ids: tensor(stack(ids), [count, 6]),
    };
    made = { for: positive, which, tensors };
    return tensors;
  };
}

/**
 * `uncond + scale · (cond − uncond)`, each picture by its own scale; one that is not guided is conditional alone.
 *
 * @param both [2B, 4, h, w] negatives first
 */
function guided(both: Float32Array, scales: readonly number[], rescale: number): Float32Array {
  const half = both.length / 2;
  const size = half / scales.length;
  const out = new Float32Array(half);
  for (const [n, scale] of scales.entries()) {
    const [from, to, s] = [n * size, (n + 1) * size, Math.max(scale, 1)];
    for (let i = from; i < to; i++) out[i] = (1 - s) * both[i]! + s * both[half + i]!;
    if (rescale && s > 1) {
      const ratio = spread(both, half + from, half + to) / spread(out, from, to);
      const factor = rescale * ratio + 1 - rescale;
      for (let i = from; i < to; i++) out[i] = factor * out[i]!;
    }
  }
  return out;
}

/** Standard deviation of a part, of a sample (N − 1). */
function spread(x: Float32Array, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i++) sum += x[i]!;
  const mean = sum / (to - from);
  let squares = 0;
  for (let i = from; i < to; i++) squares += (x[i]! - mean) ** 2;
  return Math.sqrt(squares / (to - from - 1));
}

/** Before a step: what is not yet to change follows the picture's own noisy path. */
function holdBack(
  now: Float32Array,
  kept: Keep,
  scheduler: Scheduler,
  i: number,
  { step, of, plane }: { step: number; of: number; plane: number },
): Float32Array {
  const path = scheduler.addNoise(kept.latents, kept.noise, i);
  // The first step starts from the picture whole, in both ways.
  if (step === 0 && kept.thresholds === 'diffusers') return path;
  const threshold = Math.fround(step / of);
  copyCells(now, path, kept.change, plane, (change) => 1 - change <= threshold);
  return path;
}

/** Writes `from` over the cells of `to`, both [B, 4, h, w], that are taken. @param change [B, h, w] */
function copyCells(
  from: Float32Array,
  to: Float32Array,
  change: Float32Array,
  plane: number,
  take: (change: number) => boolean,
): void {
  const channels = to.length / change.length;
  for (let at = 0; at < change.length; at++) {
    if (!take(change[at]!)) continue;
    // The cell of picture n, in each of its channels.
    const first = Math.floor(at / plane) * plane * (channels - 1) + at;
    for (let c = 0; c < channels; c++) to[first + c * plane] = from[first + c * plane]!;
  }
}

/** Where a run of `strength` begins: the first `1 − strength` of the steps are left out. Source: diffusers `get_timesteps`. */
export function beginOf(steps: number, strength: number): number {
  return steps - Math.min(Math.trunc(steps * strength), steps);
}
