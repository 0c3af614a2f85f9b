/**
 * What must be seen in Discord, as rows. A delivery is one message that exists in Discord and shows what Postgres says:
 *
 *   active ──▶ closed        its subject is gone, or nothing will change any more
 *     └──────▶ undelivered   nobody could be reached
 *
 * Whoever changes something that a message shows raises `wanted` in the same transaction (`touch`); the courier posts
 * or edits until `posted` has caught up. So a crash anywhere loses no post, and no post is made twice: the message id is
 * kept, and the first post carries a nonce.
 */
import { randomBytes } from 'node:crypto';
import { type DeliveryKind, db, type Prisma, type Transaction } from './doors/db.ts';
import { queues } from './doors/queue.ts';
import { UserError } from './errors.ts';

export interface NewDelivery {
  readonly kind: DeliveryKind;
  readonly userId: string;
  readonly guildId?: string | null;
  /** null: the batch's thread, or a DM */
  readonly channelId?: string | null;
  readonly batchId?: string;
  readonly reviewId?: string;
  /** Of an interaction where the bot is no member. */
  readonly token?: string;
  readonly tokenExpiresAt?: Date;
}

/** Discord takes 25 characters. */
const newNonce = () => randomBytes(12).toString('hex');

export async function deliver(tx: Transaction, delivery: NewDelivery): Promise<string> {
  const { id } = await tx.delivery.create({ data: { ...delivery, nonce: newNonce() }, select: { id: true } });
  return id;
}

/** Says that what these deliveries show has changed. */
export async function touch(tx: Transaction, where: Prisma.DeliveryWhereInput): Promise<void> {
  await tx.delivery.updateMany({ where: { ...where, state: 'active' }, data: { wanted: { increment: 1 } } });
}

/**
 * Wakes the courier for what is due. Called after the transaction; a call that is lost costs a second, as the
 * courier looks for due rows itself.
 */
export async function announce(where: Prisma.DeliveryWhereInput): Promise<void> {
  const due = await db.delivery.findMany({ where: { ...where, state: 'active' }, select: { id: true } });
  for (const { id } of due) await queues().add('delivery', { deliveryId: id }, { id });
}

/** So many pictures a page of a batch's message shows. */
export const PICTURES_PAGE = 10;

/** Turns the page of the message with a batch's pictures. @throws {UserError} `gone` */
export async function turnPage(batchId: string, messageId: string, page: number): Promise<void> {
  const pages = Math.ceil((await db.generation.count({ where: { batchId } })) / PICTURES_PAGE);
  if (!Number.isInteger(page) || page < 0 || page >= pages) throw new UserError('gone', {});
  const where = { batchId, messageId, kind: 'pictures', state: 'active' } as const;
  const { count } = await db.delivery.updateMany({ where, data: { page, wanted: { increment: 1 } } });
  if (!count) throw new UserError('gone', {});
  await announce(where);
}

/** Has an undelivered message posted in the channel where its owner asks for it. @throws {UserError} `gone` */
export async function deliverAgain(userId: string, deliveryId: string, channelId: string): Promise<void> {
  const { count } = await db.delivery.updateMany({
    where: { id: deliveryId, userId, state: 'undelivered' },
    data: {
      state: 'active',
      channelId,
      messageId: null,
      attempts: 0,
      lastError: null,
      notBefore: new Date(),
      wanted: { increment: 1 },
    },
  });
  if (!count) throw new UserError('gone', {});
  await announce({ id: deliveryId });
}

/** Reviews of a guild that has a review channel now: they waited for one. Announced by the caller. */
export async function releaseReviews(tx: Transaction, guildId: string): Promise<void> {
  await tx.delivery.updateMany({
    where: { ...waitingReviews(guildId), state: 'active' },
    data: { notBefore: new Date(), wanted: { increment: 1 } },
  });
}

export function waitingReviews(guildId: string) {
  return { kind: 'review', guildId, messageId: null } as const;
}
