/**
 * What may be asked, and what may be shown.
 *
 * Before drawing: a prompt against the rules of config/safety.yaml. After drawing: the classifier's scores give a verdict; a
 * flagged image is kept apart and opens a review:
 *
 *   pending ──▶ approved   its bytes move to where they belong, and the asker gets the picture
 *      └──────▶ rejected   its bytes are deleted, and the asker gets a strike
 *
 * A decision is made once, by a moderator, and kept for ever. The only file that writes Review.
 */
import { safety } from '#config/safety.ts';
import { audit } from './audit.ts';
import { db, type Image, type Prisma, type Review, type Transaction, type Verdict } from './db.ts';
import { announce, deliver, touch } from './deliveries.ts';
import { UserError } from './errors.ts';
import { type Actor, guildSettings, mustBeModerator } from './people.ts';
import { deleteFile, hasFile, moveFile } from './storage.ts';

/** Letters that look like a–z, and digits and signs that stand for them. */
const LOOKS_LIKE: Record<string, string> = {
  ...Object.fromEntries(
    [...'аеоріѕсухвкмнтгԁ'].map((letter, i) => [letter, 'aeopiscyxbkmhtrd'[i] ?? letter]),
  ),
  ...Object.fromEntries([...'αβεικνορτυχ'].map((letter, i) => [letter, 'abeiknoptux'[i] ?? letter])),
  ...{ ɑ: 'a', ı: 'i', ł: 'l', ø: 'o', ß: 'ss', æ: 'ae', œ: 'oe', đ: 'd' },
};
const STANDS_FOR: Record<string, string> = {
  0: 'o',
  1: 'i',
  3: 'e',
  4: 'a',
  5: 's',
  7: 't',
  '@': 'a',
  $: 's',
  '!': 'i',
};

const rules = Object.entries(safety.rules).map(([id, { says, any, both }]) => ({
  id,
  says,
  any: new Set(any.map(squeeze)),
  both: both && new Set(both.map(squeeze)),
}));

/**
 * @throws {UserError} `prompt_empty`, `prompt_long`, `prompt_blocked`
 */
export function checkPrompt(text: string): void {
  if (!text.trim()) throw new UserError('prompt_empty', {});
  const got = [...text].length;
  if (got > safety.promptMax) throw new UserError('prompt_long', { max: safety.promptMax, got });
  const found = words(text);
  for (const { id, says, any, both } of rules) {
    const has = (set: Set<string>) => found.some((word) => set.has(word));
    if (has(any) && (!both || has(both))) throw new UserError('prompt_blocked', { rule: id, says });
  }
}

/**
 * The words of a text as the rules compare them: lower case, without accents and invisible characters, look-alikes as the
 * letters they look like; and runs of single letters (`n u d e`, `n.u.d.e`) joined.
 */
