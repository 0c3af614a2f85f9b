/**
 * A bundle's LoRAs: where their files are, and networks with some of them merged in.
 *
 * Merged networks are whole copies, changed in place: a LoRA of SDXL touches most of a UNet's bytes anyhow, an export's graph
 * stays as it was to the bit, and its external data lies beside it, where onnxruntime insists on it. Each is made once for a set
 * of LoRAs and scales, under the hash of all that went in.
 */
import { createHash, randomUUID } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
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
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseDocument } from 'yaml';
import { fromHalves, toHalves } from '#pipelines/half.ts';
import { type LoraPart, type LoraTarget, loraTargets, readLora } from '#pipelines/lora/file.ts';
import { applyChange, changesOf, type LoraShare, type WeightChange } from '#pipelines/lora/merge.ts';
import { modulesOf } from '#pipelines/lora/modules.ts';
import type { OnnxTensor } from '#pipelines/onnx-reader.ts';
import { readSafetensors } from '#pipelines/safetensors.ts';
import { messageOf } from '#src/doors/log.ts';
import type { LoraChoice } from './lora-choice.ts';
import { type BundleManifest, readManifest } from './manifest.ts';
import { readHeader } from './networks.ts';

/** Of a bundle's folder. */
const FOLDER = 'loras';
const CACHE = '.merged';
/** Sets of merged networks that are kept; the least recently used goes first. One of SDXL's is 5 GB. */
const KEPT = 4;
/** A LoRA of rank 256 for all of SDXL is 2 GB; larger ones are something else. bytes */
const FILE_MAX = 3 * 2 ** 30;
const EXTENSION = '.safetensors';

export const loraFile = (bundleDir: string, name: string) => join(bundleDir, FOLDER, `${name}${EXTENSION}`);

/** Names, sorted. */
export async function listLoras(bundleDir: string): Promise<string[]> {
  const files = await readdir(join(bundleDir, FOLDER)).catch(() => []);
  return files
    .filter((file) => file.endsWith(EXTENSION))
    .map((file) => basename(file, EXTENSION))
    .sort();
}

/** @throws {Error} naming the file and what is wrong with it */
export async function readLoraFile(path: string): Promise<LoraPart[]> {
  const size = await stat(path).then(
    (stats) => stats.size,
    () => null,
  );
  if (size === null) throw new Error(`${path} is missing`);
  if (size > FILE_MAX) throw new Error(`${path} has ${size} bytes; a LoRA has at most ${FILE_MAX}`);
  try {
    return readLora(readSafetensors(await readFile(path)));
  } catch (error) {
    throw new Error(`${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** One LoRA, by its file. */
interface Source {
  readonly name: string;
  readonly path: string;
  readonly scale: number;
}

/** What the bundle itself always has merged in, and what is asked for. */
async function sourcesOf(
  bundleDir: string,
  manifest: BundleManifest,
  choices: readonly LoraChoice[],
): Promise<Source[]> {
  const own = manifest.loras.map(({ file, scale }) => ({ name: file, path: join(bundleDir, file), scale }));
  await requirePresent(
    bundleDir,
    choices.map(({ name }) => name),
  );
  return [...own, ...choices.map(({ name, scale }) => ({ name, path: loraFile(bundleDir, name), scale }))];
}

/** A LoRA that was there when it was asked for may be gone when it is drawn. */
export class UnknownLoraError extends Error {
  readonly lora: string;
  /** those that are there, sorted */
  readonly known: readonly string[];

  constructor(lora: string, known: readonly string[]) {
    super(`There is no LoRA ${lora}; there is ${known.join(', ') || 'none'}.`);
    this.lora = lora;
    this.known = known;
  }
}

/** @throws {UnknownLoraError} naming the first that is not in the bundle's folder */
export async function requirePresent(bundleDir: string, names: readonly string[]): Promise<void> {
  const known = await listLoras(bundleDir);
  const missing = names.find((name) => !known.includes(name));
  if (missing !== undefined) throw new UnknownLoraError(missing, known);
}

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
 * The bundle as a new one, with LoRAs in its weights, its own too, and none left to choose.
 *
 * @param files of the bundle, as `inspectBundle` lists them
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

/** Whether LoRAs fit a bundle's networks; nothing is written. @throws {Error} naming what does not fit */
export async function checkLora(bundleDir: string, path: string): Promise<LoraPart[]> {
  const { files } = await readManifest(bundleDir);
  const shares = [{ name: basename(path, EXTENSION), parts: await readLoraFile(path), scale: 1 }];
  for (const target of targetsOf(shares)) {
    changesOf(target, modulesOf(readHeader(join(bundleDir, files[target]))), shares);
  }
  return shares[0]!.parts;
}

async function sharesOf(sources: readonly Source[]): Promise<LoraShare[]> {
  const shares: LoraShare[] = [];
  for (const { name, path, scale } of sources) shares.push({ name, parts: await readLoraFile(path), scale });
  return shares;
}

const targetsOf = (shares: readonly LoraShare[]): LoraTarget[] =>
  loraTargets.filter((target) => shares.some(({ parts }) => parts.some((part) => part.target === target)));

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

/** By path, size and time: hashing 5 GB takes 10 s, and a LoRA's hash is asked for with every picture. */
const hashes = new Map<string, string>();

/** sha256, hexadecimal; of a file that has not changed since it is known. @throws {Error} of the file system */
export async function fileHash(path: string): Promise<string> {
  const { size, mtimeMs } = await stat(path);
  const key = `${path} ${size} ${mtimeMs}`;
  const known = hashes.get(key);
  if (known) return known;
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  const made = hash.digest('hex');
  hashes.set(key, made);
  return made;
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

/** A hash of the LoRAs' contents and scales: pictures drawn with equal ones can stand for each other. */
export async function loraHash(bundleDir: string, choices: readonly LoraChoice[]): Promise<string> {
  const hash = createHash('sha256');
  for (const { name, path, scale } of await sourcesOf(bundleDir, await readManifest(bundleDir), choices)) {
    hash.update(`${name} ${await fileHash(path)} ${scale}\n`);
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
