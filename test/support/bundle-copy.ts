/** Copies of the reference bundle, to be changed. */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { inject } from 'vitest';
import type { BundlePlace } from '#src/services/worker/pool/offered.ts';

export interface BundleCopy {
  readonly dir: string;
  /** Writes a file of it, with the folders it needs; null takes it away. */
  put(path: string, content: string | Uint8Array | null): Promise<void>;
  /** Changes a file's bytes. */
  bytes(path: string, change: (bytes: Uint8Array) => Uint8Array): Promise<void>;
  /** Sets keys of a JSON file; undefined takes one away. */
  json(path: string, changes: Readonly<Record<string, unknown>>): Promise<void>;
  /** Replaces words of `bundle.yaml`. */
  manifest(from: string, to: string): Promise<void>;
}

export async function copyBundle(dir: string): Promise<BundleCopy> {
  await cp(inject('bundleDir'), dir, { recursive: true });
  const put: BundleCopy['put'] = async (path, content) => {
    if (content === null) return rm(join(dir, path));
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), content);
  };
  return {
    dir,
    put,
    bytes: async (path, change) => put(path, change(await readFile(join(dir, path)))),
    json: async (path, changes) =>
      put(path, JSON.stringify({ ...JSON.parse(await readFile(join(dir, path), 'utf8')), ...changes })),
    async manifest(from, to) {
      const text = await readFile(join(dir, 'bundle.yaml'), 'utf8');
      if (!text.includes(from)) throw new Error(`bundle.yaml has no ${from}`);
      await put('bundle.yaml', text.replace(from, to));
    },
  };
}

/** For `startWorker`: the bundle in a folder, as the one that there is. */
export const only = (dir: string): ReadonlyMap<string, BundlePlace> =>
  new Map([['reference', { dir, level: 'warm' }]]);
