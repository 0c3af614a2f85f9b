/**
 * Loads a bundle: opens its networks under the names that pipelines know, with LoRAs merged in.
 *
 * A bundle is refused as a whole, with everything that is wrong with it: better at the start than in the middle of a picture.
 */
import type { LoraTarget } from '#pipelines/lora/file.ts';
import type { PortraitBundle } from '#pipelines/portrait.ts';
import type { Session } from '#pipelines/session.ts';
import { availableProviders, type OpenSession, reasonOf, type SessionOptions } from '#src/doors/onnx.ts';
import { openClassifiers } from './classifiers.ts';
import { type ConceptsIn, conceptsIn } from './concepts.ts';
import { inspectBundle, unusable } from './inspect.ts';
import type { LoraChoice } from './lora-choice.ts';
import { type BundleManifest, type FileRole, isClassifierRole } from './manifest.ts';
import { mergedNetworks } from './merged-networks.ts';
import { type Openable, openNetwork } from './open-network.ts';

export interface LoadOptions extends SessionOptions {
  /** merged in beside the bundle's own */
  readonly loras?: readonly LoraChoice[];
  /**
   * Classifiers run in a process of their own, which is ended, and begun again, where one takes longer for a picture: ms. In this thread,
   * however long they take, when left out.
   */
  readonly classifierLimitMs?: number;
}

/** A bundle, and what `withLoras` needs to open some of its networks anew. */
export type LoadedBundle = PortraitBundle & {
  readonly manifest: BundleManifest;
  readonly conceptsIn: ConceptsIn;
  readonly networks: readonly Openable[];
  /** every file that a picture depends on */
  readonly files: readonly string[];
  /** of its networks' files: about what they take in memory */
  readonly bytes: number;
  /** Closes its sessions, not those that `withLoras` opened. */
  close(): Promise<void>;
};

/** @throws {Error} naming the bundle and every file, input, output and setting at fault */
export async function loadBundle(dir: string, options: LoadOptions = {}): Promise<LoadedBundle> {
  const { manifest, networks, settings, tokenizers, files, faults } = await inspectBundle(dir);
  if (faults.length || !settings || !tokenizers) throw unusable(manifest, faults);
  const providers = await availableProviders(options.providers);
  const merged = await mergedNetworks(dir, options.loras ?? []);

  const unopened: string[] = [];
  const sessions: Partial<Record<FileRole, OpenSession>> = {};
  const openable = networks.map(({ role, path, renamed, size, data }): Openable => {
    const sizes = [size, ...data.map((file) => file.size)];
    const bytes = sizes.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0);
    return { role, path, renamed, data, bytes };
  });
  for (const network of openable) {
    const { role } = network;
    if (isClassifierRole(role)) continue;
    try {
      const isMerged = merged?.targets.some((target) => target === role);
      const from = merged && isMerged ? merged.dir : dir;
      sessions[role] = await openNetwork(from, network, { ...options, providers });
    } catch (error) {
      unopened.push(`${network.path} does not load: ${reasonOf(error)}`);
    }
  }
  const looking = await openClassifiers(dir, manifest, openable, { ...options, providers });
  unopened.push(...looking.faults);
  if (unopened.length) {
    await looking.close();
    throw unusable(manifest, unopened);
  }

  const { idTokens, idFuse, idEncoder, upscaler = null, ...others } = sessions;
  const [tokenizer, tokenizer2] = tokenizers;
  // The manifest has each of them, so each was opened.
  const opened = others as Record<
    Exclude<FileRole, 'idTokens' | 'idFuse' | 'idEncoder' | 'upscaler'>,
    Session
  >;
  return {
    ...opened,
    idEncoder: idEncoder
      ? { whole: idEncoder }
      : { idTokens: idTokens as Session, idFuse: idFuse as Session },
    upscaler,
    tokenizer,
    tokenizer2,
    ...settings,
    name: manifest.name,
    triggerWord: manifest.triggerWord,
    classifiers: looking.classifiers,
    ageError: manifest.ageError ?? null,
    detector: manifest.detector,
    detailSide: manifest.detailSide,
    conceptsIn: conceptsIn({ tokenizer2, textEncoder2: opened.textEncoder2 }, manifest.concepts),
    manifest,
    files,
    networks: openable,
    bytes: openable.reduce((sum, { bytes }) => sum + bytes, 0),
    async close() {
      for (const session of Object.values(sessions)) await session.close();
      await looking.close();
    },
  };
}

/** The networks of a bundle that LoRAs change, with them. */
export interface LoraNetworks {
  readonly sessions: { readonly [target in LoraTarget]?: Session };
  /** of their files */
  readonly bytes: number;
  close(): Promise<void>;
}

/**
 * Merges LoRAs in, unless that was done before, and opens the networks that they change.
 *
 * @throws {UnknownLoraError}
 * @throws {Error} naming the LoRA that does not fit
 */
export async function openLoras(
  dir: string,
  networks: LoadedBundle['networks'],
  loras: readonly LoraChoice[],
  options: SessionOptions = {},
): Promise<LoraNetworks> {
  const merged = await mergedNetworks(dir, loras);
  const sessions: Partial<Record<LoraTarget, OpenSession>> = {};
  let bytes = 0;
  for (const target of merged?.targets ?? []) {
    const network = networks.find(({ role }) => role === target);
    if (!merged || !network) continue;
    sessions[target] = await openNetwork(merged.dir, network, options);
    bytes += network.bytes;
  }
  return {
    sessions,
    bytes,
    async close() {
      for (const session of Object.values(sessions)) await session.close();
    },
  };
}

/** The same bundle with LoRAs merged in: what they do not change is shared. @throws as `openLoras` */
export async function withLoras(
  dir: string,
  bundle: LoadedBundle,
  loras: readonly LoraChoice[],
  options: SessionOptions = {},
): Promise<{ bundle: PortraitBundle; readonly bytes: number; close(): Promise<void> }> {
  const { sessions, ...opened } = await openLoras(dir, bundle.networks, loras, options);
  return { bundle: { ...bundle, ...sessions }, ...opened };
}
