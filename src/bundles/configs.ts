/**
 * What stands beside a bundle's networks: the configs of its parts, and tokenizers. What they say is honoured or refused.
 *
 * Source: diffusers' and transformers' configs, as their ONNX exports have them.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { CONTEXT_LENGTH, makeTokenizer, type Tokenizer, withPadding } from '#pipelines/sdxl/tokenizer.ts';
import { messageOf } from '#src/doors/log.ts';
import type { BundleManifest } from './manifest.ts';

/** Each request chooses its schedule; what the network was trained with must be SDXL's, as `pipelines/schedulers.ts` has it. */
const SchedulerConfig = z.looseObject({
  num_train_timesteps: z.literal(1000),
  beta_start: z.literal(0.00085),
  beta_end: z.literal(0.012),
  beta_schedule: z.literal('scaled_linear'),
  trained_betas: z.null().optional(),
  rescale_betas_zero_snr: z.literal(false).optional(),
  prediction_type: z.enum(['epsilon', 'v_prediction']),
  timestep_spacing: z.enum(['leading', 'trailing', 'linspace']).optional(),
  steps_offset: z.literal(1).optional(),
  set_alpha_to_one: z.literal(false).optional(),
  clip_sample: z.literal(false).optional(),
  thresholding: z.literal(false).optional(),
});
const VaeConfig = z.looseObject({
  latent_channels: z.literal(4).optional(),
  scaling_factor: z.number().positive(),
  shift_factor: z.union([z.null(), z.literal(0)]).optional(),
  latents_mean: z.null().optional(),
  latents_std: z.null().optional(),
  /** true, which diffusers takes it for when it is left out: the network overflows in half precision */
  force_upcast: z.boolean().default(true),
});
const TextConfig = z.looseObject({
  hidden_size: z.number().int().optional(),
  projection_dim: z.number().int().optional(),
  num_hidden_layers: z.number().int().optional(),
  vocab_size: z.number().int().optional(),
  max_position_embeddings: z.literal(CONTEXT_LENGTH).optional(),
});
const UnetConfig = z.looseObject({
  in_channels: z.literal(4).optional(),
  out_channels: z.literal(4).optional(),
  cross_attention_dim: z.number().int().optional(),
  addition_embed_type: z.literal('text_time').optional(),
  addition_time_embed_dim: z.number().int().optional(),
  projection_class_embeddings_input_dim: z.number().int().optional(),
  time_cond_proj_dim: z.null().optional(),
});
const ModelIndex = z.looseObject({
  _class_name: z
    .string()
    .regex(/StableDiffusionXL/, 'a StableDiffusionXL pipeline')
    .optional(),
  force_zeros_for_empty_prompt: z.literal(true).optional(),
  requires_aesthetics_score: z.literal(false).optional(),
});

export type Configs = Awaited<ReturnType<typeof readConfigs>>;

/** The JSON files beside the networks. A network may come without; the scheduler's and the VAE's must be there. */
export async function readConfigs(dir: string, { files }: BundleManifest) {
  const { json, needed, found, faults } = reader(dir);
  const [encoder, decoder] = [files.vaeEncoder, files.vaeDecoder].map(configBeside) as [string, string];
  const [vaeEncoder, vaeDecoder] = [await needed(encoder, VaeConfig), await needed(decoder, VaeConfig)];
  if (vaeEncoder && vaeDecoder && vaeEncoder.scaling_factor !== vaeDecoder.scaling_factor) {
    const { scaling_factor: other } = vaeDecoder;
    faults.push(
      `${decoder}: scaling_factor is ${other}, and ${vaeEncoder.scaling_factor}, as in ${encoder}, is needed`,
    );
  }
  return {
    vaeEncoder,
    vaeDecoder,
    scheduler: await needed(files.scheduler, SchedulerConfig),
    textEncoder: await json(configBeside(files.textEncoder), TextConfig),
    textEncoder2: await json(configBeside(files.textEncoder2), TextConfig),
    unet: await json(configBeside(files.unet), UnetConfig),
    modelIndex: await json('model_index.json', ModelIndex),
    files: found,
    faults,
  };
}

export const configBeside = (network: string) => join(dirname(network), 'config.json');

