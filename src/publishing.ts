/**
 * How a picture comes into the public gallery: two say yes with the same button, whoever is first.
 *
 *   private ──one yes──▶ offered ──the other yes──▶ published
 *      ▲                    ├──taken back──▶ private
 *      │                    └──declined      by those who decide for the gallery; only they can change their mind
 *      └────unpublish, report, reject, delete──── published ──curate──▶ curated, one of the best ──▶ published
 *
 * Which collection it is shown in, and whether it is curated, those decide who decide for the gallery. Its copies are in storage under
 * its place in the gallery: they are copied there, then the row says so, then the old ones go. So a picture that is shown has its bytes at
 * every moment, and what a killed process leaves is removed by the file check.
 *
 * One yes is the owner's, who asked for the picture; the other is of somebody who decides for the gallery there
 * (`decidesForGallery`). Whoever is both says both at once. An owner's offer comes to the review channel as a card (`request`);
 * an offer to the owner comes to him as a notice.
 */
import { gallery } from '#config/gallery.ts';
import { audit } from './audit.ts';
import { addDelivery, changed, together, type Wake } from './deliveries.ts';
import { type Batch, db, type Image, type Prisma, type Transaction } from './doors/db.ts';
import { UserError } from './errors.ts';
import {
  clearTakenDown,
  copyIntoGallery,
  copyWithin,
  dropCopies,
  findPublished,
  leavePlace,
} from './gallery.ts';
import {
  markDeclined,
  markMoved,
  markOffered,
  markPublished,
  markUnpublished,
  mayBeShown,
} from './generations/images.ts';
import { reviewChannel } from './guilds.ts';
import { judgedAgain } from './moderation/verdicts.ts';
import type { Actor } from './people/people.ts';
import {
  decidesForGallery,
  galleryGuildOf,
  mustBeAllowed,
  mustDecideForGallery,
  trustedGuildOf,
} from './people/rights.ts';
import { message } from './say.ts';

const WITH = {
  review: { select: { state: true } },
  generation: { select: { batch: true, faceId: true } },
} as const satisfies Prisma.ImageInclude;
type Found = Prisma.ImageGetPayload<{ include: typeof WITH }>;

/** Where pictures come that nobody has sorted. */
const [FIRST_COLLECTION = 'main'] = Object.keys(gallery.collections);

/** Where a picture is after a yes: in the gallery, or waiting for the other's. */
export type Published = 'published' | 'owner-next' | 'gallery-next';

/**
 * Says yes to a picture in the gallery. One that is there already stays as it is.
 *
 * @throws {UserError} `gone`, `publish_others`, `publish_nobody`, `image_flagged`, `image_not_production`, `image_age_restricted`,
 *                     `collection_unknown`;
 *                     `already_done` when it was declined
 */
export async function publishImage(
  actor: Actor,
  imageId: string,
  { collection = FIRST_COLLECTION }: { collection?: string } = {},
): Promise<Published> {
  mustBeCollection(collection);
  const image = await find(imageId);
  const { batch } = image.generation;
  const isOwner = actor.id === batch.ownerId;
  const decides = await decidesForGallery(actor, batch);
  if (!isOwner && !decides) throw new UserError('publish_others', {});
  if (!mayBeShown(image, image.review)) throw new UserError('image_flagged', {});
  if (!batch.production) throw new UserError('image_not_production', {});
  if (!isClearEverywhere(image)) throw new UserError('image_age_restricted', {});
  if (image.visibility === 'published') return 'published';

  const { publishAskedBy: first, publishDeclinedBy: declinedBy } = image;
  if (declinedBy && !decides)
    throw new UserError('already_done', { what: message('those who look after the gallery declined it') });
  if (isOwner && decides) return publish(actor, image, collection, actor.id);
  if (first === null) return offer(actor, image, collection);
  const byOwner = first === batch.ownerId;
  if (isOwner && !byOwner) return publish(actor, image, collection, first);
  if (!isOwner && byOwner) return publish(actor, image, collection, actor.id);
  return byOwner ? 'gallery-next' : 'owner-next';
}

