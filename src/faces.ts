/**
 * Face folders: reference photos of one person who said yes.
 *
 *   checking ──▶ checked ──▶ accepted     consent is recorded; only now is a photo used
 *       └──────▶ rejected                 no face, or several: its bytes are gone
 *
 * A worker counts the faces; nothing about a face is computed or kept before consent. What nobody consents to within an
 * hour is deleted. The only file that writes FaceFolder and FacePhoto. A folder is its owner's alone.
 */
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { audit } from './audit.ts';
import { hashOf } from './canonical.ts';
import { db, type FaceFolder, type FacePhoto } from './db.ts';
import { UserError } from './errors.ts';
import { type Actor, meet } from './people.ts';
import { queues } from './queue.ts';
import { deleteFile, deleteFolder, getFile, putFile } from './storage.ts';
import type { Photo } from './uploads.ts';

export const PHOTOS_MAX = 10;
export const CONSENT_VERSION = 1;
export const CONSENT_TEXT = [
  'I am the person in these photos, or I have their clear permission.',
  'Atelier may use the photos to draw pictures that look like them, for me alone.',
  'The photos are kept until I remove them with `/faces remove`; then they are deleted.',
].join('\n');

const NAME = /^[a-z0-9][a-z0-9_-]{0,31}$/;
const CONSENT_WITHIN_MS = 60 * 60_000;
const POLL_MS = 150;

/** @throws {UserError} `folder_name`: it becomes part of a path, so nothing else will do */
export function folderName(name: string): string {
  if (!NAME.test(name)) throw new UserError('folder_name', { name });
  return name;
}

/** Stores photos, not yet to be used, and has a worker look at them. @throws {UserError} `folder_name`, `photos_limit` */
export async function addPhotos(
  actor: Actor,
  name: string,
  photos: readonly Photo[],
): Promise<{ folder: FaceFolder; ids: string[] }> {
  folderName(name);
  await meet(actor);
  const owner = { ownerId: actor.id, name };
  const folder = await db.faceFolder.upsert({ where: { ownerId_name: owner }, create: owner, update: {} });
  const kept = await db.facePhoto.count({ where: { folderId: folder.id, state: { not: 'rejected' } } });
  if (kept + photos.length > PHOTOS_MAX) throw new UserError('photos_limit', { max: PHOTOS_MAX });

  const ids: string[] = [];
  for (const { png, width, height } of photos) {
    const id = randomUUID();
    const storageKey = `faces/${folder.id}/${id}.png`;
    await putFile(storageKey, png);
    const sha256 = createHash('sha256').update(png).digest('hex');
    await db.facePhoto.create({ data: { id, folderId: folder.id, storageKey, sha256, width, height } });
    await queues().add('face-check', { photoId: id }, { id });
    ids.push(id);
  }
  return { folder, ids };
}

/** The photos once a worker has looked at them. @throws {UserError} `busy` when none does in time */
export async function waitForChecks(ids: readonly string[], timeoutMs: number): Promise<FacePhoto[]> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const photos = await db.facePhoto.findMany({
      where: { id: { in: [...ids] } },
      orderBy: { createdAt: 'asc' },
    });
    if (photos.every(({ state }) => state !== 'checking')) return photos;
    if (Date.now() > deadline) throw new UserError('busy', { what: 'The worker that looks at photos' });
    await pause(POLL_MS);
  }
}

/** The bytes of a photo that is still to be looked at; null when it is gone or done. */
export async function photoToCheck(photoId: string): Promise<Buffer | null> {
  const photo = await db.facePhoto.findFirst({ where: { id: photoId, state: 'checking' } });
  return photo && getFile(photo.storageKey);
}

/** What a worker saw. Anything but one face rejects the photo and deletes its bytes. */
export async function finishFaceCheck(photoId: string, faces: number): Promise<void> {
  const reason = faces === 0 ? 'face_none' : faces > 1 ? 'face_many' : null;
  const [photo] = await db.facePhoto.updateManyAndReturn({
    where: { id: photoId, state: 'checking' },
    data: reason ? { state: 'rejected', reason } : { state: 'checked' },
  });
  if (photo && reason) await deleteFile(photo.storageKey);
}

