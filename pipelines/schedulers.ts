/**
 * SDXL's schedulers: which timesteps, and how one step of the network moves the latents.
 *
 * σ is the noise level of x = x0 + σ·n; ᾱ = 1/(σ² + 1) the same in the variance-preserving form x = √ᾱ·x0 + √(1−ᾱ)·n, whose
 * √ᾱ is written α here and whose √(1−ᾱ) is written σ̃. `x` and the network's output are whole latents, float32; coefficients are
 * double and rounded once, at the store. Every step is linear in its latents, so each solver is the coefficients of one sum.
 *
 * Sources: Karras et al. 2022 (arXiv:2206.00364); Song et al. 2021 (DDIM, 2010.02502); Salimans & Ho 2022 (v, 2202.00512);
 * Lu et al. 2022 (DPM-Solver++, 2211.01095); Zhao et al. 2023 (UniPC, 2302.04867); Luo et al. 2023 (LCM, 2310.04378);
 * Sabour et al. 2024 (Align Your Steps, 2404.14507). Ported formulas: huggingface/diffusers@58eb52c
 * `src/diffusers/schedulers/scheduling_{ddim,euler_discrete,euler_ancestral_discrete,dpmsolver_multistep,unipc_multistep,lcm}.py`.
 * Checked by: test/golden-runs/schedulers.ts.
 */
import type { SchedulerName, Spacing } from './choices.ts';
import { combine, roundHalfEven } from './tensor.ts';

export type { SchedulerName, Spacing } from './choices.ts';

export type Solver = Exclude<SchedulerName, 'dpmpp_2m_karras'>;

/** What the network's output is: the noise ε, or v = α·ε − σ̃·x0. */
export type Prediction = 'epsilon' | 'v_prediction';

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
  /** x0 as the network's output at step i has it. */
  predictClean(output: Float32Array, i: number, x: Float32Array): Float32Array;
  /**
   * Latents after step i. Steps are taken in order, from any first one; solvers with a memory begin it there.
   * Schedulers that add noise ask `noise` for fresh normals.
   */
  step(output: Float32Array, i: number, x: Float32Array, noise: () => Float32Array): Float32Array;
}

export interface SchedulerOptions {
  readonly prediction?: Prediction;
  /** `ays` when left out */
  readonly spacing?: Spacing;
  /** Karras et al.'s noise levels, between the ends that the spacing gives (Euler) or the training has (DPM++) */
  readonly karras?: boolean;
  /** A schedule of one's own: falling, without the last 0. Only the spacing's initial noise is used then. */
  readonly timesteps?: readonly number[];
  /** The same by noise levels, with the last 0. */
  readonly sigmas?: readonly number[];
}

/** @param steps network calls, ≥ 1 */
export function makeScheduler(name: SchedulerName, steps: number, options: SchedulerOptions = {}): Scheduler {
  if (name === 'dpmpp_2m_karras') return makeScheduler('dpmpp_2m', steps, { ...options, karras: true });
  const levels = noiseLevels(name, steps, options);
  const { prediction = 'epsilon' } = options;
  switch (name) {
    case 'ddim':
      return ddim(levels, prediction);
    case 'euler':
    case 'euler_a':
      return euler(levels, prediction, options.spacing, name === 'euler_a');
    case 'dpmpp_2m':
      return dpmpp2m(levels, prediction);
    case 'unipc':
      return unipc(levels, prediction);
    case 'lcm':
      return lcm(levels, prediction);
  }
}

const TRAINING_STEPS = 1000;
const BETA_START = 0.00085;
const BETA_END = 0.012;
/** of SDXL's scheduler_config.json */
const STEPS_OFFSET = 1;
const KARRAS_RHO = 7;
/** Steps that latent consistency models are distilled from. */
const LCM_STEPS = 50;
/** Align Your Steps' noise levels for SDXL, exact: comfyanonymous/ComfyUI `comfy_extras/nodes_align_your_steps.py`. */
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

const trainingSigmas = alphasCumprod.map((a) => Math.fround(Math.sqrt(Math.fround(Math.fround(1 - a) / a))));
const logSigmas = trainingSigmas.map((sigma) => Math.fround(Math.log(sigma)));

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

/** `count` values from the first of `anchors` to the last, evenly between their logarithms. */
export function logLinear(anchors: readonly number[], count: number): number[] {
  const last = anchors.length - 1;
  return Array.from({ length: count }, (_, k) => {
    const at = count > 1 ? (k * last) / (count - 1) : 0;
    const low = Math.min(Math.floor(at), last - 1);
    const [a, b] = [Math.log(anchors[low]!), Math.log(anchors[low + 1]!)];
    return Math.exp(a + (b - a) * (at - low));
  });
}

/** N noise levels and a last 0: log-linear between Align Your Steps' eleven. */
export function aysSigmas(steps: number): number[] {
  return [...logLinear(AYS_SIGMAS, steps + 1).slice(0, steps), 0];
}

