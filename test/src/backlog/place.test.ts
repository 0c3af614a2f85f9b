/** Every place that is told is the place that admission then gives, whatever waits and whatever happened before. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { admit } from '#src/backlog/admission.ts';
import { joinFleet, msPerStepOf, renewWorker } from '#src/backlog/fleet.ts';
import { forecastOf, placeOf } from '#src/backlog/place.ts';
import { openBatch } from '#src/batches/batches.ts';
import { handBack } from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import { connectQueues, type Queues } from '#src/doors/queue.ts';
import { startGeneration } from '#src/generations/generations.ts';
import { queueBackends } from '#test/support/queue-backends.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';

const BUNDLE = 'reference';
const PEOPLE = Array.from({ length: 5 }, () => actor());
const state = { sessions: [], loras: [], msPerStep: 10, aside: null };

let queues: Queues;
beforeAll(() => {
  queues = connectQueues(queueBackends[0]!.options);
});
afterAll(() => queues.close());

async function emptied(): Promise<void> {
  await db.batch.deleteMany();
  await db.worker.deleteMany();
  for (const id of await queues.ids('generation', BUNDLE)) await queues.remove('generation', id, BUNDLE);
}

let asked = 0;
async function ask(person: number, tier: string, pictures: number, steps = 10): Promise<string> {
  const prompt = `picture ${++asked}`; // no two are equal: an equal one waits for its twin, and is copied
  const cells = Array.from({ length: pictures }, (_, seed) => cell({ seed, prompt }, { steps }));
  const { batch } = await openBatch(origin({ actor: PEOPLE[person]! }), request(cells, { tier }));
  return batch.id;
}

/** What a worker does with what BullMQ hands it: the longest admitted first. */
async function take(workerId: string): Promise<string | null> {
  // However slow this machine is now, they are alive.
  for (const { id } of await db.worker.findMany({ select: { id: true } })) await renewWorker(id);
  await admit(queues, BUNDLE);
  const first = await db.generation.findFirst({
    where: { state: 'queued', admittedAt: { not: null } },
    orderBy: { admittedAt: 'asc' },
  });
  return first && ((await startGeneration(first.id, workerId))?.batchId ?? null);
}

type Event =
  | { readonly kind: 'ask'; person: number; tier: string; pictures: number }
  | { readonly kind: 'draw' }
  | { readonly kind: 'join' }
  | { readonly kind: 'die' };
const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('ask' as const),
      person: fc.nat(PEOPLE.length - 1),
      tier: fc.constantFrom('turbo', 'fast', 'relax'),
      pictures: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 5, arbitrary: fc.constant({ kind: 'draw' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'join' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'die' as const }) },
);

describe('a told place', () => {
  it('is the place that admission gives: tiers, people, sizes, workers and restarts at random', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyEvent, { minLength: 4, maxLength: 20 }), async (events) => {
        await emptied();
        const fleet: string[] = [];
        const join = async () => {
          const id = `w${fleet.length}-${++asked}`;
          await joinFleet({ id, bundle: BUNDLE, bundleHash: 'h' }, state);
          fleet.push(id);
        };
        await join();
        for (const event of events) {
          const [worker] = fleet;
          if (event.kind === 'ask') await ask(event.person, event.tier, event.pictures);
          else if (event.kind === 'join') await join();
          else if (event.kind === 'draw') {
            if (await take(worker!))
              await db.generation.updateMany({
                where: { state: 'running' },
                data: { state: 'done', endedAt: new Date() },
              });
          } else if (await take(worker!)) {
            // It dies with a picture in hand: that goes back to the backlog.
            const lost = await db.generation.findMany({ where: { state: 'running' } });
            for (const { id, workerId } of lost) await handBack(id, workerId!, false);
          }
        }

        const waiting = await db.generation.groupBy({ by: ['batchId'], where: { state: 'queued' } });
        const told = new Map<string, number>();
        for (const { batchId } of waiting) told.set(batchId, (await placeOf(batchId)).ahead);

        const begun: string[] = [];
        for (let next = await take('w'); next; next = await take('w')) {
          begun.push(next);
          await db.generation.updateMany({ where: { state: 'running' }, data: { state: 'done' } });
        }
        for (const [batchId, ahead] of told) expect(begun.indexOf(batchId)).toBe(ahead);
      }),
      { numRuns: 12 },
    );
  }, 240_000);

  it('knows tiers: thirty that wait in relax come before nobody in fast', async () => {
    await emptied();
    await joinFleet({ id: 'w', bundle: BUNDLE, bundleHash: 'h' }, state);
    await ask(0, 'relax', 30);
    const fast = await ask(1, 'fast', 1);
    // Of relax one is begun before at most, as tiers take turns.
    expect((await placeOf(fast)).ahead).toBeLessThanOrEqual(1);
  });

  it('of a plan is where the batch then stands', async () => {
    await emptied();
    await joinFleet({ id: 'w', bundle: BUNDLE, bundleHash: 'h' }, state);
    await ask(0, 'fast', 3);
    await ask(1, 'turbo', 2);
    await ask(2, 'fast', 1);
    const plan = { userId: PEOPLE[2]!.id, tier: 'fast', pictures: 2, steps: 20 };
    const planned = await forecastOf(plan);
    const batchId = await ask(2, 'fast', 2);
    expect(await placeOf(batchId)).toEqual(planned);
    // Nine pictures of ten steps, 10 ms each; its last one is the last of all.
    expect(planned.readyMs).toBe(800);
  });
});

describe('the moment that is told', () => {
  // Seen once: of four pictures of 150 steps, "ready" moved 47 s in the 44 s in which the first was drawn.
  it('stays while the first of four is drawn, from its first steps to its last', async () => {
    await emptied();
    await joinFleet({ id: 'w', bundle: BUNDLE, bundleHash: 'h' }, { ...state, msPerStep: 300 });
    const batchId = await ask(0, 'fast', 4, 150);
    await take('w');
    await db.worker.updateMany({ data: { msPerStep: 300 } });
    const begunAt = Date.now();
    const told: number[] = [];
    for (const share of [0.06, 0.2, 0.5, 0.8, 0.95]) {
      const now = new Date(begunAt + share * 44_000);
      await db.worker.updateMany({ data: { seenAt: now } });
      await db.generation.updateMany({
        where: { batchId, state: 'running' },
        data: { startedAt: new Date(begunAt), progress: share },
      });
      told.push(now.getTime() + (await placeOf(batchId, now)).readyMs - begunAt);
    }
    // What is left of the first, at the speed it goes, and the three others at the speed that the worker measured.
    for (const moment of told) expect(Math.abs(moment - (44_000 + 3 * 150 * 300))).toBeLessThan(10);
  });
});

describe('the fleet’s speed', () => {
  it('is measured; or that of the latest pictures; or what the bundle’s entry says', async () => {
    await emptied();
    expect(await msPerStepOf([], BUNDLE)).toBe(150); // 6 s for 40 steps
    const batchId = await ask(0, 'fast', 2, 10);
    const now = Date.now();
    await db.generation.updateMany({
      where: { batchId },
      data: {
        state: 'done',
        admittedAt: new Date(now),
        startedAt: new Date(now - 500),
        endedAt: new Date(now),
      },
    });
    expect(await msPerStepOf([{ msPerStep: null }], BUNDLE)).toBe(50);
    expect(await msPerStepOf([{ msPerStep: 20 }, { msPerStep: null }, { msPerStep: 40 }], BUNDLE)).toBe(30);
  });
});
