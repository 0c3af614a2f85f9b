/** Sees to it that a bundle is there: our own script builds the reference bundle, the operator brings all others. */
import { createHash } from 'node:crypto';
import { access, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { entryOf } from '#config/bundles.ts';

const SOURCES = new URL('../../pipelines/reference/', import.meta.url);
/** One more source: the module that writes the files. */
const WRITER = '../onnx-writer.ts';

/**
 * Builds the reference bundle into `dir`, unless it was built there by the same sources. Takes seconds.
 *
 * @returns true when it was built now
 */
export async function ensureReferenceBundle(dir: string): Promise<boolean> {
  const sources = createHash('sha256');
  for (const name of [...(await readdir(SOURCES)).sort(), WRITER])
    sources.update(name).update(await readFile(new URL(name, SOURCES)));
  const hash = sources.digest('hex');
  const stamp = join(dir, '.built-from');
  if ((await readFile(stamp, 'utf8').catch(() => '')) === hash) return false;

  const { buildReferenceBundle } = await import('#pipelines/reference/build.ts');
  await rm(dir, { recursive: true, force: true });
  await buildReferenceBundle(dir);
  await writeFile(stamp, hash);
  return true;
}

/** @returns the bundle's folder. @throws {Error} naming the bundle and what is missing */
export async function ensureBundle(name: string, dataDir: string): Promise<string> {
  const entry = entryOf(name);
  const dir = join(dataDir, entry.path);
  if (entry.build === 'reference') {
    await ensureReferenceBundle(dir);
    return dir;
  }
  try {
    await access(join(dir, 'bundle.yaml'));
  } catch {
    throw new Error(`Bundle ${name}: ${dir}/bundle.yaml is missing. Put the bundle's folder there.`);
  }
  return dir;
}
