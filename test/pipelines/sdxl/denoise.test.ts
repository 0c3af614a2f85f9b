import { describe, expect, it } from 'vitest';
import { schedulerNames } from '#pipelines/choices.ts';
import { makeScheduler } from '#pipelines/schedulers.ts';
import { type TextConditioning, timeIds } from '#pipelines/sdxl/conditioning.ts';
import { beginOf, type DenoiseOptions, denoise } from '#pipelines/sdxl/denoise.ts';
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
const options = (more: Partial<DenoiseOptions>): DenoiseOptions => ({
  guidance: { scales: [1] },
  positive: () => [text(1)],
  negative: [text(0)],
  timeIds: timeIds(16, 24),
  height,
  width,
  stepNoise: () => new Float32Array(size),
  ...more,
});

describe('guidance', () => {
  /** What one step's network answers became: with one Euler step, (x − result)/σ. */
  async function outputOf(guidance: DenoiseOptions['guidance'], more: Partial<DenoiseOptions> = {}) {
    const scheduler = makeScheduler('euler', 1);
    const batch = guidance.scales.length;
    const out = await denoise(
      byPrompt(),
      scheduler,
      new Float32Array(batch * size),
      options({ guidance, ...more }),
    );
    return out.map((v) => -v / scheduler.sigmas[0]!);
  }
  const base = Float32Array.from({ length: size }, (_, i) => Math.sin(1 + i));

  it('is uncond + scale · (cond − uncond), each picture by its own scale', async () => {
    const out = await outputOf(
      { scales: [7.5, 1, 3] },
      { positive: () => [text(1), text(4), text(2)], negative: [text(0.5), text(9), text(1)] },
    );
    const factors = [0.5 + 7.5 * 0.5, 4, 1 + 3 * 1];
    const wanted = factors.flatMap((factor) => [...base.map((v) => factor * v)]);
    expect(distance(out, wanted, true)).toBeLessThan(1e-6);
  });

  it('gets the spread of the conditional prediction back by rescale', async () => {
    // cond and guided are multiples of one another: a full rescale gives cond itself, half of it the middle.
    const [full, half] = [
      await outputOf({ scales: [5], rescale: 1 }),
      await outputOf({ scales: [5], rescale: 0.5 }),
    ];
    expect(distance(full, base, true)).toBeLessThan(1e-6);
    expect(
      distance(
        half,
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
      await denoise(
        byPrompt(batches),
        {
          ...scheduler,
          step(output, i, x, noise) {
            outputs.push(output[0]! / base[0]!);
            return scheduler.step(output, i, x, noise);
          },
        },
        new Float32Array(size),
        options({ guidance: { scales: [3], cutoff }, negative: [text(0.5)] }),
      );
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
      const clean = Float32Array.from({ length: 2 * size }, (_, i) => Math.sin(i));
      const noise = Float32Array.from({ length: 2 * size }, (_, i) => Math.cos(i * 3));
      const change = Float32Array.of(0, 0.3, 1, 0, 0.7, 0, /* the second picture */ 1, 0, 0, 0.2, 0, 1);
      const scheduler = makeScheduler(name, 12);
      const begin = beginOf(12, 0.6);
      const out = await denoise(
        hostile,
        scheduler,
        scheduler.addNoise(clean, noise, begin),
        options({
          guidance: { scales: [4, 2] },
          positive: () => [text(1), text(1)],
          negative: [text(0), text(0)],
          begin,
          keep: { latents: clean, change, noise, thresholds: 'exact' },
          stepNoise: () => noise,
        }),
      );
      for (const [at, share] of change.entries()) {
        const [n, cell] = [Math.floor(at / 6), at % 6];
        for (let c = 0; c < 4; c++) {
          const i = n * size + c * 6 + cell;
          if (share === 0) expect(out[i]).toBe(clean[i]);
          else expect(out[i]).not.toBe(clean[i]);
        }
      }
    },
  );
});

describe('a run', () => {
  it('ends before its next step when it is told to, with the reason it was given', async () => {
    const abort = new AbortController();
    let steps = 0;
    const run = denoise(
      byPrompt(),
      makeScheduler('euler', 9),
      new Float32Array(size),
      options({
        signal: abort.signal,
        onStep(step) {
          steps = step;
          if (step === 3) abort.abort(new Error('enough'));
        },
      }),
    );
    await expect(run).rejects.toThrow('enough');
    expect(steps).toBe(3);
  });

  it('tells after each step what the result is taken for', async () => {
    const scheduler = makeScheduler('ddim', 4);
    const cleans: Float32Array[] = [];
    const out = await denoise(
      byPrompt(),
      scheduler,
      new Float32Array(size),
      options({
        onStep: (_, clean) => cleans.push(clean()),
      }),
    );
    expect(cleans).toHaveLength(4);
    // DDIM ends at the first training step's noise: x = √ᾱ·x0 + √(1−ᾱ)·ε.
    const epsilon = Float32Array.from({ length: size }, (_, i) => Math.sin(1 + i));
    const last = cleans[3]!.map((x0, i) => Math.sqrt(0.99915) * x0 + Math.sqrt(0.00085) * epsilon[i]!);
    expect(distance(out, last, true)).toBeLessThan(1e-5);
  });
});