/** What only adults may look at is no picture for everybody, whoever says yes to it. */
function isClearEverywhere(image: Found): boolean {
  const { batch, faceId } = image.generation;
  if (!batch.ageRestricted) return true;
  const where = { ageRestricted: false, faceAsked: faceId !== null, guild: {} };
  return judgedAgain(image, where)?.verdict === 'clear';
}

/** The second yes. @param decidedBy whose yes was the gallery's */
async function publish(
  actor: Actor,
  image: Found,
  collection: string,
  decidedBy: string,
): Promise<Published> {
  const { id, generation, publishAskedBy } = image;
  const { batch } = generation;
  // Bytes first: the row never names copies that are not there.
  await copyIntoGallery({ ...image, collection, curatedAt: null });
  const wake = await db.$transaction(async (tx) => {
    // Asked again: it may have been reported or deleted in the meantime.
    if (!(await markPublished(tx, id, collection, decidedBy))) return null;
    await note(tx, actor, 'image.publish', image, { visibility: 'published', collection, decidedBy });
    const offeredByOwner = publishAskedBy === batch.ownerId && actor.id !== batch.ownerId;
    return together(await shownAnew(tx, image), ...(offeredByOwner ? [await tellOwner(tx, image)] : []));
  });
  if (wake) wake();
  else if (!(await findPublished(id))) {
    await dropCopies({ id, collection });
    throw new UserError('gone', {});
  }
  return 'published';
}

/** The first yes: somebody is asked for the second. */
async function offer(actor: Actor, image: Found, collection: string): Promise<Published> {
  const { id, generation } = image;
  const { batch } = generation;
  const byOwner = actor.id === batch.ownerId;
  const guildId = galleryGuildOf(batch);
  // In a guild that decides by itself, somebody may press the button in its own channel.
  const decidesItself = trustedGuildOf(batch) !== null;
  if (byOwner && !decidesItself && !(await reviewChannel(guildId))) throw new UserError('publish_nobody', {});
  const wake = await db.$transaction(async (tx) => {
    if (!(await markOffered(tx, id, actor.id))) return null;
    await note(tx, actor, 'image.offer', image, { by: byOwner ? 'owner' : 'gallery' });
    const anew = await shownAnew(tx, image);
    if (!byOwner) return together(anew, await tellOwner(tx, image));
    // Offered before and taken back: its card is there.
    const known = await tx.delivery.count({ where: { imageId: id, kind: 'request', state: 'active' } });
    if (known) return anew;
    const request = { kind: 'request', userId: batch.ownerId, guildId, imageId: id } as const;
    return together(anew, await addDelivery(tx, request));
  });
  // Both pressed at once: this yes is the second.
  if (!wake) return publishImage(actor, id, { collection });
  wake();
  return byOwner ? 'gallery-next' : 'owner-next';
}

/** Says no for the gallery. @throws {UserError} `gone`, `moderators_only`, `already_done` */
export async function declineImage(actor: Actor, imageId: string): Promise<void> {
  const image = await find(imageId);
  const { batch } = image.generation;
  if (!(await decidesForGallery(actor, batch))) throw new UserError('moderators_only', {});
  if (image.publishAskedBy !== null && image.publishAskedBy !== batch.ownerId)
    throw new UserError('already_done', { what: message('it waits for its owner now') });
  const wake = await db.$transaction(async (tx) => {
    if (!(await markDeclined(tx, imageId, actor.id))) return null;
    await note(tx, actor, 'image.decline', image, null);
    return together(await shownAnew(tx, image), await tellOwner(tx, image));
  });
  if (!wake) throw new UserError('already_done', { what: message('it is not offered any more') });
  wake();
}

/**
 * Takes a picture out of the gallery, or an offer back.
 *
 * @throws {UserError} `gone`; `not_yours` unless the actor asked for it, or is operator or moderator where it was drawn;
 *                     `already_done` when it is neither there nor offered
 */
