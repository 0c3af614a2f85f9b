/**
 * A bundle's folder as a whole: what is in it, and everything that is wrong with it.
 *
 * Only headers and configs are read, so a bundle of 10 GB is looked at within a second; `load.ts` opens the networks.
 */
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { loraTargets } from '#pipelines/lora/file.ts';
import type { Tokenizer } from '#pipelines/sdxl/tokenizer.ts';
import { messageOf } from '#src/doors/log.ts';
import { isKnownByLabel, knownLabels } from '#src/moderation/verdicts.ts';
import { conceptsHash } from './concepts.ts';
import { type Configs, configBeside, readConfigs, readTokenizer } from './configs.ts';
import { fileHash } from './file-hash.ts';
import { checkLora } from './loras.ts';
import { type BundleManifest, type Role, readManifest } from './manifest.ts';
import { computesInHalf, type NetworkFile, readNetworks } from './networks.ts';

/** What a bundle's configs say that pipelines must know. */
export interface BundleSettings {
  readonly predictionType: 'epsilon' | 'v_prediction';
  readonly vaeScalingFactor: number;
}

export interface Inspection {
  readonly dir: string;
  readonly manifest: BundleManifest;
  readonly networks: readonly NetworkFile[];
  /** null where there are faults */
  readonly settings: BundleSettings | null;
  readonly tokenizers: readonly [Tokenizer, Tokenizer] | null;
  /** every file that a picture depends on, inside the bundle, sorted */
  readonly files: readonly string[];
  /** Everything that is wrong, one sentence each; empty: the bundle can be used. */
  readonly faults: readonly string[];
}

/** @throws {Error} when there is no good `bundle.yaml`; all other faults are in what is returned */
export async function inspectBundle(dir: string): Promise<Inspection> {
  const manifest = await readManifest(dir);
  const networks = await readNetworks(dir, manifest);
  const configs = await readConfigs(dir, manifest);
  const { scheduler, vaeEncoder } = configs;
  const first = await readTokenizer(dir, manifest.files.tokenizer);
  const second = await readTokenizer(dir, manifest.files.tokenizer2);
  return {
    dir,
    manifest,
    networks,
    settings: scheduler &&
      vaeEncoder && {
        predictionType: scheduler.prediction_type,
        vaeScalingFactor: vaeEncoder.scaling_factor,
      },
    tokenizers: first.tokenizer && second.tokenizer && [first.tokenizer, second.tokenizer],
    files: [
      'bundle.yaml',
      ...networks.flatMap(({ path, data }) => [path, ...data.map((one) => one.path)]),
      ...configs.files,
      ...[first, second].flatMap(({ files }) => files),
      ...manifest.loras.map(({ file }) => file),
    ].sort(),
    faults: [
      ...networks.flatMap(({ faults }) => faults),
      ...configs.faults,
      ...[first, second].flatMap(({ faults }) => faults),
      ...disagreements(networks, configs, manifest, [first.tokenizer, second.tokenizer]),
      ...unknownLabels(manifest),
      ...(await loraFaults(dir, manifest)),
    ],
  };
}

/**
 * Hash of a bundle's manifest and files, and of the concepts that it asks about: pictures drawn with equal ones can stand for each other.
 * Reads every byte, so it is asked for once, at the start.
 *
 * @param files as an inspection found them; looked for when left out
 */
export async function bundleHash(dir: string, files?: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of files ?? (await inspectBundle(dir)).files) {
    const part = await fileHash(join(dir, path)).catch(() => ''); // a missing file is named by loadBundle
    hash.update(path).update(part, 'hex');
  }
  // Other phrases would say something else of its prompts.
  const manifest = await readManifest(dir).catch(() => null);
  hash.update(conceptsHash(manifest?.concepts ?? {}) ?? '');
  return hash.digest('hex');
}

/** Everything that is wrong with a bundle, as one error; null: nothing is. */
export function faultOf({ manifest, faults }: Pick<Inspection, 'manifest' | 'faults'>): Error | null {
  return faults.length ? unusable(manifest, faults) : null;
}

