/** What pictures took, beside what was said when they were taken: it counts, however they end. */
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { tierRules } from '#config/tiers.ts';
import { measured } from '#src/backlog/costs.ts';
import { recountFlows } from '#src/backlog/flows.ts';
import { correctClock, nextTurn, startOfTime } from '#src/backlog/order.ts';
import { openBatch } from '#src/batches/batches.ts';
import {
  abandonGeneration,
  endBatch,
  failGeneration,
  finishGeneration,
  handBack,
  rescueOrphans,
  reuseImage,
} from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import { type Drawing, takeTurn } from '#src/generations/generations.ts';
import { drawn } from '#test/support/drawn.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { emptyBacklog, lookAtBacklog, PLAIN, takeNext } from '#test/support/taking.ts';
import { usualPlace } from '#test/support/where.ts';

const BUNDLE = 'reference';
/** GPU ms that a picture of ten steps is expected to take, as config/bundles.yaml says. */
const EXPECTED = 1_500;

beforeEach(emptyBacklog);

let asked = 0;
async function ask(pictures: number, me = actor(), tier = 'fast') {
  const prompt = `picture ${++asked}`;
  const cells = Array.from({ length: pictures }, (_, seed) => cell({ seed, prompt }, { steps: 10 }));
  return await openBatch(origin({ actor: me }), request(cells, { tier }));
}

/** GPU ms that are to be counted in, all together. */
async function toCount(): Promise<number> {
  return (await db.correction.findMany()).reduce((sum, { ms }) => sum + ms, 0);
}

describe('a picture counts for what it took', () => {
  const ends: readonly (readonly [
    how: string,
    end: (drawing: Drawing) => Promise<unknown>,
    tookMs: number,
  ])[] = [
    ['drawn', (one) => finishGeneration(one, 'w', drawn({ gpuMs: 2_100 })), 2_100],
    [
      'drawn and held for review',
      (one) => finishGeneration(one, 'w', drawn({ gpuMs: 900, verdict: 'flagged', rule: 'flagged' })),
      900,
    ],
    ['drawn by a worker that measures nothing', (one) => finishGeneration(one, 'w', drawn()), EXPECTED],
    ['failed', ({ id }) => failGeneration(id, 'w', 'internal', 700), 700],
    ['failed before it was begun', ({ id }) => failGeneration(id, 'w', 'internal'), 0],
    ['handed back', ({ id }) => handBack(id, 'w', 400), 400],
    [
      'cancelled in the middle',
      async ({ id, batchId }) => {
        await endBatch(batchId, 'cancelled');
        await abandonGeneration(id, 'w', 500);
      },
      500,
    ],
    [
      'taken over from a worker that was lost, as far as that had come',
      async ({ id }) => {
        await db.generation.update({ where: { id }, data: { progress: 0.4 } });
        expect(await rescueOrphans('another')).toBe(1);
      },
      0.4 * EXPECTED,
    ],
    [
      'copied',
      async (one) => {
        const other = await ask(1);
        const [twin] = await takeNext('w');
        expect(twin?.batchId).toBe(other.id);
        const equal = { ...twin!, key: one.key };
        await finishGeneration(equal, 'w', drawn({ bundleHash: 'equal', gpuMs: EXPECTED }));
        expect(await reuseImage(one, 'w', 'equal', [], usualPlace)).toBe(true);
      },
      0,
    ],
  ];
  it.each(ends)('%s', async (_, end, tookMs) => {
    await ask(1);
    const [drawing] = await takeNext('w');
    expect(drawing?.costMs).toBe(EXPECTED);
    await end(drawing!);
    expect(await toCount()).toBeCloseTo(tookMs - EXPECTED, 6);
    // It is no longer this worker's: said again, it changes nothing.
    await failGeneration(drawing!.id, 'w', 'internal', 9_000);
    expect(await toCount()).toBeCloseTo(tookMs - EXPECTED, 6);
    expect(await recountFlows()).toBe(0);
  });

  it('from the next turn on: in all flows of the person, and in the time of the tier', async () => {
    const me = actor();
    await ask(1, me);
    const [first] = await takeNext('w');
    await finishGeneration(first!, 'w', drawn({ gpuMs: 4_000 }));
    await ask(1, me);
    await ask(1, actor(), 'relax');
    const look = await lookAtBacklog(BUNDLE, PLAIN);
    expect(look.flows.find(({ userId }) => userId === me.id)?.givenMs).toBe(4_000);
    const weight = tierRules.find(({ name }) => name === 'fast')!.weight;
    expect(look.clock.tiers.fast?.time).toBeCloseTo(4_000 / weight, 6);

    // Somebody else's turn counts it in; one by an older look does not.
    const turn = nextTurn(look.clock, look.flows, PLAIN, tierRules, look.now)!;
    await takeTurn(BUNDLE, look, turn, 'w');
    expect(await takeTurn(BUNDLE, look, turn, 'w')).toBeNull();
    expect(await db.correction.count()).toBe(0);
    const mine = await db.flow.findMany({ where: { userId: me.id } });
    const again = turn.given.find(({ userId }) => userId === me.id)?.givenMs;
    expect(mine.map(({ givenMs }) => givenMs)).toEqual([again ?? 4_000]);
  });

  it('and for who waits for nothing any more when it is counted in', async () => {
    const me = actor();
    await ask(1, me);
    const [first] = await takeNext('w');
    await finishGeneration(first!, 'w', drawn({ gpuMs: 100 }));
    await ask(1);
    await takeNext('w');
    expect((await db.flow.findFirstOrThrow({ where: { userId: me.id } })).givenMs).toBe(100);
  });
});

