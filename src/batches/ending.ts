/**
 * How generations end, and with the last of them their batch. However one ends, the same follows in the same transaction: tokens
 * come back for what was not drawn, the messages that show it change, and a batch without anything left ends.
 */
import { v7 as uuid } from 'uuid';
import { z } from 'zod';
import { measured } from '#src/backlog/costs.ts';
import { isAlive, workersAlive } from '#src/backlog/fleet.ts';
import { changed, newRow, together, type Wake, wakeCourier } from '#src/deliveries.ts';
import {
  ask,
  db,
  type Generation,
  inTransaction,
  Prisma,
  type Transaction,
  type Verdict,
} from '#src/doors/db.ts';
import { log, withContext } from '#src/doors/log.ts';
import { metrics } from '#src/doors/metrics.ts';
import { getFile, isMissing } from '#src/doors/storage.ts';
import { type Failure, UserError } from '#src/errors.ts';
import { stayUsable } from '#src/faces.ts';
import {
  type Drawing,
  type EndWithout,
  MAX_TAKEN,
  markDone,
  markEnded,
  markQueued,
  tellAnswered,
  wakeWorkers,
} from '#src/generations/generations.ts';
import { createImage, newImageKey, reusable, storeBytes } from '#src/generations/images.ts';
import { openReview } from '#src/moderation/reviews.ts';
import { type Circumstances, type Judgement, judgedAgain } from '#src/moderation/verdicts.ts';
import { refund } from '#src/people/tokens.ts';
import { endBatchIfDone, markEnding, NOTE_AFTER_MS, tellKept } from './batches.ts';

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
  readonly judged: Judgement;
  readonly likeness: number | null;
  readonly bundleHash: string;
  /** ids of the face photos that it was drawn with */
  readonly photoIds: readonly string[];
  /** stage → ms */
  readonly timings: Record<string, number>;
  /** its part of the GPU's time, ms; nobody measured it when left out */
  readonly gpuMs?: number;
}

/** False when it was no longer this worker's. @throws {UserError} `consent_withdrawn` */
export async function finishGeneration(drawing: Drawing, workerId: string, drawn: Drawn): Promise<boolean> {
  return finish(drawing, workerId, drawn, null);
}

/**
 * Ends a generation with the bytes of a picture that was drawn before under the same key and weights. False when there is none, or what is
 * known of it is not clear where this one was asked for: then it is drawn, and its own verdict counts.
 *
 * @param photoIds of the face that the key stands for
 * @throws {UserError} `consent_withdrawn`
 */
export async function reuseImage(
  drawing: Drawing,
  workerId: string,
  bundleHash: string,
  photoIds: readonly string[],
  where: Circumstances,
): Promise<boolean> {
  const earlier = await db.image.findFirst({
    where: { key: drawing.key, bundleHash, ...reusable },
    orderBy: { createdAt: 'desc' },
  });
  const again = earlier && judgedAgain(earlier, where);
  if (!earlier || again?.verdict !== 'clear') return false;
  let png: Buffer;
  try {
    png = await getFile(earlier.storageKey);
  } catch (error) {
    if (isMissing(error)) return false; // deleted between the two lines: draw it
    throw error;
  }
  const { width, height, sha256, thumbhash, likeness } = earlier;
  const drawn = {
    ...again,
    png,
    width,
    height,
    sha256,
    thumbhash,
    likeness,
    bundleHash,
    photoIds,
    timings: {},
    gpuMs: 0,
  };
  return finish(drawing, workerId, drawn, earlier.id);
}

