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
import { combine, type FloatTensor, floats, stack, tensor } from '../tensor.ts';
import type { TextConditioning } from './conditioning.ts';

/** From this share of the steps on, guidance is off: the last steps set fine detail, where it only burns colours. */
export const GUIDED_SHARE = 0.8;

export interface Guidance {
  /** 1 ignores the negative prompt; 5–8 is usual */
  readonly scale: number;
  /** 0…1: how far the guided prediction gets back the spread of the conditional one; against burnt colours */
  readonly rescale?: number;
  /**
   * What is left of the two predictions in the last 20 % of the steps. `unconditional` is
   * `uncond + 0 · (cond − uncond)`, which some write-ups have; it forgets the prompt there.
   */
  readonly cutoff?: GuidanceCutoff;
}

/**
 * A picture that is kept where `change` says so: before each step, what is not to change yet is put on the picture's own noisy
 * path again.
 *
 * The other definition in circulation multiplies the network's answer by the mask. Where that is 0 it says "no noise here", so
 * the noise of the first step stays in the picture: with 20 steps and strength 0.6 an error of 1.9 times the noise, by this one 0.
 */
export interface Keep {
  /** [4, h, w] clean latents of it */
  readonly latents: Float32Array;
  /** [h, w], 0 keeps, 1 draws anew, between: anew from a later step on */
  readonly change: Float32Array;
  /** [4, h, w] the one noise that all its noisy versions share */
  readonly noise: Float32Array;
  /**
   * `exact`: thresholds span the steps that are run, and what is kept is put back once more at the end, so that it is what it
   * was. `diffusers`: thresholds span all steps, and the last step of what is kept is free, so that it only comes near.
   */
  readonly thresholds: 'exact' | 'diffusers';
}

/** One of the pictures that are denoised together. All have one schedule and one size; what else they are is their own. */
export interface Noisy {
  /** [4, h, w] latents with the noise of step `begin` */
  readonly x: Float32Array;
  /** no other picture's: solvers remember */
  readonly scheduler: Scheduler;
  readonly guidance: Guidance;
  /** its prompt at a step, which counts from 0 among those that are run; as long as all others', the negative ones too */
  readonly positive: (step: number) => TextConditioning;
  readonly negative: TextConditioning;
  readonly keep?: Keep;
  /** fresh normals for schedulers that add noise, [4, h, w] */
  readonly stepNoise: () => Float32Array;
  /** it leaves before its next step, and the others go on without it */
  readonly signal?: AbortSignal | undefined;
  /**
   * Told after each step, counting from 1; the next one waits for it. `clean` gives [4, h, w] what the network takes the result
   * for so far.
   */
  readonly onStep?: ((step: number, clean: () => Float32Array) => void | Promise<void>) | undefined;
}

export interface DenoiseOptions {
  /** [6], see `timeIds` */
  readonly timeIds: Float32Array;
  /** [6], where the negative prompt has others */
  readonly negativeTimeIds?: Float32Array;
  /** latents' height and width, px / 8 */
  readonly height: number;
  readonly width: number;
  /** first step of the schedule that is run */
  readonly begin?: number;
}

/**
 * Denoises several pictures in one batch of the network, each as if it were alone: where a network gives a picture the same
 * numbers in any batch, so does this.
 *
 * @returns of each picture [4, h, w] clean latents, scaled; null: it left
 * @throws  what the network throws: all pictures end with it
 */
export async function denoise(
  unet: Session,
  pictures: readonly Noisy[],
  options: DenoiseOptions,
): Promise<(Float32Array | null)[]> {
  const { begin = 0, height, width } = options;
  const timesteps = pictures[0]?.scheduler.timesteps ?? [];
  const toRun = timesteps.length - begin;
  const inputsOf = inputs(options);
  let here = pictures.map((picture) => ({ picture, x: picture.x }));

  for (let i = begin; i < timesteps.length; i++) {
    here = here.filter(({ picture }) => !picture.signal?.aborted);
    if (!here.length) break;
    const step = i - begin;
    for (const one of here) {
      const { keep, scheduler } = one.picture;
      if (!keep) continue;
      const of = keep.thresholds === 'exact' ? toRun : timesteps.length;
      one.x = holdBack(one.x, keep, scheduler, i, step, of);
    }

    const scaled = here.map(({ picture, x }) => picture.scheduler.scaleInput(x, i));
    // Where guidance is off the other half is not computed at all.
    const halves = here.map(({ picture }) => halvesOf(picture.guidance, step, toRun));
    const negatives = here.flatMap((_, n) => (halves[n] === 'positive' ? [] : [n]));
    const positives = here.flatMap((_, n) => (halves[n] === 'negative' ? [] : [n]));
    const rows = [...negatives, ...positives];
    const size = scaled[0]!.length;
    const { out_sample } = await unet.run({
      sample: tensor(stack(rows.map((n) => scaled[n]!)), [
        rows.length,
        size / (height * width),
        height,
        width,
      ]),
      timestep: tensor(Float32Array.of(timesteps[i]!), []),
      ...inputsOf(
        negatives.map((n) => here[n]!.picture.negative),
        positives.map((n) => here[n]!.picture.positive(step)),
      ),
    });
    const predicted = floats(out_sample, 'out_sample').data;
    const row = (at: number) => predicted.subarray(at * size, (at + 1) * size);

    for (const [n, one] of here.entries()) {
      const { guidance, scheduler, stepNoise, onStep } = one.picture;
      const [negative, positive] = [negatives.indexOf(n), positives.indexOf(n)];
      const output =
        halves[n] === 'both'
          ? guided(row(negative), row(negatives.length + positive), guidance)
          : row(positive < 0 ? negative : negatives.length + positive);
      const before = one.x;
      one.x = scheduler.step(output, i, before, stepNoise);
      await onStep?.(step + 1, () => scheduler.predictClean(output, i, before));
    }
  }
  const ended = new Map(here.map(({ picture, x }) => [picture, x]));
  return pictures.map((picture) => {
    const x = ended.get(picture);
    return x ? putBack(x, picture.keep) : null;
  });
}

