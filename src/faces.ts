/**
 * Face folders: reference photos of one person who said yes.
 *
 *   checking ──▶ checked ──▶ accepted     consent is recorded; only now is a photo used
 *       │           │            │
 *       └───────────┴────────────┴──▶ rejected ──▶ (no row)
 *        no face or several, no consent, withdrawn
 *
 * A worker counts the faces; nothing about a face is computed or kept before consent. What nobody consents to within an
 * hour is deleted. A photo is `rejected` before its bytes are deleted, and its row goes last: whatever breaks off in
 * between, no photo is used without its bytes, and `removeStalePhotos` finishes the work.
 *
 * The only file that writes FaceFolder and FacePhoto. A folder is its owner's alone; paths are made of ids, never of names.
 */
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { audit } from './audit.ts';
import { hashOf } from './canonical.ts';
import { db, type FaceFolder, type FacePhoto, type Prisma, type Transaction } from './doors/db.ts';
import { type Queues, queues } from './doors/queue.ts';
import { deleteFile, deleteFolder, getFile, putFile } from './doors/storage.ts';
import { UserError } from './errors.ts';
import { folderName, newFolderName } from './folder-name.ts';
import { dropBytes } from './generations/images.ts';
import { type Actor, admitUser } from './people/people.ts';
import { message, type Say } from './say.ts';
import type { Photo } from './uploads/photos.ts';

export const PHOTOS_MAX = 10;
export const CONSENT_VERSION = 1;
export function consentText(say: Say): string {
  return [
    say('I am the person in these photos, or I have their clear permission.'),
    say('Atelier may use the photos to draw pictures that look like them, for me alone.'),
    say('The photos are kept until I remove them with `/faces remove`; then they are deleted.'),
  ].join('\n');
}

const CONSENT_WITHIN_MS = 60 * 60_000;
const POLL_MS = 150;
/** A photo this young may still be on its way to the queue. */
const SETTLED_MS = 2_000;

/** The order in which a folder's photos are used and hashed. Uploaded together, they may share their millisecond. */
const inOrder = [
  { createdAt: 'asc' },
  { id: 'asc' },
] as const satisfies Prisma.FacePhotoOrderByWithRelationInput[];

/** Stores photos, not yet to be used, and has a worker look at them. @throws {UserError} `folder_name`, `name_blocked`, `photos_limit` */
export async function addPhotos(
  actor: Actor,
  name: string,
  photos: readonly Photo[],
  via: Queues = queues(),
): Promise<{ folder: FaceFolder; ids: string[] }> {
  newFolderName(name);
  const full = new UserError('photos_limit', { max: PHOTOS_MAX });
  if (photos.length > PHOTOS_MAX) throw full;
  await admitUser(actor);
  const owner = { ownerId: actor.id, name };
  const folder = await db.faceFolder.upsert({ where: { ownerId_name: owner }, create: owner, update: {} });

  const rows = photos.map(({ png, width, height }) => {
    const id = randomUUID();
    const sha256 = createHash('sha256').update(png).digest('hex');
    return { id, folderId: folder.id, storageKey: `faces/${folder.id}/${id}.png`, sha256, width, height };
  });
  try {
    for (const [index, { storageKey }] of rows.entries()) await putFile(storageKey, photos[index]!.png);
    await db.$transaction(async (tx) => {
      // Two commands at once take turns, so that together they do not pass the limit.
      await tx.$executeRaw`SELECT 1 FROM "FaceFolder" WHERE id = ${folder.id} FOR UPDATE`;
      const kept = await tx.facePhoto.count({ where: { folderId: folder.id, state: { not: 'rejected' } } });
      if (kept + rows.length > PHOTOS_MAX) throw full;
      await tx.facePhoto.createMany({ data: rows });
    });
  } catch (error) {
    // The limit, or the folder was removed meanwhile: bytes without a row would stay for ever.
    for (const { storageKey } of rows) await dropBytes(storageKey);
    await removeEmptyFolder(folder.id, null);
    throw error;
  }
  for (const { id } of rows) via.addSoon('face-check', { photoId: id }, { id });
  return { folder, ids: rows.map(({ id }) => id) };
}

