/**
 * A bundle's networks with LoRAs merged in.
 *
 * They are whole copies, changed in place: a LoRA of SDXL touches most of a UNet's bytes anyhow, an export's graph stays as it
 * was to the bit, and its external data lies beside it, where onnxruntime insists on it. Each is made once for a set of LoRAs and
 * scales, under the hash of all that went in.
 */
import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import {
  copyFile,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseDocument } from 'yaml';
import { fromHalves, toHalves } from '#pipelines/half.ts';
import type { LoraTarget } from '#pipelines/lora/file.ts';
import { applyChange, changesOf, type LoraShare, type WeightChange } from '#pipelines/lora/merge.ts';
import { modulesOf } from '#pipelines/lora/modules.ts';
import type { OnnxTensor } from '#pipelines/onnx-reader.ts';
import { fileHash } from './file-hash.ts';
import type { LoraChoice } from './lora-choice.ts';
import { sharesOf, sourcesOf, targetsOf } from './loras.ts';
import { readManifest } from './manifest.ts';
import { readHeader } from './networks.ts';

/** inside a bundle's folder */
const CACHE = '.merged';
/** Sets of merged networks that are kept; the least recently used goes first. One of SDXL's is 5 GB. */
const KEPT = 4;

/**
 * The bundle's networks with LoRAs merged in, made now or found.
 *
 * @returns the folder that has the changed ones at their own paths, and which those are; null when nothing is to be merged
 * @throws  {UnknownLoraError}
 * @throws  {Error} naming the LoRA that does not fit
 */
export async function mergedNetworks(
  bundleDir: string,
  choices: readonly LoraChoice[],
): Promise<{ dir: string; targets: readonly LoraTarget[] } | null> {
  const manifest = await readManifest(bundleDir);
  const sources = await sourcesOf(bundleDir, manifest, choices);
  if (!sources.length) return null;
  const shares = await sharesOf(sources);
  const targets = targetsOf(shares);
  const hash = createHash('sha256');
  for (const { path, scale } of sources) hash.update(`${await fileHash(path)} ${scale}\n`);
  for (const target of targets) hash.update(await networkHash(bundleDir, manifest.files[target]));
  const dir = join(bundleDir, CACHE, hash.digest('hex').slice(0, 32));

  const now = new Date();
  const found = await utimes(dir, now, now).then(
    () => true,
    () => false,
  );
  if (!found) {
    const making = `${dir}.${randomUUID()}.making`;
    try {
      for (const target of targets)
        await mergeNetwork(bundleDir, manifest.files[target], target, shares, making);
      // Another process may have been quicker; both made the same.
      await rename(making, dir).catch(async (error: unknown) => {
        if (!(await stat(dir).catch(() => null))) throw error;
      });
    } finally {
      await rm(making, { recursive: true, force: true });
    }
    await removeOldest(join(bundleDir, CACHE));
  }
  return { dir, targets };
}

/**
 * Makes a new bundle of this one: the LoRAs chosen, and its own, are in its weights, and none is left to choose.
 *
 * @param files the bundle's, as `inspectBundle` lists them
 * @throws {Error} when `out` exists, and as `mergedNetworks`
 */
export async function mergeBundle(
  bundleDir: string,
  choices: readonly LoraChoice[],
  out: string,
  files: readonly string[],
): Promise<void> {
  if (await stat(out).catch(() => null)) throw new Error(`${out} exists already`);
  const manifest = await readManifest(bundleDir);
  const shares = await sharesOf(await sourcesOf(bundleDir, manifest, choices));
  const own = new Set(manifest.loras.map(({ file }) => file));
  const making = `${out}.${randomUUID()}.making`;
  try {
    for (const file of files) {
      if (own.has(file)) continue;
      await mkdir(dirname(join(making, file)), { recursive: true });
      await copyFile(join(bundleDir, file), join(making, file), constants.COPYFILE_FICLONE);
    }
    const text = parseDocument(await readFile(join(bundleDir, 'bundle.yaml'), 'utf8'));
    text.delete('loras');
    await writeFile(join(making, 'bundle.yaml'), text.toString());
    for (const target of targetsOf(shares)) {
      await mergeNetwork(bundleDir, manifest.files[target], target, shares, making);
    }
    await rename(making, out);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
}

/** Copies a network with its external data to the same place under `out`, and changes the copy. */
async function mergeNetwork(
  bundleDir: string,
  path: string,
  target: LoraTarget,
  shares: readonly LoraShare[],
  out: string,
): Promise<void> {
  const model = readHeader(join(bundleDir, path));
  const changes = changesOf(target, modulesOf(model), shares);
  const folder = dirname(path);
  const files = new Set([path]);
  for (const { data } of model.initializers) if (data.kind === 'external') files.add(join(folder, data.file));
  for (const file of files) {
    await mkdir(dirname(join(out, file)), { recursive: true });
    // Where the file system can, a copy takes no room until it is changed.
    await copyFile(join(bundleDir, file), join(out, file), constants.COPYFILE_FICLONE);
  }
  const handles = new Map<string, FileHandle>();
  try {
    for (const change of changes) {
      const place = placeOf(change.weight.tensor, path, folder);
      const handle = handles.get(place.file) ?? (await open(join(out, place.file), 'r+'));
      handles.set(place.file, handle);
      await patch(handle, place.at, change);
    }
  } finally {
    for (const handle of handles.values()) await handle.close();
  }
}

function placeOf({ name, data }: OnnxTensor, path: string, folder: string): { file: string; at: number } {
  if (data.kind === 'inside') return { file: path, at: data.at };
  if (data.kind === 'external') return { file: join(folder, data.file), at: data.at };
  throw new Error(`${path}: ${name} is not stored as raw bytes; export it again with external or raw data`);
}

async function patch(handle: FileHandle, at: number, change: WeightChange): Promise<void> {
  const { type, bytes } = change.weight.tensor;
  const buffer = new Uint8Array(bytes);
  const { bytesRead } = await handle.read(buffer, 0, bytes, at);
  if (bytesRead < bytes) throw new Error(`${change.weight.tensor.name} reaches beyond the end of its file`);
  const isHalf = type === 'float16';
  const numbers = isHalf ? fromHalves(new Uint16Array(buffer.buffer)) : new Float32Array(buffer.buffer);
  applyChange(numbers, change);
  const stored = isHalf ? toHalves(numbers) : numbers;
  await handle.write(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength), 0, bytes, at);
}

async function networkHash(bundleDir: string, path: string): Promise<string> {
  const model = readHeader(join(bundleDir, path));
  const external = model.initializers.flatMap(({ data }) => (data.kind === 'external' ? [data.file] : []));
  const hash = createHash('sha256');
  for (const file of [path, ...[...new Set(external)].sort().map((name) => join(dirname(path), name))]) {
    hash.update(await fileHash(join(bundleDir, file)));
  }
  return hash.digest('hex');
}

async function removeOldest(cache: string): Promise<void> {
  const entries = await Promise.all(
    (await readdir(cache))
      .filter((name) => !name.endsWith('.making'))
      .map(async (name) => ({
        name,
        usedAt: (await stat(join(cache, name)).catch(() => null))?.mtimeMs ?? 0,
      })),
  );
  const old = entries.sort((a, b) => b.usedAt - a.usedAt).slice(KEPT);
  for (const { name } of old) await rm(join(cache, name), { recursive: true, force: true });
}
