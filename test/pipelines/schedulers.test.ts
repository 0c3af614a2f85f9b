import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  alphasCumprod,
  aysSigmas,
  makeScheduler,
  type SchedulerName,
  type SchedulerOptions,
  schedulerNames,
  timestepOf,
} from '#pipelines/schedulers.ts';
import { distance, golden } from '../support/golden.ts';

const Params = z.object({
  class: z.string(),
  config: z.object({
    timestep_spacing: z.enum(['leading', 'trailing', 'linspace']),
    prediction_type: z.string(),
    use_karras_sigmas: z.boolean().optional(),
  }),
  set_timesteps: z.object({
    num_inference_steps: z.number().optional(),
    timesteps: z.array(z.number()).optional(),
    sigmas: z.array(z.number()).optional(),
  }),
});
const classes: Record<string, SchedulerName> = {
  DDIMScheduler: 'ddim',
  EulerDiscreteScheduler: 'euler',
  EulerAncestralDiscreteScheduler: 'euler_a',
  DPMSolverMultistepScheduler: 'dpmpp_2m',
  UniPCMultistepScheduler: 'unipc',
  LCMScheduler: 'lcm',
};

/** Cases that our schedulers can be asked for: ε-prediction, and Karras's levels for DPM++ alone. */
const cases = golden('schedulers', Params).filter(
  ({ name, params: { class: of, config, set_timesteps } }) => {
    if (config.prediction_type !== 'epsilon' || set_timesteps.sigmas) return false;
    if (config.use_karras_sigmas)
      return of === 'DPMSolverMultistepScheduler' && config.timestep_spacing === 'leading';
    return !(of === 'LCMScheduler' && set_timesteps.timesteps) && !name.includes('euler_a-trailing');
  },
);

/** The toy network of the golden runs: shape [2, 4, 3, 5]. */
const toy = (m: Float32Array, t: number) => m.map((v, k) => 0.3 * v + 0.1 * Math.sin(t / 50 + k));

describe('a scheduler', () => {
  it('has cases of every kind to be compared with', () => {
    expect(new Set(cases.map(({ params }) => classes[params.class]))).toEqual(
      new Set(schedulerNames.filter((name) => name !== 'dpmpp_2m_karras')),
    );
    expect(cases.length).toBeGreaterThan(40);
  });

  it.each(cases.map((c) => [c.name, c] as const))(
    'moves latents as diffusers’: %s',
    (name, { params, get, has }) => {
      const timesteps = get('timesteps').data;
      const base = classes[params.class]!;
      const kind = params.config.use_karras_sigmas ? 'dpmpp_2m_karras' : base;
      const listed = params.set_timesteps.timesteps ?? (name.includes('-ays') ? [...timesteps] : undefined);
      const options: SchedulerOptions = listed
        ? { timesteps: listed }
        : { spacing: params.config.timestep_spacing };
      const scheduler = makeScheduler(kind, timesteps.length, options);
      expect(distance(scheduler.timesteps, timesteps)).toBeLessThan(2e-3);
      if (has('sigmas')) expect(distance(scheduler.sigmas, get('sigmas').data, true)).toBeLessThan(1e-5);
      expect(scheduler.initNoiseSigma).toBeCloseTo(get('init_noise_sigma').data[0]!, 4);

      let x = Float32Array.from(get('x_init').data);
      const size = x.length;
      const noises = has('step_noise') ? get('step_noise').data : undefined;
      let draws = 0;
      const noise = () => Float32Array.from(noises!.subarray(draws * size, ++draws * size));
      const wanted = get('prev_sample_f32').data;
      for (let i = 0; i < timesteps.length; i++) {
        const epsilon = toy(scheduler.scaleInput(x, i), timesteps[i]!);
        x = Float32Array.from(scheduler.step(epsilon, i, x, noise));
        expect(distance(x, wanted.subarray(i * size, (i + 1) * size), true), `step ${i}`).toBeLessThan(5e-5);
      }
    },
  );
});

describe('tables', () => {
  it('are torch’s', () => {
    const [first] = golden('schedulers', Params);
    expect(distance(alphasCumprod, first!.get('alphas_cumprod').data)).toBeLessThan(1e-9);
  });

  it('resample Align Your Steps log-linearly, as ComfyUI', () => {
    const twenty = [
      14.6146412, 9.6094671, 6.3184485, 4.8794513, 3.768179, 2.8668722, 2.1811481, 1.7099364, 1.3405245,
      1.0750018, 0.8620721, 0.691744, 0.5550693, 0.459179, 0.3798541, 0.2976505, 0.2332364, 0.1612046,
      0.1114188, 0.0570068, 0,
    ];
    expect(distance(aysSigmas(20), twenty)).toBeLessThan(1e-5);
    expect(timestepOf(9.6094671)).toBeCloseTo(926.259, 2);
  });
});

describe('a perfect denoiser', () => {
  /** For data drawn from N(0, s²) the best ε is known, and every solver must end near where the exact solution ends. */
  const s = 0.5;
  const exact = (sigma: number) => s / Math.hypot(s, sigma);

  it.each(['euler', 'ddim', 'dpmpp_2m', 'unipc'] as const)(
    'brings %s to the exact end, nearer with more steps',
    (name) => {
      const error = (steps: number) => {
        const scheduler = makeScheduler(name, steps, { spacing: 'ays' });
        const start = 14.6146412293;
        const vp = name !== 'euler';
        let x = Float32Array.of(vp ? start / Math.hypot(start, 1) : start);
        for (let i = 0; i < steps; i++) {
          const sigma = scheduler.sigmas[i]!;
          const level = vp ? Math.hypot(sigma, 1) : 1;
          const k = x[0]! * level;
          x = Float32Array.from(
            scheduler.step(Float32Array.of((k * sigma) / (s ** 2 + sigma ** 2)), i, x, () => x),
          );
        }
        return Math.abs(x[0]! - start * exact(start));
      };
      expect(error(80)).toBeLessThan(error(3));
      expect(error(80)).toBeLessThan(0.05);
    },
  );
});
