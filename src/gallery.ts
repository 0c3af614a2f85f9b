/**
 * The public gallery: which pictures are in it, what may be told of them, and their copies. How one comes into it is told in
 * publishing.ts.
 *
 * A published picture has a folder of its own in storage, `photowall/<collection>/<image id>/`, with its original and the
 * variants that were made of it, and `curated/…` once it was chosen as one of the best; to take it down, changing the row is enough: it
 * is not served from then on, and the folder goes soon after (`clearTakenDown`).
 *
 * Whoever shows the gallery has all of it in memory: `readGallery` once, and then what `changedSince` names. The only file that
 * clears GalleryChange; Postgres writes it.
 */
import { ask, db, type Image, Prisma } from './doors/db.ts';
import { copyFile, deleteFolder, getFile, isMissing, listFiles, putFile } from './doors/storage.ts';
import { imagesByMark, leaveCollection, showableSql } from './generations/images.ts';

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
  /** null: not curated */
  readonly curatedAt: Date | null;
  /** name of the bundle that drew it */
  readonly bundle: string;
  /** in storage, where it was drawn */
  readonly storageKey: string;
  /** what its maker calls himself here; null: he does not say */
  readonly maker: string | null;
  /** what it was asked with; null: its maker keeps that to himself */
  readonly shared: Shared | null;
}

export interface Shared {
  readonly prompt: string;
  readonly seed: string;
  /** name → value */
  readonly parameters: Readonly<Record<string, string | number | boolean | null>>;
}

/** As Postgres gives it. */
type Row = Omit<PublishedPicture, 'shared'> & {
  readonly shares: boolean | null;
  readonly prompt: string | null;
  readonly seed: string | null;
  readonly parameters: Shared['parameters'] | null;
};

/**
 * Pictures that may be shown to anyone now, newest first: all of them, or those of some ids. What is their makers' own comes only
 * where they share it (`/set share_prompts`, `/set maker_name`), for all that they published.
 */
export async function readGallery(ids?: readonly string[]): Promise<PublishedPicture[]> {
  const rows = await ask<Row>(Prisma.sql`
    SELECT i.id, i.collection, i.width, i.height, i.sha256, i.thumbhash, i."publishedAt", i."curatedAt", i."storageKey", g.bundle,
      m.value #>> '{}' AS maker, s.value = 'true'::jsonb AS shares,
      CASE WHEN s.value = 'true'::jsonb THEN g.prompt END AS prompt,
      CASE WHEN s.value = 'true'::jsonb THEN g.seed END AS seed,
      CASE WHEN s.value = 'true'::jsonb THEN g.parameters END AS parameters
    FROM "Image" i
    JOIN "Generation" g ON g.id = i."generationId"
    LEFT JOIN "Review" r ON r."imageId" = i.id
    LEFT JOIN "ParameterValue" m ON m."userId" = g."userId" AND m.name = 'maker_name'
    LEFT JOIN "ParameterValue" s ON s."userId" = g."userId" AND s.name = 'share_prompts'
    WHERE i.visibility = 'published' AND i."publishedAt" IS NOT NULL AND i.collection IS NOT NULL AND ${showableSql}
      ${ids ? Prisma.sql`AND i.id = ANY(${ids})` : Prisma.empty}
    ORDER BY i."publishedAt" DESC, i.id DESC`);
  return rows.map(({ shares, prompt, seed, parameters, ...picture }) => ({
    ...picture,
    shared: shares && prompt !== null ? { prompt, seed: seed ?? '', parameters: parameters ?? {} } : null,
  }));
}

/** Changes that are read at once; and for how long each is there to be read. */
const CHANGES_MAX = 2_000;
const CHANGES_KEPT = Prisma.sql`interval '1 day'`;

/** How far the gallery has changed; of a later state it is a larger number. */
export async function galleryVersion(): Promise<number> {
  const [last] = await ask<{ last: string | null }>(Prisma.sql`SELECT max(id) AS last FROM "GalleryChange"`);
  return Number(last?.last ?? 0);
}

/**
 * Ids of pictures that came, went or changed after a version, and the version that this leads to. Null: nobody knows any more, read
 * all of it again.
 */