/** @param copiedFrom id of the image whose bytes these are; null: drawn */
async function finish(
  drawing: Drawing,
  workerId: string,
  drawn: Drawn,
  copiedFrom: string | null,
): Promise<boolean> {
  const { png } = drawn;
  const storageKey = newImageKey(drawing, drawn.verdict === 'clear' ? 'shown' : 'quarantine');

  const write = drawn.verdict === 'clear' ? finishClear : finishFlagged;
  const wake = await storeBytes(drawing.id, storageKey, png, () =>
    write(drawing, workerId, drawn, { storageKey, copiedFrom }),
  );
  wake?.();
  const outcome = copiedFrom === null ? 'drawn' : 'copied';
  if (wake) {
    metrics.ended({ tier: drawing.tier, outcome });
    tellAnswered(drawing);
  }
  return wake !== null;
}

interface Stored {
  readonly storageKey: string;
  readonly copiedFrom: string | null;
}

const Finished = z.union([
  z.null(),
  z.object({ refused: z.literal('consent_withdrawn') }),
  z.object({
    deliveries: z.array(z.string()),
    waiting: z.array(z.string()),
    /** tokens */
    refunded: z.number(),
    /** what people were told that the batch takes, and what it took, ms; null: it goes on, or they were told nothing */
    kept: z.object({ toldMs: z.number(), tookMs: z.number() }).nullable(),
  }),
]);

/** In one statement, see prisma/functions/finish_generation.sql. Null: it is not this worker's any more, or its original is gone. */
async function finishClear(
  { id, key, bundle, tier, costMs }: Drawing,
  workerId: string,
  { png, thumbhash, bundleHash, photoIds, timings, gpuMs: saidMs, verdict: _, ...columns }: Drawn,
  { storageKey, copiedFrom }: Stored,
): Promise<Wake | null> {
  const bytes = { bytes: png.length, thumbhash: Buffer.from(thumbhash).toString('base64') };
  const image = { ...columns, ...bytes, id: uuid(), key, storageKey };
  const gpuMs = saidMs === undefined ? null : measured(saidMs, costMs);
  const done = { id, workerId, photoIds, copiedFrom, bundleHash, timings, gpuMs, image };
  const deliveries = [newRow('pictures'), newRow('manifest'), newRow('notice')];
  const noteAfterS = NOTE_AFTER_MS / 1_000;
  const [row] = await ask<{ finished: unknown }>(
    Prisma.sql`SELECT finish_generation(${JSON.stringify({ ...done, deliveries, noteAfterS })}::jsonb) AS finished`,
  );
  const finished = Finished.parse(row?.finished ?? null);
  if (finished === null) return null;
  if ('refused' in finished) throw new UserError(finished.refused, {});
  const { deliveries: shown, waiting, refunded, kept } = finished;
  return together(
    () => wakeCourier(shown),
    wakeWorkers(waiting.map((twin) => ({ id: twin, bundle }))),
    () => {
      metrics.tokens({ reason: 'refund' }, refunded);
      if (kept !== null) tellKept(tier, kept);
    },
  );
}

/** What the review says of it first. */
function causeOf(rule: string | null): string {
  if (rule === 'classifier-failed' || rule === 'concepts-failed' || rule === 'possible-minor') return rule;
  return rule?.startsWith('concept-') ? 'concept' : 'classifier';
}

async function finishFlagged(
  drawing: Drawing,
  workerId: string,
  { png, timings, photoIds, gpuMs, ...columns }: Drawn,
  { storageKey, copiedFrom }: Stored,
): Promise<Wake | null> {
  return inTransaction(async (tx) => {
    if (!(await stayUsable(tx, photoIds))) throw new UserError('consent_withdrawn', {});
    const done = { bundleHash: columns.bundleHash, timings, reused: copiedFrom !== null };
    const released = await markDone(tx, drawing.id, workerId, done, gpuMs ?? null);
    if (!released) return null;
    const image = await createImage(tx, {
      ...columns,
      generationId: drawing.id,
      key: drawing.key,
      storageKey,
      bytes: png.length,
    });
    const review = await openReview(tx, {
      imageId: image.id,
      batch: drawing.batch,
      cause: causeOf(columns.rule),
      ownerId: drawing.userId,
    });
    return together(released, review, await ended(tx, drawing.batchId, []));
  });
}

