/**
 * SDXL's schedulers: which timesteps, and how one step of the network moves the latents.
 *
 * σ is the noise level of x = x0 + σ·n; ᾱ = 1/(σ² + 1) the same in the variance-preserving form x = √ᾱ·x0 + √(1−ᾱ)·n.
 * `x` and `ε` are whole latents, float32; coefficients are double and rounded once, at the store.
 *
 * Sources: Karras et al. 2022 (arXiv:2206.00364); Song et al. 2021 (DDIM, 2010.02502); Lu et al. 2022 (DPM-Solver++, 2211.01095);
 * Zhao et al. 2023 (UniPC, 2302.04867); Luo et al. 2023 (LCM, 2310.04378); Sabour et al. 2024 (Align Your Steps, 2404.14507).
 * Ported formulas: huggingface/diffusers@58eb52c `src/diffusers/schedulers/scheduling_{ddim,euler_discrete,
 * euler_ancestral_discrete,dpmsolver_multistep,unipc_multistep,lcm}.py`.
 * Checked by: test/pipelines/schedulers.test.ts.
 */
import { combine, roundHalfEven } from './tensor.ts';

export const schedulerNames = [
  'ddim',
  'euler',
  'euler_a',
  'dpmpp_2m',
  'dpmpp_2m_karras',
  'unipc',
  'lcm',
] as const;
export type SchedulerName = (typeof schedulerNames)[number];

/** `ays`: Align Your Steps, log-linear between its 11 noise levels. The others are diffusers' `timestep_spacing`. */
export type Spacing = 'ays' | 'leading' | 'trailing' | 'linspace';

export interface Scheduler {
  /** What the network is told, falling; may be fractional. */
  readonly timesteps: readonly number[];
  /** Noise level before each step, and after the last. */
  readonly sigmas: readonly number[];
  /** What pure normals are multiplied with to be the first latents. */
  readonly initNoiseSigma: number;
  /** The network's input at step i. */
  scaleInput(x: Float32Array, i: number): Float32Array;
  /** x0 with the noise of step i. */
  addNoise(x0: Float32Array, noise: Float32Array, i: number): Float32Array;
  /**
   * Latents after step i. Steps are taken in order, from any first one; solvers with a memory begin it there.
   * `noise` is asked for fresh normals by those that add some.
   */
  step(epsilon: Float32Array, i: number, x: Float32Array, noise: () => Float32Array): Float32Array;
}

const TRAINING_STEPS = 1000;
const BETA_START = 0.00085;
const BETA_END = 0.012;
/** of SDXL's scheduler_config.json */
const STEPS_OFFSET = 1;
const KARRAS_RHO = 7;
/** Of Align Your Steps for SDXL, exact: comfyanonymous/ComfyUI `comfy_extras/nodes_align_your_steps.py`. */
const AYS_SIGMAS = [
  14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141, 0.5550693289,
  0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582,
];

/** ᾱ of each training step, [1000]: torch's float32 recipe, products kept in double. */
export const alphasCumprod: Float64Array = (() => {
  const fr = Math.fround;
  const s = fr(Math.sqrt(BETA_START));
  const e = fr(Math.sqrt(BETA_END));
  const step = fr(fr(e - s) / (TRAINING_STEPS - 1));
  const out = new Float64Array(TRAINING_STEPS);
  let product = 1;
  for (let i = 0; i < TRAINING_STEPS; i++) {
    // torch's linspace works from both ends.
    const x = i < TRAINING_STEPS / 2 ? fr(s + step * i) : fr(e - step * (TRAINING_STEPS - 1 - i));
    product *= fr(1 - fr(x * x));
    out[i] = fr(product);
  }
  return out;
})();

const trainingSigmas = alphasCumprod.map((a) => Math.sqrt((1 - a) / a));
const logSigmas = trainingSigmas.map(Math.log);

/** σ at a timestep, linear between the training steps. */
export function sigmaAt(timestep: number): number {
  const low = Math.min(Math.max(Math.floor(timestep), 0), TRAINING_STEPS - 1);
  const high = Math.min(low + 1, TRAINING_STEPS - 1);
  const w = Math.min(Math.max(timestep - low, 0), 1);
  return trainingSigmas[low]! * (1 - w) + trainingSigmas[high]! * w;
}