export function words(text: string): string[] {
  const plain = [...text.normalize('NFKD').toLowerCase()]
    .filter((c) => !/[\p{M}\p{Cf}\p{Default_Ignorable_Code_Point}]/u.test(c))
    .map((c) => LOOKS_LIKE[c] ?? c)
    .join('');
  const parts = plain
    .split(/[\s\p{P}\p{Z}]*[\s,;:/|()[\]{}"“”…—–]+[\s\p{P}\p{Z}]*|[\s\p{Z}]+/u)
    .filter(Boolean);
  const letters = parts.map((part) => [...part].map((c) => STANDS_FOR[c] ?? c).join(''));
  const found = [...parts, ...letters].flatMap((part) => [
    part,
    ...part.split(/[^\p{L}]+/u),
    part.replace(/[^\p{L}]/gu, ''),
  ]);
  // Single letters in a row are one word, spelt.
  const spelt = letters
    .map((part) => (/^\p{L}$/u.test(part) ? part : ' '))
    .join('')
    .split(' ');
  return [...new Set([...found, ...spelt].filter((word) => word.length > 1).map(squeeze))];
}

/** Repeated letters as one: `nuuude` is `nude`. Patterns are squeezed as well, so `boob` and `boobs` stay themselves. */
function squeeze(word: string): string {
  return word.replace(/(\p{L})\1+/gu, '$1');
}

export interface ImageVerdict {
  readonly verdict: Verdict;
  readonly scores: Record<string, number>;
  readonly rule: string | null;
}

/** What the classifier's scores mean. A classifier that failed, or said nothing of use, means flagged. */
export function verdictOf(scores: Readonly<Record<string, number>> | null): ImageVerdict {
  const { label, threshold } = safety.classifier;
  const score = scores?.[label];
  if (!scores || score === undefined || !Object.values(scores).every((s) => s >= 0 && s <= 1)) {
    return { verdict: 'flagged', scores: {}, rule: 'classifier-failed' };
  }
  const flagged = score >= threshold;
  return {
    verdict: flagged ? 'flagged' : 'clear',
    scores: { ...scores },
    rule: flagged ? `classifier-${label}` : null,
  };
}

/** Whether anyone but moderators may see an image. The one place that decides it: courier, gallery and bot ask here. */
export function mayBeShown(
  image: Pick<Image, 'verdict' | 'deletedAt'>,
  review: Pick<Review, 'state'> | null,
): boolean {
  if (image.deletedAt) return false;
  if (review) return review.state === 'approved';
  return image.verdict === 'clear';
}

export interface NewReview {
  readonly imageId: string;
  readonly guildId: string | null;
  /** `classifier`, `classifier-failed` or `report` */
  readonly cause: string;
  readonly ownerId: string;
  readonly reportedBy?: string;
}

/** Opens a review and has it shown in the guild's review channel. Without such a channel it waits until there is one. */
export async function openReview(tx: Transaction, { ownerId, ...review }: NewReview): Promise<string> {
  const { id } = await tx.review.create({ data: review });
  await deliver(tx, { kind: 'review', userId: ownerId, guildId: review.guildId, reviewId: id });
  return id;
}

export type Decision = 'approved' | 'rejected';

/**
 * A moderator's decision, once. Approval delivers the picture.
 *
 * @throws {UserError} `moderators_only`, `gone`, `already_done`
 */
export async function decide(
  actor: Actor,
  reviewId: string,
  decision: Decision,
  reason: string | null,
): Promise<void> {
  await mustBeModerator(actor);
  const review = await db.review.findUnique({
    where: { id: reviewId },
    include: { image: { include: { generation: { include: { batch: true } } } } },
  });
  if (!review) throw new UserError('gone', {});
  // A moderator of one guild decides nothing in another.
  if (review.guildId && review.guildId !== actor.guildId) throw new UserError('moderators_only', {});
  const { image } = review;
  const { batch } = image.generation;
  const approvedKey = image.storageKey.replace(/^quarantine\//, batch.production ? 'productions/' : 'tests/');

  // Bytes first: a row must not name bytes that are not there. Moved and not decided, the next try finds them.
  const moves = decision === 'approved' && approvedKey !== image.storageKey;
  if (moves && review.state === 'pending' && (await hasFile(image.storageKey)))
    await moveFile(image.storageKey, approvedKey);

  const decided = await db.$transaction(async (tx) => {
    const { count } = await tx.review.updateMany({
      where: { id: reviewId, state: 'pending' },
      data: { state: decision, moderatorId: actor.id, reason, decidedAt: new Date() },
    });
    if (!count) return false;
    await tx.image.update({
      where: { id: image.id },
      data: decision === 'approved' ? { storageKey: approvedKey } : { deletedAt: new Date() },
    });
    if (decision === 'rejected') {
      await tx.user.update({ where: { id: image.generation.userId }, data: { strikes: { increment: 1 } } });
    }
    await audit(tx, {
      actorId: actor.id,
      action: decision === 'approved' ? 'review.approve' : 'review.reject',
      subject: `image:${image.id}`,
      guildId: actor.guildId,
      before: { state: 'pending' },
      after: { state: decision, reason },
    });
    await touch(tx, { OR: [{ batchId: batch.id }, { reviewId }] });
    await deliver(tx, {
      kind: 'notice',
      userId: image.generation.userId,
      guildId: batch.guildId,
      channelId: batch.threadId ?? batch.channelId,
      batchId: batch.id,
      reviewId,
    });
    return true;
  });
  if (!decided) {
    const now = await db.review.findUniqueOrThrow({ where: { id: reviewId } });
    throw new UserError('already_done', { what: `${now.state} by <@${now.moderatorId}>` });
  }
  if (decision === 'rejected') await deleteFile(image.storageKey);
  await announce({ OR: [{ batchId: batch.id }, { reviewId }] });
}

/** A member's report takes a picture out of sight until a moderator decides. @throws {UserError} `gone`, `already_done` */
export async function reportImage(actor: Actor, imageId: string): Promise<void> {
  const image = await db.image.findUnique({
    where: { id: imageId },
    include: { review: true, generation: { include: { batch: true } } },
  });
  if (!image || image.deletedAt) throw new UserError('gone', {});
  if (image.review)
    throw new UserError('already_done', { what: `it is ${image.review.state} by the moderators` });
  const { batch, userId } = image.generation;
  await db.$transaction(async (tx) => {
    await tx.image.update({ where: { id: imageId }, data: { visibility: 'private', publishedAt: null } });
    await openReview(tx, {
      imageId,
      guildId: batch.guildId,
      cause: 'report',
      ownerId: userId,
      reportedBy: actor.id,
    });
    const { guildId } = actor;
    await audit(tx, { actorId: actor.id, action: 'image.report', subject: `image:${imageId}`, guildId });
    await touch(tx, { batchId: batch.id });
  });
  await announce({ OR: [{ batchId: batch.id }, { review: { imageId } }] });
}

/** Where reviews of a guild are shown; null while it has no review channel. */
export async function reviewChannel(guildId: string | null): Promise<string | null> {
  return guildId ? ((await guildSettings(guildId))?.reviewChannelId ?? null) : null;
}

export type ReviewedImage = Prisma.ImageGetPayload<{ include: { review: true } }>;