/** The photos once a worker has looked at them. @throws {UserError} `busy` when none does in time */
export async function waitForChecks(ids: readonly string[], timeoutMs: number): Promise<FacePhoto[]> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const photos = await db.facePhoto.findMany({
      where: { id: { in: [...ids] } },
      orderBy: inOrder,
    });
    if (photos.every(({ state }) => state !== 'checking')) return photos;
    if (Date.now() > deadline)
      throw new UserError('busy', { what: message('The worker that looks at photos') });
    await pause(POLL_MS);
  }
}

/** Puts back into the queue what waits for its check and is not there, as after Redis was away or emptied. Returns how many. */
export async function requeueWaitingChecks(via: Queues = queues(), now = new Date()): Promise<number> {
  const waiting = await db.facePhoto.findMany({
    where: { state: 'checking', createdAt: { lt: new Date(now.getTime() - SETTLED_MS) } },
    orderBy: inOrder,
    select: { id: true },
  });
  if (!waiting.length) return 0;
  const queued = await via.ids('face-check');
  const lost = waiting.filter(({ id }) => !queued.has(id));
  for (const { id } of lost) await via.add('face-check', { photoId: id }, { id });
  return lost.length;
}

/** Removes what is left of photos that were rejected, and folders that are empty by that. */
export async function forgetRejected(ids: readonly string[]): Promise<void> {
  await deleteWithFolders({ id: { in: [...ids] }, state: 'rejected' });
}

/** The bytes of a photo that is still to be looked at; null when it is gone or done. */
export async function photoToCheck(photoId: string): Promise<Buffer | null> {
  const photo = await db.facePhoto.findFirst({ where: { id: photoId, state: 'checking' } });
  return photo && getFile(photo.storageKey);
}

/** What a worker saw. Anything but one face rejects the photo and deletes its bytes; so does a count that is no number. */
export async function finishFaceCheck(photoId: string, faces: number): Promise<void> {
  const reason = faces === 1 ? null : faces > 1 ? 'face_many' : 'face_none';
  const [photo] = await db.facePhoto.updateManyAndReturn({
    where: { id: photoId, state: 'checking' },
    data: reason ? { state: 'rejected', reason } : { state: 'checked' },
  });
  if (photo && reason) await deleteFile(photo.storageKey);
}

/**
 * Records that the person agrees; the photos that were checked may be used from now on. Returns how many.
 *
 * @param text what they agree to, in the language in which they read it: it is kept with their yes
 * @param photoIds those that were shown with the text; left out: all that wait
 * @throws {UserError} `not_yours`, `gone`, `already_done`
 */
export async function giveConsent(
  actor: Actor,
  folderId: string,
  text: string,
  photoIds?: readonly string[],
): Promise<{ folder: FaceFolder; photos: number }> {
  const folder = await ownFolder(actor, folderId);
  const photos = await db.$transaction(async (tx) => {
    const accepted = await tx.facePhoto.updateManyAndReturn({
      where: { folderId, state: 'checked', ...(photoIds && { id: { in: [...photoIds] } }) },
      data: {
        state: 'accepted',
        consentBy: actor.id,
        consentAt: new Date(),
        consentVersion: CONSENT_VERSION,
      },
    });
    if (accepted.length) {
      await audit(tx, {
        actorId: actor.id,
        action: 'consent.given',
        subject: `folder:${folderId}`,
        guildId: actor.guildId,
        after: { photos: accepted.map(({ id }) => id), version: CONSENT_VERSION, text },
      });
    }
    return accepted.length;
  });
  if (!photos)
    throw new UserError('already_done', { what: message('there is no photo that waits for consent') });
  return { folder, photos };
}

/** They do not agree: what was not consented to is deleted. @throws {UserError} `not_yours`, `gone` */
export async function refuseConsent(actor: Actor, folderId: string): Promise<void> {
  await ownFolder(actor, folderId);
  await deleteWithFolders({ folderId, state: { not: 'accepted' } });
}

/**
 * Takes the consent to photos back; `withdrawal.ts` says what follows. They are not used from the commit on.
 *
 * @param photoIds left out: all of the folder
 */