export function unusable({ name }: BundleManifest, faults: readonly string[]): Error {
  return new Error(`Bundle ${name} can't be used:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
}

const GIB = 2 ** 30;

/**
 * What a bundle takes of memory, bytes: what its manifest says, and its networks' files at least; and what a set of LoRAs in it takes at
 * most, which are the networks that LoRAs change, once more.
 */
export function memoryOf({ manifest, networks }: Pick<Inspection, 'manifest' | 'networks'>): {
  readonly bytes: number;
  readonly loraBytes: number;
} {
  const sizeOf = ({ size, data }: NetworkFile) =>
    [size, ...data.map((file) => file.size)].reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0);
  const sizes = networks.map((network) => ({ role: network.role, bytes: sizeOf(network) }));
  const sum = (some: typeof sizes) => some.reduce((total, { bytes }) => total + bytes, 0);
  return {
    bytes: Math.max(manifest.memoryGib * GIB, sum(sizes)),
    loraBytes: sum(sizes.filter(({ role }) => loraTargets.some((target) => target === role))),
  };
}

/** Files that are sound each and do not fit together: widths, layers, sizes of vocabularies. Broken ones were told already. */
function disagreements(
  networks: readonly NetworkFile[],
  configs: Configs,
  { files }: BundleManifest,
  tokenizers: readonly (Tokenizer | null)[],
): string[] {
  const faults: string[] = [];
  const agree = (path: string | undefined, what: string, is: Count, needed: Count, why: string) => {
    if (is != null && needed != null && is !== needed)
      faults.push(`${path}: ${what} is ${is}, and ${needed} is needed: ${why}`);
  };
  const sound = (role: Role) =>
    networks.find((network) => network.role === role && !network.faults.length)?.model ?? null;
  /** The last axis of an input or output; where the file has no number for it, what its config says. */
  const width = (role: Role, name: string, configured?: Count): Count => {
    const model = sound(role);
    const value = model && [...model.inputs, ...model.outputs].find((one) => one.name === name);
    const last = value?.shape?.at(-1);
    return typeof last === 'number' ? last : model && configured;
  };

  for (const [i, role] of (['textEncoder', 'textEncoder2'] as const).entries()) {
    const { hidden_size, num_hidden_layers: layers, vocab_size: rows } = configs[role] ?? {};
    const path = files[role];
    const states = sound(role)?.outputs.filter(({ name }) => name.startsWith('hidden_states.')).length;
    if (states === 1)
      faults.push(`${path} has 1 hidden state, and at least 2 are needed: the last but one is used`);
    const count = layers && layers + 1;
    agree(path, 'the number of its hidden states', states, count, 'num_hidden_layers of its config.json');
    agree(path, 'its width', width(role, 'hidden_states.0'), hidden_size, 'hidden_size of its config.json');
    const needed = (tokenizers[i]?.endId ?? -1) + 1;
    if (rows !== undefined && rows < needed)
      agree(path, 'vocab_size of its config.json', rows, needed, "the tokenizer's last id");
  }

  const { textEncoder: one, textEncoder2: two, unet } = configs;
  const [first, second] = [
    width('textEncoder', 'hidden_states.0', one?.hidden_size),
    width('textEncoder2', 'hidden_states.0', two?.hidden_size),
  ];
  const context = width('unet', 'encoder_hidden_states', unet?.cross_attention_dim);
  const both = first != null && second != null ? first + second : null;
  const sum = `the text encoders' ${first} + ${second}`;
  agree(files.unet, 'the width of encoder_hidden_states', context, both, sum);

  const { projection_class_embeddings_input_dim: added, addition_time_embed_dim: each } = unet ?? {};
  const pooled = width('unet', 'text_embeds', added && each && added - 6 * each);
  const given = width('textEncoder2', 'text_embeds', two?.projection_dim);
  agree(files.unet, 'the width of text_embeds', pooled, given, 'what the second text encoder gives');

  for (const [role, name] of [
    ['idTokens', 'id_tokens'],
    ['idFuse', 'class_embeds'],
    ['idFuse', 'id_tokens'],
    ['idEncoder', 'prompt_embeds'],
  ] as const) {
    const needed = "the UNet's encoder_hidden_states";
    agree(files[role], `the width of ${name}`, width(role, name), context, needed);
  }

  for (const role of ['vaeEncoder', 'vaeDecoder'] as const) {
    const model = sound(role);
    if (!model || !configs[role]?.force_upcast || !computesInHalf(model)) continue;
    const why = `force_upcast in ${configBeside(files[role])} is not false, so it overflows`;
    faults.push(`${files[role]} computes in float16, and float32 is needed: ${why}`);
  }
  return faults;
}

/** A classifier that nobody understands would hold every picture. */
function unknownLabels({ classifiers }: BundleManifest): string[] {
  return classifiers
    .filter(({ labels }) => !isKnownByLabel(labels))
    .map(
      ({ file, labels }) =>
        `${file} has the labels ${labels.join(', ')}, and config/safety.yaml has a score of none of them; it knows ${knownLabels().join(', ')}: name the classifier's labels in bundle.yaml as they are, in the order of its logits, or add one to a score`,
    );
}

/** Faults of the bundle's own LoRAs, which are always merged in. Those that people choose from are checked when they are added. */
async function loraFaults(dir: string, { loras }: BundleManifest): Promise<string[]> {
  const faults: string[] = [];
  for (const { file } of loras) {
    await checkLora(dir, join(dir, file)).catch((error: unknown) => {
      faults.push(messageOf(error).replace(`${dir}/`, ''));
    });
  }
  return faults;
}

/** null or undefined: not known */
type Count = number | null | undefined;

/** Files of the folder that no picture depends on, except LoRAs to choose from, dot files, pages and configs. */
export async function unusedFiles({ dir, files }: Inspection): Promise<string[]> {
  const known = new Set(files);
  const all = await readdir(dir, { recursive: true, withFileTypes: true });
  return all
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)))
    .filter((path) => !known.has(path) && !/^loras\/|(^|\/)\.|\.(md|txt|json)$|LICEN[CS]E[^/]*$/i.test(path))
    .sort();
}
