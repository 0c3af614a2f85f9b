import { describe, expect, it } from 'vitest';
import { schedulerNames } from '#pipelines/choices.ts';
import {
  aysSigmas,
  makeScheduler,
  type SchedulerName,
  type SchedulerOptions,
  timestepOf,
} from '#pipelines/schedulers.ts';
import { distance } from '../support/golden.ts';

// diffusers' own trajectories are compared case by case in test/golden.test.ts.
const none = () => new Float32Array(4);

/** The toy network of the recorded runs: half of its input, and a bit. */
const toy = (x: Float32Array) => x.map((v) => 0.5 * v + 0.1);

function run(name: SchedulerName, steps: number, options: SchedulerOptions, begin: number, x: Float32Array) {
  const scheduler = makeScheduler(name, steps, options);
  for (let i = begin; i < steps; i++) x = scheduler.step(toy(scheduler.scaleInput(x, i)), i, x, none);
  return x;
}

describe('a run that begins inside', () => {
  const x0 = Float32Array.of(1, -0.5, 0.25, 2);
  const noise = Float32Array.of(0.5, -1, 1.5, -0.25);

  // diffusers@58eb52c, 20 steps, strength 0.6: first timestep, noised picture, result.
  it.each<[SchedulerName, number, number[], number[]]>([
    [
      'euler',
      551,
      [1.9617221, -2.4234443, 3.1351664, 1.5191389],
      [0.836807, -1.3367403, 1.4184356, 0.61743677],
    ],
    [
      'dpmpp_2m_karras',
      561,
      [0.8956482, -1.1180322, 1.452627, 0.6742828],
      [0.83638054, -1.3461474, 1.4400624, 0.59645385],
    ],
    [
      'ddim',
      551,
      [0.90490985, -1.1178945, 1.4462001, 0.70075357],
      [0.8518732, -1.3530751, 1.4419044, 0.6293337],
    ],
    [
      'unipc',
      565,
      [0.891896, -1.1180261, 1.4551172, 0.6636619],
      [0.83112687, -1.3498793, 1.4422892, 0.58346564],
    ],
  ])('is diffusers’ image to image: %s', (name, first, noised, result) => {
    const scheduler = makeScheduler(name, 20, { spacing: 'leading' });
    expect(scheduler.timesteps[8]).toBe(first);
    const x = scheduler.addNoise(x0, noise, 8);
    expect(distance(x, noised, true)).toBeLessThan(1e-6);
    expect(distance(run(name, 20, { spacing: 'leading' }, 8, x), result, true)).toBeLessThan(1e-5);
  });
});

describe('every scheduler', () => {
  it.each(schedulerNames)('%s draws in one step, and in more than any schedule has', (name) => {
    for (const steps of [1, 2, 51, 150]) {
      const { timesteps, sigmas } = makeScheduler(name, steps);
      expect(timesteps).toHaveLength(steps);
      expect(sigmas).toHaveLength(steps + 1);
      expect(timesteps[0]).toBeCloseTo(999, 3);
      const out = run(name, steps, {}, 0, Float32Array.of(14, -14, 1, 0));
      expect(out.every(Number.isFinite)).toBe(true);
    }
  });

  it.each(schedulerNames)('%s takes any timesteps', (name) => {
    const timesteps = [990, 701.5, 333, 20];
    const scheduler = makeScheduler(name, 4, { timesteps });
    expect(scheduler.timesteps).toEqual(timesteps);
    expect(run(name, 4, { timesteps }, 0, Float32Array.of(1, 2, 3, 4)).every(Number.isFinite)).toBe(true);
  });

  it.each(schedulerNames)('%s moves alike by ε and by the v that says the same', (name) => {
    const steps = 6;
    const [byNoise, byV] = [
      makeScheduler(name, steps),
      makeScheduler(name, steps, { prediction: 'v_prediction' }),
    ];
    let x: Float32Array = Float32Array.of(1.5, -2, 0.3, 4);
    let y: Float32Array = x.slice();
    const noise = () => Float32Array.of(0.3, 0.2, -0.1, 0);
    for (let i = 0; i < steps; i++) {
      const sigma = byNoise.sigmas[i]!;
      const alpha = 1 / Math.hypot(sigma, 1);
      // v = α·ε − σ̃·x0 = (ε − σ̃·x)/α of variance-preserving latents x
      const isEuler = name.startsWith('euler');
      const preserved = (latents: Float32Array) => latents.map((v) => (isEuler ? v * alpha : v));
      const epsilon = toy(byNoise.scaleInput(x, i));
      const same = toy(byV.scaleInput(y, i));
      const v = preserved(y).map((value, k) => (same[k]! - sigma * alpha * value) / alpha);
      x = byNoise.step(epsilon, i, x, noise);
      y = byV.step(v, i, y, noise);
    }
    expect(distance(y, x, true)).toBeLessThan(1e-4);
  });
});

describe('tables', () => {
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
