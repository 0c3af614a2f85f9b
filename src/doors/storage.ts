/**
 * The door to stored bytes: pictures, faces, manifests. Local disk under DATA_DIR/files.
 *
 * Keys are relative paths, mirroring the way of a picture: `faces/<folder>/…`, `productions/<yyyy-mm-dd>/<batch>/…`,
 * `tests/…`, `quarantine/…`, `published/…`. Writes are whole or not at all: a temporary file, then a rename.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { mkdir, open, opendir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { config } from '#config/env.ts';

/** A file that is still being written, or whose writer was killed. */
const TEMPORARY = '.tmp';

const KEY = /^(?:[a-zA-Z0-9][a-zA-Z0-9._-]*\/)+[a-zA-Z0-9][a-zA-Z0-9._-]*$/;

/** @throws {Error} when the key is not a plain relative path: keys are made by us, so that is a fault of ours */
function pathOf(key: string): string {
  if (!KEY.test(key) || key.includes('..')) throw new Error(`Not a storage key: ${JSON.stringify(key)}`);
  return join(root(), key);
}

const root = () => resolve(config.dataDir, 'files');

export async function putFile(key: string, bytes: Uint8Array): Promise<void> {
  const path = pathOf(key);
  const temporary = `${path}.${randomUUID()}${TEMPORARY}`;
  await mkdir(dirname(path), { recursive: true });
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(bytes);
      // The row that names these bytes is written next: they must be on disk first.
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    // Half of a picture would keep a full disk full.
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

/** Whether an error says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/** A full disk; a quota; a limit on the size of files. */
const FULL: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'EFBIG'];

/** Whether an error says that storage takes no more. */
export function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && FULL.includes(error.code);
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

/** @throws {NodeJS.ErrnoException} ENOENT */
export async function getFile(key: string): Promise<Buffer<ArrayBuffer>> {
  return readFile(pathOf(key));
}

export async function hasFile(key: string): Promise<boolean> {
  return (await modifiedAt(key)) !== null;
}

/** When the file was written; null when there is none. @throws what a storage says that is away: nothing is known then */
export async function modifiedAt(key: string): Promise<Date | null> {
  try {
    const found = await stat(pathOf(key));
    return found.isFile() ? found.mtime : null;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Keys of all files below a folder of keys, as `faces`; half-written ones too. What others put there is not ours to name. */
export async function* listFiles(folder: string): AsyncGenerator<string> {
  let entries: AsyncIterable<Dirent>;
  try {
    entries = await opendir(join(root(), folder));
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  for await (const entry of entries) {
    const key = `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* listFiles(key);
    else if (KEY.test(key)) yield key;
  }
}

export function isTemporary(key: string): boolean {
  return key.endsWith(TEMPORARY);
}

/** Deletes one file; a missing one is no fault. */
export async function deleteFile(key: string): Promise<void> {
  await rm(pathOf(key), { force: true });
}

/** Deletes everything below a folder of keys, as `faces/<folder id>`. */
export async function deleteFolder(key: string): Promise<void> {
  await rm(pathOf(key), { recursive: true, force: true });
}
