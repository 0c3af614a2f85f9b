/**
 * The life of one review, a question to the moderators about an image:
 *
 *   pending ──▶ approved   its bytes move out of quarantine, and the asker gets the picture
 *      └──────▶ rejected   its bytes are deleted, and the asker gets a strike
 *
 * A flagged image opens one, and so does a member's report of a clear picture; until it is decided nobody sees the picture.
 * An approved image stays `flagged`: the approval is of this one image, and its bytes do not stand for others of its key.
 *
 * A decision is made once, by a moderator who has no part in the picture, and kept for ever. The only file that writes Review.
 */
import { config } from '#config/env.ts';
import { audit } from '#src/audit.ts';
import { addDelivery, changed, together, type Wake } from '#src/deliveries.ts';
import {
  db,
  type Image,
  inTransaction,
  isDuplicate,
  type Prisma,
  type Review,
  type Transaction,
} from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';
import { getFile, isMissing } from '#src/doors/storage.ts';
import { UserError } from '#src/errors.ts';
import {
  dropBytes,
  isQuarantined,
  markApproved,
  markDeleted,
  markReported,
  newImageKey,
  storeBytes,
} from '#src/generations/images.ts';
import { type Actor, addStrike } from '#src/people/people.ts';
import { type AskedIn, mustReview } from '#src/people/rights.ts';
import { message } from '#src/say.ts';

export interface NewReview {
  readonly imageId: string;
  readonly batch: AskedIn;
  /** `classifier`, `classifier-failed` or `report` */
  readonly cause: string;
  readonly ownerId: string;
  readonly reportedBy?: string;
}

/**
 * Opens a review and has it shown in the guild's review channel; where the bot is no member, in the platform's own. The delivery
 * names no channel: the courier asks `reviewChannel` when it posts, so a review that was opened before there was a channel is
 * shown once there is one.
 */
export async function openReview(tx: Transaction, { ownerId, batch, ...review }: NewReview): Promise<Wake> {
  const guildId = batch.botInside ? batch.guildId : null;
  const { id } = await tx.review.create({ data: { ...review, guildId } });
  if (!guildId && !config.staff.guildId)
    log.warn({ reviewId: id }, 'a flagged picture waits unseen: STAFF_GUILD_ID is not set');
  return addDelivery(tx, { kind: 'review', userId: ownerId, guildId, reviewId: id });
}

const reviewed = {
  image: { include: { generation: { include: { batch: true } } } },
} as const satisfies Prisma.ReviewInclude;

/** A review that this person may decide on. @throws {UserError} `moderators_only`, `own_part`, `gone` */
export async function reviewFor(actor: Actor, reviewId: string) {
  const review = await db.review.findUnique({ where: { id: reviewId }, include: reviewed });
  const { guildId = null, reportedBy = null } = review ?? {};
  const { publishedBy = null } = review?.image ?? {};
  const ownerId = review?.image.generation.userId ?? '';
  await mustReview(actor, { guildId, ownerId, publishedBy, reportedBy });
  if (!review) throw new UserError('gone', {});
  return review;
}

export type Decision = 'approved' | 'rejected';

/** Characters of a moderator's reason. */
const REASON_LENGTH = 500;

/**
 * A moderator's decision, once. Approval delivers the picture; rejection deletes it. The asker is told of both.
 *
 * @throws {UserError} `moderators_only`, `own_part`, `gone`, `already_done` naming who was first
 */
export async function decide(
  actor: Actor,
  reviewId: string,
  decision: Decision,
  reason: string | null,
): Promise<void> {
  const review = await reviewFor(actor, reviewId);
  const { image } = review;
  const { batch, userId } = image.generation;
  const approved = decision === 'approved';
  const held = approved && review.state === 'pending' && isQuarantined(image) ? await heldBytes(image) : null;
  const shownKey = newImageKey(image.generation, 'shown');

  const decideIn = async (tx: Transaction) => {
    const { count } = await tx.review.updateMany({
      where: { id: reviewId, state: 'pending' },
      data: {
        state: decision,
        moderatorId: actor.id,
        reason: reason?.trim().slice(0, REASON_LENGTH) || null,
        decidedAt: new Date(),
      },
    });
    if (!count) return null;
    let unnamed: string | undefined;
    if (approved) {
      if (held) unnamed = await markApproved(tx, image.id, image.storageKey, shownKey);
    } else {
      unnamed = (await markDeleted(tx, image.id))?.storageKey;
      await addStrike(tx, userId);
    }
    await audit(tx, {
      actorId: actor.id,
      action: approved ? 'review.approve' : 'review.reject',
      subject: `image:${image.id}`,
      guildId: review.guildId,
      before: { state: 'pending' },
      after: { state: decision, reason },
    });
    const anew = await changed(tx, { OR: [{ batchId: batch.id }, { reviewId }] });
    const notice = await addDelivery(tx, {
      kind: 'notice',
      userId,
      guildId: batch.guildId,
      channelId: batch.threadId ?? batch.channelId,
      batchId: batch.id,
      reviewId,
    });
    return { unnamed, wake: together(anew, notice) };
  };
  const decided = held
    ? await storeBytes(image.generationId, shownKey, held, () => inTransaction(decideIn))
    : await db.$transaction(decideIn);

  if (!decided) {
    const { state, moderatorId } = await db.review.findUniqueOrThrow({ where: { id: reviewId } });
    throw new UserError('already_reviewed', { approved: state === 'approved', by: moderatorId ?? '' });
  }
  if (decided.unnamed) await dropBytes(decided.unnamed);
  decided.wake();
}

/** Null when they are gone: it was deleted, or another moderator was faster by a hair. */
async function heldBytes({ storageKey }: Image): Promise<Buffer | null> {
  try {
    return await getFile(storageKey);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

const reported = {
  pending: message('the moderators are looking at it'),
  approved: message('the moderators have approved it'),
  rejected: message('the moderators have rejected it'),
} as const satisfies Record<Review['state'], string>;

/** A member's report takes a picture out of sight until a moderator decides. @throws {UserError} `gone`, `already_done` */
export async function reportImage(actor: Actor, imageId: string): Promise<void> {
  const image = await db.image.findUnique({
    where: { id: imageId },
    include: { review: true, generation: { include: { batch: true } } },
  });
  if (!image || image.deletedAt) throw new UserError('gone', {});
  const known = (state: Review['state']) =>
    new UserError('already_done', {
      what: reported[state],
    });
  if (image.review) throw known(image.review.state);

  const { batch, userId } = image.generation;
  let wake: Wake;
  try {
    wake = await db.$transaction(async (tx) => {
      const review = await openReview(tx, {
        imageId,
        batch,
        cause: 'report',
        ownerId: userId,
        reportedBy: actor.id,
      });
      await markReported(tx, imageId);
      await audit(tx, {
        actorId: actor.id,
        action: 'image.report',
        subject: `image:${imageId}`,
        guildId: actor.guildId,
        before: { verdict: image.verdict, visibility: image.visibility },
        after: { verdict: 'flagged', visibility: 'private' },
      });
      return together(review, await changed(tx, { batchId: batch.id }));
    });
  } catch (error) {
    if (isDuplicate(error)) throw known('pending'); // two people reported it at once
    throw error;
  }
  wake();
}
