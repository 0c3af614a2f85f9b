/**
 * The life of one image, a finished picture:
 *
 *   clear ──▶ flagged   a member reported it; a flagged one may be approved, and stays flagged
 *   private ──publish──▶ published ──unpublish, report, reject, delete──▶ private
 *   kept ──▶ deleted    its bytes are gone, its row stays
 *
 * `mayBeShown` decides whether anyone but moderators may see an image: courier, gallery and bot ask here. The only file that
 * writes Image.
 */
import { audit } from '#src/audit.ts';
import { changed } from '#src/deliveries.ts';
import { db, type Image, type Prisma, type Review, type Transaction, type Verdict } from '#src/doors/db.ts';
import { deleteFile } from '#src/doors/storage.ts';
import { UserError } from '#src/errors.ts';
import type { Actor } from '#src/people/people.ts';
import { mustBeAllowed } from '#src/people/rights.ts';
import type { Drawing } from './generations.ts';

/** Pictures whose bytes may stand for a cell of the same key. Flagged ones are drawn again: they were not seen by anyone. */
export const reusable = { deletedAt: null, verdict: 'clear' } as const satisfies Prisma.ImageWhereInput;

export function mayBeShown(
  image: Pick<Image, 'verdict' | 'deletedAt'>,
  review: Pick<Review, 'state'> | null,
): boolean {
  if (image.deletedAt) return false;
  return review ? review.state === 'approved' : image.verdict === 'clear';
}

/** What `mayBeShown` says, for Postgres. */
export const showable = {
  deletedAt: null,
  OR: [{ review: null, verdict: 'clear' }, { review: { state: 'approved' } }],
} as const satisfies Prisma.ImageWhereInput;

/** Where a picture is kept: mirrors its way. Flagged ones stay apart until a moderator decides. */
export function imageKey(drawing: Drawing, verdict: Verdict): string {
  const folder = verdict === 'clear' ? (drawing.batch.production ? 'productions' : 'tests') : 'quarantine';
  const day = drawing.batch.createdAt.toISOString().slice(0, 10);
  return `${folder}/${day}/${drawing.batchId}/${drawing.id}.png`;
}

export async function createImage(tx: Transaction, image: Prisma.ImageUncheckedCreateInput): Promise<Image> {
  return tx.image.create({ data: image });
}

/** Deletes a picture's bytes; its row and its generation's stay. @throws {UserError} `gone`, `not_yours` */
export async function deleteImage(actor: Actor, generationId: string): Promise<Image> {
  const image = await db.image.findUnique({
    where: { generationId },
    include: { generation: { include: { batch: true } } },
  });
  if (!image || image.deletedAt) throw new UserError('gone', {});
  const { batch } = image.generation;
  await mustBeAllowed(actor, 'delete', batch);

  const wake = await db.$transaction(async (tx) => {
    const { count } = await tx.image.updateMany({
      where: { id: image.id, deletedAt: null },
      data: { deletedAt: new Date(), ...unpublished },
    });
    if (!count) return null;
    await audit(tx, {
      actorId: actor.id,
      action: 'image.delete',
      subject: `image:${image.id}`,
      guildId: actor.guildId,
    });
    return changed(tx, { batchId: batch.id });
  });
  if (!wake) throw new UserError('gone', {});
  // Row first here: a picture that is to go must not be served while its bytes go.
  await deleteFile(image.storageKey);
  await wake();
  return image;
}

const unpublished = { visibility: 'private', publishedAt: null } as const;

/** Flags it, so that its bytes are not given to others who ask for the same picture. */
export async function markReported(tx: Transaction, id: string): Promise<void> {
  await tx.image.update({ where: { id }, data: { verdict: 'flagged', rule: 'report', ...unpublished } });
}

/** @param storageKey where its bytes are now */
export async function markApproved(tx: Transaction, id: string, storageKey: string): Promise<void> {
  await tx.image.update({ where: { id }, data: { storageKey } });
}

export async function markRejected(tx: Transaction, { id, deletedAt }: Image): Promise<void> {
  await tx.image.update({ where: { id }, data: { deletedAt: deletedAt ?? new Date(), ...unpublished } });
}

/** @returns false when it may not be shown any more, or is published already */
export async function markPublished(
  tx: Transaction,
  id: string,
  collection: string,
  publishedBy: string,
): Promise<boolean> {
  const { count } = await tx.image.updateMany({
    where: { ...showable, id, visibility: 'private' },
    data: { visibility: 'published', collection, publishedAt: new Date(), publishedBy },
  });
  return count > 0;
}

/** @returns false when it is not published. Its collection stays until its copies there are gone. */
export async function markUnpublished(tx: Transaction, id: string): Promise<boolean> {
  const { count } = await tx.image.updateMany({ where: { id, visibility: 'published' }, data: unpublished });
  return count > 0;
}

/** Notes that its copies in the gallery's storage are gone. */
export async function leaveCollection(id: string): Promise<void> {
  await db.image.updateMany({ where: { id, visibility: 'private' }, data: { collection: null } });
}
