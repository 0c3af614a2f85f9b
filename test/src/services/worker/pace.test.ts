import { expect, it } from 'vitest';
import { makePace, measurePicture } from '#src/services/worker/pace.ts';

it('knows nothing before anything was drawn', () => {
  expect(makePace().msPerStep).toBeNull();
});

it('measures a picture while it is drawn, with what is beside its steps', () => {
  const pace = makePace();
  let now = 1_000;
  const at = measurePicture(pace, 40, () => now);
  now += 500;
  at(0.5);
  expect(pace.msPerStep).toBe(25);
  now += 500;
  at(0.5); // stored half-way, as it were: time without steps
  expect(pace.msPerStep).toBe(50);
});

it('forgets: after 40 steps a measurement counts half', () => {
  const pace = makePace();
  pace.measure(40 * 100, 40);
  pace.measure(40 * 10, 40);
  expect(pace.msPerStep).toBeCloseTo((0.5 * 100 + 10) / 1.5);
});
