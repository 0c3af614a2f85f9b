import { describe, expect, it } from 'vitest';
import { schedulerNames } from '#pipelines/choices.ts';
import { makeScheduler } from '#pipelines/schedulers.ts';
import { type TextConditioning, timeIds } from '#pipelines/sdxl/conditioning.ts';
import { beginOf, denoise, type Guidance, type Noisy } from '#pipelines/sdxl/denoise.ts';
import type { Session } from '#pipelines/session.ts';
import { distance } from '../../support/golden.ts';

// Whole runs are compared with diffusers' in test/golden.test.ts.
const text = (value: number): TextConditioning => ({
  context: new Float32Array(77).fill(value),
  tokens: 77,
  pooled: new Float32Array(1),
});
/** A network that answers with a value for each picture: the first of its prompt's. */
const byPrompt = (batches: number[] = []): Session => ({
  inputs: [],
  outputs: [],
  async run({ sample, encoder_hidden_states }) {
    const [count = 0, , h = 0, w = 0] = sample!.shape;
    batches.push(count);
    const context = encoder_hidden_states!.data as Float32Array;
    const size = 4 * h * w;
    const data = Float32Array.from(
      { length: count * size },
      (_, i) => context[Math.floor(i / size) * 77]! * Math.sin(1 + (i % size)),
    );
    return { out_sample: { type: 'float32', data, shape: sample!.shape } };
  },
});
const [height, width] = [2, 3];
const size = 4 * height * width;
const options = { timeIds: timeIds(16, 24), height, width };
const noisy = (more: Partial<Noisy> & Pick<Noisy, 'scheduler'>): Noisy => ({
  x: new Float32Array(size),
  guidance: { scale: 1 },
  positive: () => text(1),
  negative: text(0),
  stepNoise: () => new Float32Array(size),
  ...more,
});

describe('guidance', () => {
  /** What one step's network answers became: with one Euler step, (x − result)/σ. */
  async function outputsOf(...pictures: Omit<Partial<Noisy>, 'scheduler'>[]) {
    const all = pictures.map((more) => noisy({ ...more, scheduler: makeScheduler('euler', 1) }));
    const out = await denoise(byPrompt(), all, options);
    return out.map((one, n) => one!.map((v) => -v / all[n]!.scheduler.sigmas[0]!));
  }
  const base = Float32Array.from({ length: size }, (_, i) => Math.sin(1 + i));

  it('is uncond + scale · (cond − uncond), each picture by its own scale', async () => {
    const picture = (scale: number, positive: number, negative: number) => ({
      guidance: { scale },
      positive: () => text(positive),
      negative: text(negative),
    });
    const out = await outputsOf(picture(7.5, 1, 0.5), picture(1, 4, 9), picture(3, 2, 1));
    for (const [n, factor] of [0.5 + 7.5 * 0.5, 4, 1 + 3 * 1].entries()) {
      const wanted = base.map((v) => factor * v);
      expect(distance(out[n]!, wanted, true)).toBeLessThan(1e-6);
    }
  });

  it('gets the spread of the conditional prediction back by rescale', async () => {
    // cond and guided are multiples of one another: a full rescale gives cond itself, half of it the middle.
    const guidance = (rescale: number): Guidance => ({ scale: 5, rescale });
    const [full, half] = await outputsOf({ guidance: guidance(1) }, { guidance: guidance(0.5) });
    expect(distance(full!, base, true)).toBeLessThan(1e-6);
    expect(
      distance(
        half!,
        base.map((v) => 3 * v),
        true,
      ),
    ).toBeLessThan(1e-6);
  });

  it.each([
    ['conditional', 1],
    ['unconditional', 0.5],
  ] as const)(
    'is off in the last fifth of the steps, and its other half not computed: %s',
    async (cutoff, kept) => {
      const batches: number[] = [];
      const outputs: number[] = [];
      const scheduler = makeScheduler('euler', 10);
      const watched: Noisy['scheduler'] = {
        ...scheduler,
        step(output, i, x, noise) {
          outputs.push(output[0]! / base[0]!);
          return scheduler.step(output, i, x, noise);
        },
      };
      const picture = noisy({ scheduler: watched, guidance: { scale: 3, cutoff }, negative: text(0.5) });
      await denoise(byPrompt(batches), [picture], options);
      expect(batches).toEqual([2, 2, 2, 2, 2, 2, 2, 2, 1, 1]);
      expect(outputs.map((v) => Math.round(v * 1e4) / 1e4)).toEqual([...Array(8).fill(2), kept, kept]);
    },
  );
});

