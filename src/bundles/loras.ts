/** A bundle's LoRAs: where their files are, what is in them, and whether they fit. */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type LoraPart, type LoraTarget, loraTargets, readLora } from '#pipelines/lora/file.ts';
import { changesOf, type LoraShare } from '#pipelines/lora/merge.ts';
import { modulesOf } from '#pipelines/lora/modules.ts';
import { readSafetensors } from '#pipelines/safetensors.ts';
import { messageOf } from '#src/doors/log.ts';
import { fileHash } from './file-hash.ts';
import type { LoraChoice } from './lora-choice.ts';
import { type BundleManifest, readManifest } from './manifest.ts';
import { readHeader } from './networks.ts';

/** inside a bundle's folder */
const FOLDER = 'loras';
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
export interface LoraSource {
  readonly name: string;
  readonly path: string;
  readonly scale: number;
}

/**
 * The LoRAs that the bundle itself always has merged in, and those that are asked for.
 *
 * @throws {UnknownLoraError}
 */
export async function sourcesOf(
  bundleDir: string,
  manifest: BundleManifest,
  choices: readonly LoraChoice[],
): Promise<LoraSource[]> {
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

/** Whether LoRAs fit a bundle's networks; nothing is written. @throws {Error} naming what does not fit */
export async function checkLora(bundleDir: string, path: string): Promise<LoraPart[]> {
  const { files } = await readManifest(bundleDir);
  const shares = [{ name: basename(path, EXTENSION), parts: await readLoraFile(path), scale: 1 }];
  for (const target of targetsOf(shares)) {
    changesOf(target, modulesOf(readHeader(join(bundleDir, files[target]))), shares);
  }
  return shares[0]!.parts;
}

/** @throws {Error} naming the file and what is wrong with it */
export async function sharesOf(sources: readonly LoraSource[]): Promise<LoraShare[]> {
  const shares: LoraShare[] = [];
  for (const { name, path, scale } of sources) shares.push({ name, parts: await readLoraFile(path), scale });
  return shares;
}

export const targetsOf = (shares: readonly LoraShare[]): LoraTarget[] =>
  loraTargets.filter((target) => shares.some(({ parts }) => parts.some((part) => part.target === target)));

/** A hash of the LoRAs' contents and scales: pictures drawn with equal ones can stand for each other. */
export async function loraHash(bundleDir: string, choices: readonly LoraChoice[]): Promise<string> {
  const hash = createHash('sha256');
  for (const { name, path, scale } of await sourcesOf(bundleDir, await readManifest(bundleDir), choices)) {
    hash.update(`${name} ${await fileHash(path)} ${scale}\n`);
  }
  return hash.digest('hex');
}
