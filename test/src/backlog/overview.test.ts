/** What operators see of the backlog, and that it is found by indexes however much waits. */
import { expect, it } from 'vitest';
import { joinFleet } from '#src/backlog/fleet.ts';
import { overviewOf } from '#src/backlog/overview.ts';
import { db } from '#src/doors/db.ts';
import { openedBatch } from '#test/support/opened.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { listen, plannedScans } from '#test/support/statements.ts';
import { startGeneration } from '#test/support/taking.ts';

const ask = async (count: number, tier: string, person = actor()) => {
  const cells = Array.from({ length: count }, (_, seed) => cell({ seed, prompt: `${person.id} ${tier}` }));
  const batch = await openedBatch(origin({ actor: person }), request(cells, { tier }));
  return { person, batch };
};

it('is empty where nothing waits, and says so of workers too', async () => {
  expect(await overviewOf(null)).toEqual({ tiers: [], people: [], peopleCount: 0, workers: [] });
  expect(await overviewOf('1')).toEqual({ tiers: [], people: [], peopleCount: 0, workers: null });
});

it('has tiers with their shares, people by what is to be drawn for them, and workers with what they draw', async () => {
  const busy = await ask(5, 'fast');
  const other = await ask(2, 'turbo');
  // It draws with the second one now, and what it has in hand was asked of the first.
  const told = (state: 'warm' | 'cold') => ({ state, hash: 'h', bytes: 1, loadMs: 1, loras: [] });
  const pool = {
    bundle: 'second',
    bundleHash: 'h',
    bundles: { reference: told('warm'), second: told('warm'), third: told('cold') },
    memory: 2,
    budget: 3,
  };
  const third = await ask(1, 'turbo', actor({ guildId: other.person.guildId }));
  await joinFleet(
    { id: 'w1', bundle: 'reference', bundleHash: 'h' },
    { sessions: [], loras: [], aside: null, msPerStep: 12.5, memoryMib: 700, pool },
  );
  await joinFleet(
    { id: 'w2', bundle: 'reference', bundleHash: 'h' },
    { sessions: [], loras: [], aside: 'storage_full' },
  );
  const [first] = await db.generation.findMany({
    where: { batchId: busy.batch.id },
    orderBy: { index: 'asc' },
  });
  await startGeneration(first!.id, 'w1');

  const { tiers, people, peopleCount, workers } = await overviewOf(null);
  // 8 : 3 of those two that wait.
  expect(tiers).toEqual([
    { tier: 'turbo', pictures: 3, people: 2, oldestMs: expect.any(Number), share: 8 / 11 },
    { tier: 'fast', pictures: 4, people: 1, oldestMs: expect.any(Number), share: 3 / 11 },
  ]);
  expect(people.map(({ userId, pictures }) => [userId, pictures])).toEqual([
    [busy.person.id, 4],
    [other.person.id, 2],
    [third.person.id, 1],
  ]);
  expect(people[0]!.gpuMs).toBeCloseTo(4 * people[2]!.gpuMs, 3);
  expect(peopleCount).toBe(3);
  expect(workers).toEqual([
    {
      id: 'w2',
      bundle: 'reference',
      aside: 'storage_full',
      msPerStep: null,
      memoryMib: null,
      warm: [],
      memory: 0,
      budget: null,
      pictures: 0,
      tiers: [],
    },
    {
      id: 'w1',
      bundle: 'second',
      aside: null,
      msPerStep: 12.5,
      memoryMib: 700,
      warm: ['reference', 'second'],
      memory: 2,
      budget: 3,
      pictures: 1,
      tiers: ['fast'],
    },
  ]);

  const theirs = await overviewOf(other.person.guildId);
  expect(theirs.tiers).toMatchObject(tiers.map(({ tier, pictures }) => ({ tier, pictures })));
  expect(theirs.people.map(({ userId }) => userId)).toEqual([other.person.id, third.person.id]);
  expect(theirs.workers).toBeNull();
});

it('reads no table from end to end', async () => {
  const person = actor();
  const { batch } = await ask(1, 'relax', person);
  await db.$executeRaw`
    INSERT INTO "Batch" (id, kind, state, "ownerId", "guildId", "channelId", tier, title, config, "endedAt")
    SELECT 'b' || n, 'imagine', 'finished', ${batch.ownerId}, ${batch.guildId}, 'c', 'fast', '', '{}', now()
    FROM generate_series(1, 20000) n`;
  await db.$executeRaw`
    INSERT INTO "Generation" (id, "batchId", index, state, "userId", tier, bundle, prompt, parameters, seed, width, height, steps, key)
    SELECT 'g' || n, 'b' || n, 0, 'done', ${batch.ownerId}, 'fast', 'reference', '', '{}', 1, 64, 64, 1, 'k' || n
    FROM generate_series(1, 20000) n`;
  await db.$executeRaw`
    INSERT INTO "Flow" (bundle, tier, "userId", loras, "faceId", waiting, "waitingMs", "givenMs", since)
    SELECT 'reference', 'fast', 'u' || n, '', '', 0, 0, 0, now() FROM generate_series(1, 20000) n`;
  await db.$executeRaw`ANALYZE`;

  const heard = listen();
  expect((await overviewOf(null)).people.length).toBeGreaterThan(0);
  expect((await overviewOf(batch.guildId)).people).toHaveLength(1);
  expect(heard).toHaveLength(5);
  // There are few workers, however much they drew.
  expect((await plannedScans(heard)).filter((table) => table !== 'Worker')).toEqual([]);
});
