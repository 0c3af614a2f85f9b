/**
 * The door to stored bytes: pictures, faces, manifests. A folder under DATA_DIR, or a bucket of S3 where S3_BUCKET names one.
 *
 * Keys are relative paths, mirroring the way of a picture: `faces/<folder>/…`, `productions/<yyyy-mm-dd>/<batch>/…` or `tests/…`,
 * `photowall/<collection>/…`, `curated/<collection>/…`; `quarantine/…` apart. A file is there whole, or not at all.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { resolve } from 'node:path';
import { config, type S3Settings } from '#config/env.ts';
import { diskStore } from './storage-disk.ts';
import type { Store } from './storage-kinds.ts';

export { isTemporary } from './storage-disk.ts';
export type { Store } from './storage-kinds.ts';
export { isFull, isMissing, isStorageAway } from './storage-kinds.ts';

/** The folders of storage, in the order of a picture's way. */
export const FOLDERS = ['faces', 'tests', 'productions', 'quarantine', 'photowall', 'curated'] as const;

const KEY = /^(?:[a-zA-Z0-9][a-zA-Z0-9._-]*\/)+[a-zA-Z0-9][a-zA-Z0-9._-]*$/;

/** Where files are kept: a folder, or a bucket. */
export type Place = { readonly dir: string } | { readonly s3: S3Settings };

/** What this process is configured to use. */
export function configuredPlace(): Place {
  return config.s3 ? { s3: config.s3 } : { dir: resolve(config.dataDir, 'files') };
}

/** A store that takes only keys of ours. */
export async function openStore(place: Place): Promise<Store> {
  const store = 's3' in place ? (await import('./storage-s3.ts')).s3Store(place.s3) : diskStore(place.dir);
  return {
    ...store,
    put: async (key, bytes) => store.put(checked(key), bytes),
    get: async (key) => store.get(checked(key)),
    modifiedAt: async (key) => store.modifiedAt(checked(key)),
    sha256: async (key) => store.sha256(checked(key)),
    saidSha256: async (key) => store.saidSha256(checked(key)),
    copy: async (from, to) => store.copy(checked(from), checked(to)),
    remove: async (key) => store.remove(checked(key)),
    removeFolder: async (folder) => store.removeFolder(checked(folder)),
    readUrl: async (key, seconds) => store.readUrl(checked(key), seconds),
    // What others put there is not ours to name.
    async *list(folder) {
      for await (const key of store.list(folder)) if (isKey(key)) yield key;
    },
  };
}

const isKey = (text: string) => KEY.test(text) && !text.includes('..');

/** @throws {Error} when the key is not a plain relative path: keys are made by us, so that is a fault of ours */
function checked(key: string): string {
  if (!isKey(key)) throw new Error(`Not a storage key: ${JSON.stringify(key)}`);
  return key;
}

let opened: Promise<Store> | undefined;
const store = () => {
  opened ??= openStore(configuredPlace());
  return opened;
};

/** Before a service starts. @throws {Error} with a sentence for whoever runs this */
export async function checkStorage(): Promise<void> {
  await (await store()).check();
}

export async function closeStorage(): Promise<void> {
  const closing = opened;
  opened = undefined;
  await (await closing)?.close();
}

/** How storage is, for those who run it. */
export interface StorageState {
  /** where it is */
  readonly name: string;
  readonly answers: boolean;
  /** bytes that still fit; null: that is not known, as of a bucket */
  readonly free: number | null;
}

export async function storageState(): Promise<StorageState> {
  const { name, modifiedAt } = await store();
  const place = configuredPlace();
  try {
    await modifiedAt('tests/room/none.bin');
  } catch {
    return { name, answers: false, free: null };
  }
  if ('s3' in place) return { name, answers: true, free: null };
  const { bavail, bsize } = await statfs(place.dir).catch(() => ({ bavail: null, bsize: 0 }));
  return { name, answers: true, free: bavail === null ? null : bavail * bsize };
}

/** @throws what `isFull` and `isStorageAway` know */
export async function putFile(key: string, bytes: Uint8Array): Promise<void> {
  await (await store()).put(key, bytes);
}

/** Whether so many bytes can be stored now: some are, and are deleted again. */
export async function canStore(bytes: number): Promise<boolean> {
  const key = `tests/room/${randomUUID()}.bin`;
  try {
    await putFile(key, randomBytes(bytes));
    await deleteFile(key);
    return true;
  } catch {
    return false;
  }
}

/** @throws what `isMissing` and `isStorageAway` know */
export async function getFile(key: string): Promise<Buffer<ArrayBuffer>> {
  return (await store()).get(key);
}

/** Has the same bytes under another key too. @throws as `getFile` and `putFile` */
export async function copyFile(from: string, to: string): Promise<void> {
  await (await store()).copy(from, to);
}

export async function hasFile(key: string): Promise<boolean> {
  return (await modifiedAt(key)) !== null;
}

/** When the file was written; null when there is none. @throws what a storage says that is away: nothing is known then */
export async function modifiedAt(key: string): Promise<Date | null> {
  return (await store()).modifiedAt(key);
}

/** Keys of all files below a folder of keys, as `faces`; half-written ones too. What others put there is not ours to name. */
export async function* listFiles(folder: string): AsyncGenerator<string> {
  yield* (await store()).list(folder);
}

/** Deletes one file; a missing one is no fault. */
export async function deleteFile(key: string): Promise<void> {
  await (await store()).remove(key);
}

/** Deletes everything below a folder of keys, as `faces/<folder id>`. */
export async function deleteFolder(key: string): Promise<void> {
  await (await store()).removeFolder(key);
}
