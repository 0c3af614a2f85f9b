/** Files in a folder of this machine, or of a disk that several share. Writes are whole or not at all: a temporary file, then a rename. */
import { createHash, randomUUID } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { mkdir, open, opendir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isMissing, type Store } from './storage-kinds.ts';

/** A file that is still being written, or whose writer was killed. */
const TEMPORARY = '.tmp';

export function isTemporary(key: string): boolean {
  return key.endsWith(TEMPORARY);
}

export function diskStore(root: string): Store {
  const pathOf = (key: string) => join(root, key);

  async function put(key: string, bytes: Uint8Array): Promise<void> {
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
  const get = (key: string) => readFile(pathOf(key));

  async function sha256(key: string): Promise<string | null> {
    try {
      return createHash('sha256')
        .update(await get(key))
        .digest('hex');
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  async function* list(folder: string): AsyncGenerator<string> {
    let entries: AsyncIterable<Dirent>;
    try {
      entries = await opendir(pathOf(folder));
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    for await (const entry of entries) {
      const key = `${folder}/${entry.name}`;
      if (entry.isDirectory()) yield* list(key);
      else yield key;
    }
  }

  return {
    name: root,
    async check() {},
    put,
    get,
    list,
    sha256,
    saidSha256: sha256,
    async copy(from, to) {
      await put(to, await get(from));
    },
    async modifiedAt(key) {
      try {
        const found = await stat(pathOf(key));
        return found.isFile() ? found.mtime : null;
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    },
    async remove(key) {
      await rm(pathOf(key), { force: true });
    },
    async removeFolder(folder) {
      // Something may be written into it meanwhile: then it is not empty when it is to go, and is gone through again.
      await rm(pathOf(folder), { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
    },
    async readUrl() {
      return null;
    },
    async close() {},
  };
}
