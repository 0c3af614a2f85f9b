import { describe, expect, it } from 'vitest';
import { countCells, expandSweep } from '#src/sweeps/expand.ts';
import { checked, expanded, MINIMAL, refusal } from '#test/support/sweeps.ts';

describe('the cells of a sweep', () => {
  it('of the example in schema.ts are 96, first axis slowest and seeds fastest', async () => {
    const definition = await checked(`
name: strength against steps
prompts: [portrait of a woman in a garden, portrait of a man by the sea]
axes:
  detail_strength: 0.2, 0.4, .., 0.8
  steps: { from: 10, to: 30, step: 10 }
  scheduler: [ddim, euler]
seeds: [1, 2]
faces: [ada]
set: { guidance_scale: 6 }
`);
    expect(countCells(definition)).toBe(96n);
    const cells = expandSweep(definition);
    expect(cells).toHaveLength(96);
    expect(cells[0]).toEqual({
      coordinates: {
        detail_strength: '0.2',
        steps: '10',
        scheduler: 'ddim',
        prompt: '1: portrait of a woman in a garden',
        seed: '1',
      },
      parameters: { guidance_scale: 6, detail_strength: 0.2, steps: 10, scheduler: 'ddim' },
      prompt: 'portrait of a woman in a garden',
      seed: 1,
      faceName: 'ada',
    });
    expect(cells[1]?.seed).toBe(2);
    expect(cells.at(-1)?.parameters).toMatchObject({ detail_strength: 0.8, steps: 30, scheduler: 'euler' });
    expect(new Set(cells.map((cell) => JSON.stringify(cell))).size).toBe(96);
  });

  it('draws the same samples for the same random_seed, each once, also of 10¹² combinations', async () => {
    const text = (seed: number) => `${MINIMAL}method: random
samples: 50
random_seed: ${seed}
axes:
  detail_strength: { from: 0, to: 0.999, step: 0.001 }
  guidance_rescale: { from: 0, to: 0.999, step: 0.001 }
  weight: { from: 0, to: 0.999, step: 0.001 }
  guidance_scale: { from: 1, to: 10.99, step: 0.01 }`;
    const [one, again, other] = [await expanded(text(1)), await expanded(text(1)), await expanded(text(2))];
    expect(one).toEqual(again);
    expect(one).not.toEqual(other);
    expect(new Set(one.map(({ parameters }) => JSON.stringify(parameters))).size).toBe(50);
    for (const axis of ['detail_strength', 'guidance_scale'])
      expect(new Set(one.map(({ parameters }) => parameters[axis])).size).toBeGreaterThan(40);
  });

  it('takes all when more samples are asked than there are', async () => {
    expect(await expanded(`${MINIMAL}method: random\nsamples: 50\naxes: { steps: [1, 2, 3] }`)).toHaveLength(
      3,
    );
  });

  it('lists cells as they are written', async () => {
    const cells = await expanded(
      `${MINIMAL}method: list\ncells: [{ steps: 10 }, { scheduler: euler, steps: 5 }]`,
    );
    expect(cells.map(({ parameters }) => parameters)).toEqual([
      { steps: 10 },
      { scheduler: 'euler', steps: 5 },
    ]);
    expect(cells.map(({ coordinates }) => coordinates.cell)).toEqual([
      '1: steps 10',
      '2: scheduler euler, steps 5',
    ]);
  });

  it('is cut off by a limit of its own', async () => {
    expect(await expanded(`${MINIMAL}axes: { steps: "1, 2, .., 150" }\nseeds: 100\nlimit: 7`)).toHaveLength(
      7,
    );
  });
});

describe('too many pictures', () => {
  it('are counted without being made, and refused: 10¹²', async () => {
    const thousand = (from: number) => `{ from: ${from}, to: ${from + 0.999}, step: 0.001 }`;
    const definition = await checked(`${MINIMAL}axes:
  detail_strength: ${thousand(0)}
  guidance_rescale: ${thousand(0)}
  weight: ${thousand(0)}
  guidance_scale: ${thousand(1)}`);
    expect(countCells(definition)).toBe(10n ** 12n);
    expect(() => expandSweep(definition)).toThrow(
      expect.objectContaining({
        userMessage: expect.stringContaining('1,000,000,000,000 pictures, and 400 is the most'),
      }),
    );
  });

  it('are refused as well when the limit asked for is over the one for all', async () => {
    const { code, says } = await refusal(expanded(`${MINIMAL}seeds: 401\nlimit: 100000`));
    expect(code).toBe('batch_limit');
    expect(says).toContain('401 pictures, and 400 is the most');
  });
});
