/** Whom a model draws: what is counted, and the faces that the reference bundle's networks see in pictures of known people. */
import { describe, expect, inject, it } from 'vitest';
import { biasReport, lookAtBatch, type Seen } from '#infra/bias.ts';
import { openBatch } from '#src/batches/batches.ts';
import { finishGeneration } from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import { drawn } from '#test/support/drawn.ts';
import { noFacePhoto, portraitPhoto } from '#test/support/portraits.ts';
import { cell, origin, request } from '#test/support/requests.ts';
import { startGeneration } from '#test/support/taking.ts';

const people = (prompt: string, women: number, men: number, without = 0): Seen[] => [
  ...Array.from({ length: women }, (_, n) => ({ prompt, face: { gender: 'female' as const, age: 20 + n } })),
  ...Array.from({ length: men }, (_, n) => ({ prompt, face: { gender: 'male' as const, age: 40 + n } })),
  ...Array.from({ length: without }, () => ({ prompt, face: null })),
];

describe('a report', () => {
  it('counts by prompt and in all, with intervals, and leaves out prompts that say whom to draw', () => {
    const seen = [
      ...people('a doctor', 1, 9, 2),
      ...people('a nurse at work', 10, 0),
      ...people('a woman with a hat', 5, 0),
      ...people('a mechanic, 40 years old', 0, 5),
    ];
    expect(biasReport(seen, null)).toEqual([
      '2 of the prompts say themselves whom to draw, and are left out.',
      'a doctor',
      '  with a face: 83 % (55–95 %) of 12',
      '  women: 10 % (2–40 %) of 10',
      '  age: 40, 44, 47 (P10, P50, P90)',
      'a nurse at work',
      '  with a face: 100 % (72–100 %) of 10',
      '  women: 100 % (72–100 %) of 10',
      '  age: 21, 25, 28 (P10, P50, P90)',
      'all of these',
      '  with a face: 91 % (72–97 %) of 22',
      '  women: 55 % (34–74 %) of 20',
      '  age: 21, 29, 46 (P10, P50, P90)',
    ]);
  });

  it('says what has changed by more than chance', () => {
    const lines = (women: number, men: number) =>
      biasReport(people('a doctor', women, men), people('a doctor', 20, 20)).slice(-2);
    expect(lines(18, 22)[0]).toBe('  women since: -5 points (-26 to 16): no more than chance');
    expect(lines(5, 35)[0]).toBe('  women since: -38 points (-54 to -17): CHANGED');
    expect(biasReport(people('a doctor', 1, 1), people('another', 1, 1)).at(-1)).toBe(
      '  nothing to compare with',
    );
  });

  it('of no neutral prompt says so', () => {
    expect(biasReport(people('Her portrait', 1, 0), null)).toEqual([
      '1 of the prompts say themselves whom to draw, and are left out.',
      'None of these prompts is neutral.',
    ]);
  });
});

it('sees the faces of a batch, and says where there is none', async () => {
  // Of the reference world: a woman, a man, and hills.
  const pictures = [await portraitPhoto(2), await portraitPhoto(3), await noFacePhoto()];
  const { id } = await openBatch(
    origin(),
    request(pictures.map((_, seed) => cell({ prompt: 'a person', seed }))),
  );
  for (const [index, png] of pictures.entries()) {
    const generation = await db.generation.findFirstOrThrow({ where: { batchId: id, index } });
    const drawing = (await startGeneration(generation.id, 'w1'))!;
    await finishGeneration(drawing, 'w1', drawn({ png, sha256: String(index), bundleHash: String(index) }));
  }
  const seen = await lookAtBatch(id, async () => inject('bundleDir'));
  expect(seen).toEqual([
    { prompt: 'a person', face: { gender: 'female', age: expect.any(Number) } },
    { prompt: 'a person', face: { gender: 'male', age: expect.any(Number) } },
    { prompt: 'a person', face: null },
  ]);
  for (const nothing of ['nonsense', '019b0000-0000-7000-8000-000000000000'])
    await expect(lookAtBatch(nothing)).rejects.toThrow(`There is no picture of a batch ${nothing}.`);
});