/** The timestep of a σ, piecewise linear in ln σ. */
export function timestepOf(sigma: number): number {
  const log = Math.log(Math.max(sigma, 1e-10));
  let low = 0;
  while (low < TRAINING_STEPS - 2 && logSigmas[low + 1]! <= log) low++;
  const w = Math.min(Math.max((logSigmas[low]! - log) / (logSigmas[low]! - logSigmas[low + 1]!), 0), 1);
  return (1 - w) * low + w * (low + 1);
}

/** N noise levels and a last 0: log-linear between Align Your Steps' eleven. */
export function aysSigmas(steps: number): number[] {
  const last = AYS_SIGMAS.length - 1;
  const levels = Array.from({ length: steps }, (_, k) => {
    const at = (k * last) / steps;
    const low = Math.min(Math.floor(at), last - 1);
    const [a, b] = [Math.log(AYS_SIGMAS[low]!), Math.log(AYS_SIGMAS[low + 1]!)];
    return Math.exp(a + (b - a) * (at - low));
  });
  return [...levels, 0];
}

/** Karras et al. eq. 5. */
export function karrasSigmas(steps: number, sigmaMin: number, sigmaMax: number): number[] {
  const [low, high] = [sigmaMin ** (1 / KARRAS_RHO), sigmaMax ** (1 / KARRAS_RHO)];
  return Array.from(
    { length: steps },
    (_, k) => (high + (steps > 1 ? k / (steps - 1) : 0) * (low - high)) ** KARRAS_RHO,
  );
}

export interface SchedulerOptions {
  readonly spacing?: Spacing;
  /** A schedule of one's own: falling, without the last 0. */
  readonly timesteps?: readonly number[];
}

/** @param steps network calls, ≥ 1 */
export function makeScheduler(name: SchedulerName, steps: number, options: SchedulerOptions = {}): Scheduler {
  const { spacing = 'ays' } = options;
  if (name === 'lcm') return lcm(steps);
  const multistep = name.startsWith('dpmpp') || name === 'unipc';

  let timesteps: number[];
  let sigmas: number[];
  if (options.timesteps) {
    timesteps = [...options.timesteps];
    sigmas = [...timesteps.map(sigmaAt), 0];
  } else if (spacing === 'ays') {
    sigmas = aysSigmas(steps);
    timesteps = sigmas.slice(0, -1).map(timestepOf);
  } else {
    timesteps = spaced(spacing, steps, multistep, name === 'ddim');
    sigmas = [...timesteps.map(sigmaAt), 0];
  }
  if (name === 'dpmpp_2m_karras') {
    const levels = karrasSigmas(steps, trainingSigmas[0]!, trainingSigmas[TRAINING_STEPS - 1]!);
    sigmas = [...levels, 0];
    timesteps = levels.map((sigma) => roundHalfEven(timestepOf(sigma)));
  }

  switch (name) {
    case 'ddim':
      return ddim(
        timesteps,
        sigmas,
        options.timesteps || spacing === 'ays' ? null : Math.floor(TRAINING_STEPS / steps),
      );
    case 'euler':
    case 'euler_a':
      return euler(timesteps, sigmas, spacing, name === 'euler_a');
    case 'unipc':
      return unipc(timesteps, sigmas);
    default:
      return dpmpp2m(timesteps, sigmas);
  }
}

/** diffusers' `timestep_spacing`, offset included where it has one. */
function spaced(
  spacing: Exclude<Spacing, 'ays'>,
  steps: number,
  multistep: boolean,
  whole: boolean,
): number[] {
  const index = Array.from({ length: steps }, (_, i) => i);
  switch (spacing) {
    case 'leading': {
      const ratio = Math.floor(TRAINING_STEPS / (multistep ? steps + 1 : steps));
      return index.map((i) => (multistep ? steps - i : steps - 1 - i) * ratio + STEPS_OFFSET);
    }
    case 'trailing':
      return index.map((i) => roundHalfEven(TRAINING_STEPS - (i * TRAINING_STEPS) / steps) - 1);
    case 'linspace': {
      const points = multistep ? steps : steps - 1;
      const at = (i: number) => (points ? ((points - i) * (TRAINING_STEPS - 1)) / points : 0);
      return index.map((i) => (multistep || whole ? roundHalfEven(at(i)) : at(i)));
    }
  }
}

