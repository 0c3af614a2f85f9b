/**
 * The door to stored bytes: pictures, faces, manifests. Local disk under DATA_DIR/files.
 *
 * Keys are relative paths, mirroring the way of a picture: `faces/<folder>/…`, `productions/<yyyy-mm-dd>/<batch>/…`,
 * `tests/…`, `quarantine/…`, `published/…`. Writes are whole or not at all: a temporary file, then a rename.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { config } from '#config/env.ts';

const KEY = /^(?:[a-zA-Z0-9][a-zA-Z0-9._-]*\/)+[a-zA-Z0-9][a-zA-Z0-9._-]*$/;

/** @throws {Error} when the key is not a plain relative path: keys are made by us, so that is a fault of ours */
function pathOf(key: string): string {
  if (!KEY.test(key) || key.includes('..')) throw new Error(`Not a storage key: ${JSON.stringify(key)}`);
  return join(resolve(config.dataDir, 'files'), key);
}

export async function putFile(key: string, bytes: Uint8Array): Promise<void> {
  const path = pathOf(key);
  const temporary = `${path}.${randomUUID()}.tmp`;
  await mkdir(dirname(path), { recursive: true });
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(bytes);
    // The row that names these bytes is written next: they must be on disk first.
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

/** Whether an error says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/** @throws {NodeJS.ErrnoException} ENOENT */
export async function getFile(key: string): Promise<Buffer<ArrayBuffer>> {
  return readFile(pathOf(key));
}

export async function hasFile(key: string): Promise<boolean> {
  try {
    return (await stat(pathOf(key))).isFile();
  } catch {
    return false;
  }
}

export async function moveFile(from: string, to: string): Promise<void> {
  await mkdir(dirname(pathOf(to)), { recursive: true });
  await rename(pathOf(from), pathOf(to));
}

/** Deletes one file; a missing one is no fault. */
export async function deleteFile(key: string): Promise<void> {
  await rm(pathOf(key), { force: true });
}

/** Deletes everything below a folder of keys, as `faces/<folder id>`. */
export async function deleteFolder(key: string): Promise<void> {
  await rm(pathOf(key), { recursive: true, force: true });
}
