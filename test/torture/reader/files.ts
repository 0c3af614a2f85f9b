/** Storage as it is: every file below a folder, by its key, with the hash of its bytes. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';

/** key → sha-256 hex */
export async function readFiles(dir: string): Promise<Map<string, string>> {
  const entries = await readdir(dir, { withFileTypes: true, recursive: true }).catch(() => []);
  const files = new Map<string, string>();
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    // One that has just been removed is not there.
    const bytes = await readFile(path).catch(() => null);
    if (bytes) files.set(relative(dir, path).split(sep).join('/'), sha256(bytes));
  }
  return files;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