describe('what is kept', () => {
  it.each(schedulerNames)(
    'ends as it was, exactly, where the change is 0, in each picture: %s',
    async (name) => {
      const hostile: Session = {
        inputs: [],
        outputs: [],
        run: async ({ sample }) => ({
          out_sample: {
            ...sample!,
            data: Float32Array.from(sample!.data as Float32Array, (v) => 0.3 * v - 2),
          },
        }),
      };
      const part = (x: Float32Array, n: number) => x.slice((n * x.length) / 2, ((n + 1) * x.length) / 2);
      const clean = Float32Array.from({ length: 2 * size }, (_, i) => Math.sin(i));
      const noise = Float32Array.from({ length: 2 * size }, (_, i) => Math.cos(i * 3));
      const change = Float32Array.of(0, 0.3, 1, 0, 0.7, 0, /* the second picture */ 1, 0, 0, 0.2, 0, 1);
      const begin = beginOf(12, 0.6);
      const pictures = [4, 2].map((scale, n) => {
        const scheduler = makeScheduler(name, 12);
        const kept = { latents: part(clean, n), change: part(change, n), noise: part(noise, n) };
        return noisy({
          scheduler,
          x: scheduler.addNoise(kept.latents, kept.noise, begin),
          guidance: { scale },
          keep: { ...kept, thresholds: 'exact' },
          stepNoise: () => kept.noise,
        });
      });
      const out = await denoise(hostile, pictures, { ...options, begin });
      for (const [at, share] of change.entries()) {
        const [n, cell] = [Math.floor(at / 6), at % 6];
        for (let c = 0; c < 4; c++) {
          const i = c * 6 + cell;
          if (share === 0) expect(out[n]![i]).toBe(clean[n * size + i]);
          else expect(out[n]![i]).not.toBe(clean[n * size + i]);
        }
      }
    },
  );
});

describe('a picture', () => {
  it.each(schedulerNames)(
    'leaves before its next step when it is told to, and the others become what they are alone: %s',
    async (name) => {
      const abort = new AbortController();
      const batches: number[] = [];
      const steps = { first: 0, leaving: 0 };
      const start = (n: number) => Float32Array.from({ length: size }, (_, i) => Math.sin(i + n));
      /** The first of them is guided, the last one is not. */
      const picture = (n: number, more: Partial<Noisy> = {}) =>
        noisy({
          scheduler: makeScheduler(name, 9),
          x: start(n),
          guidance: { scale: [3, 2, 1][n]! },
          positive: () => text(1 + n),
          negative: text(0.5),
          stepNoise: () => start(n + 3),
          ...more,
        });
      const out = await denoise(
        byPrompt(batches),
        [
          picture(0, {
            onStep(step) {
              steps.first = step;
            },
          }),
          picture(1, {
            signal: abort.signal,
            onStep(step) {
              steps.leaving = step;
              if (step === 3) abort.abort();
            },
          }),
          picture(2),
        ],
        options,
      );
      expect(steps).toEqual({ first: 9, leaving: 3 });
      expect(batches).toEqual([5, 5, 5, 3, 3, 3, 3, 3, 2]);
      expect(out[1]).toBeNull();
      for (const n of [0, 2]) expect(out[n]).toEqual((await denoise(byPrompt(), [picture(n)], options))[0]);
    },
  );

  it('that leaves alone ends the run', async () => {
    const batches: number[] = [];
    const picture = noisy({ scheduler: makeScheduler('euler', 9), signal: AbortSignal.abort() });
    expect(await denoise(byPrompt(batches), [picture], options)).toEqual([null]);
    expect(batches).toEqual([]);
  });

  it('is told after each step what it is taken for', async () => {
    const cleans: Float32Array[] = [];
    const picture = noisy({
      scheduler: makeScheduler('ddim', 4),
      onStep(_, clean) {
        cleans.push(clean());
      },
    });
    const [out] = await denoise(byPrompt(), [picture], options);
    expect(cleans).toHaveLength(4);
    // DDIM ends at the first training step's noise: x = √ᾱ·x0 + √(1−ᾱ)·ε.
    const epsilon = Float32Array.from({ length: size }, (_, i) => Math.sin(1 + i));
    const last = cleans[3]!.map((x0, i) => Math.sqrt(0.99915) * x0 + Math.sqrt(0.00085) * epsilon[i]!);
    expect(distance(out!, last, true)).toBeLessThan(1e-5);
  });
});