/** Which predictions a picture needs at a step, of those that are run. */
function halvesOf(
  { scale, cutoff = 'conditional' }: Guidance,
  step: number,
  toRun: number,
): 'both' | 'positive' | 'negative' {
  if (scale <= 1) return 'positive';
  if (cutoff === 'none' || step < GUIDED_SHARE * toRun) return 'both';
  return cutoff === 'unconditional' ? 'negative' : 'positive';
}

/** The network's inputs that stay the same from step to step, made once for each list of prompts. Negatives come first. */
function inputs({ timeIds, negativeTimeIds = timeIds }: DenoiseOptions) {
  let made: { texts: readonly TextConditioning[]; tensors: Record<string, FloatTensor> } | undefined;
  return (
    negatives: readonly TextConditioning[],
    positives: readonly TextConditioning[],
  ): Record<string, FloatTensor> => {
    const texts = [...negatives, ...positives];
    if (made?.texts.length === texts.length && made.texts.every((text, n) => text === texts[n]))
      return made.tensors;
    const [count, tokens] = [texts.length, texts[0]?.tokens ?? 0];
    const context = stack(texts.map((text) => text.context));
    const pooled = stack(texts.map((text) => text.pooled));
    const ids = stack([...negatives.map(() => negativeTimeIds), ...positives.map(() => timeIds)]);
    const tensors = {
      encoder_hidden_states: tensor(context, [count, tokens, context.length / (count * tokens)]),
      text_embeds: tensor(pooled, [count, pooled.length / count]),
      time_ids: tensor(ids, [count, 6]),
    };
    made = { texts, tensors };
    return tensors;
  };
}

/** `uncond + scale · (cond − uncond)`, all [4, h, w]. */
function guided(
  negative: Float32Array,
  positive: Float32Array,
  { scale: s, rescale = 0 }: Guidance,
): Float32Array {
  const out = combine([1 - s, negative], [s, positive]);
  if (!rescale) return out;
  const ratio = spread(positive) / spread(out);
  return combine([rescale * ratio + 1 - rescale, out]);
}

/** Standard deviation of a sample (N − 1). */
function spread(x: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]!;
  const mean = sum / x.length;
  let squares = 0;
  for (let i = 0; i < x.length; i++) squares += (x[i]! - mean) ** 2;
  return Math.sqrt(squares / (x.length - 1));
}

/** Before a step: what is not yet to change follows the picture's own noisy path. */
function holdBack(
  now: Float32Array,
  kept: Keep,
  scheduler: Scheduler,
  i: number,
  step: number,
  of: number,
): Float32Array {
  const path = scheduler.addNoise(kept.latents, kept.noise, i);
  // The first step starts from the picture whole, in both ways.
  if (step === 0 && kept.thresholds === 'diffusers') return path;
  const threshold = Math.fround(step / of);
  copyCells(now, path, kept.change, (change) => 1 - change <= threshold);
  return path;
}

/** At the end: what is kept is what it was. */
function putBack(x: Float32Array, keep: Keep | undefined): Float32Array {
  if (keep?.thresholds !== 'exact') return x;
  const out = x.slice();
  copyCells(keep.latents, out, keep.change, (change) => change === 0);
  return out;
}

/** Writes `from` over the cells of `to`, both [4, h, w], that are taken. @param change [h, w] */
function copyCells(
  from: Float32Array,
  to: Float32Array,
  change: Float32Array,
  take: (change: number) => boolean,
): void {
  for (let cell = 0; cell < change.length; cell++) {
    if (!take(change[cell]!)) continue;
    for (let at = cell; at < to.length; at += change.length) to[at] = from[at]!;
  }
}

/** Where a run of `strength` begins: the first `1 − strength` of the steps are left out. Source: diffusers `get_timesteps`. */
export function beginOf(steps: number, strength: number): number {
  return steps - Math.min(Math.trunc(steps * strength), steps);
}
