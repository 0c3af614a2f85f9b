/**
 * The denoising loop of both stages: noise, or a noised picture, to clean latents.
 *
 * Source: Ho & Salimans 2022 (classifier-free guidance, arXiv:2207.12598); Levin & Fried 2023 (differential diffusion,
 * arXiv:2306.00950); huggingface/diffusers@58eb52c `pipeline_stable_diffusion_xl.py`,
 * `examples/community/pipeline_stable_diffusion_xl_differential_img2img.py`.
 * Checked by: test/pipelines/sdxl/runs.test.ts.
 */
import type { Scheduler } from '../schedulers.ts';
import type { Session } from '../session.ts';
import { combine, floats, stack, tensor } from '../tensor.ts';
import type { TextConditioning } from './conditioning.ts';
import { CONTEXT_LENGTH } from './tokenizer.ts';

/** From this share of the steps on, guidance is off: the last steps set fine detail, where it only burns colours. */
export const GUIDED_SHARE = 0.8;

export interface Guidance {
  /** 1 ignores the negative prompt; 5–8 is usual */
  readonly scale: number;
  /**
   * What is left of the two predictions in the last 20 % of the steps. `unconditional` is
   * `uncond + 0 · (cond − uncond)`, which some write-ups have; it forgets the prompt there.
   */
  readonly cutoff?: 'conditional' | 'unconditional' | 'none';
}

/** A picture that is kept where `change` says so. */
export interface Keep {
  /** [B, 4, h, w] clean latents of it */
  readonly latents: Float32Array;
  /** [h, w], 0 keeps, 1 draws anew, between: anew from a later step on */
  readonly change: Float32Array;
  /** [B, 4, h, w] the one noise that all noisy versions of it share */
  readonly noise: Float32Array;
  /**
   * `exact`: thresholds span the steps that are run, and what is kept is put back once more at the end.
   * `diffusers`: thresholds span all steps, and the last step of what is kept is free.
   */
  readonly thresholds: 'exact' | 'diffusers';
}

export interface DenoiseOptions {
  readonly guidance: Guidance;
  /** each picture's prompt at a step, [B] of them; the step counts from 0 among those that are run */
  readonly positive: (step: number) => readonly TextConditioning[];
  /** [B] */
  readonly negative: readonly TextConditioning[];
  /** [6], see `timeIds` */
  readonly timeIds: Float32Array;
  /** latents' height and width, px / 8 */
  readonly height: number;
  readonly width: number;
  /** first step of the schedule that is run */
  readonly begin?: number;
  readonly keep?: Keep;
  /** fresh normals for schedulers that add noise, [B, 4, h, w] */
  readonly stepNoise: () => Float32Array;
  readonly signal?: AbortSignal | undefined;
  /** told after each step, counting from 1 */
  readonly onStep?: ((step: number) => void) | undefined;
}

/**
 * @param x [B, 4, h, w] noisy latents of step `begin`
 * @returns [B, 4, h, w] clean latents, in the VAE's units × 0.13025
 * @throws  `signal.reason`, before the next step
 */
export async function denoise(
  unet: Session,
  scheduler: Scheduler,
  x: Float32Array,
  options: DenoiseOptions,
): Promise<Float32Array> {
  const { guidance, negative, keep, begin = 0, height, width } = options;
  const batch = negative.length;
  const steps = scheduler.timesteps.length;
  const toRun = steps - begin;
  const { cutoff = 'conditional' } = guidance;

  for (let i = begin; i < steps; i++) {
    options.signal?.throwIfAborted();
    const step = i - begin;
    if (keep) x = holdBack(x, keep, scheduler, i, step, keep.thresholds === 'exact' ? toRun : steps);

    const input = scheduler.scaleInput(x, i);
    const timestep = scheduler.timesteps[i]!;
    const positive = options.positive(step);
    // Where guidance is off the other half is not computed at all.
    const guided = guidance.scale > 1 && (cutoff === 'none' || step < GUIDED_SHARE * toRun);
    let epsilon: Float32Array;
    if (guided) {
      const both = await predict([...negative, ...positive], stack([input, input]), timestep);
      const half = both.length / 2;
      const [uncond, cond] = [both.subarray(0, half), both.subarray(half)];
      epsilon = combine([1 - guidance.scale, uncond], [guidance.scale, cond]);
    } else {
      const alone = guidance.scale > 1 && cutoff === 'unconditional' ? negative : positive;
      epsilon = await predict(alone, input, timestep);
    }
    x = scheduler.step(epsilon, i, x, options.stepNoise);
    options.onStep?.(step + 1);
  }
  return keep?.thresholds === 'exact' ? putBack(x, keep) : x;

  /** One network call on as many pictures as there are prompts; negatives come first. */
  async function predict(
    texts: readonly TextConditioning[],
    sample: Float32Array,
    timestep: number,
  ): Promise<Float32Array> {
    const count = texts.length;
    const channels = sample.length / (count * height * width);
    const context = stack(texts.map((text) => text.context));
    const pooled = stack(texts.map((text) => text.pooled));
    const { out_sample } = await unet.run({
      sample: tensor(sample, [count, channels, height, width]),
      timestep: tensor(Float32Array.of(timestep), []),
      encoder_hidden_states: tensor(context, [
        count,
        CONTEXT_LENGTH,
        context.length / (count * CONTEXT_LENGTH),
      ]),
      text_embeds: tensor(pooled, [count, pooled.length / count]),
      time_ids: tensor(stack(Array<Float32Array>(count).fill(options.timeIds)), [count, 6]),
    });
    return floats(out_sample, 'out_sample').data;
  }

  /** Before a step: what is not yet to change follows the picture's own noisy path. */
  function holdBack(
    now: Float32Array,
    kept: Keep,
    s: Scheduler,
    i: number,
    step: number,
    of: number,
  ): Float32Array {
    const path = s.addNoise(kept.latents, kept.noise, i);
    // The first step starts from the picture whole, in both ways.
    if (step === 0 && kept.thresholds === 'diffusers') return path;
    const threshold = step / of;
    return perCell(now, path, (change) => 1 - change > Math.fround(threshold), kept.change);
  }

  function putBack(now: Float32Array, kept: Keep): Float32Array {
    return perCell(now, kept.latents, (change) => change === 0, kept.change);
  }

  function perCell(
    now: Float32Array,
    other: Float32Array,
    take: (change: number) => boolean,
    change: Float32Array,
  ) {
    const out = now.slice();
    const plane = height * width;
    const planes = batch * (now.length / (batch * plane));
    for (let p = 0; p < plane; p++) {
      if (!take(change[p]!)) continue;
      for (let c = 0; c < planes; c++) out[c * plane + p] = other[c * plane + p]!;
    }
    return out;
  }
}

/** Where a run of `strength` begins: the first `1 − strength` of the steps are left out. Source: diffusers `get_timesteps`. */
export function beginOf(steps: number, strength: number): number {
  return steps - Math.min(Math.trunc(steps * strength), steps);
}