export async function markWithdrawn(
  tx: Transaction,
  actor: Actor,
  folderId: string,
  photoIds?: readonly string[],
): Promise<FacePhoto[]> {
  const photos = await tx.facePhoto.updateManyAndReturn({
    where: { folderId, state: 'accepted', ...(photoIds && { id: { in: [...photoIds] } }) },
    data: { state: 'rejected' },
  });
  if (photos.length) {
    await audit(tx, {
      actorId: actor.id,
      action: 'consent.withdrawn',
      subject: `folder:${folderId}`,
      guildId: actor.guildId,
      before: { photos: photos.map(({ id }) => id) },
    });
  }
  return photos;
}

/** @throws {UserError} `not_yours`, `gone` */
export async function ownFolder(actor: Actor, folderId: string): Promise<FaceFolder> {
  const folder = await db.faceFolder.findUnique({ where: { id: folderId } });
  if (!folder) throw new UserError('gone', {});
  if (folder.ownerId !== actor.id) throw new UserError('not_yours', {});
  return folder;
}

export interface ListedFolder {
  readonly id: string;
  readonly name: string;
  /** that may be used */
  readonly photos: number;
}

export async function listFolders(ownerId: string): Promise<ListedFolder[]> {
  const folders = await db.faceFolder.findMany({
    where: { ownerId },
    orderBy: { name: 'asc' },
    include: { _count: { select: { photos: { where: { state: 'accepted' } } } } },
  });
  return folders.map(({ id, name, _count }) => ({ id, name, photos: _count.photos }));
}

/** @throws {UserError} `folder_name`, `folder_unknown` */
export async function getFolder(
  ownerId: string,
  name: string,
): Promise<FaceFolder & { photos: FacePhoto[] }> {
  folderName(name);
  const folder = await db.faceFolder.findUnique({
    where: { ownerId_name: { ownerId, name } },
    include: { photos: { where: { state: 'accepted' }, orderBy: inOrder } },
  });
  if (folder) return folder;
  const mine = (await listFolders(ownerId)).map((own) => own.name);
  throw new UserError('folder_unknown', { name, mine: mine.slice(0, 10) });
}

/** @throws {UserError} as `getFolder`, and `folder_empty` when no photo of it has consent */
export async function usableFolder(ownerId: string, name: string): Promise<FaceFolder> {
  const folder = await getFolder(ownerId, name);
  if (!folder.photos.length) throw new UserError('folder_empty', { name });
  return folder;
}

/** Hash of the photos that may be used: a part of a cell's key. @throws {UserError} `folder_empty`, `gone` */
export async function folderHash(folderId: string): Promise<string> {
  const folder = await db.faceFolder.findUnique({
    where: { id: folderId },
    include: {
      photos: { where: { state: 'accepted' }, orderBy: inOrder, select: { sha256: true } },
    },
  });
  if (!folder) throw new UserError('gone', {});
  if (!folder.photos.length) throw new UserError('folder_empty', { name: folder.name });
  return hashOfPhotos(folder.photos);
}

/** Bytes of the photos that may be used, in the order of `folderHash`. */
export async function folderPhotos(folderId: string): Promise<Buffer[]> {
  return bytesOf(await acceptedPhotos(folderId));
}

/** A face as a worker draws it: all from one look, so that the hash is of these photos. */
export interface Face {
  readonly photoIds: readonly string[];
  /** as `folderHash` */
  readonly hash: string;
  readonly photos: readonly Buffer[];
}

/** @throws {UserError} `folder_empty`, `gone` */
export async function faceIn(folderId: string): Promise<Face> {
  const folder = await db.faceFolder.findUnique({ where: { id: folderId } });
  if (!folder) throw new UserError('gone', {});
  const photos = await acceptedPhotos(folderId);
  if (!photos.length) throw new UserError('folder_empty', { name: folder.name });
  return { photoIds: photos.map(({ id }) => id), hash: hashOfPhotos(photos), photos: await bytesOf(photos) };
}