const alphaOf = (sigma: number) => 1 / Math.hypot(sigma, 1);

/** Latents are x0 + σn. */
function euler(timesteps: number[], sigmas: number[], spacing: Spacing, ancestral: boolean): Scheduler {
  const sigmaMax = Math.max(...sigmas);
  return {
    timesteps,
    sigmas,
    initNoiseSigma: spacing === 'linspace' || spacing === 'trailing' ? sigmaMax : Math.hypot(sigmaMax, 1),
    scaleInput: (x, i) => combine([alphaOf(sigmas[i]!), x]),
    addNoise: (x0, noise, i) => combine([1, x0], [sigmas[i]!, noise]),
    step(epsilon, i, x, noise) {
      const [sigma, next] = [sigmas[i]!, sigmas[i + 1]!];
      if (!ancestral) return combine([1, x], [next - sigma, epsilon]);
      const up = Math.sqrt((next ** 2 * (sigma ** 2 - next ** 2)) / sigma ** 2);
      const down = Math.sqrt(next ** 2 - up ** 2);
      // Drawn at the last step too, where it counts nothing: a recorded stream of noise has it.
      return combine([1, x], [down - sigma, epsilon], [up, noise()]);
    },
  };
}

/** Latents are √ᾱ·x0 + √(1−ᾱ)·n, as for all below. @param stride training steps between two; null: to the next listed */
function ddim(timesteps: number[], sigmas: number[], stride: number | null): Scheduler {
  const alphaBar = sigmas.slice(0, -1).map((sigma) => 1 / (sigma ** 2 + 1));
  // `set_alpha_to_one` is false: the last step ends at the first training step's noise, not at none.
  const final = alphasCumprod[0]!;
  const after = (i: number) => {
    if (stride === null) return alphaBar[i + 1] ?? final;
    const previous = timesteps[i]! - stride;
    return previous < 0 ? final : alphasCumprod[previous]!;
  };
  return {
    timesteps,
    sigmas,
    initNoiseSigma: 1,
    scaleInput: (x) => x,
    addNoise: (x0, noise, i) => combine([Math.sqrt(alphaBar[i]!), x0], [Math.sqrt(1 - alphaBar[i]!), noise]),
    step(epsilon, i, x) {
      const [now, next] = [alphaBar[i]!, after(i)];
      const ratio = Math.sqrt(next / now);
      return combine([ratio, x], [Math.sqrt(1 - next) - ratio * Math.sqrt(1 - now), epsilon]);
    },
  };
}

/** DPM-Solver++(2M), midpoint; algorithm 2 of its paper. */
function dpmpp2m(timesteps: number[], sigmas: number[]): Scheduler {
  const n = timesteps.length;
  const lambda = (i: number) => -Math.log(sigmas[i]!);
  let last: { x0: Float32Array; i: number } | undefined;
  return {
    ...variancePreserving(timesteps, sigmas),
    step(epsilon, i, x) {
      const x0 = cleanOf(x, epsilon, sigmas[i]!);
      const before = last && last.i === i - 1 ? last.x0 : undefined;
      last = { x0, i };
      const next = sigmas[i + 1]!;
      if (next === 0) return x0;

      const h = lambda(i + 1) - lambda(i);
      const ratio = (next * alphaOf(next)) / (sigmas[i]! * alphaOf(sigmas[i]!));
      const pull = -alphaOf(next) * Math.expm1(-h);
      if (!before || (i === n - 1 && n < 15)) return combine([ratio, x], [pull, x0]);
      const c = h / (2 * (lambda(i) - lambda(i - 1)));
      return combine([ratio, x], [pull * (1 + c), x0], [-pull * c, before]);
    },
  };
}

