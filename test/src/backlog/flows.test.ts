import { beforeEach, describe, expect, it } from 'vitest';
import { tierRules } from '#config/tiers.ts';
import { forgetFlows, recountFlows } from '#src/backlog/flows.ts';
import { nextTurn } from '#src/backlog/order.ts';
import { openBatch } from '#src/batches/batches.ts';
import { endBatch, failGeneration, handBack } from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import { releaseLostTwins, takeTurn } from '#src/generations/generations.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { lookAtBacklog, startGeneration } from '#test/support/taking.ts';

const BUNDLE = 'reference';
const WARM = { loras: new Set(['']), faceIds: new Set<string>() };

beforeEach(async () => {
  await db.batch.deleteMany();
  await db.flow.deleteMany();
  await db.clock.deleteMany();
  await db.correction.deleteMany();
});

let asked = 0;
async function ask(pictures: number, prompt = `picture ${++asked}`, me = actor()) {
  const cells = Array.from({ length: pictures }, (_, seed) => cell({ seed, prompt }));
  return await openBatch(origin({ actor: me }), request(cells));
}
const waiting = async () => (await db.flow.findMany()).reduce((sum, flow) => sum + flow.waiting, 0);
const idsOf = async (batchId: string) =>
  (await db.generation.findMany({ where: { batchId }, orderBy: { index: 'asc' } })).map(({ id }) => id);

describe('flows', () => {
  it('count what waits, however it came and went', async () => {
    const batch = await ask(3);
    expect(await waiting()).toBe(3);
    const [first, second] = await idsOf(batch.id);
    await startGeneration(first!, 'w');
    await startGeneration(second!, 'w');
    expect(await waiting()).toBe(1);
    await handBack(first!, 'w');
    expect(await waiting()).toBe(2);
    await failGeneration(second!, 'w', 'internal');
    expect(await waiting()).toBe(2);
    await endBatch(batch.id, 'cancelled');
    expect(await waiting()).toBe(0);
    expect(await recountFlows()).toBe(0);
  });

  it('keep what somebody was given when nothing of theirs waits any more, for an hour', async () => {
    const me = actor();
    await ask(1, undefined, me);
    const look = await lookAtBacklog(BUNDLE, WARM);
    const turn = nextTurn(look.clock, look.flows, WARM, tierRules, look.now)!;
    await takeTurn(BUNDLE, look, turn, 'w');
    const { givenMs } = await db.flow.findFirstOrThrow();
    expect(givenMs).toBeGreaterThan(0);
    await ask(1, undefined, me);
    expect((await lookAtBacklog(BUNDLE, WARM)).flows[0]?.givenMs).toBe(givenMs);
    await endBatch((await db.batch.findFirstOrThrow({ orderBy: { createdAt: 'desc' } })).id, 'cancelled');
    await forgetFlows(new Date(Date.now() + 59 * 60_000));
    expect(await db.flow.count()).toBe(1);
    await forgetFlows(new Date(Date.now() + 61 * 60_000));
    expect(await db.flow.count()).toBe(0);
  });

  it('are put right where they count otherwise than rows', async () => {
    const batch = await ask(2);
    await db.flow.updateMany({ data: { waiting: 7 } });
    await db.generation.update({ where: { id: (await idsOf(batch.id))[0]! }, data: { loras: 'film' } });
    expect(await recountFlows()).toBe(2);
    expect(
      await db.flow.findMany({ select: { loras: true, waiting: true }, orderBy: { loras: 'asc' } }),
    ).toEqual([
      { loras: '', waiting: 1 },
      { loras: 'film', waiting: 1 },
    ]);
  });
});

describe('of two workers that choose at once', () => {
  it('one gets the turn, and the other looks again', async () => {
    await ask(1);
    const [one, other] = [await lookAtBacklog(BUNDLE, WARM), await lookAtBacklog(BUNDLE, WARM)];
    const take = (look: typeof one, worker: string) =>
      takeTurn(BUNDLE, look, nextTurn(look.clock, look.flows, WARM, tierRules, look.now)!, worker);
    const taken = await Promise.all([take(one, 'a'), take(other, 'b')]);
    expect(taken.filter((turn) => turn === null)).toHaveLength(1);
    expect(taken.flat().filter(Boolean)).toHaveLength(1);
    expect((await lookAtBacklog(BUNDLE, WARM)).flows).toEqual([]);
  });

  it('neither gets what was cancelled since, and nobody is charged for it', async () => {
    const me = actor();
    const batch = await ask(1, undefined, me);
    const look = await lookAtBacklog(BUNDLE, WARM);
    await endBatch(batch.id, 'cancelled');
    const turn = nextTurn(look.clock, look.flows, WARM, tierRules, look.now)!;
    expect(await takeTurn(BUNDLE, look, turn, 'w')).toEqual([]);
    // It was in the look, and so in what was given: that is taken back.
    await ask(1, undefined, me);
    const { flows, clock } = await lookAtBacklog(BUNDLE, WARM);
    expect(flows.map(({ givenMs }) => givenMs)).toEqual([0]);
    expect(clock.tiers.fast?.time).toBe(0);
  });
});

describe('an equal picture', () => {
  it('waits for the first outside of the backlog, and comes into it when that has ended, however', async () => {
    const first = await ask(1, 'the same');
    const second = await ask(1, 'the same');
    expect(await waiting()).toBe(1);
    const [id] = await idsOf(first.id);
    const look = await lookAtBacklog(BUNDLE, WARM);
    expect(look.flows.flatMap(({ pictures }) => pictures.map((one) => one.id))).toEqual([id]);
    const [twin] = await idsOf(second.id);
    const turn = nextTurn(look.clock, look.flows, WARM, tierRules, look.now)!;
    const forced = { ...turn, pictures: [{ ...turn.pictures[0]!, id: twin! }] };
    expect(await takeTurn(BUNDLE, look, forced, 'w')).toEqual([]);
    await startGeneration(id!, 'w');
    expect(await waiting()).toBe(0);
    await failGeneration(id!, 'w', 'internal');
    expect(await waiting()).toBe(1);
    expect((await db.generation.findUniqueOrThrow({ where: { id: twin! } })).twinId).toBeNull();
  });

  it('is let go, should its twin ever have ended without it', async () => {
    const first = await ask(1, 'equal');
    const second = await ask(1, 'equal');
    await db.generation.updateMany({
      where: { batchId: first.id },
      data: { state: 'done', endedAt: new Date() },
    });
    expect(await releaseLostTwins()).toBe(1);
    await recountFlows();
    expect(await startGeneration((await idsOf(second.id))[0]!, 'w')).not.toBeNull();
  });
});