/** token → id. Checked at once: zod's `record` takes a tenth of a second for 49,408 of them. */
const Vocabulary = z.custom<Record<string, number>>((value) => {
  if (typeof value !== 'object' || value === null) return false;
  // Half of what a list of its values takes.
  for (const token in value) if (!Number.isInteger(Reflect.get(value, token))) return false;
  return true;
}, 'an id for each token');
const Token = z.union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)]);
const TokenizerConfig = z.looseObject({
  model_max_length: z.literal(CONTEXT_LENGTH).optional(),
  pad_token: Token.nullish(),
});
const WholeTokenizer = z.object({
  model: z.object({
    vocab: Vocabulary,
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
  padding: z.object({ pad_token: z.string() }).nullish(),
});

/** sha256 of a vocabulary and its merges → a tokenizer of them. To read one takes 0.1 s and 9 MB, and SDXL has the same twice. */
const made = new Map<string, WeakRef<Tokenizer>>();

/** A folder with `vocab.json` and `merges.txt`; newer exports have both in `tokenizer.json`. */
export async function readTokenizer(dir: string, folder: string) {
  const { text, json, parsed, found: files, faults } = reader(dir);
  const beside = (name: string) => join(folder, name);
  const vocabulary = await text(beside('vocab.json'));
  const merges = await text(beside('merges.txt'));
  const specials = await json(beside('special_tokens_map.json'), TokenizerConfig);
  const config = await json(beside('tokenizer_config.json'), TokenizerConfig);
  const whole = await json(beside('tokenizer.json'), WholeTokenizer);
  const padToken = specials?.pad_token ?? config?.pad_token ?? whole?.padding?.pad_token;
  const isInTwo = vocabulary !== null && merges !== null;
  const hash = isInTwo ? createHash('sha256').update(`${vocabulary}\0${merges}`).digest('hex') : '';
  const known = made.get(hash)?.deref();
  const ids = known ? null : parsed(beside('vocab.json'), vocabulary, Vocabulary);

  function maker(): ((padToken: string) => Tokenizer) | null {
    if (known) return (pad) => withPadding(known, pad);
    if (ids && merges !== null) return (pad) => makeTokenizer(ids, merges, pad);
    if (!whole) return null;
    const { vocab, merges: pairs } = whole.model;
    const lines = pairs.map((pair) => (typeof pair === 'string' ? pair : pair.join(' '))).join('\n');
    return (pad) => makeTokenizer(vocab, lines, pad);
  }

  let tokenizer: Tokenizer | null = null;
  const make = maker();
  if (faults.length) return { tokenizer, files, faults };
  if (!make) {
    const missing = [
      ...(vocabulary === null ? ['vocab.json'] : []),
      ...(merges === null ? ['merges.txt'] : []),
    ];
    faults.push(`${folder}/: ${missing.join(' and ')} is missing, and there is no tokenizer.json`);
  } else if (!padToken) {
    faults.push(
      `${folder}/: no pad_token is in special_tokens_map.json, tokenizer_config.json or tokenizer.json`,
    );
  } else {
    try {
      tokenizer = make(padToken);
      if (isInTwo) made.set(hash, new WeakRef(tokenizer));
    } catch (error) {
      faults.push(`${folder}/: ${messageOf(error)}`);
    }
  }
  return { tokenizer, files, faults };
}

/** Reads files of a bundle, and keeps which were found and what was wrong with them. */
function reader(dir: string) {
  const found: string[] = [];
  const faults: string[] = [];
  async function text(path: string): Promise<string | null> {
    const content = await readFile(join(dir, path), 'utf8').catch(() => null);
    if (content !== null) found.push(path);
    return content;
  }
  async function json<S extends z.ZodType>(path: string, schema: S): Promise<z.output<S> | null> {
    return parsed(path, await text(path), schema);
  }
  /** @param content of the file; null: there is none */
  function parsed<S extends z.ZodType>(path: string, content: string | null, schema: S): z.output<S> | null {
    if (content === null) return null;
    let value: unknown;
    try {
      value = JSON.parse(content);
    } catch {
      faults.push(`${path} is not JSON`);
      return null;
    }
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    faults.push(...result.error.issues.map((issue) => `${path}: ${sayIssue(value, issue)}`));
    return null;
  }
  async function needed<S extends z.ZodType>(path: string, schema: S): Promise<z.output<S> | null> {
    const value = await json(path, schema);
    if (!found.includes(path)) faults.push(`${path} is missing`);
    return value;
  }
  return { text, json, parsed, needed, found, faults };
}

/** Characters of a wrong value that are shown. */
const FOUND_MAX = 60;

/** `beta_end is 0.02, and 0.012 is needed` */
function sayIssue(json: unknown, issue: z.core.$ZodIssue): string {
  const value = issue.path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined),
    json,
  );
  const found = value === undefined ? 'missing' : (JSON.stringify(value)?.slice(0, FOUND_MAX) ?? 'unknown');
  const key = issue.path.join('.') || 'the file';
  return `${key} is ${found}, and ${neededBy(issue)} is needed`;
}

function neededBy(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value') return issue.values.map((value) => JSON.stringify(value)).join(' or ');
  if (issue.code === 'invalid_type') return issue.expected;
  if (issue.code === 'invalid_union') return [...new Set(issue.errors.flat().map(neededBy))].join(' or ');
  return issue.message;
}