export async function changedSince(version: number): Promise<{ ids: string[]; version: number } | null> {
  const rows = await ask<{ id: string; imageId: string }>(
    Prisma.sql`SELECT id, "imageId" FROM "GalleryChange" WHERE id > ${version} ORDER BY id LIMIT ${CHANGES_MAX}`,
  );
  if (rows.length === CHANGES_MAX) return null;
  return {
    ids: [...new Set(rows.map(({ imageId }) => imageId))],
    version: Number(rows.at(-1)?.id ?? version),
  };
}

/** Ids of published pictures whose shared prompts have all of these words, newest first. @param words as people type them */
export async function searchGallery(words: string, limit: number): Promise<string[]> {
  const rows = await ask<{ id: string }>(Prisma.sql`
    SELECT i.id FROM "Image" i
    JOIN "Generation" g ON g.id = i."generationId"
    JOIN "ParameterValue" s ON s."userId" = g."userId" AND s.name = 'share_prompts' AND s.value = 'true'::jsonb
    WHERE i.words @@ websearch_to_tsquery('english', ${words}) AND i.visibility = 'published'
    ORDER BY i."publishedAt" DESC, i.id DESC LIMIT ${limit}`);
  return rows.map(({ id }) => id);
}

/** Where in the gallery a picture is: what its folder is named after. */
export type PlaceInGallery = Pick<Image, 'id' | 'collection' | 'curatedAt'>;

/** Copies its bytes to where the gallery has them. The collection becomes the name of a folder. */
export async function copyIntoGallery(image: PlaceInGallery & Pick<Image, 'storageKey'>): Promise<void> {
  await copyFile(image.storageKey, originalKey(image));
}

/** The same for one that is there already, with the variants that were made of it; they stay where they were, too. */
export async function copyWithin(
  from: PlaceInGallery & Pick<Image, 'storageKey'>,
  to: PlaceInGallery,
): Promise<void> {
  for await (const key of listFiles(folderOf(from))) {
    await copyFile(key, `${folderOf(to)}${key.slice(folderOf(from).length)}`).catch((error: unknown) => {
      // A variant that was cleared away meanwhile is made again.
      if (!isMissing(error)) throw error;
    });
  }
  await copyIntoGallery({ ...from, ...to });
}

/** Deletes the copies in one place. What its row names must not go: ask after the row was written. */
export async function leavePlace(place: PlaceInGallery): Promise<void> {
  const now = await db.image.findUnique({ where: { id: place.id } });
  const isThere = now?.visibility === 'published' && folderOf(now) === folderOf(place);
  if (!isThere) await deleteFolder(folderOf(place));
}

/** Of one picture: all copies, original and variants. */
export async function dropCopies({ id, collection }: Pick<Image, 'id' | 'collection'>): Promise<void> {
  for (const curatedAt of [null, new Date()]) await deleteFolder(folderOf({ id, collection, curatedAt }));
}

/** Null unless it may be served to anyone now. */
export async function findPublished(imageId: string): Promise<PublishedPicture | null> {
  const [picture] = await readGallery([imageId]);
  return picture ?? null;
}

/** Those that a watermark tells of. @param digits as `imagesByMark` */
export async function publishedByMark(digits: string): Promise<PublishedPicture[]> {
  const marked = await imagesByMark(digits);
  return marked.length ? readGallery(marked.map(({ id }) => id)) : [];
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
  // Taken down while the variant was made, or moved: nothing of it may stay.
  const now = await findPublished(picture.id);
  if (!now || folderOf(now) !== folderOf(picture)) await deleteFolder(folderOf(picture));
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
  await db.$executeRaw`DELETE FROM "GalleryChange" WHERE at < now() - ${CHANGES_KEPT}`;
  return down.length;
}

function folderOf({ id, collection, curatedAt }: PlaceInGallery): string {
  return `${curatedAt ? 'curated' : 'photowall'}/${collection}/${id}`;
}

function originalKey(image: PlaceInGallery & Pick<Image, 'storageKey'>): string {
  return `${folderOf(image)}/original${/\.\w+$/.exec(image.storageKey)?.[0] ?? ''}`;
}
