/**
 * The public gallery: which pictures are in it, and their copies. How one comes into it is told in publishing.ts.
 *
 * A published picture has a folder of its own in storage, `published/<collection>/<image id>/`, with its original and the
 * variants that were made of it; to take it down, changing the row is enough: it is not served from then on, and the
 * folder goes soon after (`clearTakenDown`).
 */
import { z } from 'zod';
import { db, type Image, type Prisma } from './doors/db.ts';
import { deleteFolder, getFile, isMissing, putFile } from './doors/storage.ts';
import { leaveCollection, mayBeShown, showable } from './generations/images.ts';

export interface PublishedPicture {
  readonly id: string;
  readonly collection: string;
  /** px */
  readonly width: number;
  /** px */
  readonly height: number;
  /** hex, of the stored bytes */
  readonly sha256: string;
  readonly thumbhash: Uint8Array;
  readonly publishedAt: Date;
  /** name of the bundle that drew it */
  readonly bundle: string;
  /** in storage, where it was drawn */
  readonly storageKey: string;
}

/** A place in the gallery: what comes after it is older. */
export interface Cursor {
  readonly publishedAt: Date;
  readonly id: string;
}

const PUBLISHED: Prisma.ImageWhereInput = {
  ...showable,
  visibility: 'published',
  publishedAt: { not: null },
  collection: { not: null },
};
const WITH = {
  review: { select: { state: true } },
  generation: { select: { bundle: true } },
} as const satisfies Prisma.ImageInclude;
type Found = Prisma.ImageGetPayload<{ include: typeof WITH }>;
const Collection = z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/);

/** Copies its bytes to where the gallery has them. `collection` becomes the name of a folder. */
export async function copyIntoGallery(
  image: Pick<Image, 'id' | 'storageKey'>,
  collection: string,
): Promise<void> {
  Collection.parse(collection);
  await putFile(originalKey({ ...image, collection }), await getFile(image.storageKey));
}

/** Of one picture: the copies, original and variants. */
export async function dropCopies(image: Pick<Image, 'id' | 'collection'>): Promise<void> {
  await deleteFolder(folderOf(image));
}

/** Newest first. `next` is null on the last page. */
export async function listPublished({
  cursor,
  limit,
}: {
  cursor: Cursor | null;
  limit: number;
}): Promise<{ pictures: PublishedPicture[]; next: Cursor | null }> {
  const found = await db.image.findMany({
    where: { AND: [PUBLISHED, cursor ? olderThan(cursor) : {}] },
    include: WITH,
    orderBy: [{ publishedAt: 'desc' }, { id: 'desc' }],
    take: limit + 1,
  });
  const pictures = found.slice(0, limit).flatMap(asPublished);
  const last = found[limit - 1];
  const next =
    found.length > limit && last?.publishedAt ? { id: last.id, publishedAt: last.publishedAt } : null;
  return { pictures, next };
}

/** Null unless it may be served to anyone now. */
export async function findPublished(imageId: string): Promise<PublishedPicture | null> {
  const image = await db.image.findFirst({ where: { ...PUBLISHED, id: imageId }, include: WITH });
  return image ? (asPublished(image)[0] ?? null) : null;
}

/** Ids of the pictures that come right before and after one. */
export async function neighbours(of: Cursor): Promise<{ newer: string | null; older: string | null }> {
  const [newer, older] = await Promise.all([
    db.image.findFirst({
      where: { AND: [PUBLISHED, newerThan(of)] },
      orderBy: [{ publishedAt: 'asc' }, { id: 'asc' }],
      select: { id: true },
    }),
    db.image.findFirst({
      where: { AND: [PUBLISHED, olderThan(of)] },
      orderBy: [{ publishedAt: 'desc' }, { id: 'desc' }],
      select: { id: true },
    }),
  ]);
  return { newer: newer?.id ?? null, older: older?.id ?? null };
}

const olderThan = ({ publishedAt, id }: Cursor): Prisma.ImageWhereInput => ({
  OR: [{ publishedAt: { lt: publishedAt } }, { publishedAt, id: { lt: id } }],
});
const newerThan = ({ publishedAt, id }: Cursor): Prisma.ImageWhereInput => ({
  OR: [{ publishedAt: { gt: publishedAt } }, { publishedAt, id: { gt: id } }],
});

function asPublished(image: Found): PublishedPicture[] {
  const { publishedAt, collection, generation } = image;
  if (!publishedAt || !collection || !mayBeShown(image, image.review)) return [];
  return [{ ...image, publishedAt, collection, bundle: generation.bundle }];
}

/** The picture as it was drawn. @throws {NodeJS.ErrnoException} ENOENT when its bytes are gone altogether */
export async function originalOf(picture: PublishedPicture): Promise<Buffer> {
  try {
    return await getFile(originalKey(picture));
  } catch (error) {
    if (!isMissing(error)) throw error;
    // It was published again while its folder was being cleared.
    const bytes = await getFile(picture.storageKey);
    await putFile(originalKey(picture), bytes);
    return bytes;
  }
}

/** A variant that was kept; null when there is none. */
export async function keptVariant(picture: PublishedPicture, file: string): Promise<Buffer | null> {
  try {
    return await getFile(`${folderOf(picture)}/${file}`);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

export async function keepVariant(picture: PublishedPicture, file: string, bytes: Buffer): Promise<void> {
  await putFile(`${folderOf(picture)}/${file}`, bytes);
  // Taken down while the variant was made: nothing of it may stay.
  if (!(await findPublished(picture.id))) await dropCopies(picture);
}

/** Deletes the copies of pictures that are no longer published. Returns how many pictures. */
export async function clearTakenDown(only: Prisma.ImageWhereInput = {}): Promise<number> {
  const down = await db.image.findMany({
    where: { AND: [only, { collection: { not: null }, visibility: 'private' }] },
    select: { id: true, collection: true },
    take: 500,
  });
  for (const { id, collection } of down) {
    await dropCopies({ id, collection });
    await leaveCollection(id);
  }
  return down.length;
}

const folderOf = ({ id, collection }: Pick<Image, 'id' | 'collection'>) => `published/${collection}/${id}`;

function originalKey(image: Pick<Image, 'id' | 'collection' | 'storageKey'>): string {
  return `${folderOf(image)}/original${/\.\w+$/.exec(image.storageKey)?.[0] ?? ''}`;
}