/** What follows when generations of a batch have ended. @param undrawn those of them whose tokens come back */
async function ended(tx: Transaction, batchId: string, undrawn: readonly Generation[]): Promise<Wake> {
  await refund(tx, undrawn);
  const tokens = undrawn.reduce((sum, { price }) => sum + price, 0);
  const tell = () => metrics.tokens({ reason: 'refund' }, tokens);
  return together(tell, await changed(tx, { batchId }), await endBatchIfDone(tx, batchId));
}

/**
 * Ends it without a picture and gives its tokens back.
 *
 * @param gpuMs that it took until then; null: nobody measured it
 */
export async function failGeneration(
  id: string,
  workerId: string,
  failure: Failure,
  gpuMs: number | null = null,
): Promise<boolean> {
  return endWithout({ id, state: 'running', workerId }, { state: 'failed', failure }, gpuMs);
}

/** Ends a running one that was aborted because its batch was cancelled. @param gpuMs as in `failGeneration` */
export async function abandonGeneration(
  id: string,
  workerId: string,
  gpuMs: number | null = null,
): Promise<boolean> {
  return endWithout({ id, state: 'running', workerId }, { state: 'cancelled' }, gpuMs);
}

async function endWithout(
  where: Prisma.GenerationWhereInput,
  end: EndWithout,
  gpuMs: number | null,
): Promise<boolean> {
  const wake = await inTransaction(async (tx) => {
    const { ended: gone, wake: released } = await markEnded(tx, where, end, gpuMs);
    const [generation] = gone;
    return generation ? together(released, await ended(tx, generation.batchId, gone)) : null;
  });
  wake?.();
  return wake !== null;
}

/**
 * Puts it back into the backlog, for any free worker to try again; if its batch was stopped meanwhile, it ends instead.
 *
 * @param gpuMs as in `failGeneration`
 */
export async function handBack(id: string, workerId: string, gpuMs: number | null = null): Promise<void> {
  const wake = await inTransaction(async (tx) => {
    const back = await markQueued(tx, id, workerId, gpuMs);
    if (!back) return null;
    const { ended: gone, wake: released } = await markEnded(
      tx,
      { id, state: 'queued', batch: { state: { in: ['stopped', 'cancelled'] } } },
      { state: 'cancelled' },
    );
    const { batchId } = back.given;
    return gone.length
      ? together(released, await ended(tx, batchId, gone))
      : together(back.wake, await changed(tx, { batchId }));
  });
  wake?.();
}

/** Stops a batch: waiting generations end now and are refunded. `cancel` ends running ones at their next step as well. */
export async function endBatch(batchId: string, how: 'stopped' | 'cancelled'): Promise<boolean> {
  const wake = await inTransaction(async (tx) => {
    if (!(await markEnding(tx, batchId, how))) return null;
    const { ended: waiting, wake: released } = await markEnded(
      tx,
      { batchId, state: 'queued' },
      { state: 'cancelled' },
    );
    return together(released, await ended(tx, batchId, waiting));
  });
  wake?.();
  return wake !== null;
}

/**
 * Ends what waits or is drawn with a face that may not be used any more: a worker that draws it hears of it at its next step. In the
 * transaction that takes the face away.
 *
 * @returns how many
 */
export async function endWithFace(
  tx: Transaction,
  faceId: string,
  failure: Failure,
): Promise<{ readonly count: number; readonly wake: Wake }> {
  return failAll(tx, { faceId, state: { in: ['queued', 'running'] } }, failure);
}

/** Ends all that `where` matches, of whichever batches. */
async function failAll(
  tx: Transaction,
  where: Prisma.GenerationWhereInput,
  failure: Failure,
): Promise<{ readonly count: number; readonly wake: Wake }> {
  const { ended: all, wake: released } = await markEnded(tx, where, { state: 'failed', failure });
  const wakes: Wake[] = [released];
  for (const [batchId, theirs] of Map.groupBy(all, (one) => one.batchId))
    wakes.push(await ended(tx, batchId, theirs));
  return { count: all.length, wake: together(...wakes) };
}