export async function unpublishImage(actor: Actor, imageId: string): Promise<void> {
  const image = await find(imageId);
  await mustBeAllowed(actor, 'unpublish', image.generation.batch);
  const wake = await db.$transaction(async (tx) => {
    if (!(await markUnpublished(tx, imageId))) return null;
    await note(tx, actor, 'image.unpublish', image, { visibility: 'private' });
    return shownAnew(tx, image);
  });
  if (!wake) throw new UserError('already_done', { what: message('it is not in the gallery') });
  wake();
  await clearTakenDown({ id: imageId });
}

/**
 * Chooses a picture of the gallery as one of its best, or takes that back.
 *
 * @throws {UserError} `gone`, `gallery_deciders`; `already_done` when it is so already, or not in the gallery
 */
export async function curateImage(actor: Actor, imageId: string, chosen: boolean): Promise<void> {
  await move(actor, imageId, chosen ? 'image.curate' : 'image.uncurate', ({ collection, curatedAt }) => {
    if ((curatedAt !== null) === chosen)
      throw new UserError('already_done', {
        what: chosen
          ? message('it is one of the best of the gallery')
          : message('it is not one of the best of the gallery'),
      });
    return { collection, curatedAt: chosen ? new Date() : null };
  });
}

/**
 * Has a picture of the gallery shown in another collection.
 *
 * @throws {UserError} `gone`, `gallery_deciders`, `collection_unknown`; `already_done` when it is there, or not in the gallery
 */
export async function moveToCollection(actor: Actor, imageId: string, collection: string): Promise<void> {
  mustBeCollection(collection);
  await move(actor, imageId, 'image.collection', (image) => {
    if (image.collection === collection)
      throw new UserError('already_done', { what: message('it is in that collection') });
    return { collection, curatedAt: image.curatedAt };
  });
}

type InGallery = Pick<Image, 'collection' | 'curatedAt'>;

async function move(
  actor: Actor,
  imageId: string,
  action: string,
  toOf: (image: Image) => InGallery,
): Promise<void> {
  const image = await find(imageId);
  await mustDecideForGallery(actor, image.generation.batch);
  if (image.visibility !== 'published')
    throw new UserError('already_done', { what: message('it is not in the gallery') });
  const to = toOf(image);
  const place = { id: imageId, ...to };
  const told = ({ collection, curatedAt }: InGallery) => ({ collection, curated: curatedAt !== null });
  await copyWithin(image, place);
  const wake = await db.$transaction(async (tx) => {
    if (!(await markMoved(tx, image, to))) return null;
    const { guildId } = actor;
    const subject = `image:${imageId}`;
    await audit(tx, { actorId: actor.id, action, subject, guildId, before: told(image), after: told(to) });
    return shownAnew(tx, image);
  });
  if (!wake) {
    await leavePlace(place);
    // Somebody else moved it, or took it down, while its copies were made: what is wished of it is seen anew.
    return move(actor, imageId, action, toOf);
  }
  wake();
  await leavePlace(image);
}

/** @throws {UserError} `collection_unknown` */
function mustBeCollection(name: string): void {
  const known = Object.keys(gallery.collections);
  if (!known.includes(name)) throw new UserError('collection_unknown', { name, known });
}

/** @throws {UserError} `gone` */
async function find(imageId: string): Promise<Found> {
  const image = await db.image.findUnique({ where: { id: imageId }, include: WITH });
  if (!image || image.deletedAt) throw new UserError('gone', {});
  return image;
}

async function note(
  tx: Transaction,
  { id: actorId, guildId }: Actor,
  action: string,
  { id, visibility }: Image,
  after: Prisma.InputJsonObject | null,
): Promise<void> {
  await audit(tx, { actorId, action, subject: `image:${id}`, guildId, before: { visibility }, after });
}

/** Its batch's messages, and those about its way into the gallery. */
function shownAnew(tx: Transaction, { id, generation }: Found): Promise<Wake> {
  return changed(tx, { OR: [{ batchId: generation.batch.id }, { imageId: id }] });
}

function tellOwner(tx: Transaction, { id, generation }: Found): Promise<Wake> {
  const { batch }: { batch: Batch } = generation;
  return addDelivery(tx, {
    kind: 'notice',
    userId: batch.ownerId,
    guildId: batch.guildId,
    channelId: batch.threadId ?? batch.channelId,
    batchId: batch.id,
    imageId: id,
  });
}
