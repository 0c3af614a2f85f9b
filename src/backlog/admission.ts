/**
 * Hands waiting generations from the backlog in Postgres to BullMQ, in the order of `order.ts`, and only about twice as many
 * as the workers can hold: so who is next is decided when a worker is free, not when a person asks.
 *
 * Every worker runs this loop; a transaction-scoped advisory lock lets one of them admit at a time. A crash between the
 * row and the job is mended by `readmitLost`.
 */
import { tiers } from '#config/tiers.ts';
import { db } from '#src/doors/db.ts';
import type { Queues } from '#src/doors/queue.ts';
import { markAdmitted, markNotAdmitted } from '#src/generations/generations.ts';
import { readBacklog } from './backlog.ts';
import { workersAlive } from './fleet.ts';
import { inOrder } from './order.ts';

/** Jobs in BullMQ for each worker alive: one drawn, one ready. */
const DEPTH = 2;

/** A generation admitted longer ago than this without a job in BullMQ was lost with the queue. ms */
const LOST_AFTER_MS = 10_000;

/** Admits what fits and returns how many. */
export async function admit(queues: Queues, bundle: string, now = new Date()): Promise<number> {
  const ids = await db.$transaction(async (tx) => {
    const [lock] = await tx.$queryRaw<{ mine: boolean }[]>`
      SELECT pg_try_advisory_xact_lock(hashtextextended(${`admission:${bundle}`}, 0)) AS mine`;
    if (!lock?.mine) return [];

    const admitted = { bundle, state: 'queued', admittedAt: { not: null } } as const;
    const workers = (await workersAlive(bundle, now)).length;
    const room = DEPTH * workers - (await tx.generation.count({ where: admitted }));
    if (room <= 0) return [];

    const backlog = await readBacklog(tx, bundle, now);
    // The order is read from these times later: each is later than all before it, whatever the clock says.
    let at = Math.max(now.getTime(), ...[...backlog.tierServedAt.values()].map((ms) => ms + 1));
    const chosen: string[] = [];
    for (const { id } of inOrder(backlog, [...tiers.keys()]).take(room)) {
      if (id === undefined) break; // more than one look hands out: the next look goes on from here
      if (await markAdmitted(tx, id, new Date(at++))) chosen.push(id);
    }
    return chosen;
  });
  for (const id of ids) await queues.add('generation', { generationId: id }, { id, bundle });
  return ids.length;
}

/** Puts back what was admitted and is not in BullMQ any more, as after Redis was emptied. Returns how many. */
export async function readmitLost(queues: Queues, bundle: string, now = new Date()): Promise<number> {
  const admitted = await db.generation.findMany({
    where: { bundle, state: 'queued', admittedAt: { lt: new Date(now.getTime() - LOST_AFTER_MS) } },
    select: { id: true },
  });
  if (!admitted.length) return 0;
  const queued = await queues.ids('generation', bundle);
  return markNotAdmitted(admitted.map(({ id }) => id).filter((id) => !queued.has(id)));
}
