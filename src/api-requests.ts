/**
 * What was asked for by the API: each batch once, however often its request comes, and a webhook once it has ended.
 *
 *   begin ──▶ held ──▶ its batch is accepted      the same again: that batch
 *               ├────▶ refused                    the row goes: nothing was done, and the same key may be used again
 *               └────▶ (a crash, a fault)         the same again begins anew; if the batch was accepted all the same, it is found
 *
 * A webhook is due from the moment that the batch is asked for, and is sent when the batch has ended: so none is lost between the two,
 * and what ends a batch knows nothing of it. The only file that writes ApiRequest.
 */
import { batchOf } from './batches/batches.ts';
import { type Batch, db, isDuplicate } from './doors/db.ts';

const HELD_MS = 60_000;
/** For so long a key of a request means the same request. */
export const KEPT_MS = 24 * 60 * 60_000;
/** Whoever sends a webhook has it for so long. ms */
const CLAIM_MS = 60_000;
/** After which a webhook that is still due is given up: its batch was never accepted, or its key is gone. ms */
const LOST_AFTER_MS = 7 * KEPT_MS;
/** Pauses before a webhook is tried again; after the last it is given up. ms */
const AGAIN_AFTER_MS = [5_000, 60_000, 5 * 60_000, 30 * 60_000, 2 * 3_600_000, 8 * 3_600_000, 24 * 3_600_000];

/** How often a webhook is sent at the most. */
export const TRIES = AGAIN_AFTER_MS.length + 1;

export const interactionOf = (requestId: string) => `api:${requestId}`;

export interface Asked {
  readonly userId: string;
  /** null: in a session */
  readonly keyId: string | null;
  /** null: none was given */
  readonly idempotencyKey: string | null;
  /** of what is asked: hex */
  readonly bodyHash: string;
  /** whether a webhook is to be sent */
  readonly notify: boolean;
}

/** `begun`: it is to be done now. `done`: it was. `busy`: another is at it. `other`: the key was used for something else. */
export type Begun =
  | { readonly state: 'begun'; readonly id: string }
  | { readonly state: 'done'; readonly batch: Batch }
  | { readonly state: 'busy' }
  | { readonly state: 'other' };

export async function begin(asked: Asked, now = new Date()): Promise<Begun> {
  const { notify, ...columns } = asked;
  const { userId, idempotencyKey, bodyHash } = columns;
  const heldUntil = new Date(now.getTime() + HELD_MS);
  if (idempotencyKey !== null)
    await db.apiRequest.updateMany({
      where: { userId, idempotencyKey, createdAt: { lt: new Date(now.getTime() - KEPT_MS) } },
      data: { idempotencyKey: null },
    });
  try {
    const { id } = await db.apiRequest.create({
      data: { ...columns, heldUntil, notifyAt: notify ? now : null },
    });
    return { state: 'begun', id };
  } catch (error) {
    if (!isDuplicate(error) || idempotencyKey === null) throw error;
  }
  const before = await db.apiRequest.findUnique({
    where: { userId_idempotencyKey: { userId, idempotencyKey } },
  });
  // The one before was refused just now.
  if (!before) return { state: 'busy' };
  if (before.bodyHash !== bodyHash) return { state: 'other' };
  const { id } = before;
  const batch = await batchOf(interactionOf(id));
  if (batch) return { state: 'done', batch };
  const { count } = await db.apiRequest.updateMany({
    where: { id, heldUntil: { lte: now } },
    data: { heldUntil },
  });
  return count ? { state: 'begun', id } : { state: 'busy' };
}

/** It was refused, so nothing was done. */
export async function forgetRequest(id: string): Promise<void> {
  await db.apiRequest.deleteMany({ where: { id } });
}

/** Nobody knows what became of it: whoever asks again finds out. */
export async function letGo(id: string, now = new Date()): Promise<void> {
  await db.apiRequest.updateMany({ where: { id }, data: { heldUntil: now } });
}

/** A webhook to be sent now. */
export interface DueWebhook {
  /** the request's; tells two that are sent for the same apart from two */
  readonly id: string;
  readonly keyId: string;
  readonly batchId: string;
  /** this one with them */
  readonly attempts: number;
  readonly url: string;
  readonly secret: string;
}

/**
 * Takes webhooks that are due for this process, at most one of a key.
 *
 * @param most rows
 * @param busy ids of keys of which none is taken
 */
export async function claimWebhooks(most: number, busy: readonly string[]): Promise<DueWebhook[]> {
  const rows = await db.$queryRaw<DueWebhook[]>`
    WITH head AS (
      SELECT DISTINCT ON (k.id) r.id, r."notifyAt", b.id AS "batchId", k."webhookUrl" AS url, k."webhookSecret" AS secret
      FROM "ApiRequest" r JOIN "ApiKey" k ON k.id = r."keyId" JOIN "Batch" b ON b."interactionId" = 'api:' || r.id
      WHERE r."notifyAt" <= now() AND b."endedAt" IS NOT NULL AND k."webhookUrl" IS NOT NULL AND k.id <> ALL (${[...busy]}::text[])
      ORDER BY k.id, r."notifyAt"
    ), free AS (
      -- Looked at again, now that it is locked: another process may have been first.
      SELECT r.id, head."batchId", head.url, head.secret FROM head JOIN "ApiRequest" r USING (id)
      WHERE r."notifyAt" <= now() ORDER BY r."notifyAt" LIMIT ${most} FOR UPDATE OF r SKIP LOCKED
    )
    UPDATE "ApiRequest" r SET "notifyAt" = now() + ${CLAIM_MS} * interval '1 ms', attempts = attempts + 1
    FROM free WHERE r.id = free.id RETURNING r.id, r."keyId", r.attempts, free."batchId", free.url, free.secret`;
  return rows;
}

/**
 * Notes what became of a webhook that this process still has.
 *
 * @param sent false: it is tried again later, as long as it was not too often
 */
export async function settleWebhook(
  { id, attempts }: DueWebhook,
  sent: boolean,
  now = new Date(),
): Promise<void> {
  const pauseMs = sent ? undefined : AGAIN_AFTER_MS[attempts - 1];
  await db.apiRequest.updateMany({
    where: { id, attempts },
    data: { notifyAt: pauseMs === undefined ? null : new Date(now.getTime() + pauseMs) },
  });
}

/** Deletes what is of no use any more. */
export async function forgetRequests(now = new Date()): Promise<void> {
  const before = (ms: number) => ({ createdAt: { lt: new Date(now.getTime() - ms) } });
  await db.apiRequest.deleteMany({
    where: { OR: [{ ...before(KEPT_MS), notifyAt: null }, before(LOST_AFTER_MS)] },
  });
}
