/**
 * Loads a bundle: opens its networks under the names that pipelines know, with LoRAs merged in.
 *
 * A bundle is refused as a whole, with everything that is wrong with it: better at the start than in the middle of a picture.
 */
import { join } from 'node:path';
import type { LoraTarget } from '#pipelines/lora/file.ts';
import type { PortraitBundle } from '#pipelines/portrait.ts';
import type { Session } from '#pipelines/session.ts';
import {
  availableProviders,
  type OpenSession,
  openSession,
  reasonOf,
  type SessionOptions,
} from '#src/doors/onnx.ts';
import { inspectBundle, unusable } from './inspect.ts';
import type { LoraChoice } from './lora-choice.ts';
import type { BundleManifest, Role } from './manifest.ts';
import { mergedNetworks } from './merged-networks.ts';
import type { NetworkFile } from './networks.ts';

export interface LoadOptions extends SessionOptions {
  /** merged in beside the bundle's own */
  readonly loras?: readonly LoraChoice[];
}

/** What it takes to open a network; everything else that was read of its file is let go. */
type Openable = Pick<NetworkFile, 'role' | 'path' | 'renamed'> & {
  /** of its files */
  readonly bytes: number;
};

/** A bundle, and what `withLoras` needs to open some of its networks anew. */
export type LoadedBundle = PortraitBundle & {
  readonly manifest: BundleManifest;
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
  const sessions: Partial<Record<Role, OpenSession>> = {};
  for (const network of networks) {
    try {
      const isMerged = merged?.targets.some((target) => target === network.role);
      const from = merged && isMerged ? merged.dir : dir;
      sessions[network.role] = await openNetwork(from, network, { ...options, providers });
    } catch (error) {
      unopened.push(`${network.path} does not load: ${reasonOf(error)}`);
    }
  }
  if (unopened.length) throw unusable(manifest, unopened);

  const { idTokens, idFuse, idEncoder, upscaler = null, ...others } = sessions;
  const [tokenizer, tokenizer2] = tokenizers;
  const openable = networks.map(({ role, path, renamed, size, data }): Openable => {
    const sizes = [size, ...data.map((file) => file.size)];
    return { role, path, renamed, bytes: sizes.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0) };
  });
  return {
    // The manifest has each of them, so each was opened.
    ...(others as Record<Exclude<Role, 'idTokens' | 'idFuse' | 'idEncoder' | 'upscaler'>, Session>),
    idEncoder: idEncoder
      ? { whole: idEncoder }
      : { idTokens: idTokens as Session, idFuse: idFuse as Session },
    upscaler,
    tokenizer,
    tokenizer2,
    ...settings,
    name: manifest.name,
    triggerWord: manifest.triggerWord,
    safetyLabels: manifest.safetyLabels,
    detector: manifest.detector,
    detailSide: manifest.detailSide,
    manifest,
    files,
    networks: openable,
    bytes: openable.reduce((sum, { bytes }) => sum + bytes, 0),
    async close() {
      for (const session of Object.values(sessions)) await session.close();
    },
  };
}

/**
 * The same bundle with LoRAs merged in: the networks that they change are opened anew, all others are shared.
 *
 * @throws {UnknownLoraError}
 * @throws {Error} naming the LoRA that does not fit
 */
export async function withLoras(
  dir: string,
  bundle: LoadedBundle,
  loras: readonly LoraChoice[],
  options: SessionOptions = {},
): Promise<{ bundle: PortraitBundle; readonly bytes: number; close(): Promise<void> }> {
  const merged = await mergedNetworks(dir, loras);
  if (!merged) return { bundle, bytes: 0, close: async () => {} };
  const opened: Partial<Record<LoraTarget, OpenSession>> = {};
  let bytes = 0;
  for (const target of merged.targets) {
    const network = bundle.networks.find(({ role }) => role === target);
    if (!network) continue;
    opened[target] = await openNetwork(merged.dir, network, options);
    bytes += network.bytes;
  }
  return {
    bundle: { ...bundle, ...opened },
    bytes,
    async close() {
      for (const session of Object.values(opened)) await session.close();
    },
  };
}

/** A network under the names that pipelines know. @throws {Error} of onnxruntime */
export async function openNetwork(
  dir: string,
  { role, path, renamed }: Omit<Openable, 'bytes'>,
  options: SessionOptions,
): Promise<OpenSession> {
  return underOurNames(await openSession(join(dir, path), { network: role, ...options }), renamed);
}

/** @param renamed our name of an output → the file's */
function underOurNames(session: OpenSession, renamed: NetworkFile['renamed']): OpenSession {
  if (!Object.keys(renamed).length) return session;
  const ours = new Map(Object.entries(renamed).map(([our, their]) => [their, our]));
  const our = (name: string) => ours.get(name) ?? name;
  return {
    ...session,
    outputs: session.outputs.map((info) => ({ ...info, name: our(info.name) })),
    async run(feeds, fetches) {
      const results = await session.run(
        feeds,
        fetches?.map((name) => renamed[name] ?? name),
      );
      return Object.fromEntries(Object.entries(results).map(([name, value]) => [our(name), value]));
    },
  };
}
