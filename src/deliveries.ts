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
import { type Delivery, type DeliveryKind, db, Prisma, type Transaction } from './doors/db.ts';
import { queues } from './doors/queue.ts';
import { UserError } from './errors.ts';
import type { Origin } from './people/people.ts';

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
 * is lost costs a second, as the courier looks for due rows itself.
 */
export type Wake = () => void;

/** Discord takes 25 characters. */
export const newNonce = () => randomBytes(12).toString('hex');

/** A message that is to be seen from now on. */
export async function addDelivery(tx: Transaction, delivery: NewDelivery): Promise<Wake> {
  const { id } = await tx.delivery.create({ data: { ...delivery, nonce: newNonce() }, select: { id: true } });
  return () => wakeCourier([id]);
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
  for (const id of ids) queues().addSoon('delivery', { deliveryId: id }, { id });
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

/** Lets a card show its finished picture at once. The courier has one with an attempt in hand already. */
export async function hastenCard(tx: Transaction, batchId: string): Promise<void> {
  await tx.delivery.updateMany({
    where: { batchId, kind: 'card', state: 'active', attempts: 0 },
    data: { notBefore: new Date() },
  });
}

// What the courier does with rows

/** ms after which another courier may take the row of one that died */
export const CLAIM_MS = 15_000;
/** ms after which a place in line and an estimate are worth an edit */
const STALE_MS = 20_000;
/** Cards refreshed at once: with a thousand waiting, each is refreshed seldom rather than all of them too often. */
const REFRESH_MAX = 8;

const dueAt = (now: Date) =>
  ({
    state: 'active',
    wanted: { gt: db.delivery.fields.posted },
    notBefore: { lte: now },
  }) as const satisfies Prisma.DeliveryWhereInput;

/** Ids of what is due now, the longest due first. */
export async function dueDeliveries(take: number): Promise<string[]> {
  const rows = await db.delivery.findMany({
    where: dueAt(new Date()),
    orderBy: { notBefore: 'asc' },
    select: { id: true },
    take,
  });
  return rows.map(({ id }) => id);
}

/** Takes a due row for this process; null when it is not due, or another's. `attempts` numbers the claims. */
export async function claimDelivery(id: string): Promise<Delivery | null> {
  const now = new Date();
  const [claimed] = await db.delivery.updateManyAndReturn({
    where: { id, ...dueAt(now) },
    data: { notBefore: new Date(now.getTime() + CLAIM_MS), attempts: { increment: 1 } },
  });
  return claimed ?? null;
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

/** Keeps where a message was first posted; false when it was known already. */
export async function keepMessage(
  tx: Transaction,
  { id, nonce }: Delivery,
  messageId: string,
  channelId: string,
): Promise<boolean> {
  const { count } = await tx.delivery.updateMany({
    where: { id, nonce, messageId: null },
    data: { messageId, channelId, postedAt: new Date() },
  });
  return count > 0;
}

/** Cards that tell a place in line are shown anew from time to time: nothing changes them when others are drawn. */
export async function refreshWaiting(now = new Date()): Promise<void> {
  const stale = await db.delivery.findMany({
    where: {
      kind: { in: ['card', 'status'] },
      state: 'active',
      messageId: { not: null },
      wanted: { equals: db.delivery.fields.posted },
      notBefore: { lt: new Date(now.getTime() - STALE_MS) },
      batch: { state: 'open', generations: { some: { state: 'queued' } } },
    },
    orderBy: { notBefore: 'asc' },
    select: { id: true },
    take: REFRESH_MAX,
  });
  await changed(db, { id: { in: stale.map(({ id }) => id) } });
}

/** Wipes interactions' tokens that have expired: they are secrets without a use. */
export async function wipeTokens(now = new Date()): Promise<void> {
  await db.delivery.updateMany({
    where: { tokenExpiresAt: { lt: now } },
    data: { token: null, tokenExpiresAt: null },
  });
}
