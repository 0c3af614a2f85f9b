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
import { workersAtWork } from './fleet.ts';
import { inOrder } from './order.ts';

/** Jobs in BullMQ for each worker alive: one drawn, one ready. */
const DEPTH = 2;

/** A generation admitted longer ago than this without a job in BullMQ was lost with the queue. ms */
const LOST_AFTER_MS = 10_000;

/** Admits what fits and returns how many. */
export async function admit(queues: Queues, bundle: string, now = new Date()): Promise<number> {
  const admitted = await db.$transaction(async (tx) => {
    const [lock] = await tx.$queryRaw<{ mine: boolean }[]>`
      SELECT pg_try_advisory_xact_lock(hashtextextended(${`admission:${bundle}`}, 0)) AS mine`;
    if (!lock?.mine) return [];

    const inQueue = { bundle, state: 'queued', admittedAt: { not: null } } as const;
    const workers = (await workersAtWork(bundle)).length;
    const room = DEPTH * workers - (await tx.generation.count({ where: inQueue }));
    if (room <= 0) return [];

    const backlog = await readBacklog(tx, bundle, now);
    // The order is read from these times later: each is later than all before it, whatever the clock says.
    let at = Math.max(now.getTime(), ...[...backlog.tierServedAt.values()].map((ms) => ms + 1));
    const chosen: { id: string; attempts: number }[] = [];
    for (const { id } of inOrder(backlog, [...tiers.keys()]).take(room)) {
      if (id === undefined) break; // more than one look hands out: the next look goes on from here
      const admitted = await markAdmitted(tx, id, new Date(at++));
      if (admitted) chosen.push(admitted);
    }
    return chosen;
  });
  for (const one of admitted)
    await queues.add('generation', { generationId: one.id }, { id: jobIdOf(one), bundle });
  return admitted.length;
}

/** Puts back what was admitted and is not in BullMQ any more, as after Redis was emptied. Returns how many. */
export async function readmitLost(queues: Queues, bundle: string, now = new Date()): Promise<number> {
  const admitted = await db.generation.findMany({
    where: { bundle, state: 'queued', admittedAt: { lt: new Date(now.getTime() - LOST_AFTER_MS) } },
    select: { id: true },
  });
  if (!admitted.length) return 0;
  const queued = new Set([...(await queues.ids('generation', bundle))].map(generationOf));
  return markNotAdmitted(admitted.map(({ id }) => id).filter((id) => !queued.has(id)));
}

/**
 * Each attempt is another job. Of a worker that died BullMQ keeps the job until its lock has run out, and takes no second one of the
 * same id so long; when it hands the old one out again, there is nothing to do.
 */
const jobIdOf = ({ id, attempts }: { readonly id: string; readonly attempts: number }) => `${id}-${attempts}`;
const generationOf = (jobId: string) => jobId.slice(0, jobId.lastIndexOf('-'));
