import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { config } from '#config/env.ts';
import { learnCost, worths } from '#src/backlog/costs.ts';
import { db } from '#src/doors/db.ts';

const usual = { width: 512, height: 640, steps: 40, face: false };
const withFace = { ...usual, steps: 60, face: true };
const msPerStep = 10;

// What was read counts for some seconds.
beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));
afterEach(() => void vi.useRealTimers());
let now = Date.now();
const later = () => {
  now += 60_000;
  vi.setSystemTime(now);
};

beforeEach(() => db.cost.deleteMany());

async function measure(picture: typeof usual, ms: number, times: number): Promise<void> {
  for (let i = 0; i < times; i++) await learnCost(config.bundle, picture, ms * picture.steps);
}

async function worthOf(picture: typeof usual): Promise<number> {
  later();
  return (await worths(config.bundle))(picture);
}

describe('what a picture is worth', () => {
  it('is its steps and pixels beside the usual one’s, as long as nothing was measured', async () => {
    expect(await worthOf(usual)).toBe(1);
    expect(await worthOf({ ...usual, steps: 20 })).toBeCloseTo(0.5);
    expect(await worthOf({ ...usual, width: 1024, height: 320, steps: 80 })).toBeCloseTo(2);
    expect(await worthOf(withFace)).toBeCloseTo(1.5);
  });

  it('is GPU time once enough were measured, whatever the GPU', async () => {
    await measure(usual, msPerStep, 8);
    await measure(withFace, 3 * msPerStep, 8);
    expect(await worthOf(withFace)).toBeCloseTo(1.5);
    await measure(usual, msPerStep, 1);
    await measure(withFace, 3 * msPerStep, 1);
    expect(await worthOf(usual)).toBeCloseTo(1);
    expect(await worthOf(withFace)).toBeCloseTo(4.5);
  });

  it('stays while what is measured is less than a quarter off, and follows when it is more', async () => {
    await measure(usual, msPerStep, 9);
    await measure(withFace, msPerStep, 9);
    await measure(withFace, 1.2 * msPerStep, 100);
    expect(await worthOf(withFace)).toBeCloseTo(1.5);
    await measure(withFace, 2 * msPerStep, 100);
    const now = await worthOf(withFace);
    expect(now).toBeGreaterThan((2 / 1.25) * 1.5);
    expect(now).toBeLessThan(2 * 1.5 * 1.25);
  });
});
