/** Timesteps, noise levels and whole trajectories of diffusers' schedulers, on a toy network. */
import { z } from 'zod';
import {
  alphasCumprod,
  logLinear,
  makeScheduler,
  type Scheduler,
  type Solver,
} from '#pipelines/schedulers.ts';
import { roundHalfEven } from '#pipelines/tensor.ts';
import { type Comparison, compare, type GoldenCase, type GoldenRunner } from '../support/golden.ts';

/** diffusers' classes. */
export const solvers = {
  DDIMScheduler: 'ddim',
  EulerDiscreteScheduler: 'euler',
  EulerAncestralDiscreteScheduler: 'euler_a',
  DPMSolverMultistepScheduler: 'dpmpp_2m',
  UniPCMultistepScheduler: 'unipc',
  LCMScheduler: 'lcm',
} as const satisfies Record<string, Solver>;

export const SchedulerClass = z.enum(Object.keys(solvers) as (keyof typeof solvers)[]);

/** `scheduler_config.json`, as far as cases change it. */
export const SchedulerConfig = z.object({
  timestep_spacing: z.enum(['leading', 'trailing', 'linspace']),
  prediction_type: z.enum(['epsilon', 'v_prediction']),
  use_karras_sigmas: z.boolean().default(false),
});

const Params = z.object({
  class: SchedulerClass,
  config: SchedulerConfig,
  set_timesteps: z.object({
    num_inference_steps: z.number().optional(),
    timesteps: z.array(z.number()).optional(),
    timesteps_assigned: z.array(z.number()).optional(),
    sigmas: z.array(z.number()).optional(),
  }),
  toy_model: z.object({ a: z.number(), b: z.number(), d: z.number() }),
  ays_anchors: z.array(z.number()).optional(),
  ays_timesteps_float: z.array(z.number()).optional(),
  ays_timesteps_int: z.array(z.number()).optional(),
});

/** Of the largest |x|, and absolute: tables are float32 inside the reference. */
const CLOSE = { absolute: 1e-5, relative: 1e-5 };

export const schedulers: GoldenRunner = () => (c) => {
  const { class: of, config, set_timesteps, toy_model: toy, ...ays } = Params.parse(c.params);
  const wanted = (tensor: string) => c.get(tensor).data;
  const steps = wanted('timesteps').length;
  const listed = set_timesteps.timesteps ?? set_timesteps.timesteps_assigned;
  const scheduler = makeScheduler(solvers[of], steps, {
    spacing: config.timestep_spacing,
    prediction: config.prediction_type,
    karras: config.use_karras_sigmas,
    ...(listed && { timesteps: listed }),
    ...(set_timesteps.sigmas && { sigmas: set_timesteps.sigmas }),
  });
  // Kept in float32 there. Those that come of a σ, by its logarithm, differ in the last bit between libraries.
  const timesteps = scheduler.timesteps.map(Math.fround);
  const exact = listed !== undefined || wanted('timesteps').every(Number.isInteger);
  const out: Comparison[] = [
    compare('timesteps', timesteps, wanted('timesteps'), exact ? {} : { relative: 1e-6 }),
    compare('init_noise_sigma', [scheduler.initNoiseSigma], wanted('init_noise_sigma'), { relative: 1e-6 }),
  ];
  if (c.has('sigmas')) out.push(compare('sigmas', scheduler.sigmas, wanted('sigmas'), { relative: 1e-6 }));
  if (c.has('alphas_cumprod'))
    out.push(compare('alphas_cumprod', alphasCumprod, wanted('alphas_cumprod'), {}));
  if (ays.ays_anchors && ays.ays_timesteps_float) {
    const between = logLinear(ays.ays_anchors, steps);
    out.push(compare('ays_timesteps_float', between, ays.ays_timesteps_float, { relative: 1e-12 }));
    if (ays.ays_timesteps_int)
      out.push(compare('ays_timesteps_int', between.map(roundHalfEven), ays.ays_timesteps_int, {}));
  }
  return [...out, addNoise(c, scheduler), ...trajectory(c, scheduler, toy)];
};

/** With one timestep for each picture of the batch. */
function addNoise(c: GoldenCase, scheduler: Scheduler): Comparison {
  const part = (tensor: string, n: number, of: number) => {
    const { data } = c.get(tensor);
    return Float32Array.from(data.subarray((n * data.length) / of, ((n + 1) * data.length) / of));
  };
  const timesteps = [...c.get('add_noise_timesteps').data];
  const got = timesteps.flatMap((timestep, n) => {
    const matches = scheduler.timesteps.flatMap((t, i) =>
      Math.abs(t - timestep) <= 1e-6 * timestep ? [i] : [],
    );
    // diffusers takes the second of equal timesteps, so that a run begun in the middle leaves none out.
    const index = matches[1] ?? matches[0] ?? Number.NaN;
    const count = timesteps.length;
    return [...scheduler.addNoise(part('add_noise_x0', n, count), part('add_noise_noise', n, count), index)];
  });
  return compare('add_noise_out', got, c.get('add_noise_out').data, CLOSE);
}

function trajectory(
  c: GoldenCase,
  scheduler: Scheduler,
  toy: { a: number; b: number; d: number },
): Comparison[] {
  let x = Float32Array.from(c.get('x_init').data);
  const size = x.length;
  const noises = c.has('step_noise') ? c.get('step_noise').data : undefined;
  let draws = 0;
  const noise = () => {
    const from = size * draws++;
    if (!noises || from + size > noises.length)
      throw new Error('The scheduler draws more noise than the reference');
    return Float32Array.from(noises.subarray(from, from + size));
  };
  const inputs: number[] = [];
  const cleans: number[] = [];
  const samples: number[] = [];
  const timesteps = c.get('timesteps').data;
  for (let i = 0; i < timesteps.length; i++) {
    const input = scheduler.scaleInput(x, i);
    const output = input.map((v, k) => toy.a * v + toy.b * Math.sin(timesteps[i]! / toy.d + k));
    inputs.push(...input);
    cleans.push(...scheduler.predictClean(output, i, x));
    x = Float32Array.from(scheduler.step(output, i, x, noise));
    samples.push(...x);
  }
  const initial = c.get('initial_noise').data.map((n) => n * scheduler.initNoiseSigma);
  const compared = [
    compare('x_init', initial, c.get('x_init').data, CLOSE),
    compare('model_input_f32', inputs, c.get('model_input_f32').data, CLOSE),
    compare('prev_sample_f32', samples, c.get('prev_sample_f32').data, CLOSE),
    compare('prev_sample_f64', samples, c.get('prev_sample_f64').data, CLOSE),
    compare('step_noise draws', [draws * size], [noises?.length ?? 0], {}),
  ];
  return c.has('pred_original_f32')
    ? [...compared, compare('pred_original_f32', cleans, c.get('pred_original_f32').data, CLOSE)]
    : compared;
}
