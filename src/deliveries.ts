/**
 * What must be seen in Discord, as rows. A delivery is one message that exists in Discord and shows what Postgres says:
 *
 *   active ──▶ closed        its subject is gone, or nothing will change any more
 *     └──────▶ undelivered   nobody could be reached
 *
 * Whoever changes something that a message shows raises `wanted` in the same transaction (`changed`), and wakes the courier after
 * it; the courier posts or edits until `posted` has caught up. So a crash anywhere loses no post, and no post is made twice: the
 * message id is kept, and the first post carries a nonce. The only file that writes Delivery.
 */
import { randomBytes } from 'node:crypto';
import { v7 as uuid } from 'uuid';
import {
  ask,
  type Batch,
  type Delivery,
  type DeliveryKind,
  db,
  Prisma,
  type Transaction,
} from './doors/db.ts';
import { queues } from './doors/queue.ts';
import { UserError } from './errors.ts';
import { isGuest, type Origin } from './people/people.ts';

export interface NewDelivery {
  readonly kind: DeliveryKind;
  readonly userId: string;
  readonly guildId?: string | null;
  /** null: the batch's thread, or a DM */
  readonly channelId?: string | null;
  readonly batchId?: string;
  readonly reviewId?: string;
  readonly imageId?: string;
  /** An interaction's token, where the bot is no member. */
  readonly token?: string | null;
  readonly tokenExpiresAt?: Date | null;
}

/**
 * Wakes the courier for what was just changed or added; to be called once the transaction is committed. Nobody waits for it: one that
 * is lost costs some seconds, as the courier looks for due rows itself.
 */
export type Wake = () => void;

/** Discord takes 25 characters. */
export const newNonce = () => randomBytes(12).toString('hex');

/** For a function of Postgres that adds messages: ids and nonces of their rows. */
export const newRow = (kind: DeliveryKind) => ({ id: uuid(), kind, nonce: newNonce() });

/** A message that is to be seen from now on. A guest on the web gets none: their pages tell them. */
export async function addDelivery(tx: Transaction, delivery: NewDelivery): Promise<Wake> {
  if (delivery.kind === 'notice' && isGuest(delivery.userId)) return () => {};
  const { id } = await tx.delivery.create({ data: { ...delivery, nonce: newNonce() }, select: { id: true } });
  return () => wakeCourier([id]);
}

/** Messages about what a guest asked for are about this person's from now on. */
export async function moveDeliveries(tx: Transaction, guestId: string, personId: string): Promise<void> {
  await tx.delivery.updateMany({ where: { userId: guestId }, data: { userId: personId } });
}

/** Says that what these messages show has changed. */
export async function changed(tx: Transaction, where: Prisma.DeliveryWhereInput): Promise<Wake> {
  const ids = await raiseWanted(tx, where);
  return () => wakeCourier(ids);
}

/** Makes one wake of several. */
export function together(...wakes: readonly Wake[]): Wake {
  return () => {
    for (const wake of wakes) wake();
  };
}

/** @returns ids of those that were raised */
async function raiseWanted(
  tx: Transaction,
  where: Prisma.DeliveryWhereInput,
  alike: Prisma.DeliveryUpdateManyMutationInput = {},
): Promise<string[]> {
  const rows = await tx.delivery.updateManyAndReturn({
    where: { ...where, state: 'active' },
    data: { ...alike, wanted: { increment: 1 } },
    select: { id: true },
  });
  return rows.map(({ id }) => id);
}

/** To be called once the transaction is committed that raised them. */
export function wakeCourier(ids: readonly string[]): void {
  for (const id of ids) queues().wake('delivery', { deliveryId: id }, { id });
}

