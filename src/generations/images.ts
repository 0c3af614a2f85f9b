/**
 * The life of one image, a finished picture:
 *
 *   clear ──▶ flagged   a member reported it; a flagged one may be approved, and stays flagged
 *   private ──publish──▶ published ──unpublish, report, reject, delete──▶ private
 *                        published ──curate──▶ and curated, one of the best
 *   kept ──▶ deleted    its bytes are gone, its row stays
 *
 * `mayBeShown` decides whether anyone but moderators may see an image: courier, gallery and bot ask here. The only file that
 * writes Image.
 *
 * Bytes never change their key, and no key is used twice. A row comes to name bytes that are there, and whoever makes it name
 * them no longer deletes them, once that is committed. So whatever races, a row's bytes are where it says; what a killed process
 * leaves is removed by `file-check.ts`.
 */
import { randomBytes } from 'node:crypto';
import { audit } from '#src/audit.ts';
import { changed } from '#src/deliveries.ts';
import {
  ask,
  type Batch,
  db,
  type Generation,
  type Image,
  Prisma,
  type Review,
  type Transaction,
} from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';
import { deleteFile, putFile } from '#src/doors/storage.ts';
import { UserError } from '#src/errors.ts';
import type { Actor } from '#src/people/people.ts';
import { mustBeAllowed } from '#src/people/rights.ts';

/** Pictures whose bytes may stand for a cell of the same key. Flagged ones are drawn again: they were not seen by anyone. */
export const reusable = { deletedAt: null, verdict: 'clear' } as const satisfies Prisma.ImageWhereInput;

/** Pictures that one watermark may be of. */
const MARKED_MAX = 5;

/** Images whose generations' ids end so, as a watermark has it (src/marks/payload.ts): mostly one, or none. @param digits nine */
export function imagesByMark(digits: string): Promise<Pick<Image, 'id' | 'generationId'>[]> {
  return ask(
    Prisma.sql`SELECT id, "generationId" FROM "Image" WHERE right("generationId", 9) = ${digits} LIMIT ${MARKED_MAX}`,
  );
}

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

/** The same in a statement that names `"Image"` i and LEFT JOINs `"Review"` r. */
export const showableSql = Prisma.sql`i."deletedAt" IS NULL AND CASE WHEN r.id IS NULL THEN i.verdict = 'clear' ELSE r.state = 'approved' END`;

/** Where a picture is kept: mirrors its way. Flagged ones stay apart until a moderator decides. */
type Place = 'shown' | 'quarantine';

/** A key for bytes that are to be stored, never given before. */
export function newImageKey(
  {
    id,
    batchId,
    batch,
  }: Pick<Generation, 'id' | 'batchId'> & { readonly batch: Pick<Batch, 'production' | 'createdAt'> },
  place: Place,
): string {
  const folder = place === 'quarantine' ? place : batch.production ? 'productions' : 'tests';
  const day = batch.createdAt.toISOString().slice(0, 10);
  return `${folder}/${day}/${batchId}/${id}-${randomBytes(6).toString('hex')}.png`;
}

export const isQuarantined = ({ storageKey }: Pick<Image, 'storageKey'>) =>
  storageKey.startsWith('quarantine/');

/**
 * Stores bytes, then has `name` write the row that names them. Where none comes to do so, the bytes go again.
 *
 * @param name returns null where it wrote nothing
 */
export async function storeBytes<T>(
  generationId: string,
  key: string,
  png: Uint8Array,
  name: () => Promise<T | null>,
): Promise<T | null> {
  await putFile(key, png);
  let named: T | null;
  try {
    named = await name();
  } catch (error) {
    if (await isUnnamed(generationId, key)) await dropBytes(key);
    throw error;
  }
  if (named === null) await dropBytes(key);
  return named;
}

/** Deletes bytes that no row names. Where that fails, the file check does it later. */
export async function dropBytes(key: string): Promise<void> {
  await deleteFile(key).catch((error: unknown) => log.warn({ err: error, key }, 'bytes not deleted yet'));
}

/**
 * A transaction that threw may have been committed all the same: its answer was lost. While it is open it holds one of these
 * rows, so once they are ours it is decided. False when Postgres is away.
 */
