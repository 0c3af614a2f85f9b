/** A picture's way reads no table from end to end, however many there were before and however many wait. */
import { beforeAll, expect, it } from 'vitest';
import { mustFit } from '#src/backlog/accepting.ts';
import { joinFleet } from '#src/backlog/fleet.ts';
import { lookAtBacklogs, recountFlows } from '#src/backlog/flows.ts';
import { forecastOf, placeOf } from '#src/backlog/place.ts';
import { openBatch } from '#src/batches/batches.ts';
import { endBatch, failGeneration, finishGeneration } from '#src/batches/ending.ts';
import { openPlanned, planBatch } from '#src/batches/plans.ts';
import { claimDue } from '#src/deliveries.ts';
import { db } from '#src/doors/db.ts';
import { reportProgress } from '#src/generations/generations.ts';
import { unfinishedBatches } from '#src/generations/pictures.ts';
import { tokenLines, tokensLeft } from '#src/people/tokens.ts';
import { drawn } from '#test/support/drawn.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { listen, plannedScans, watchScans } from '#test/support/statements.ts';
import { PLAIN, takeNext } from '#test/support/taking.ts';

/** A few rows each, which no index could read faster. */
const SMALL = new Set(['Worker', 'Clock', 'Cost', 'Preview', 'Range', 'Correction']);
const large = (tables: readonly string[]) => tables.filter((table) => !SMALL.has(table));

/** Years of pictures, and many people who wait. */
beforeAll(async () => {
  const old = 20_000;
  const waiting = 5_000;
  await joinFleet(
    { id: 'w', bundle: 'reference', bundleHash: 'h' },
    { sessions: [], loras: [], aside: null },
  );
  await db.$executeRaw`INSERT INTO "User" (id) SELECT 'u' || n FROM generate_series(1, ${old}::int) n`;
  await db.$executeRaw`
    INSERT INTO "TokenEntry" (id, "userId", amount, reason, once)
    SELECT 't' || n, 'u' || n, 100, 'grant', 'welcome' FROM generate_series(1, ${old}::int) n`;
  await db.$executeRaw`
    INSERT INTO "Batch" (id, kind, state, "ownerId", "channelId", "interactionId", tier, title, config, "endedAt")
    SELECT 'b' || n, 'imagine', CASE WHEN n <= ${waiting} THEN 'open' ELSE 'finished' END::"BatchState", 'u' || n, 'c' || n % 100,
      'i' || n, 'fast', '', '{}', CASE WHEN n > ${waiting} THEN now() END
    FROM generate_series(1, ${old}::int) n`;
  await db.$executeRaw`
    INSERT INTO "Generation" (id, "batchId", index, state, "userId", tier, bundle, prompt, parameters, seed, width, height, steps,
      "costMs", key, coordinates, "endedAt")
    SELECT 'g' || n, 'b' || n, 0, CASE WHEN n <= ${waiting} THEN 'queued' ELSE 'done' END::"GenerationState", 'u' || n,
      (ARRAY['turbo', 'fast', 'relax'])[1 + n % 3], 'reference', '', '{}', 1, 64, 64, 1, 10, 'k' || n, '{}',
      CASE WHEN n > ${waiting} THEN now() END
    FROM generate_series(1, ${old}::int) n`;
  await db.$executeRaw`
    INSERT INTO "Image" (id, "generationId", key, "bundleHash", "storageKey", sha256, width, height, bytes, thumbhash, verdict)
    SELECT 'i' || n, 'g' || n, 'k' || n, 'h', 's' || n, '', 64, 64, 1, '', 'clear' FROM generate_series(${waiting + 1}::int, ${old}::int) n`;
  await db.$executeRaw`
    INSERT INTO "Delivery" (id, kind, "batchId", "userId", "channelId", "messageId", wanted, posted, nonce, "notBefore")
    SELECT 'd' || n, 'card', 'b' || n, 'u' || n, 'c' || n % 100, 'm' || n, 3, 3, 'n' || n, now() - interval '1 day'
    FROM generate_series(1, ${old}::int) n`;
  await db.$executeRaw`INSERT INTO "FaceFolder" (id, "ownerId", name) SELECT 'f' || n, 'u' || n, 'ada' FROM generate_series(1, ${old}::int) n`;
  await db.$executeRaw`
    INSERT INTO "FacePhoto" (id, "folderId", state, "storageKey", sha256, width, height)
    SELECT 'p' || n, 'f' || n, 'accepted', '', '', 64, 64 FROM generate_series(1, ${old}::int) n`;
  await db.$executeRaw`
    INSERT INTO "GuildSettings" (id, "updatedAt") SELECT 's' || n, now() FROM generate_series(1, ${old}::int) n`;
  await recountFlows();
  await db.$executeRaw`
    INSERT INTO "Flow" (bundle, tier, "userId", loras, "faceId", waiting, "waitingMs", "givenMs", since)
    SELECT 'reference', 'fast', 'gone' || n, '', '', 0, 0, 0, now() FROM generate_series(1, ${old}::int) n`;
  await db.$executeRaw`ANALYZE`;
}, 60_000);

