/**
 * The life of one generation, from the backlog to its picture:
 *
 *   queued ──▶ running ──▶ done        an Image row holds the picture, clear or flagged
 *     │ ▲         ├──────▶ failed      refunded
 *     │ └─────────┤ handed back: SIGTERM, a lost worker, another try
 *     └───────────┴──────▶ cancelled   refunded
 *
 * Every change is one conditional update in one function below, so a job delivered again finds nothing to do. A running
 * generation belongs to one Worker row; nobody else's end of it counts.
 */
import { audit } from '#src/audit.ts';
import { reusable, settleBatch, WORKER_LOST_MS } from '#src/batches/batches.ts';
import { announce, touch } from '#src/deliveries.ts';
import {
  type Batch,
  db,
  type Generation,
  type Image,
  type Prisma,
  type Transaction,
  type Verdict,
} from '#src/doors/db.ts';
import { deleteFile, getFile, putFile } from '#src/doors/storage.ts';
import { UserError } from '#src/errors.ts';
import { openReview } from '#src/moderation/moderation.ts';
import { type Actor, actorIn, isModerator } from '#src/people/people.ts';
import { refund } from '#src/people/tokens.ts';

/** A generation is tried so often before it fails as `internal`. */
export const MAX_ATTEMPTS = 3;

export type Drawing = Generation & { batch: Batch };

/** A finished picture, its bytes not stored yet. */
export interface Drawn {
  readonly png: Buffer;
  /** px */
  readonly width: number;
  /** px */
  readonly height: number;
  readonly sha256: string;
  readonly thumbhash: Uint8Array<ArrayBuffer>;
  readonly verdict: Verdict;
  readonly scores: Record<string, number>;
  readonly rule: string | null;
  readonly likeness: number | null;
  readonly bundleHash: string;
  /** stage → ms */
  readonly timings: Record<string, number>;
}

/** Takes a generation for a worker; null when it ended, was cancelled, or another live worker has it. */
export async function startGeneration(id: string, workerId: string): Promise<Drawing | null> {
  const { count } = await db.generation.updateMany({
    where: { id, state: 'queued', batch: { state: 'open' } },
    data: { state: 'running', workerId, startedAt: new Date(), progress: 0, attempts: { increment: 1 } },
  });
  if (!count) return null;
  const generation = await db.generation.findUniqueOrThrow({ where: { id }, include: { batch: true } });
  await touchAndAnnounce(generation.batchId);
  return generation;
}

/**
 * Notes how far it is, 0…1, and asks whether to go on.
 *
 * @returns false when the batch was cancelled or the generation is no longer this worker's
 */
export async function reportProgress(id: string, workerId: string, progress: number): Promise<boolean> {
  const { count } = await db.generation.updateMany({
    where: { id, workerId, state: 'running', batch: { state: { in: ['open', 'stopped'] } } },
    data: { progress },
  });
  if (count) await touch(db, { batch: { generations: { some: { id } } }, kind: { in: ['card', 'status'] } });
  return count > 0;
}

/** Where a picture is kept: mirrors its way. Flagged ones stay apart until a moderator decides. */
export function imageKey(drawing: Drawing, verdict: Verdict): string {
  const folder = verdict === 'clear' ? (drawing.batch.production ? 'productions' : 'tests') : 'quarantine';
  const day = drawing.batch.createdAt.toISOString().slice(0, 10);
  return `${folder}/${day}/${drawing.batchId}/${drawing.id}.png`;
}

/** Bytes first, then the row: a row never names bytes that are not there. False when it was no longer this worker's. */
export async function finishGeneration(drawing: Drawing, workerId: string, drawn: Drawn): Promise<boolean> {
  return finish(drawing, workerId, drawn, false);
}

/** Ends a generation with the bytes of a picture that was drawn before under the same key and weights, if there is one. */
export async function reuseImage(drawing: Drawing, workerId: string, bundleHash: string): Promise<boolean> {
  const earlier = await db.image.findFirst({
    where: { key: drawing.key, bundleHash, ...reusable },
    orderBy: { createdAt: 'desc' },
  });
  if (!earlier) return false;
  let png: Buffer;
  try {
    png = await getFile(earlier.storageKey);
  } catch {
    return false; // deleted between the two lines: draw it
  }
  const { width, height, sha256, thumbhash, verdict, scores, rule, likeness } = earlier;
  const drawn = { png, width, height, sha256, thumbhash, verdict, rule, likeness, bundleHash, timings: {} };
  return finish(drawing, workerId, { ...drawn, scores: scores as Record<string, number> }, true);
}

async function finish(drawing: Drawing, workerId: string, drawn: Drawn, reused: boolean): Promise<boolean> {
  const { png, timings, ...columns } = drawn;
  const storageKey = imageKey(drawing, drawn.verdict);
  await putFile(storageKey, png);

  const finished = await db.$transaction(async (tx) => {
    const { count } = await tx.generation.updateMany({
      where: { id: drawing.id, state: 'running', workerId },
      data: {
        state: 'done',
        endedAt: new Date(),
        progress: 1,
        timings,
        reused,
        bundleHash: drawn.bundleHash,
      },
    });
    if (!count) return false;
    const image = await tx.image.create({
      data: { ...columns, generationId: drawing.id, key: drawing.key, storageKey, bytes: png.length },
    });
    // It was promised as a reuse and is one, or it was paid for and drawn; a paid one that was copied is given back.
    if (reused) await refund(tx, [drawing]);
    if (drawn.verdict !== 'clear') {
      await openReview(tx, {
        imageId: image.id,
        guildId: drawing.batch.guildId,
        cause: drawn.rule === 'classifier-failed' ? 'classifier-failed' : 'classifier',
        ownerId: drawing.userId,
      });
    }
    await touch(tx, { batchId: drawing.batchId });
    await settleBatch(tx, drawing.batchId);
    return true;
  });
  if (!finished) await deleteFile(storageKey).catch(() => {});
  await announceBatch(drawing.batchId);
  return finished;
}

