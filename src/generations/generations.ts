/**
 * The life of one generation, from the backlog to its picture:
 *
 *   queued ──▶ running ──▶ done        an Image row holds the picture, clear or flagged
 *     │ ▲         ├──────▶ failed      refunded
 *     │ └─────────┤ handed back: SIGTERM, a lost worker, another try
 *     └───────────┴──────▶ cancelled   refunded
 *
 * Every change is one conditional update in one function below, so a job delivered again finds nothing to do. A running
 * generation belongs to one Worker row; nobody else's end of it counts. What its end means for tokens, messages and its batch is
 * in `batches/ending.ts`. The only file that writes Generation.
 */
import { changed } from '#src/deliveries.ts';
import { type Batch, db, type Generation, type Prisma, type Transaction } from '#src/doors/db.ts';
import type { Failure } from '#src/errors.ts';

/** How often a generation is tried before it fails as `internal`. */
export const MAX_ATTEMPTS = 3;
const CREATED_AT_ONCE = 40;

export type Drawing = Generation & { batch: Batch };

export async function createGenerations(
  tx: Transaction,
  generations: readonly Prisma.GenerationCreateManyInput[],
): Promise<void> {
  // 400 at once took Prisma 170 ms, all of them the event loop's.
  for (let from = 0; from < generations.length; from += CREATED_AT_ONCE)
    await tx.generation.createMany({ data: generations.slice(from, from + CREATED_AT_ONCE) });
}

/** Takes a generation for a worker; null when it ended, was cancelled, or another live worker has it. */
export async function startGeneration(id: string, workerId: string): Promise<Drawing | null> {
  const { count } = await db.generation.updateMany({
    where: { id, state: 'queued', batch: { state: 'open' } },
    data: { state: 'running', workerId, startedAt: new Date(), progress: 0, attempts: { increment: 1 } },
  });
  if (!count) return null;
  const generation = await db.generation.findUniqueOrThrow({ where: { id }, include: { batch: true } });
  const wake = await changed(db, { batchId: generation.batchId, kind: { in: ['card', 'status'] } });
  wake();
  return generation;
}

/**
 * Notes how far it is, 0…1, and asks whether to go on. The courier is not woken: it looks every second by itself.
 *
 * @returns false when the batch was cancelled or the generation is no longer this worker's
 */
export async function reportProgress(id: string, workerId: string, progress: number): Promise<boolean> {
  const { count } = await db.generation.updateMany({
    where: { id, workerId, state: 'running', batch: { state: { in: ['open', 'stopped'] } } },
    data: { progress },
  });
  if (count)
    await changed(db, { batch: { generations: { some: { id } } }, kind: { in: ['card', 'status'] } });
  return count > 0;
}

export interface Finish {
  readonly bundleHash: string;
  /** stage → ms */
  readonly timings: Record<string, number>;
  /** copied from a picture that was drawn before */
  readonly reused: boolean;
}

/** @returns false when it was no longer this worker's */
export async function markDone(
  tx: Transaction,
  id: string,
  workerId: string,
  finish: Finish,
): Promise<boolean> {
  const { count } = await tx.generation.updateMany({
    where: { id, state: 'running', workerId },
    data: { ...finish, state: 'done', endedAt: new Date(), progress: 1 },
  });
  return count > 0;
}

export type EndWithout =
  | { readonly state: 'failed'; readonly failure: Failure }
  | { readonly state: 'cancelled' };

/** Ends without a picture those that `where` matches. @returns them */
export async function markEnded(
  tx: Transaction,
  where: Prisma.GenerationWhereInput,
  end: EndWithout,
): Promise<Generation[]> {
  return tx.generation.updateManyAndReturn({ where, data: { ...end, endedAt: new Date() } });
}

/** Puts it back into the backlog. `admitted`: BullMQ still has its job. @returns null when it was no longer this worker's */
export async function markQueued(
  tx: Transaction,
  id: string,
  workerId: string,
  admitted: boolean,
): Promise<Generation | null> {
  const [given] = await tx.generation.updateManyAndReturn({
    where: { id, state: 'running', workerId },
    data: { state: 'queued', workerId: null, progress: 0, ...(!admitted && { admittedAt: null }) },
  });
  return given ?? null;
}

/**
 * Notes that it is handed to BullMQ.
 *
 * @param at later than any before: the order of admission is read from it
 * @returns null when it is not waiting any more
 */
export async function markAdmitted(
  tx: Transaction,
  id: string,
  at: Date,
): Promise<Pick<Generation, 'id' | 'attempts'> | null> {
  const [admitted] = await tx.generation.updateManyAndReturn({
    where: { id, state: 'queued', admittedAt: null },
    data: { admittedAt: at },
    select: { id: true, attempts: true },
  });
  return admitted ?? null;
}

/** Puts back into the backlog what BullMQ has lost. Returns how many. */
export async function markNotAdmitted(ids: readonly string[]): Promise<number> {
  const { count } = await db.generation.updateMany({
    where: { id: { in: [...ids] }, state: 'queued' },
    data: { admittedAt: null },
  });
  return count;
}