describe('what a worker says of a picture', () => {
  it.each([
    [-5, 0],
    [Number.NaN, 0],
    [0, 0],
    [1_200, 1_200],
    [1e9, 16_000],
    [Number.POSITIVE_INFINITY, 16_000],
  ])('%f ms counts for %f of an expected 1000', (said, counted) => {
    expect(measured(said, 1_000)).toBe(counted);
  });

  it('keeps nobody from their turns when it is impossible', async () => {
    await ask(1);
    const [one] = await takeNext('w');
    await finishGeneration(one!, 'w', drawn({ gpuMs: 1_000 * EXPECTED }));
    expect(await toCount()).toBe(15 * EXPECTED);
  });
});

describe('the clock', () => {
  const clock = { now: 100, largestMs: 0, tiers: { fast: { time: 110, level: 5_000 } } };
  const by = (ms: number) => ({ tier: 'fast', userId: 'me', ms });

  it('steps back with who took less, so that nobody is lifted to what others went on to meanwhile', () => {
    expect(correctClock(clock, by(-90), 5_000, tierRules)).toEqual({
      now: 80,
      largestMs: 0,
      tiers: { fast: { time: 80, level: 4_910 } },
    });
  });

  it('does not for one who is away, or a tier that was', () => {
    expect(correctClock(clock, by(-90), null, tierRules).tiers.fast?.level).toBe(5_000);
    const away = { ...clock, tiers: { fast: { time: 20, level: 5_000 } } };
    expect(correctClock(away, by(-30), 4_000, tierRules)).toEqual({
      now: 100,
      largestMs: 0,
      tiers: { fast: { time: 10, level: 5_000 } },
    });
  });

  it('stays as it is for a tier that it does not know', () => {
    expect(correctClock(startOfTime, by(-90), 5_000, tierRules)).toEqual(startOfTime);
  });
});

describe('two who wait in one tier', () => {
  it('are given the same but for two of the largest turns, where one’s pictures take three times what is said, or a third', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          wrong: fc.constantFrom(3, 1 / 3),
          workers: fc.integer({ min: 1, max: 2 }),
          batches: fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 9 })), {
            minLength: 3,
            maxLength: 8,
          }),
          faults: fc.array(fc.nat(9), { minLength: 40, maxLength: 40 }),
        }),
        async ({ wrong, workers, batches, faults }) => {
          await emptyBacklog();
          const [wronged, other] = [actor(), actor()];
          const tookOf = ({ userId, costMs }: Drawing) => costMs * (userId === wronged.id ? wrong : 1);
          for (const who of [wronged, other]) await ask(8, who);
          for (const [isWronged, pictures] of batches) await ask(pictures, isWronged ? wronged : other);
          const waits = async () => (await db.flow.findMany({ where: { waiting: { gt: 0 } } })).length === 2;

          const settled = new Map([wronged, other].map(({ id }) => [id, 0]));
          const fleet: { at: number; turn: Drawing[] }[] = Array.from({ length: workers }, () => ({
            at: 0,
            turn: [],
          }));
          let largestMs = 0;
          for (let turns = 0; await waits(); turns++) {
            const worker = fleet.reduce((a, b) => (b.at < a.at ? b : a));
            for (const one of worker.turn) {
              // Of some that end, the worker was lost, or it failed: what they took counts all the same.
              const fault = faults[turns % faults.length];
              const tookMs = tookOf(one);
              if (fault === 0) await failGeneration(one.id, 'w', 'internal', tookMs);
              else if (fault === 1) await handBack(one.id, 'w', tookMs);
              else await finishGeneration(one, 'w', drawn({ gpuMs: tookMs }));
              settled.set(one.userId, settled.get(one.userId)! + tookMs);
            }
            const [a = 0, b = 0] = settled.values();
            expect(Math.abs(a - b)).toBeLessThanOrEqual(2 * largestMs);
            worker.turn = await takeNext('w');
            const ms = worker.turn.reduce((sum, one) => sum + tookOf(one), 0);
            largestMs = Math.max(largestMs, ms);
            worker.at += ms;
          }
          expect(await recountFlows()).toBe(0);
        },
      ),
      { numRuns: 8 },
    );
  }, 240_000);
});