it('a look at several bundles', async () => {
  const scans = await watchScans();
  const noir = { ...PLAIN, loras: new Set(['', 'noir']) };
  for (let n = 0; n < 8; n++) {
    const looks = await lookAtBacklogs(
      new Map([
        ['reference', noir],
        ['second', PLAIN],
        ['third', noir],
      ]),
    );
    expect([...looks.keys()]).toEqual(['reference']);
    expect(looks.get('reference')?.flows.length).toBeGreaterThan(16);
  }
  expect(large(scans())).toEqual([]);
});

it('from what is asked for to what is posted', async () => {
  const scans = await watchScans();
  // Postgres keeps a plan that fits any values from the sixth time on.
  for (let n = 0; n < 8; n++) {
    const me = origin();
    const asked = request([cell({ prompt: `a ${n}` }), cell({ prompt: `b ${n}` })]);
    const batch = await openBatch(me, asked);
    expect(large(scans()), 'accepting').toEqual([]);
    const [first, second] = await takeNext('w');
    expect(large(scans()), 'choosing and taking').toEqual([]);
    const told = [first!, second!].map(({ id }) => ({ id, progress: 0.5, stage: 'base' }));
    await reportProgress('w', told);
    await reportProgress('w', [{ ...told[0]!, preview: new Uint8Array([n]) }, told[1]!]);
    await reportProgress('w', [
      { ...told[0]!, preview: null },
      { ...told[1]!, preview: new Uint8Array([n]) },
    ]);
    expect(large(scans()), 'reporting').toEqual([]);
    // So long ago that somebody is told when it is done.
    if (n % 2) await db.batch.update({ where: { id: batch.id }, data: { openedAt: new Date(0) } });
    await failGeneration(second!.id, 'w', 'internal');
    await finishGeneration(first!, 'w', drawn());
    expect(large(scans()), 'ending').toEqual([]);
    await placeOf(batch.id);
    await forecastOf({
      userId: me.actor.id,
      tier: 'fast',
      parts: [{ bundle: 'reference', pictures: 4, costMs: 100 }],
    });
    expect(large(scans()), 'a place').toEqual([]);
    await claimDue(8, [], new Map());
    expect(large(scans()), 'what is due').toEqual([]);
  }
});

it('and what Prisma asks beside it', async () => {
  const heard = listen();
  const me = origin();
  await tokensLeft(me.actor);
  await expect(mustFit('reference', 'relax', actor().id)).rejects.toMatchObject({ code: 'tier_full' });
  const plan = await planBatch(
    me,
    request([cell({ prompt: 'planned' }), cell({ seed: 2 })], { kind: 'sweep' }),
  );
  const batch = await openPlanned(me, plan.batchId, plan.hash, false);
  await unfinishedBatches(me.actor.id);
  await tokenLines(me.actor.id, 10);
  await endBatch(batch.id, 'cancelled');
  expect(heard.length).toBeGreaterThan(15);
  expect(large(await plannedScans(heard))).toEqual([]);
});
