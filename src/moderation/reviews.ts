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
import { type AskedIn, mustReview, type Parts } from '#src/people/rights.ts';
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

/** A review with what moderators are told of its picture. */
export type Reviewed = Prisma.ReviewGetPayload<{ include: typeof reviewed }>;

/** Of which guilds; null among them: the platform's own, of pictures that were asked for in no guild. */
export type OfGuilds = 'all' | readonly (string | null)[];

function openOf(guilds: OfGuilds): Prisma.ReviewWhereInput {
  if (guilds === 'all') return { state: 'pending' };
  const named = guilds.filter((id) => id !== null);
  const own = guilds.includes(null) ? [{ guildId: null }] : [];
  return { state: 'pending', OR: [{ guildId: { in: named } }, ...own] };
}

/** Those that nobody has decided on yet, the oldest first, as their ids are in order. @param after id of a review, open or not */
export function openReviews(
  guilds: OfGuilds,
  { after, take }: { readonly after?: string | undefined; readonly take: number },
): Promise<Reviewed[]> {
  return db.review.findMany({
    where: { ...openOf(guilds), ...(after !== undefined && { id: { gt: after } }) },
    orderBy: { id: 'asc' },
    include: reviewed,
    take,
  });
}

/** How many nobody has decided on yet. By the index of their state. */
export function countOpenReviews(guilds: OfGuilds): Promise<number> {
  return db.review.count({ where: openOf(guilds) });
}

/** Guilds in which a review is open, first those where one has waited longest. null: the platform's own */
export async function guildsWithOpenReviews(take: number): Promise<(string | null)[]> {
  const guilds = await db.review.groupBy({
    by: ['guildId'],
    where: openOf('all'),
    orderBy: { _min: { id: 'asc' } },
    take,
  });
  return guilds.map(({ guildId }) => guildId);
}

/** The guild whose moderators decide on a review; null: the platform's own do, also where there is no such review. */
export async function guildOfReview(reviewId: string): Promise<string | null> {
  const review = await db.review.findUnique({ where: { id: reviewId }, select: { guildId: true } });
  return review?.guildId ?? null;
}

/** What somebody has decided; null: nothing, or another did. */
export async function decisionBy(moderatorId: string, reviewId: string): Promise<Decision | null> {
  const review = await db.review.findUnique({
    where: { id: reviewId, moderatorId },
    select: { state: true },
  });
  return review && review.state !== 'pending' ? review.state : null;
}

/** A review that this person may decide on. @throws {UserError} `moderators_only`, `own_part`, `gone` */
export async function reviewFor(actor: Actor, reviewId: string) {
  const review = await db.review.findUnique({ where: { id: reviewId }, include: reviewed });
  const parts = review ? partsOf(review) : { ownerId: '', publishedBy: null, reportedBy: null };
  await mustReview(actor, { guildId: review?.guildId ?? null, ...parts });
  if (!review) throw new UserError('gone', {});
  return review;
}

/** Who may not decide on it. */
export function partsOf({ reportedBy, image }: Reviewed): Parts {
  return { ownerId: image.generation.userId, publishedBy: image.publishedBy, reportedBy };
}

/**
 * Shows a moderator the picture itself: while nothing is decided, and each time it is in the audit log.
 *
 * @returns its bytes, which are to be kept by nobody
 * @throws {UserError} `moderators_only`, `own_part`, `gone`, `already_reviewed` naming who has decided
 */
export async function lookAt(actor: Actor, reviewId: string): Promise<{ review: Reviewed; png: Buffer }> {
  const review = await reviewFor(actor, reviewId);
  const { image } = review;
  const png = image.deletedAt ? null : await heldBytes(image);
  const noted =
    png &&
    (await db.$transaction(async (tx) => {
      // Whoever decides waits until it is noted, and who has decided before that is seen here.
      const open = await tx.$queryRaw<unknown[]>`
        SELECT 1 FROM "Review" r JOIN "Image" i ON i.id = r."imageId"
        WHERE r.id = ${reviewId} AND r.state = 'pending' AND i."deletedAt" IS NULL FOR SHARE`;
      if (!open.length) return false;
      await audit(tx, {
        actorId: actor.id,
        action: 'review.look',
        subject: `image:${image.id}`,
        guildId: review.guildId,
      });
      return true;
    }));
  if (!png || !noted) throw (await decidedBefore(reviewId)) ?? new UserError('gone', {});
  return { review, png };
}

/** Tells who was first; null: nobody has decided. */
async function decidedBefore(reviewId: string): Promise<UserError | null> {
  const { state, moderatorId } = await db.review.findUniqueOrThrow({ where: { id: reviewId } });
  if (state === 'pending') return null;
  return new UserError('already_reviewed', { approved: state === 'approved', by: moderatorId ?? '' });
}

export type Decision = 'approved' | 'rejected';

/** Characters of a moderator's reason. */
export const REASON_LENGTH = 500;

/**
 * A moderator's decision, once. Approval delivers the picture; rejection deletes it. The asker is told of both.
 *
 * @throws {UserError} `moderators_only`, `own_part`, `gone`, `already_reviewed` naming who was first
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
  const kept = reason === null ? null : keptReason(reason);
  const held = approved && review.state === 'pending' && isQuarantined(image) ? await heldBytes(image) : null;
  const shownKey = newImageKey(image.generation, 'shown');

  const decideIn = async (tx: Transaction) => {
    const { count } = await tx.review.updateMany({
      where: { id: reviewId, state: 'pending' },
      data: {
        state: decision,
        moderatorId: actor.id,
        reason: kept,
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
      after: { state: decision, reason: kept },
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

  if (!decided)
    throw (await decidedBefore(reviewId)) ?? new Error('A review that is open was not decided on');
  if (decided.unnamed) await dropBytes(decided.unnamed);
  decided.wake();
}

/** What Postgres takes of a reason, wherever it was written; a form of the web sends a line break as two characters. */
function keptReason(reason: string): string | null {
  const text = reason.toWellFormed().replaceAll('\0', '').replaceAll('\r\n', '\n').trim();
  return [...text].slice(0, REASON_LENGTH).join('') || null;
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

/** All that nobody has decided on yet, and the age of the oldest, s; 0 when there is none. */
export async function openReviewsNow(): Promise<{ readonly count: number; readonly seconds: number }> {
  const [row] = await db.$queryRaw<{ count: number; seconds: number }[]>`
    SELECT count(*)::int AS count, coalesce(extract(epoch FROM now() - min("createdAt")), 0)::float8 AS seconds
    FROM "Review" WHERE state = 'pending'`;
  return row ?? { count: 0, seconds: 0 };
}

const reported = {
  pending: message('the moderators are looking at it'),
  approved: message('the moderators have approved it'),
  rejected: message('the moderators have rejected it'),
} as const satisfies Record<Review['state'], string>;

/** A visitor of the gallery, whom nobody knows: in the audit log. */
const VISITOR = 'visitor';

/**
 * A report takes a picture out of sight until a moderator decides.
 *
 * @param actor a member; null: a visitor of the gallery
 * @throws {UserError} `gone`, `already_done`
 */
export async function reportImage(actor: Actor | null, imageId: string): Promise<void> {
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
        ...(actor && { reportedBy: actor.id }),
      });
      await markReported(tx, imageId);
      await audit(tx, {
        actorId: actor?.id ?? VISITOR,
        action: 'image.report',
        subject: `image:${imageId}`,
        guildId: actor?.guildId ?? null,
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
