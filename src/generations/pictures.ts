/** Finds the rows behind what people see in Discord: which batch a message shows, and what is still to come for a person. */
import { type Batch, type Delivery, db, type Prisma } from '#src/doors/db.ts';
import { getFile } from '#src/doors/storage.ts';
import { UserError } from '#src/errors.ts';
import type { Origin } from '#src/people/people.ts';
import { mustSee } from '#src/people/rights.ts';
import { imagesByMark, mayBeShown } from './images.ts';

const picture = {
  batch: true,
  faceFolder: true,
  image: { include: { review: true } },
  preview: { select: { at: true } },
} as const satisfies Prisma.GenerationInclude;

/** A generation with all that a card tells of it. */
export type Picture = Prisma.GenerationGetPayload<{ include: typeof picture }>;

/** @throws {UserError} `gone` */
export async function getPicture(generationId: string): Promise<Picture> {
  const found = await db.generation.findUnique({ where: { id: generationId }, include: picture });
  if (!found) throw new UserError('gone', {});
  return found;
}

/** The picture that an image is of. */
export async function pictureOfImage(imageId: string): Promise<Picture | null> {
  return db.generation.findFirst({ where: { image: { id: imageId } }, include: picture });
}

/** @throws {UserError} `gone`: not there, or not to be seen by them */
export async function visiblePicture(
  origin: Pick<Origin, 'actor' | 'channelId'>,
  generationId: string,
): Promise<Picture> {
  const picture = await getPicture(generationId);
  await mustSee(origin, picture.batch);
  return picture;
}

/**
 * The picture that a watermark tells of, if they may see it: two may have the same digits.
 *
 * @param digits as `imagesByMark`
 */
export async function visibleByMark(
  origin: Pick<Origin, 'actor' | 'channelId'>,
  digits: string,
): Promise<Picture | null> {
  for (const { generationId } of await imagesByMark(digits)) {
    try {
      return await visiblePicture(origin, generationId);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    }
  }
  return null;
}

/** Pictures of a batch that a card offers at once: as many as a list to pick from holds. */
const OFFERED = { skip: 0, take: 25 };

/** Some of a batch's pictures; none when there is no such batch. @throws {UserError} `gone`: not to be seen by them */
export async function visiblePictures(
  origin: Pick<Origin, 'actor' | 'channelId'>,
  batchId: string,
  page: { readonly skip: number; readonly take: number } = OFFERED,
): Promise<Picture[]> {
  const pictures = await picturesOf(batchId, page);
  // All belong to one batch: whoever may see one may see all.
  if (pictures[0]) await mustSee(origin, pictures[0].batch);
  return pictures;
}

/** Whether the person is in it: false where no face was found, so that stage 2 was skipped; null where none was asked for. */
export function faceFound({ state, faceId, image }: Picture): boolean | null {
  if (!image || state !== 'done' || !faceId) return null;
  return image.likeness !== null;
}

/**
 * The bytes of a picture, for a person who may see its card. The verdict is checked here, with the bytes at hand.
 *
 * @throws {UserError} `gone`, `image_flagged`
 */
export async function pictureBytes(picture: Picture): Promise<Buffer> {
  return getFile(shownImage(picture).storageKey);
}

/** What was drawn, where it may be shown now. @throws {UserError} `gone`, `image_flagged` */
export function shownImage({ image }: Picture): NonNullable<Picture['image']> {
  if (!image || image.deletedAt) throw new UserError('gone', {});
  if (!mayBeShown(image, image.review)) throw new UserError('image_flagged', {});
  return image;
}

/** @throws {UserError} `gone` */
export async function getBatch(batchId: string): Promise<Batch> {
  const batch = await db.batch.findUnique({ where: { id: batchId } });
  if (!batch) throw new UserError('gone', {});
  return batch;
}

/** The pictures of a batch, in its order. */
export async function picturesOf(batchId: string, page?: { skip: number; take: number }): Promise<Picture[]> {
  return db.generation.findMany({
    where: { batchId },
    include: picture,
    orderBy: { index: 'asc' },
    relationLoadStrategy: 'join', // one statement instead of five
    ...page,
  });
}

export async function countPictures(batchId: string): Promise<number> {
  return db.generation.count({ where: { batchId } });
}

/** What a message of ours shows. A review, an offer to the gallery, or a notice of either shows one picture. @throws {UserError} `gone` */
export async function shownBy(
  messageId: string,
): Promise<{ delivery: Delivery; batchId: string; generationId: string | null }> {
  const one = { include: { generation: true } } as const;
  const delivery = await db.delivery.findFirst({
    where: { messageId },
    include: { image: one, review: { include: { image: one } } },
  });
  const generation = (delivery?.review?.image ?? delivery?.image)?.generation;
  const batchId = generation?.batchId ?? delivery?.batchId;
  if (!delivery || !batchId) throw new UserError('gone', {});
  return { delivery, batchId, generationId: generation?.id ?? null };
}

export type UnfinishedBatch = Prisma.BatchGetPayload<object> & {
  readonly counts: Readonly<Partial<Record<'queued' | 'running' | 'done' | 'failed' | 'cancelled', number>>>;
};

/** A person's batches that are still being drawn, oldest first. */
export async function unfinishedBatches(ownerId: string): Promise<UnfinishedBatch[]> {
  const batches = await db.batch.findMany({
    where: { ownerId, state: { in: ['open', 'stopped', 'cancelled'] }, endedAt: null },
    orderBy: { openedAt: 'asc' },
    take: 25,
  });
  const states = await db.generation.groupBy({
    by: ['batchId', 'state'],
    where: { batchId: { in: batches.map(({ id }) => id) } },
    _count: true,
  });
  return batches.map((batch) => ({
    ...batch,
    counts: Object.fromEntries(
      states.filter(({ batchId }) => batchId === batch.id).map(({ state, _count }) => [state, _count]),
    ),
  }));
}

export type Undelivered = Prisma.DeliveryGetPayload<{ include: { batch: true } }>;

/** Messages that reached nobody, newest first. */
export async function undeliveredTo(userId: string): Promise<Undelivered[]> {
  return db.delivery.findMany({
    where: { userId, state: 'undelivered' },
    include: { batch: true },
    orderBy: { createdAt: 'desc' },
    take: 25,
  });
}

/** A person's newest pictures that still exist. */
export async function recentPictures(userId: string, take: number): Promise<Picture[]> {
  return db.generation.findMany({
    where: { userId, state: 'done', image: { is: { deletedAt: null } } },
    include: picture,
    orderBy: { endedAt: 'desc' },
    take,
  });
}