async function acceptedPhotos(folderId: string): Promise<FacePhoto[]> {
  return db.facePhoto.findMany({ where: { folderId, state: 'accepted' }, orderBy: inOrder });
}

async function bytesOf(photos: readonly FacePhoto[]): Promise<Buffer[]> {
  return Promise.all(photos.map(({ storageKey }) => getFile(storageKey)));
}

const hashOfPhotos = (photos: readonly Pick<FacePhoto, 'sha256'>[]) =>
  hashOf(photos.map(({ sha256 }) => sha256));

/** Those of some photos that may be used now. */
export async function usablePhotos(photoIds: readonly string[]): Promise<Set<string>> {
  const photos = await db.facePhoto.findMany({
    where: { id: { in: [...photoIds] }, state: 'accepted' },
    select: { id: true },
  });
  return new Set(photos.map(({ id }) => id));
}

/** Whether all these photos may be used. It stays so until the transaction ends: who withdraws his consent waits for it. */
export async function stayUsable(tx: Transaction, photoIds: readonly string[]): Promise<boolean> {
  if (!photoIds.length) return true;
  const usable = await tx.$queryRaw<unknown[]>`
    SELECT 1 FROM "FacePhoto" WHERE id = ANY(${photoIds}) AND state = 'accepted' FOR SHARE`;
  return usable.length === photoIds.length;
}

/** The same of folders. @throws {UserError} `gone` when one has no photo that may be used any more */
export async function mustStayUsable(tx: Transaction, folderIds: ReadonlySet<string>): Promise<void> {
  if (!folderIds.size) return;
  const usable = await tx.$queryRaw<{ folderId: string }[]>`
    SELECT "folderId" FROM "FacePhoto" WHERE "folderId" = ANY(${[...folderIds]}) AND state = 'accepted' FOR SHARE`;
  if (new Set(usable.map(({ folderId }) => folderId)).size < folderIds.size) throw new UserError('gone', {});
}

/** Deletes what nobody consented to within an hour, and folders that are empty by that. Returns how many photos. */
export async function removeStalePhotos(now = new Date()): Promise<number> {
  const before = new Date(now.getTime() - CONSENT_WITHIN_MS);
  return deleteWithFolders({ state: { not: 'accepted' }, createdAt: { lt: before } });
}

export async function deleteWithFolders(where: Prisma.FacePhotoWhereInput): Promise<number> {
  const photos = await deletePhotos(where);
  for (const folderId of new Set(photos.map((photo) => photo.folderId)))
    await removeEmptyFolder(folderId, null);
  return photos.length;
}

/** Rows that say `rejected`, then bytes, then no rows; in this order, see the top of the file. */
export async function deletePhotos(where: Prisma.FacePhotoWhereInput): Promise<FacePhoto[]> {
  // One update both chooses and takes them: a photo that gets its consent at this moment is not among them.
  const photos = await db.facePhoto.updateManyAndReturn({ where, data: { state: 'rejected' } });
  if (!photos.length) return photos;
  for (const { storageKey } of photos) await deleteFile(storageKey);
  await db.facePhoto.deleteMany({ where: { id: { in: photos.map(({ id }) => id) } } });
  return photos;
}

/** False when photos were added meanwhile. `by` is audited; null when it is only tidied away. */
export async function removeEmptyFolder(id: string, by: Actor | null): Promise<boolean> {
  const gone = await db.$transaction(async (tx) => {
    // The lock of `addPhotos`: a row added now would go with the folder's, and leave its bytes.
    await tx.$executeRaw`SELECT 1 FROM "FaceFolder" WHERE id = ${id} FOR UPDATE`;
    if (await tx.facePhoto.count({ where: { folderId: id } })) return false;
    const { count } = await tx.faceFolder.deleteMany({ where: { id } });
    if (count && by) {
      const { id: actorId, guildId } = by;
      await audit(tx, { actorId, action: 'folder.remove', subject: `folder:${id}`, guildId });
    }
    return true;
  });
  // Only the directory is left. Where it is not empty, an `addPhotos` that came too late is tidying up.
  if (gone) await deleteFolder(`faces/${id}`).catch(() => {});
  return gone;
}