/** Back to the queue, to be tried again by whoever is free. `admitted`: BullMQ still has its job. */
export async function handBack(id: string, workerId: string, admitted: boolean): Promise<void> {
  await db.$transaction(async (tx) => {
    const [given] = await tx.generation.updateManyAndReturn({
      where: { id, state: 'running', workerId },
      data: { state: 'queued', workerId: null, progress: 0, ...(!admitted && { admittedAt: null }) },
    });
    if (given) await endIfBatchEnded(tx, given);
  });
}

/** Ends it without a picture and gives its tokens back. `failure` is a UserError code, or `internal`. */
export async function failGeneration(id: string, workerId: string | null, failure: string): Promise<boolean> {
  return endWithout(id, { state: 'running', workerId }, { state: 'failed', failure });
}

/** A running one that was aborted because its batch was cancelled. */
export async function abandonGeneration(id: string, workerId: string): Promise<boolean> {
  return endWithout(id, { state: 'running', workerId }, { state: 'cancelled' });
}

async function endWithout(
  id: string,
  where: Prisma.GenerationWhereInput,
  data: { state: 'failed' | 'cancelled'; failure?: string },
): Promise<boolean> {
  const ended = await db.$transaction(async (tx) => {
    const [generation] = await tx.generation.updateManyAndReturn({
      where: { id, ...where },
      data: { ...data, endedAt: new Date() },
    });
    if (!generation) return null;
    await refund(tx, [generation]);
    await touch(tx, { batchId: generation.batchId });
    await settleBatch(tx, generation.batchId);
    return generation;
  });
  if (ended) await announceBatch(ended.batchId);
  return ended !== null;
}

/** A generation that went back to the queue of a batch that was stopped meanwhile ends there. */
async function endIfBatchEnded(tx: Transaction, generation: Generation): Promise<void> {
  const { count } = await tx.generation.updateMany({
    where: { id: generation.id, state: 'queued', batch: { state: { in: ['stopped', 'cancelled'] } } },
    data: { state: 'cancelled', endedAt: new Date() },
  });
  if (!count) return;
  await refund(tx, [generation]);
  await touch(tx, { batchId: generation.batchId });
  await settleBatch(tx, generation.batchId);
}

/** Deletes a picture's bytes; its row and its generation's stay. @throws {UserError} `gone`, `not_yours` */
export async function deleteImage(actor: Actor, generationId: string): Promise<Image> {
  const image = await db.image.findUnique({
    where: { generationId },
    include: { generation: { include: { batch: true } } },
  });
  if (!image || image.deletedAt) throw new UserError('gone', {});
  const { userId, batch } = image.generation;
  if (userId !== actor.id && !(await isModerator(actorIn(actor, batch.guildId))))
    throw new UserError('not_yours', {});

  const deleted = await db.$transaction(async (tx) => {
    const { count } = await tx.image.updateMany({
      where: { id: image.id, deletedAt: null },
      data: { deletedAt: new Date(), visibility: 'private', publishedAt: null },
    });
    if (!count) return false;
    await audit(tx, {
      actorId: actor.id,
      action: 'image.delete',
      subject: `image:${image.id}`,
      guildId: actor.guildId,
    });
    await touch(tx, { batchId: image.generation.batchId });
    return true;
  });
  if (!deleted) throw new UserError('gone', {});
  // Row first here: a picture that is to go must not be served while its bytes go.
  await deleteFile(image.storageKey);
  await announceBatch(image.generation.batchId);
  return image;
}

/** Generations of workers that were not heard of go back to the queue, or fail after the third try. Returns how many. */
export async function rescueOrphans(now = new Date()): Promise<number> {
  const lost = await db.$queryRaw<{ id: string; workerId: string; attempts: number }[]>`
    SELECT g.id, g."workerId", g.attempts FROM "Generation" g LEFT JOIN "Worker" w ON w.id = g."workerId"
    WHERE g.state = 'running' AND (w.id IS NULL OR w."seenAt" < ${new Date(now.getTime() - WORKER_LOST_MS)})`;
  for (const { id, workerId, attempts } of lost) {
    if (attempts >= MAX_ATTEMPTS) await failGeneration(id, workerId, 'internal');
    else await handBack(id, workerId, false);
  }
  return lost.length;
}

async function touchAndAnnounce(batchId: string): Promise<void> {
  await touch(db, { batchId, kind: { in: ['card', 'status'] } });
  await announceBatch(batchId);
}

async function announceBatch(batchId: string): Promise<void> {
  await announce({ OR: [{ batchId }, { review: { image: { generation: { batchId } } } }] });
}
