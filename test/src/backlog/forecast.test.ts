import { describe, expect, it } from 'vitest';
import { type Running, readyInMs } from '#src/backlog/forecast.ts';

const mine = (steps: number) => ({ batchId: 'mine', steps });
const other = (steps: number) => ({ batchId: 'other', steps });
const base = { running: [], workers: 1, msPerStep: 10 };

describe('readyInMs', () => {
  it('is steps left × speed', () => {
    expect(readyInMs('mine', { ...base, waiting: [other(30), mine(20), other(40)] })).toBe(500);
    expect(readyInMs('mine', { ...base, waiting: [mine(20), other(40), mine(20)] })).toBe(800);
    expect(readyInMs('nobody’s', { ...base, waiting: [other(30)] })).toBe(0);
  });

  it('gives the next picture to the worker that is free first', () => {
    const waiting = [other(100), other(20), mine(20)];
    expect(readyInMs('mine', { ...base, workers: 2, waiting })).toBe(400);
    expect(readyInMs('mine', { ...base, workers: 3, waiting })).toBe(200);
    // A single picture is not drawn faster by more workers.
    expect(readyInMs('mine', { ...base, workers: 8, waiting: [mine(20)] })).toBe(200);
  });

  it('counts as one worker where none is alive: somebody will come', () => {
    expect(readyInMs('mine', { ...base, workers: 0, waiting: [mine(20)] })).toBe(200);
  });

  it('waits for what is being drawn, by its own speed once that can be told', () => {
    const begun: Running = { batchId: 'other', steps: 100, progress: 0.5, elapsedMs: 3_000 };
    expect(readyInMs('mine', { ...base, running: [begun], waiting: [mine(20)] })).toBe(3_200);
    const justBegun = { ...begun, progress: 0.01, elapsedMs: 5_000 };
    expect(readyInMs('mine', { ...base, running: [justBegun], waiting: [mine(20)] })).toBe(1_200);
  });

  // Seen once: "ready" moved 47 s in 44 s, of a picture of 150 steps that took its time.
  it.each([0.2, 1, 5])(
    'tells a moment that stays while the clock goes on, when it draws %f × as fast as known',
    (factor) => {
      const known = 20;
      const steps = 150;
      const total = (steps * known) / factor;
      const told: number[] = [];
      for (let now = 0.1 * total; now < total; now += total / 20) {
        const running = [{ batchId: 'mine', steps, progress: now / total, elapsedMs: now }];
        told.push(now + readyInMs('mine', { running, waiting: [], workers: 1, msPerStep: known }));
      }
      for (const moment of told) expect(moment).toBeCloseTo(total, 6);
    },
  );
});
