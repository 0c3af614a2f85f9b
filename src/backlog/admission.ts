/**
 * Hands waiting generations from the backlog in Postgres to BullMQ, and only about twice as many as the workers can
 * hold: so who is next is decided when a worker is free, not when a person asks.
 *
 * Order: tiers take turns in the order of config/tiers.yaml; within a tier people take turns, who was served longest ago
 * first; within a person, first come first. A person who asks for 500 pictures delays another by one picture.
 *
 * Every worker runs this loop; a transaction-scoped advisory lock lets one of them admit at a time. A crash between the
 * row and the job is mended by `readmitLost`.
 */
import { tiers } from '#config/tiers.ts';
import { WORKER_LOST_MS } from '#src/batches/batches.ts';
import { db } from '#src/doors/db.ts';
import type { Queues } from '#src/doors/queue.ts';

/** Jobs in BullMQ for each worker alive: one drawn, one ready. */
const DEPTH = 2;

/** Admitted longer ago than this without a job in BullMQ: the queue was emptied. ms */
const LOST_AFTER_MS = 10_000;

/** Admits what fits and returns how many. */
export async function admit(queues: Queues, bundle: string, now = new Date()): Promise<number> {
  const ids = await db.$transaction(async (tx) => {
    const [lock] = await tx.$queryRaw<{ mine: boolean }[]>`
      SELECT pg_try_advisory_xact_lock(hashtextextended(${`admission:${bundle}`}, 0)) AS mine`;
    if (!lock?.mine) return [];

    const alive = { bundle, seenAt: { gt: new Date(now.getTime() - WORKER_LOST_MS) } };
    const room =
      DEPTH * (await tx.worker.count({ where: alive })) -
      (await tx.generation.count({ where: { bundle, state: 'queued', admittedAt: { not: null } } }));
    if (room <= 0) return [];

    const order = [...tiers.keys()];
    const next = await tx.$queryRaw<{ id: string }[]>`
      WITH served AS (
        SELECT tier, "userId", max("admittedAt") AS latest FROM "Generation"
        WHERE "admittedAt" > now() - interval '1 hour' GROUP BY tier, "userId"
      ), waiting AS (
        SELECT g.id, g.key, g.tier, g."queuedAt", g.index, s.latest,
          row_number() OVER (PARTITION BY g.tier, g."userId" ORDER BY g."queuedAt", g.index) AS turn
        FROM "Generation" g JOIN "Batch" b ON b.id = g."batchId" AND b.state = 'open'
        LEFT JOIN served s ON s.tier = g.tier AND s."userId" = g."userId"
        WHERE g.bundle = ${bundle} AND g.state = 'queued' AND g."admittedAt" IS NULL
          -- An equal picture is being drawn: wait for it and copy it.
          AND NOT EXISTS (SELECT 1 FROM "Generation" twin WHERE twin.key = g.key AND twin.id <> g.id
            AND (twin.state = 'running' OR (twin.state = 'queued' AND twin."admittedAt" IS NOT NULL)))
      ), one_each AS (
        SELECT DISTINCT ON (key) * FROM waiting ORDER BY key, turn, "queuedAt", index
      ), in_turn AS (
        SELECT *, row_number() OVER (PARTITION BY tier
          ORDER BY turn, latest NULLS FIRST, "queuedAt", index) AS tier_turn FROM one_each
      )
      SELECT id FROM in_turn
      ORDER BY tier_turn, array_position(${order}::text[], tier) LIMIT ${room}`;
    const chosen = next.map(({ id }) => id);
    await tx.generation.updateMany({
      where: { id: { in: chosen }, state: 'queued', admittedAt: null },
      data: { admittedAt: now },
    });
    return chosen;
  });
  for (const id of ids) await queues.add('generation', { generationId: id }, { id, bundle });
  return ids.length;
}

/** Puts back what was admitted and is not in BullMQ any more, as after an emptied Redis. Returns how many. */
export async function readmitLost(queues: Queues, bundle: string, now = new Date()): Promise<number> {
  const admitted = await db.generation.findMany({
    where: { bundle, state: 'queued', admittedAt: { lt: new Date(now.getTime() - LOST_AFTER_MS) } },
    select: { id: true },
  });
  if (!admitted.length) return 0;
  const queued = await queues.ids('generation', bundle);
  const lost = admitted.map(({ id }) => id).filter((id) => !queued.has(id));
  const { count } = await db.generation.updateMany({
    where: { id: { in: lost }, state: 'queued' },
    data: { admittedAt: null },
  });
  return count;
}