async function isUnnamed(generationId: string, storageKey: string): Promise<boolean> {
  try {
    return await db.$transaction(async (tx) => {
      await tx.$executeRaw`SELECT 1 FROM "Generation" WHERE id = ${generationId} FOR UPDATE`;
      await tx.$executeRaw`SELECT 1 FROM "Image" WHERE "generationId" = ${generationId} FOR UPDATE`;
      return (await tx.image.count({ where: { storageKey } })) === 0;
    });
  } catch {
    return false;
  }
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

  const deleted = await db.$transaction(async (tx) => {
    const was = await markDeleted(tx, image.id);
    if (!was) return null;
    await audit(tx, {
      actorId: actor.id,
      action: 'image.delete',
      subject: `image:${image.id}`,
      guildId: actor.guildId,
    });
    return { was, wake: await changed(tx, { batchId: batch.id }) };
  });
  if (!deleted) throw new UserError('gone', {});
  // Row first here: a picture that is to go must not be served while its bytes go.
  await dropBytes(deleted.was.storageKey);
  deleted.wake();
  return deleted.was;
}

const unpublished = {
  visibility: 'private',
  publishedAt: null,
  curatedAt: null,
  publishAskedBy: null,
} as const;

/** Offered to the gallery, and nobody has decided. */
export const awaitsGallery = {
  ...showable,
  visibility: 'private',
  publishAskedBy: { not: null },
  publishDeclinedBy: null,
} as const satisfies Prisma.ImageWhereInput;

/** Notes the first yes to publishing. @returns false when somebody said yes before, or it may not be shown any more */
export async function markOffered(tx: Transaction, id: string, publishAskedBy: string): Promise<boolean> {
  const { count } = await tx.image.updateMany({
    where: { ...showable, id, visibility: 'private', publishAskedBy: null },
    data: { publishAskedBy, publishDeclinedBy: null },
  });
  return count > 0;
}

/** @returns false when it is not offered, or decided on */
export async function markDeclined(tx: Transaction, id: string, publishDeclinedBy: string): Promise<boolean> {
  const { count } = await tx.image.updateMany({
    where: { ...awaitsGallery, id },
    data: { publishDeclinedBy },
  });
  return count > 0;
}

/** Flags it, so that its bytes are not given to others who ask for the same picture. */
export async function markReported(tx: Transaction, id: string): Promise<void> {
  await tx.image.update({ where: { id }, data: { verdict: 'flagged', rule: 'report', ...unpublished } });
}

/** Takes it out of quarantine. @returns the one of the two keys that no row names now: of a deleted picture that is `to` */
export async function markApproved(tx: Transaction, id: string, from: string, to: string): Promise<string> {
  const { count } = await tx.image.updateMany({
    where: { id, storageKey: from, deletedAt: null },
    data: { storageKey: to },
  });
  return count ? from : to;
}

/** @returns it, whose bytes are to be deleted now; null when it was deleted before */
export async function markDeleted(tx: Transaction, id: string): Promise<Image | null> {
  const [deleted] = await tx.image.updateManyAndReturn({
    where: { id, deletedAt: null },
    data: { deletedAt: new Date(), ...unpublished },
  });
  return deleted ?? null;
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
    data: {
      visibility: 'published',
      collection,
      publishedAt: new Date(),
      publishedBy,
      publishAskedBy: null,
      publishDeclinedBy: null,
    },
  });
  return count > 0;
}

/**
 * Takes it out of the gallery, or an offer back. Its collection stays until its copies there are gone.
 *
 * @returns false when it is neither published nor offered
 */
export async function markUnpublished(tx: Transaction, id: string): Promise<boolean> {
  const { count } = await tx.image.updateMany({
    where: {
      OR: [
        { id, visibility: 'published' },
        { ...awaitsGallery, id },
      ],
    },
    data: unpublished,
  });
  return count > 0;
}

/**
 * Gives it another place in the gallery: its copies are there by now.
 *
 * @returns false when it is not in the gallery any more, or has moved since it was read
 */
export async function markMoved(
  tx: Transaction,
  { id, collection, curatedAt }: Pick<Image, 'id' | 'collection' | 'curatedAt'>,
  to: Pick<Image, 'collection' | 'curatedAt'>,
): Promise<boolean> {
  const { count } = await tx.image.updateMany({
    where: { ...showable, id, visibility: 'published', collection, curatedAt },
    data: { collection: to.collection, curatedAt: to.curatedAt },
  });
  return count > 0;
}

/** Notes that its copies in the gallery's storage are gone. */
export async function leaveCollection(id: string): Promise<void> {
  await db.image.updateMany({ where: { id, visibility: 'private' }, data: { collection: null } });
}

/** Notes that its bytes are not where its row says, or are again. @returns false when the row has changed since it was read */
export async function noteMissing(
  { id, storageKey }: Pick<Image, 'id' | 'storageKey'>,
  missingAt: Date | null,
): Promise<boolean> {
  const { count } = await db.image.updateMany({
    where: { id, storageKey, deletedAt: null },
    data: { missingAt },
  });
  return count > 0;
}

export async function countMissing(): Promise<number> {
  return db.image.count({ where: { missingAt: { not: null }, deletedAt: null } });
}