/**
 * Records that the person agrees; the photos that were checked may be used from now on. Returns how many.
 *
 * @throws {UserError} `not_yours`, `gone`, `already_done`
 */
export async function giveConsent(
  actor: Actor,
  folderId: string,
): Promise<{ folder: FaceFolder; photos: number }> {
  const folder = await ownFolder(actor, folderId);
  const photos = await db.$transaction(async (tx) => {
    const { count } = await tx.facePhoto.updateMany({
      where: { folderId, state: 'checked' },
      data: {
        state: 'accepted',
        consentBy: actor.id,
        consentAt: new Date(),
        consentVersion: CONSENT_VERSION,
      },
    });
    if (count) {
      await audit(tx, {
        actorId: actor.id,
        action: 'consent.given',
        subject: `folder:${folderId}`,
        guildId: actor.guildId,
        after: { photos: count, version: CONSENT_VERSION },
      });
    }
    return count;
  });
  if (!photos) throw new UserError('already_done', { what: 'there is no photo that waits for consent' });
  return { folder, photos };
}

/** They do not agree: what was not consented to is deleted. */
export async function refuseConsent(actor: Actor, folderId: string): Promise<void> {
  await ownFolder(actor, folderId);
  await deletePhotos(folderId);
}

async function ownFolder(actor: Actor, folderId: string): Promise<FaceFolder> {
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
    include: { photos: { where: { state: 'accepted' }, orderBy: { createdAt: 'asc' } } },
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
      photos: { where: { state: 'accepted' }, orderBy: { createdAt: 'asc' }, select: { sha256: true } },
    },
  });
  if (!folder) throw new UserError('gone', {});
  if (!folder.photos.length) throw new UserError('folder_empty', { name: folder.name });
  return hashOf(folder.photos.map(({ sha256 }) => sha256));
}

/** Bytes of the photos that may be used, in the order of `folderHash`. */
export async function folderPhotos(folderId: string): Promise<Buffer[]> {
  const photos = await db.facePhoto.findMany({
    where: { folderId, state: 'accepted' },
    orderBy: { createdAt: 'asc' },
  });
  return Promise.all(photos.map(({ storageKey }) => getFile(storageKey)));
}

/** Deletes rows and bytes; nothing of the photos is left. @throws {UserError} as `getFolder` */
export async function removeFolder(actor: Actor, name: string): Promise<void> {
  const folder = await getFolder(actor.id, name);
  await db.$transaction(async (tx) => {
    await tx.faceFolder.deleteMany({ where: { id: folder.id } });
    const { guildId } = actor;
    await audit(tx, { actorId: actor.id, action: 'folder.remove', subject: `folder:${folder.id}`, guildId });
  });
  await deleteFolder(`faces/${folder.id}`);
}

/** Deletes what nobody consented to within an hour, and folders that are empty by that. */
export async function removeStalePhotos(now = new Date()): Promise<number> {
  const before = new Date(now.getTime() - CONSENT_WITHIN_MS);
  const stale = await db.facePhoto.findMany({
    where: { state: { in: ['checking', 'checked', 'rejected'] }, createdAt: { lt: before } },
    select: { folderId: true },
    distinct: ['folderId'],
  });
  for (const { folderId } of stale) await deletePhotos(folderId, before);
  return stale.length;
}

async function deletePhotos(folderId: string, before = new Date(Date.now() + 1)): Promise<void> {
  const photos = await db.facePhoto.findMany({
    where: { folderId, state: { not: 'accepted' }, createdAt: { lt: before } },
  });
  await db.facePhoto.deleteMany({
    where: { id: { in: photos.map(({ id }) => id) }, state: { not: 'accepted' } },
  });
  for (const { storageKey } of photos) await deleteFile(storageKey);
  await db.faceFolder.deleteMany({ where: { id: folderId, photos: { none: {} } } });
}