/** Karras et al. eq. 5. */
export function karrasSigmas(steps: number, sigmaMin: number, sigmaMax: number): number[] {
  const [low, high] = [sigmaMin ** (1 / KARRAS_RHO), sigmaMax ** (1 / KARRAS_RHO)];
  return Array.from(
    { length: steps },
    (_, k) => (high + (steps > 1 ? k / (steps - 1) : 0) * (low - high)) ** KARRAS_RHO,
  );
}

interface Levels {
  readonly timesteps: readonly number[];
  /** one more than timesteps; the last is 0 */
  readonly sigmas: readonly number[];
  /** training steps between two steps of the spacing; null where they are uneven */
  readonly stride: number | null;
}

function noiseLevels(
  solver: Solver,
  steps: number,
  { spacing = 'ays', karras, timesteps, sigmas }: SchedulerOptions,
): Levels {
  const multistep = solver === 'dpmpp_2m' || solver === 'unipc';
  const at = (listed: readonly number[], stride: number | null = null): Levels => ({
    timesteps: listed,
    sigmas: [...listed.map(sigmaAt), 0],
    stride,
  });
  const of = (levels: readonly number[]): Levels => ({
    timesteps: levels.slice(0, -1).map(timestepOf),
    sigmas: levels,
    stride: null,
  });

  if (timesteps) return at(timesteps);
  if (sigmas) return of(sigmas);
  if (solver === 'lcm') return at(lcmTimesteps(steps));
  if (karras) {
    if (multistep) {
      const levels = karrasSigmas(steps, trainingSigmas[0]!, trainingSigmas[TRAINING_STEPS - 1]!);
      return { ...of([...levels, 0]), timesteps: levels.map((sigma) => roundHalfEven(timestepOf(sigma))) };
    }
    const ends = noiseLevels(solver, steps, { spacing }).sigmas;
    return of([...karrasSigmas(steps, ends[steps - 1]!, ends[0]!), 0]);
  }
  if (spacing === 'ays') return of(aysSigmas(steps));
  return at(spaced(spacing, steps, multistep, solver === 'ddim'), Math.floor(TRAINING_STEPS / steps));
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

function lcmTimesteps(steps: number): number[] {
  // More steps than it was distilled from: evenly over the training.
  const origins = Math.max(LCM_STEPS, steps);
  const stride = TRAINING_STEPS / origins;
  return Array.from(
    { length: steps },
    (_, i) => Math.floor((origins - Math.floor((i * origins) / steps)) * stride) - 1,
  );
}

const alphaOf = (sigma: number) => 1 / Math.hypot(sigma, 1);
/** σ̃ */
const vpSigma = (sigma: number) => sigma * alphaOf(sigma);

/** x0 = a·x + b·output, of variance-preserving latents x. */
function cleanOf(sigma: number, prediction: Prediction): readonly [a: number, b: number] {
  return prediction === 'epsilon' ? [1 / alphaOf(sigma), -sigma] : [alphaOf(sigma), -vpSigma(sigma)];
}

/** Latents are x0 + σn. */
function euler(
  { timesteps, sigmas }: Levels,
  prediction: Prediction,
  spacing: Spacing | undefined,
  ancestral: boolean,
): Scheduler {
  const sigmaMax = Math.max(...sigmas);
  /** x0 = a·x + b·output */
  const clean = (sigma: number) => {
    const [a, b] = cleanOf(sigma, prediction);
    return [a * alphaOf(sigma), b] as const;
  };
  return {
    timesteps,
    sigmas,
    initNoiseSigma: spacing === 'linspace' || spacing === 'trailing' ? sigmaMax : Math.hypot(sigmaMax, 1),
    scaleInput: (x, i) => combine([alphaOf(sigmas[i]!), x]),
    addNoise: (x0, noise, i) => combine([1, x0], [sigmas[i]!, noise]),
    predictClean(output, i, x) {
      const [a, b] = clean(sigmas[i]!);
      return combine([a, x], [b, output]);
    },
    step(output, i, x, noise) {
      const [sigma, next] = [sigmas[i]!, sigmas[i + 1]!];
      const [a, b] = clean(sigma);
      // x + (x − x0)/σ·(to − σ)
      const towards = (to: number) =>
        [1 + ((1 - a) * (to - sigma)) / sigma, (-b * (to - sigma)) / sigma] as const;
      if (!ancestral) {
        const [kept, moved] = towards(next);
        return combine([kept, x], [moved, output]);
      }
      const up = Math.sqrt((next ** 2 * (sigma ** 2 - next ** 2)) / sigma ** 2);
      const [kept, moved] = towards(Math.sqrt(next ** 2 - up ** 2));
      // Drawn at the last step too, where it counts nothing: a recorded stream of noise has it.
      return combine([kept, x], [moved, output], [up, noise()]);
    },
  };
}

/** Latents are α·x0 + σ̃·n, as for all below. */
function ddim({ timesteps, sigmas, stride }: Levels, prediction: Prediction): Scheduler {
  const alphaBar = sigmas.slice(0, -1).map((sigma) => 1 / (sigma ** 2 + 1));
  // `set_alpha_to_one` is false: the last step ends at the first training step's noise, not at none.
  const final = alphasCumprod[0]!;
  const after = (i: number) => {
    if (stride === null) return alphaBar[i + 1] ?? final;
    const previous = timesteps[i]! - stride;
    return previous < 0 ? final : alphasCumprod[previous]!;
  };
  return {
    ...variancePreserving(timesteps, sigmas, prediction),
    step(output, i, x) {
      const next = after(i);
      const [a, b] = cleanOf(sigmas[i]!, prediction);
      // √ᾱ'·x0 + √(1−ᾱ')·ε, where ε = (x − α·x0)/σ̃
      const noise = Math.sqrt(1 - next) / vpSigma(sigmas[i]!);
      const clean = Math.sqrt(next) - noise * alphaOf(sigmas[i]!);
      return combine([clean * a + noise, x], [clean * b, output]);
    },
  };
}

/** DPM-Solver++(2M), midpoint; algorithm 2 of its paper. */
function dpmpp2m({ timesteps, sigmas }: Levels, prediction: Prediction): Scheduler {
  const n = timesteps.length;
  const lambda = (i: number) => -Math.log(sigmas[i]!);
  const parts = variancePreserving(timesteps, sigmas, prediction);
  let last: { x0: Float32Array; i: number } | undefined;
  return {
    ...parts,
    step(output, i, x) {
      const x0 = parts.predictClean(output, i, x);
      const before = last && last.i === i - 1 ? last.x0 : undefined;
      last = { x0, i };
      const next = sigmas[i + 1]!;
      if (next === 0) return x0;

      const h = lambda(i + 1) - lambda(i);
      const ratio = vpSigma(next) / vpSigma(sigmas[i]!);
      const pull = -alphaOf(next) * Math.expm1(-h);
      if (!before || (i === n - 1 && n < 15)) return combine([ratio, x], [pull, x0]);
      const c = h / (2 * (lambda(i) - lambda(i - 1)));
      return combine([ratio, x], [pull * (1 + c), x0], [-pull * c, before]);
    },
  };
}

/** UniPC, order 2, B(h) = e^h − 1, predicting x0. Corrects the last step with what the network says after it. */
function unipc({ timesteps, sigmas }: Levels, prediction: Prediction): Scheduler {
  const parts = variancePreserving(timesteps, sigmas, prediction);
  const n = timesteps.length;
  const lambda = (i: number) => (sigmas[i] === 0 ? Number.POSITIVE_INFINITY : -Math.log(sigmas[i]!));
  let first = -1;
  /** of the last steps, newest last */
  let history: Float32Array[] = [];
  let lastX: Float32Array | undefined;
  let lastOrder = 1;
  let at = Number.NaN;
  return {
    ...parts,
    step(output, i, x) {
      if (i !== at) {
        first = i;
        history = [];
        lastX = undefined;
      }
      at = i + 1;
      const x0 = parts.predictClean(output, i, x);

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
function lcm({ timesteps, sigmas }: Levels, prediction: Prediction): Scheduler {
  /** x0 = a·x + b·output, with the model's boundary condition at t = 0 */
  const clean = (i: number) => {
    const t = 10 * timesteps[i]!;
    const skip = 0.25 / (t ** 2 + 0.25);
    const out = t / Math.sqrt(t ** 2 + 0.25);
    const [a, b] = cleanOf(sigmas[i]!, prediction);
    return [out * a + skip, out * b] as const;
  };
  return {
    ...variancePreserving(timesteps, sigmas, prediction),
    predictClean(output, i, x) {
      const [a, b] = clean(i);
      return combine([a, x], [b, output]);
    },
    step(output, i, x, noise) {
      const next = sigmas[i + 1]!;
      const [a, b] = clean(i);
      if (next === 0) return combine([a, x], [b, output]);
      const alpha = alphaOf(next);
      return combine([alpha * a, x], [alpha * b, output], [vpSigma(next), noise()]);
    },
  };
}

function variancePreserving(timesteps: readonly number[], sigmas: readonly number[], prediction: Prediction) {
  return {
    timesteps,
    sigmas,
    initNoiseSigma: 1,
    scaleInput: (x: Float32Array) => x,
    addNoise: (x0: Float32Array, noise: Float32Array, i: number) =>
      combine([alphaOf(sigmas[i]!), x0], [vpSigma(sigmas[i]!), noise]),
    predictClean(output: Float32Array, i: number, x: Float32Array) {
      const [a, b] = cleanOf(sigmas[i]!, prediction);
      return combine([a, x], [b, output]);
    },
  };
}
