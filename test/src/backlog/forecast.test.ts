import { describe, expect, it } from 'vitest';
import { forecast, type Run, type Running } from '#src/backlog/forecast.ts';
import { startOfTime, type TierRule } from '#src/backlog/order.ts';

const RULES: readonly TierRule[] = [
  { name: 'turbo', weight: 8, targetMs: 2_000, capMs: null },
  { name: 'fast', weight: 3, targetMs: 10_000, capMs: null },
];

function run(batchId: string, pictures: number, costMs: number, changes: Partial<Run> = {}): Run {
  const flow = { tier: 'fast', userId: `who asked for ${batchId}`, loras: '', faceId: null };
  return { ...flow, givenMs: 0, since: 0, batchId, pictures, costMs: pictures * costMs, ...changes };
}

function placesIn(runs: readonly Run[], running: readonly Running[] = [], workers = 1) {
  return forecast({ clock: startOfTime, runs, running, workers }, RULES, 0);
}

describe('a forecast', () => {
  it('is what the order gives: four at once of one person alone, and with another in turns', () => {
    expect(placesIn([run('mine', 6, 100)]).get('mine')).toMatchObject({ ahead: 0, readyMs: 600 });
    const both = placesIn([run('first', 2, 100, { since: 1 }), run('second', 1, 100, { since: 2 })]);
    expect(both.get('first')).toMatchObject({ ahead: 0, readyMs: 300 });
    // They share the turn.
    expect(both.get('second')).toMatchObject({ ahead: 1, readyMs: 300 });
  });

  it('has what is drawn go on first, and shares what waits among the workers', () => {
    const running = [
      {
        workerId: 'w',
        batchId: 'other',
        tier: 'fast',
        loras: '',
        costMs: 1_000,
        progress: 0.5,
        elapsedMs: 500,
      },
    ];
    expect(placesIn([run('mine', 1, 100)], running).get('mine')).toMatchObject({ ahead: 0, readyMs: 600 });
    expect(placesIn([run('mine', 1, 100)], running, 2).get('mine')).toMatchObject({ ahead: 0, readyMs: 100 });
    expect(placesIn([], running).get('other')).toMatchObject({ ahead: 0, readyMs: 500 });
  });

  it('takes a picture that has just begun for as long as was estimated, and another for as fast as it goes', () => {
    const just = {
      workerId: 'w',
      batchId: 'mine',
      tier: 'fast',
      loras: '',
      costMs: 400,
      progress: 0.01,
      elapsedMs: 5_000,
    };
    expect(placesIn([], [just]).get('mine')?.readyMs).toBe(400);
    expect(placesIn([], [{ ...just, progress: 0.5 }]).get('mine')?.readyMs).toBe(5_000);
  });

  it('has who waits for an equal picture stand where that stands, which may be another’s, and be ready with it', () => {
    const runs = [
      run('theirs', 3, 100, { twins: ['copy'] }),
      run('theirs', 5, 100),
      run('other', 1, 100, { since: 1 }),
    ];
    const places = placesIn(runs);
    expect(places.get('theirs')).toMatchObject({ ahead: 0, readyMs: 900 });
    // Two of theirs and another's come first; all are drawn in the first turn.
    expect(places.get('copy')).toMatchObject({ tier: 'fast', ahead: 3, aheadInTier: 3, readyMs: 400 });
    const far = placesIn([run('theirs', 500, 100, { twins: ['copy'] }), run('theirs', 500, 100)]);
    expect(far.get('copy')).toMatchObject({ ahead: 499, readyMs: 50_000 });
    const drawn = {
      workerId: 'w',
      batchId: 'theirs',
      tier: 'fast',
      loras: '',
      costMs: 400,
      progress: 0,
      elapsedMs: 0,
    };
    expect(placesIn([], [{ ...drawn, twins: ['copy'] }]).get('copy')).toMatchObject({
      ahead: 0,
      readyMs: 400,
    });
  });

  it('of a batch that comes after thousands says no less than what is before it, and takes no longer to say so', () => {
    const others = Array.from({ length: 40 }, (_, i) => run(`${i}`, 100, 100, { since: i, batchId: null }));
    const mine = placesIn([...others, run('mine', 500, 100, { since: 99 })]).get('mine')!;
    expect(mine.ahead).toBeLessThan(60);
    // 4,500 pictures of 100 ms in all, and its last is the last of them.
    expect(mine.readyMs).toBe(450_000);
  });

  it('reckons what is far off as the order gives it: by people, tiers and weights', () => {
    const turbo = Array.from({ length: 10 }, (_, i) =>
      run(`t${i}`, 100, 100, { tier: 'turbo', batchId: null }),
    );
    const fast = Array.from({ length: 10 }, (_, i) => run(`f${i}`, 100, 100, { batchId: null }));
    const mine = { userId: 'me', since: 1 };
    const runs = [...turbo, ...fast, run('earlier', 50, 100, mine), run('mine', 10, 100, mine)];
    const { ahead, readyMs } = placesIn(runs).get('mine')!;
    // 50 of each in fast before, and 8/3 times as many in turbo; but there are only 1,000.
    expect(ahead).toBe(11 * 50 + 1_000);
    expect(readyMs).toBe((11 * 60 + 1_000) * 100);
  });

  it('reckons with what other tiers go on to ask for, as far as it is theirs', () => {
    // Turbo was given half of the only worker's time lately, and has nothing waiting now.
    const lately = (rate: number) => ({
      ...startOfTime,
      tiers: { turbo: { time: 0, level: 0, rate, at: 0 } },
    });
    const ready = (rate: number) =>
      forecast({ clock: lately(rate), runs: [run('mine', 100, 100)], running: [], workers: 1 }, RULES, 0).get(
        'mine',
      )!.readyMs;
    expect(ready(0)).toBe(10_000);
    // 9.9 s until its last is begun, of which it has half.
    expect(ready(0.5)).toBeGreaterThan(18_000);
    expect(ready(0.5)).toBeLessThan(20_000);
    // However much turbo asks for, 3 of 11 parts are not turbo's.
    expect(ready(50)).toBeLessThan((10_000 * 11) / 3 + 100);
    expect(ready(50)).toBeGreaterThan(30_000);
  });

  it('of one that is nobody’s any more, as its tier is gone, says nothing', () => {
    const place = placesIn([run('mine', 3, 100, { tier: 'gold' })]).get('mine');
    expect(place).toMatchObject({ tier: 'gold', ahead: 0, readyMs: 0 });
  });

  // Seen once: "ready" moved 47 s in 44 s, of a picture of 150 steps that took its time.
  it.each([0.2, 1, 5])(
    'tells a moment that stays while the clock goes on, when it draws %f × as fast as known',
    (factor) => {
      const costMs = 3_000;
      const total = costMs / factor;
      const told: number[] = [];
      for (let now = 0.1 * total; now < total; now += total / 20) {
        const running = [
          {
            workerId: 'w',
            batchId: 'mine',
            tier: 'fast',
            loras: '',
            costMs,
            progress: now / total,
            elapsedMs: now,
          },
        ];
        told.push(now + placesIn([], running).get('mine')!.readyMs);
      }
      for (const moment of told) expect(moment).toBeCloseTo(total, 6);
    },
  );
});
