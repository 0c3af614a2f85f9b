/** Every place that is told is the place that the order then gives, whatever waits and whatever happened before. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { joinFleet, renewWorker } from '#src/backlog/fleet.ts';
import { recountFlows } from '#src/backlog/flows.ts';
import { forecastOf, placeOf, placesOf, type Told } from '#src/backlog/place.ts';
import { keepRanges, learnRange } from '#src/backlog/ranges.ts';
import { openBatch } from '#src/batches/batches.ts';
import { handBack } from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { listen } from '#test/support/statements.ts';
import { emptyBacklog, takeNext } from '#test/support/taking.ts';

const BUNDLE = 'reference';
const PEOPLE = Array.from({ length: 5 }, () => actor());
const state = { sessions: [], loras: [], aside: null };

let asked = 0;
async function ask(person: number, tier: string, pictures: number, steps = 10): Promise<string> {
  const prompt = `picture ${++asked}`; // no two are equal: an equal one waits for its twin, and is copied
  const cells = Array.from({ length: pictures }, (_, seed) => cell({ seed, prompt }, { steps }));
  const batch = await openBatch(origin({ actor: PEOPLE[person]! }), request(cells, { tier }));
  return batch.id;
}

/** What a worker does when it is free. @returns the batches of its turn's pictures */
async function take(workerId: string): Promise<string[]> {
  // However slow this machine is now, they are alive.
  for (const { id } of await db.worker.findMany({ select: { id: true } })) await renewWorker(id);
  return (await takeNext(workerId)).map(({ batchId }) => batchId);
}

