/** Sees to it that a bundle is there: our own script builds the reference bundle, the operator brings all others. */
import { createHash } from 'node:crypto';
import { access, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
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

/**
 * Makes a bundle of another one with LoRAs in its weights, unless it was made of the same ones. Takes seconds.
 *
 * @param base the other one's folder
 */
async function ensureMerged(name: string, base: string, loras: string, dir: string): Promise<void> {
  const { bundleHash, inspectBundle } = await import('./inspect.ts');
  const { parseLoras } = await import('./lora-choice.ts');
  const { loraHash } = await import('./loras.ts');
  const { files } = await inspectBundle(base);
  const choices = parseLoras(loras);
  const madeOf = `${name} ${await bundleHash(base, files)} ${await loraHash(base, choices)}`;
  const stamp = join(dir, '.built-from');
  if ((await readFile(stamp, 'utf8').catch(() => '')) === madeOf) return;

  const { mergeBundle } = await import('./merged-networks.ts');
  await rm(dir, { recursive: true, force: true });
  await mergeBundle(base, choices, dir, files);
  const manifest = join(dir, 'bundle.yaml');
  const text = parseDocument(await readFile(manifest, 'utf8'));
  text.set('title', `${String(text.get('title'))} with ${loras}`);
  text.set('name', name);
  await writeFile(manifest, text.toString());
  await writeFile(stamp, madeOf);
}

/** @returns the bundle's folder. @throws {Error} naming the bundle and what is missing */
export async function ensureBundle(name: string, dataDir: string): Promise<string> {
  const entry = entryOf(name);
  const dir = join(dataDir, entry.path);
  if (entry.build === 'reference') {
    await ensureReferenceBundle(dir);
    return dir;
  }
  if (entry.build) {
    await ensureMerged(name, await ensureBundle(entry.build.from, dataDir), entry.build.loras, dir);
    return dir;
  }
  try {
    await access(join(dir, 'bundle.yaml'));
  } catch {
    throw new Error(`Bundle ${name}: ${dir}/bundle.yaml is missing. Put the bundle's folder there.`);
  }
  return dir;
}