/** Ends what waits for a bundle that no worker alive can draw with. @returns how many */
export async function failUndrawable(bundle: string): Promise<number> {
  if ((await workersAlive(bundle)).length) return 0;
  const { count, wake } = await inTransaction((tx) =>
    failAll(tx, { bundle, state: 'queued' }, 'bundle_failed'),
  );
  wake();
  return count;
}

/** Batches of one look. */
const LOOK_MAX = 500;
/** While an update goes on, one process knows a tier and another does not: only after so long is it gone. s */
const GONE_AFTER_S = 300;

/**
 * Ends what waits and will never have its turn, or shall not: in tiers that are not there any more, as the order knows no others, and
 * of people who were blocked since they asked. What is being drawn goes on.
 *
 * @param tiers those that there are
 * @returns how many pictures
 */
export async function endUnwanted(tiers: readonly string[]): Promise<number> {
  let count = 0;
  for (;;) {
    const waiting = await db.$queryRaw<{ batchId: string; isBlocked: boolean }[]>`
      SELECT DISTINCT g."batchId", f."isBlocked" FROM (
        SELECT DISTINCT f.bundle, f.tier, f."userId", coalesce(u."blockedUntil" > now(), false) AS "isBlocked"
        FROM "Flow" f JOIN "User" u ON u.id = f."userId"
        WHERE f.waiting > 0 AND (u."blockedUntil" > now()
          OR (f.tier <> ALL (${[...tiers]}::text[]) AND f.since < now() - ${GONE_AFTER_S} * interval '1 second'))) f
      JOIN "Generation" g USING (bundle, tier, "userId") WHERE g.state = 'queued' AND g."twinId" IS NULL LIMIT ${LOOK_MAX}`;
    for (const { batchId, isBlocked } of waiting) {
      const failure = isBlocked ? 'blocked' : 'tier_gone';
      const gone = await inTransaction((tx) => failAll(tx, { batchId, state: 'queued' }, failure));
      gone.wake();
      count += gone.count;
    }
    if (waiting.length < LOOK_MAX) return count;
  }
}

/**
 * Puts back into the backlog what a worker is said to draw and does not have in hand, as when Postgres was away while it ended.
 *
 * @param inHand grows before a generation is taken, and shrinks after it has ended
 */
export async function putDown(workerId: string, inHand: ReadonlySet<string>): Promise<number> {
  const said = await db.generation.findMany({
    where: { workerId, state: 'running' },
    select: { id: true, batchId: true, attempts: true },
  });
  return giveUp(said.filter(({ id }) => !inHand.has(id)).map((one) => ({ ...one, workerId })));
}

/** Puts back what lost workers had. @param by the worker that asks; its own are its own affair */
export async function rescueOrphans(by: string): Promise<number> {
  const lost = await db.$queryRaw<Orphan[]>`
    SELECT g.id, g."batchId", g."workerId", g.attempts FROM "Generation" g LEFT JOIN "Worker" w ON w.id = g."workerId"
    WHERE g.state = 'running' AND g."workerId" <> ${by} AND ${isAlive} IS NOT TRUE`;
  return giveUp(lost);
}

interface Orphan {
  readonly id: string;
  readonly batchId: string;
  readonly workerId: string;
  readonly attempts: number;
}

/** Back into the backlog, or failed when it was taken too often. Returns how many. */
async function giveUp(orphans: readonly Orphan[]): Promise<number> {
  for (const { id, batchId, workerId, attempts } of orphans) {
    await withContext({ generationId: id, batchId }, async () => {
      const isGivenUp = attempts >= MAX_TAKEN;
      if (isGivenUp) await failGeneration(id, workerId, 'internal');
      else await handBack(id, workerId);
      log.info({ from: workerId, attempts }, isGivenUp ? 'taken too often: given up' : 'put back');
    });
  }
  return orphans.length;
}