/** The same, by the ids of the pictures. */
const takeAll = async (workerId: string) => (await takeNext(workerId)).map(({ id }) => id);

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
  it('is the place that the order gives: tiers, people, sizes, workers and restarts at random', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyEvent, { minLength: 4, maxLength: 20 }), async (events) => {
        await emptyBacklog();
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
            if ((await take(worker!)).length)
              await db.generation.updateMany({
                where: { state: 'running' },
                data: { state: 'done', endedAt: new Date() },
              });
          } else if ((await take(worker!)).length) {
            // It dies with a picture in hand: that goes back to the backlog.
            const lost = await db.generation.findMany({ where: { state: 'running' } });
            for (const { id, workerId } of lost) await handBack(id, workerId!);
          }
        }

        const waiting = await db.generation.groupBy({ by: ['batchId'], where: { state: 'queued' } });
        const tierOf = new Map((await db.batch.findMany()).map(({ id, tier }) => [id, tier]));
        const told = new Map<string, Told>();
        for (const { batchId } of waiting) told.set(batchId, await placeOf(batchId));

        const begun: string[] = [];
        for (let next = await take('w'); next.length; next = await take('w')) {
          begun.push(...next);
          await db.generation.updateMany({ where: { state: 'running' }, data: { state: 'done' } });
        }
        for (const [batchId, { ahead, aheadInTier, tier }] of told) {
          expect(begun.indexOf(batchId)).toBe(ahead);
          expect(tier).toBe(tierOf.get(batchId));
          const ofTier = begun.filter((other) => tierOf.get(other) === tier);
          expect(ofTier.indexOf(batchId)).toBe(aheadInTier);
        }
        expect(await recountFlows()).toBe(0);
      }),
      { numRuns: 12 },
    );
  }, 240_000);

  it('knows tiers: thirty that wait in relax come before nobody in fast', async () => {
    await emptyBacklog();
    await joinFleet({ id: 'w', bundle: BUNDLE, bundleHash: 'h' }, state);
    await ask(0, 'relax', 30);
    await take('w');
    const fast = await ask(1, 'fast', 1);
    expect((await placeOf(fast)).ahead).toBe(0);
  });

  it('of a plan is where the batch then stands', async () => {
    await emptyBacklog();
    await joinFleet({ id: 'w', bundle: BUNDLE, bundleHash: 'h' }, state);
    await ask(0, 'fast', 3);
    await ask(1, 'turbo', 2);
    await ask(2, 'fast', 1);
    // 6 s for 40 steps, as config/bundles.yaml says.
    const plan = {
      userId: PEOPLE[2]!.id,
      tier: 'fast',
      parts: [{ bundle: BUNDLE, pictures: 2, costMs: 2 * 10 * 150 }],
    };
    const planned = await forecastOf(plan);
    const batchId = await ask(2, 'fast', 2);
    expect(await placeOf(batchId)).toMatchObject(planned);
    // Eight pictures of ten steps; its last one is in the last turn.
    expect(planned.readyMs).toBe(8 * 10 * 150);
  });

  it('of several at once are those of each alone, for one look at the backlog or two', async () => {
    await emptyBacklog();
    await joinFleet({ id: 'w', bundle: BUNDLE, bundleHash: 'h' }, state);
    const batches: string[] = [];
    for (const [person, tier] of [
      [0, 'turbo'],
      [1, 'fast'],
      [2, 'relax'],
      [0, 'fast'],
    ] as const)
      batches.push(await ask(person, tier, 3));
    const alone: Told[] = [];
    for (const id of batches) alone.push(await placeOf(id));

    const heard = listen();
    const first = placeOf(batches[0]!);
    // What comes once the first look is on its way is another's.
    await new Promise(setImmediate);
    const [one, ...others] = await Promise.all([first, ...batches.slice(1).map((id) => placeOf(id))]);
    expect(heard.filter(({ text }) => text.includes('"twinId" AS id'))).toHaveLength(2);
    const places = (all: readonly Told[]) =>
      all.map(({ ahead, aheadInTier, tier }) => ({ ahead, aheadInTier, tier }));
    expect(places([one!, ...others])).toEqual(places(alone));
  });

  it('of one that waits for an equal picture is where that stands, and is ready when that is', async () => {
    await emptyBacklog();
    await joinFleet({ id: 'w', bundle: BUNDLE, bundleHash: 'h' }, state);
    await ask(0, 'relax', 3);
    const cells = ['first', 'equal', 'third'].map((prompt) => cell({ prompt }, { steps: 10 }));
    const [one, other] = [PEOPLE[1]!, PEOPLE[2]!];
    const first = await openBatch(origin({ actor: one }), request(cells, { tier: 'relax' }));
    const batch = await openBatch(
      origin({ actor: other }),
      request([cells[1]!, cell({ prompt: 'alone' }, { steps: 10 })], { tier: 'fast' }),
    );
    expect(await placeOf(batch.id)).toMatchObject({ tier: 'fast', ahead: 0 });
    await db.generation.updateMany({
      where: { batchId: batch.id, twinId: null },
      data: { state: 'cancelled' },
    });
    await db.flow.updateMany({ where: { tier: 'fast' }, data: { waiting: 0 } });

    const [theirs, copy] = [await placeOf(first.id), await placeOf(batch.id)];
    expect(copy).toMatchObject({ tier: 'relax', aheadInTier: copy.ahead });
    expect(copy.ahead).toBeGreaterThan(theirs.ahead);
    expect(copy.readyMs).toBeGreaterThan(0);
    expect(copy.readyMs).toBeLessThanOrEqual(theirs.readyMs);
    // It is the one after their first in the order of the pictures that are begun.
    const begun: string[] = [];
    for (let next = await takeAll('w'); next.length; next = await takeAll('w')) begun.push(...next);
    const { twinId } = await db.generation.findFirstOrThrow({
      where: { batchId: batch.id, state: 'queued' },
    });
    expect(begun.indexOf(twinId!)).toBe(copy.ahead);
    // While that is drawn it is next, and as far off as the end of that.
    expect(await placeOf(batch.id)).toMatchObject({ ahead: 0, tier: 'relax' });
    expect((await placeOf(batch.id)).readyMs).toBeGreaterThan(0);
  });

  it('says who came before it since, as its person was told first where it stood', async () => {
    await emptyBacklog();
    await joinFleet({ id: 'w', bundle: BUNDLE, bundleHash: 'h' }, state);
    for (const person of [0, 1]) await ask(person, 'relax', 4);
    const mine = await ask(2, 'relax', 1);
    const first = await placeOf(mine);
    expect(first.reason).toBeNull();
    await db.batch.update({ where: { id: mine }, data: { told: { ...first.told, toAt: Date.now() - 1 } } });
    await ask(3, 'turbo', 3);
    await ask(4, 'turbo', 3);
    expect((await placeOf(mine)).reason).toMatchObject({ kind: 'passed', tier: 'turbo' });
    // They are drawn: it is still they who came before it.
    await take('w');
    expect((await placeOf(mine)).reason).toMatchObject({ kind: 'passed', tier: 'turbo' });
    // Once it is begun itself nothing comes before it any more.
    await db.generation.updateMany({ where: { batchId: mine }, data: { state: 'running', workerId: 'w' } });
    expect((await placeOf(mine)).reason).toBeNull();
  });

  it('has the range that was learned of its tier', async () => {
    await emptyBacklog();
    await joinFleet({ id: 'w', bundle: BUNDLE, bundleHash: 'h' }, state);
    await db.range.deleteMany();
    for (let n = 0; n < 400; n++) learnRange('relax', 6_000, 2);
    await keepRanges();
    const { range, readyMs } = await placeOf(await ask(0, 'relax', 4));
    expect(readyMs).toBe(6_000);
    expect(range.fromMs / readyMs).toBeCloseTo(2, 0);
    expect(range.toMs / readyMs).toBeCloseTo(2, 0);
    const other = await placeOf(await ask(1, 'turbo', 4));
    expect(other.range.toMs / other.readyMs).toBeCloseTo(3, 6);
    await db.range.deleteMany();
  });

  it('of pictures that were taken back is nobody’s', async () => {
    await emptyBacklog();
    const batchId = await ask(0, 'fast', 2);
    await db.batch.update({ where: { id: batchId }, data: { state: 'cancelled' } });
    expect(await placeOf('no batch')).toMatchObject({ ahead: 0, readyMs: 0 });
  });
});

describe('the moment that is told', () => {
  // Seen once: of four pictures of 150 steps, "ready" moved 47 s in the 44 s in which the first was drawn.
  it('stays while one is drawn, from its first steps to its last', async () => {
    await emptyBacklog();
    await joinFleet({ id: 'w', bundle: BUNDLE, bundleHash: 'h' }, state);
    const batchId = await ask(0, 'fast', 8, 150);
    await take('w');
    const begunAt = Date.now();
    const told: number[] = [];
    for (const share of [0.06, 0.2, 0.5, 0.8, 0.95]) {
      const now = new Date(begunAt + share * 44_000);
      await db.worker.updateMany({ data: { seenAt: now } });
      await db.generation.updateMany({
        where: { batchId, state: 'running' },
        data: { startedAt: new Date(begunAt), progress: share },
      });
      told.push(now.getTime() + (await placesOf([batchId], now))[0]!.readyMs - begunAt);
    }
    for (const moment of told) expect(Math.abs(moment - told[0]!)).toBeLessThan(10);
  });
});