/** For a statement: says that the cards of these batches, and how far they are, have changed. @returns rows of ids */
export function raiseCards(batchIds: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    UPDATE "Delivery" SET wanted = wanted + 1
    WHERE "batchId" IN (${batchIds}) AND kind IN ('card', 'status') AND state = 'active' RETURNING id`;
}

/** How many pictures a page of a batch's message shows. */
export const PICTURES_PAGE = 10;

/** Turns the page of a message with a batch's pictures or contact sheets. @throws {UserError} `gone` */
export async function turnPage(batchId: string, messageId: string, page: number): Promise<void> {
  const ids = await raiseWanted(db, { batchId, messageId, kind: { in: ['pictures', 'status'] } }, { page });
  if (!ids.length) throw new UserError('gone', {});
  wakeCourier(ids);
}

/** Has an undelivered message posted where its owner asks for it. @throws {UserError} `gone` */
export async function deliverAgain(
  { actor, channelId, botInside, token, tokenExpiresAt }: Origin,
  deliveryId: string,
): Promise<void> {
  const { count } = await db.delivery.updateMany({
    where: { id: deliveryId, userId: actor.id, state: 'undelivered' },
    data: {
      state: 'active',
      channelId,
      ...(botInside ? { token: null, tokenExpiresAt: null } : { token, tokenExpiresAt }),
      messageId: null,
      attempts: 0,
      lastError: null,
      notBefore: new Date(),
      wanted: { increment: 1 },
    },
  });
  if (!count) throw new UserError('gone', {});
  wakeCourier([deliveryId]);
}

/**
 * Has shown what waited until there was a review channel, and the cards that say so of their pictures.
 *
 * @param guildIds null among them: what comes to the platform's own
 */
export async function releaseReviews(tx: Transaction, guildIds: readonly (string | null)[]): Promise<Wake> {
  const theirs = { OR: guildIds.map((guildId) => ({ guildId })) };
  const waiting: Prisma.DeliveryWhereInput = {
    ...theirs,
    kind: { in: ['review', 'request'] },
    messageId: null,
  };
  const held: Prisma.DeliveryWhereInput = {
    kind: 'card',
    batch: { generations: { some: { image: { review: { ...theirs, state: 'pending' } } } } },
  };
  const ids = [
    ...(await raiseWanted(tx, waiting, { notBefore: new Date() })),
    ...(await raiseWanted(tx, held)),
  ];
  return () => wakeCourier(ids);
}

/**
 * Lets a card show its finished picture at once. The courier has one with an attempt in hand: its row is written all the same, so that
 * whoever settles it waits for this transaction, and sees then that the batch has ended.
 */
export async function hastenCard(tx: Transaction, batchId: string): Promise<void> {
  await tx.$executeRaw`
    UPDATE "Delivery" SET "notBefore" = CASE WHEN attempts = 0 THEN now() ELSE "notBefore" END
    WHERE "batchId" = ${batchId} AND kind = 'card' AND state = 'active'`;
}

// What the courier does with rows

/** ms after which another courier may take the row of one that died */
export const CLAIM_MS = 15_000;
/** ms after which a place in line and an estimate are worth an edit */
const STALE_MS = 20_000;
/** Due rows of open lanes that one look goes through, so that even an hour of Discord's absence makes no look long. */
const SEEN_MAX = 5_000;
/** Cards refreshed at once: with a thousand waiting, each is refreshed seldom rather than all of them too often. */
const REFRESH_MAX = 8;

/** A row that this process has for `CLAIM_MS`, and longer while it renews the claim. */
export interface Claimed {
  /** its `attempts` numbers the claims; its `wanted` is as old as `batch` */
  readonly delivery: Delivery;
  /** the delivery's */
  readonly batch: Batch | null;
  readonly lane: string;
  /** whether others of its lane are due */
  readonly more: boolean;
}

export interface Claims {
  /** the longest due first */
  readonly claimed: readonly Claimed[];
  /** whether all was seen that is due in the other lanes */
  readonly sawAll: boolean;
  /** when the next row falls due that is not due yet; null: none does */
  readonly nextAt: Date | null;
}

/** As the index of what is due has it. */
const isWanted = Prisma.sql`d.state = 'active' AND d.wanted > d.posted`;
/** The channel where a row is shown; as long as that is not known, what tells it best. A batch's thread is a channel of its own. */
const laneOf = Prisma.sql`coalesce(d."channelId",
  (SELECT coalesce(b."threadId", b."channelId") FROM "Batch" b WHERE b.id = d."batchId"), d."guildId", d."userId")`;
const deliveryColumns = Object.keys(Prisma.DeliveryScalarFieldEnum);
const batchColumns = Object.keys(Prisma.BatchScalarFieldEnum);

/**
 * Takes due rows for this process, at most one of a lane: its longest due.
 *
 * @param most rows
 * @param shut lanes of which nothing is taken
 * @param servedAt lane → when something of it was last taken, ms: its next row counts as due since then at the earliest, so that a
 *   lane with much to do does not come before all others
 */
export async function claimDue(
  most: number,
  shut: readonly string[],
  servedAt: ReadonlyMap<string, number>,
): Promise<Claims> {
  const now = new Date();
  const until = new Date(now.getTime() + CLAIM_MS);
  const isDue = Prisma.sql`${isWanted} AND d."notBefore" <= ${now}`;
  const lanes = [...servedAt.keys()];
  const times = [...servedAt.values()].map((ms) => new Date(ms).toISOString());
  const rows = await ask<ClaimRow>(Prisma.sql`
    WITH seen AS MATERIALIZED (
      SELECT * FROM (
        SELECT d.id, ${laneOf} AS lane, d."notBefore", d.wanted FROM "Delivery" d
        WHERE ${isDue} ORDER BY d."notBefore" OFFSET 0
      ) due WHERE due.lane <> ALL (${shut}::text[]) LIMIT ${SEEN_MAX}
    ), head AS (
      SELECT DISTINCT ON (lane) seen.id, lane, seen.wanted, greatest(seen."notBefore", served.at) AS since,
        count(*) OVER (PARTITION BY lane) > 1 AS more
      FROM seen LEFT JOIN unnest(${lanes}::text[], ${times}::timestamptz[]) AS served (lane, at) USING (lane)
      ORDER BY lane, seen."notBefore", seen.id
    ), free AS (
      -- Looked at again, now that it is locked: another courier may have been first.
      SELECT d.id, head.lane, head.more, head.since, head.wanted FROM head JOIN "Delivery" d USING (id)
      WHERE ${isDue} ORDER BY head.since, d.id LIMIT ${most} FOR UPDATE OF d SKIP LOCKED
    ), taken AS (
      UPDATE "Delivery" d SET "notBefore" = ${until}, attempts = d.attempts + 1
      FROM free WHERE d.id = free.id RETURNING d.*, free.lane, free.more, free.since, free.wanted AS seen
    )
    -- Changed just before it was locked, a row wants more than its batch shows here: it is shown again.
    SELECT next.*, d.lane, d.more, d.seen, ${columns('d', deliveryColumns)}, ${columns('b', batchColumns)}
    FROM (
      SELECT (SELECT min(d."notBefore") FROM "Delivery" d WHERE ${isWanted} AND d."notBefore" > ${now}) AS "nextAt",
        (SELECT count(*) FROM seen) < ${SEEN_MAX} AS "sawAll"
    ) next
    LEFT JOIN taken d ON true LEFT JOIN "Batch" b ON b.id = d."batchId"
    ORDER BY d.since, d.id`);
  const claimed = rows.flatMap(({ lane, more, seen, ...row }): Claimed[] => {
    const delivery = rowOf<Delivery>(row, 'd', deliveryColumns);
    const batch = rowOf<Batch>(row, 'b', batchColumns);
    return delivery ? [{ delivery: { ...delivery, wanted: seen }, batch, lane, more }] : [];
  });
  const { sawAll = true, nextAt = null } = rows[0] ?? {};
  return { claimed, sawAll, nextAt };
}

/**
 * How many rows do not show yet what they shall, and since when the one that is due longest is; null: none is due yet, as of those that
 * wait to be tried again.
 */
export async function dueNow(): Promise<{ readonly count: number; readonly since: Date | null }> {
  const [row] = await db.$queryRaw<{ count: number; since: Date | null }[]>`
    SELECT count(*)::int AS count, min(greatest("notBefore", "wantedAt")) FILTER (WHERE "notBefore" <= now()) AS since
    FROM "Delivery" d WHERE ${isWanted}`;
  return row ?? { count: 0, since: null };
}

interface ClaimRow {
  readonly nextAt: Date | null;
  readonly sawAll: boolean;
  readonly lane: string;
  readonly more: boolean;
  readonly seen: number;
  /** `table.column` */
  readonly [column: string]: unknown;
}

/** Two tables have columns of the same name. */
function columns(table: string, names: readonly string[]): Prisma.Sql {
  return Prisma.raw(names.map((name) => `${table}."${name}" AS "${table}.${name}"`).join(', '));
}

/** A table's row out of a joined one; null when it was joined to none. */
function rowOf<T extends { id: string }>(
  row: Readonly<Record<string, unknown>>,
  table: string,
  names: readonly string[],
): T | null {
  if (row[`${table}.id`] === null) return null;
  return Object.fromEntries(names.map((name) => [name, row[`${table}.${name}`]])) as T;
}

/** Changes a row that this process still has: what an outlived claim writes finds no row. */
export async function changeClaimed(
  { id, attempts }: Delivery,
  data: Prisma.DeliveryUpdateManyMutationInput,
  tx: Transaction = db,
): Promise<boolean> {
  const { count } = await tx.delivery.updateMany({ where: { id, attempts, state: 'active' }, data });
  return count > 0;
}

/** A message as it was just shown. */
export interface Shown {
  readonly messageId: string;
  readonly channelId: string;
  readonly files: readonly { readonly id: string; readonly name: string }[];
  /** nothing will change any more */
  readonly closed: boolean;
  /** ms before which it is not edited */
  readonly editAfterMs: number;
}

/**
 * Notes what a row that this process still has shows now.
 *
 * @param also done with it, if this process still has the row
 * @returns whether that is all it shall show
 */
export async function settleDelivery(
  { id, attempts, wanted, messageId, postedAt }: Delivery,
  shown: Shown,
  also?: (condition: Prisma.Sql) => Prisma.Sql,
): Promise<boolean> {
  const now = new Date();
  const later = new Date(now.getTime() + shown.editAfterMs);
  const closing = Prisma.sql`, state = 'closed', token = NULL, "tokenExpiresAt" = NULL`;
  const [settled] = await ask<{ caughtUp: boolean }>(Prisma.sql`
    WITH settled AS (
      UPDATE "Delivery" d SET posted = ${wanted}, "messageId" = ${shown.messageId}, "channelId" = ${shown.channelId},
        "postedAt" = ${messageId ? postedAt : now}, files = ${JSON.stringify(shown.files)}::jsonb,
        attempts = 0, "lastError" = NULL,
        -- Ended while this was posted: the finished picture comes at once.
        "notBefore" = CASE WHEN d.kind = 'card' AND has_its_picture(d."batchId") THEN ${now}::timestamptz ELSE ${later}::timestamptz END
        ${shown.closed ? closing : Prisma.empty}
      WHERE d.id = ${id} AND d.attempts = ${attempts} AND d.state = 'active'
      RETURNING d.posted >= d.wanted AS "caughtUp"
    )${also ? Prisma.sql`, also AS (${also(Prisma.sql`EXISTS (SELECT 1 FROM settled)`)})` : Prisma.empty}
    SELECT "caughtUp" FROM settled`);
  return settled?.caughtUp ?? false;
}

/** Cards that tell a place in line are shown anew from time to time: nothing changes them when others are drawn. */
export async function refreshWaiting(now = new Date()): Promise<void> {
  const staleAt = new Date(now.getTime() - STALE_MS);
  const raised = await db.$queryRaw<{ id: string }[]>`
    UPDATE "Delivery" SET wanted = wanted + 1
    WHERE wanted = posted AND state = 'active' AND id IN (
      SELECT d.id FROM "Batch" b JOIN "Delivery" d ON d."batchId" = b.id
      WHERE b.state = 'open' AND d.kind IN ('card', 'status') AND d.state = 'active' AND d."messageId" IS NOT NULL
        AND d.wanted = d.posted AND d."notBefore" < ${staleAt}
        AND EXISTS (SELECT 1 FROM "Generation" g WHERE g."batchId" = b.id AND g.state = 'queued')
      ORDER BY d."notBefore" LIMIT ${REFRESH_MAX}
    ) RETURNING id`;
  wakeCourier(raised.map(({ id }) => id));
}

/** Wipes interactions' tokens that have expired: they are secrets without a use. */
export async function wipeTokens(now = new Date()): Promise<void> {
  await db.delivery.updateMany({
    where: { tokenExpiresAt: { lt: now } },
    data: { token: null, tokenExpiresAt: null },
  });
}