/** UniPC, order 2, B(h) = e^h − 1, predicting x0. Corrects the last step with what the network says after it. */
function unipc(timesteps: number[], sigmas: number[]): Scheduler {
  const n = timesteps.length;
  const lambda = (i: number) => (sigmas[i] === 0 ? Number.POSITIVE_INFINITY : -Math.log(sigmas[i]!));
  let first = -1;
  /** of the last steps, newest last */
  let history: Float32Array[] = [];
  let lastX: Float32Array | undefined;
  let lastOrder = 1;
  let at = Number.NaN;
  return {
    ...variancePreserving(timesteps, sigmas),
    step(epsilon, i, x) {
      if (i !== at) {
        first = i;
        history = [];
        lastX = undefined;
      }
      at = i + 1;
      const x0 = cleanOf(x, epsilon, sigmas[i]!);

      let corrected = x;
      const m0 = history.at(-1);
      if (lastX && m0) {
        const h = lambda(i) - lambda(i - 1);
        const p = Math.expm1(-h);
        const ratio = vpSigma(sigmas[i]!) / vpSigma(sigmas[i - 1]!);
        const alpha = alphaOf(sigmas[i]!);
        const m1 = history.at(-2);
        if (lastOrder === 1 || !m1) {
          corrected = combine([ratio, lastX], [-alpha * p * (1 - 0.5), m0], [-alpha * p * 0.5, x0]);
        } else {
          const rk = (lambda(i - 2) - lambda(i - 1)) / h;
          const b1 = (p / -h - 1) / p;
          const b2 = (2 * ((p / -h - 1) / -h - 0.5)) / p;
          // ρ0 + ρ1 = b1 and rk·ρ0 + ρ1 = b2
          const rho0 = (b2 - b1) / (rk - 1);
          const rho1 = b1 - rho0;
          const d = rho0 / rk;
          corrected = combine(
            [ratio, lastX],
            [-alpha * p * (1 - d - rho1), m0],
            [-alpha * p * d, m1],
            [-alpha * p * rho1, x0],
          );
        }
      }
      const order = Math.min(2, n - i, i - first + 1);
      const before = history.at(-1);
      history = [...history.slice(-1), x0];
      lastX = corrected;
      lastOrder = order;

      const next = sigmas[i + 1]!;
      if (next === 0) return x0;
      const h = lambda(i + 1) - lambda(i);
      const p = Math.expm1(-h);
      const ratio = vpSigma(next) / vpSigma(sigmas[i]!);
      const alpha = alphaOf(next);
      if (order === 1 || !before) return combine([ratio, corrected], [-alpha * p, x0]);
      const rk = (lambda(i - 1) - lambda(i)) / h;
      return combine(
        [ratio, corrected],
        [-alpha * p * (1 - 0.5 / rk), x0],
        [-alpha * p * (0.5 / rk), before],
      );
    },
  };
}

/** Latent consistency models: jumps to x0 and back to the next noise level. */
function lcm(steps: number): Scheduler {
  const origin = Array.from({ length: 50 }, (_, i) => 20 * (i + 1) - 1).reverse();
  const timesteps = Array.from({ length: steps }, (_, i) => origin[Math.floor((i * origin.length) / steps)]!);
  const sigmas = [...timesteps.map(sigmaAt), 0];
  return {
    ...variancePreserving(timesteps, sigmas),
    step(epsilon, i, x, noise) {
      const t = 10 * timesteps[i]!;
      const skip = 0.25 / (t ** 2 + 0.25);
      const out = t / Math.sqrt(t ** 2 + 0.25);
      const denoised = combine([out, cleanOf(x, epsilon, sigmas[i]!)], [skip, x]);
      const next = sigmas[i + 1]!;
      return next === 0 ? denoised : combine([alphaOf(next), denoised], [vpSigma(next), noise()]);
    },
  };
}

const vpSigma = (sigma: number) => sigma * alphaOf(sigma);

/** x0 from variance-preserving latents. */
function cleanOf(x: Float32Array, epsilon: Float32Array, sigma: number): Float32Array {
  return combine([1 / alphaOf(sigma), x], [-sigma, epsilon]);
}

function variancePreserving(timesteps: number[], sigmas: number[]) {
  return {
    timesteps,
    sigmas,
    initNoiseSigma: 1,
    scaleInput: (x: Float32Array) => x,
    addNoise: (x0: Float32Array, noise: Float32Array, i: number) =>
      combine([alphaOf(sigmas[i]!), x0], [vpSigma(sigmas[i]!), noise]),
  };
}
