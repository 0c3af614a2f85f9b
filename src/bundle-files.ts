/**
 * A bundle's folder: what `bundle.yaml` may say, what each file must be, and everything that is wrong with one.
 *
 * Only headers and configs are read, so a bundle of 10 GB is looked at within a second; `src/models.ts` opens the networks.
 * Layout and names are those of the Hugging Face ONNX export of SDXL and of InsightFace's packs. What an export may do
 * differently is in `contractsOf`; all else is refused, with the file, what was found and what is needed.
 */
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { parseYaml } from '#config/load.ts';
import { type OnnxModel, type OnnxTensor, type OnnxValue, readOnnx } from '#pipelines/onnx.ts';
import { CONTEXT_LENGTH, makeTokenizer, type Tokenizer } from '#pipelines/sdxl/tokenizer.ts';

const file = z.string().regex(/^(?!.*\.\.)[\w./-]+$/, 'must be a path inside the bundle');

/** `bundle.yaml` */
export const BundleManifest = z.strictObject({
  version: z.literal(1),
  name: z.string().regex(/^[a-z0-9-]+$/),
  title: z.string().min(1),
  family: z.literal('sdxl'),
  /** true: made for tests and demos, and says so wherever it is named */
  standIn: z.boolean().default(false),
  licence: z.string().min(1),
  triggerWord: z.string().regex(/^[a-z]+$/),
  memoryGib: z.number().positive(),
  files: z
    .strictObject({
      textEncoder: file,
      textEncoder2: file,
      unet: file,
      vaeEncoder: file,
      vaeDecoder: file,
      tokenizer: file,
      tokenizer2: file,
      scheduler: file,
      faceDetector: file,
      faceRecognizer: file,
      faceLandmarks: file,
      faceGenderAge: file,
      idTokens: file.optional(),
      idFuse: file.optional(),
      idEncoder: file.optional(),
      upscaler: file.optional(),
      safety: file,
    })
    .refine(
      ({ idTokens, idFuse, idEncoder }) =>
        idEncoder ? !idTokens && !idFuse : idTokens !== undefined && idFuse !== undefined,
      "PhotoMaker's ID encoder is idTokens and idFuse, or idEncoder alone",
    ),
  safetyLabels: z.array(z.string()).min(2).default(['normal', 'flagged']),
  detector: z.strictObject({ size: z.number().int().multipleOf(32), threshold: z.number().min(0).max(1) }),
  /** px */
  detailSide: z.number().int().multipleOf(64).default(1024),
});
export type BundleManifest = z.output<typeof BundleManifest>;

const notNetworks = ['tokenizer', 'tokenizer2', 'scheduler'] as const;
/** What a network is in the bundle. */
export type Role = Exclude<keyof BundleManifest['files'], (typeof notNetworks)[number]>;

/** @throws {Error} `bundle.yaml:3: …` */
export async function readManifest(dir: string): Promise<BundleManifest> {
  let text: string;
  try {
    text = await readFile(join(dir, 'bundle.yaml'), 'utf8');
  } catch {
    throw new Error(`There is no bundle.yaml in ${dir}.`);
  }
  return parseYaml(text, BundleManifest, 'bundle.yaml');
}

/** A fixed axis, one that must be free, one that is free or 1, or one that may be anything. */
type Axis = number | 'free' | 'one' | 'any';

/** An input or output that a network must have. */
interface Port {
  /** the types that pipelines' own can be brought to */
  readonly types: readonly string[];
  /** the axes of each rank that is taken */
  readonly shapes: readonly (readonly Axis[])[];
  /** An output that goes by many names: taken by its shape when no name fits. */
  readonly anyName?: true;
}
type Ports = Readonly<Record<string, Port>>;

/** By name; or as many as there are of whatever names, as InsightFace's networks have numbers for names. */
interface Contract {
  readonly inputs: Ports | readonly Port[];
  readonly outputs: Ports | readonly Port[];
}

/** What pipelines compute with; half precision is converted at the border. */
const REAL = ['float32', 'float16'];
const WHOLE = ['int64', 'int32'];
const real = (...axes: readonly Axis[]): Port => ({ types: REAL, shapes: [axes] });
const anyName = (port: Port): Port => ({ ...port, anyName: true });

/** What each network must take and give. */
function contractsOf({ detector, safetyLabels }: BundleManifest): Readonly<Record<Role, Contract>> {
  const ids: Port = { types: WHOLE, shapes: [['one', CONTEXT_LENGTH]] };
  const hidden = real('one', CONTEXT_LENGTH, 'any');
  return {
    textEncoder: { inputs: { input_ids: ids }, outputs: { 'hidden_states.0': hidden } },
    textEncoder2: {
      inputs: { input_ids: ids },
      outputs: { text_embeds: real('one', 'any'), 'hidden_states.0': hidden },
    },
    unet: {
      inputs: {
        sample: real('free', 4, 'free', 'free'),
        timestep: { types: [...REAL, ...WHOLE], shapes: [[], ['one']] },
        encoder_hidden_states: real('free', CONTEXT_LENGTH, 'any'),
        text_embeds: real('free', 'any'),
        // The refiner has five.
        time_ids: { types: [...REAL, ...WHOLE], shapes: [['free', 6]] },
      },
      // Also `noise_pred` (diffusers' ControlNet script) and `latent` (NVIDIA's TensorRT demo).
      outputs: { out_sample: anyName(real('free', 4, 'any', 'any')) },
    },
    vaeEncoder: {
      inputs: { sample: real('one', 3, 'free', 'free') },
      // Mean and logarithm of the variance; older exports have `latent_sample`, drawn already.
      outputs: {
        latent_parameters: {
          ...anyName(real('one', 8, 'any', 'any')),
          shapes: [8, 4].map((channels) => ['one', channels, 'any', 'any'] as const),
        },
      },
    },
    vaeDecoder: {
      inputs: { latent_sample: real('one', 4, 'free', 'free') },
      outputs: { sample: anyName(real('one', 3, 'any', 'any')) },
    },
    faceDetector: {
      inputs: [real('one', 3, detector.size, detector.size)],
      // Scores, boxes and points at each of three strides; some packs have them as [B, n, 1].
      outputs: Array.from({ length: 9 }, () => ({
        types: REAL,
        shapes: [
          ['any', 'any'],
          ['any', 'any', 'any'],
        ],
      })),
    },
    faceRecognizer: { inputs: [real('one', 3, 112, 112)], outputs: [real('one', 512)] },
    faceLandmarks: { inputs: [real('one', 3, 192, 192)], outputs: [real('one', 212)] },
    faceGenderAge: { inputs: [real('one', 3, 96, 96)], outputs: [real('one', 3)] },
    idTokens: {
      inputs: { id_pixel_values: real('free', 3, 224, 224), id_embeds: real('free', 512) },
      outputs: { id_tokens: anyName(real('any', 2, 'any')) },
    },
    idFuse: {
      inputs: { class_embeds: real('free', 'any'), id_tokens: real('free', 'any') },
      outputs: { fused_embeds: anyName(real('any', 'any')) },
    },
    idEncoder: {
      inputs: {
        id_pixel_values: real('one', 'free', 3, 224, 224),
        prompt_embeds: real('one', CONTEXT_LENGTH, 'any'),
        class_tokens_mask: { types: ['bool'], shapes: [['one', CONTEXT_LENGTH]] },
        id_embeds: real('one', 'free', 512),
      },
      outputs: { updated_prompt_embeds: anyName(real('one', CONTEXT_LENGTH, 'any')) },
    },
    upscaler: { inputs: [real('one', 3, 'free', 'free')], outputs: [real('one', 3, 'any', 'any')] },
    safety: {
      inputs: { pixel_values: real('one', 3, 224, 224) },
      outputs: { logits: anyName(real('one', safetyLabels.length)) },
    },
  };
}

/** One network of a bundle, as its header has it. */
export interface NetworkFile {
  readonly role: Role;
  /** inside the bundle */
  readonly path: string;
  /** bytes, without external data; null: there is no such file */
  readonly size: number | null;
  /** files beside it that hold its weights; `size` null: missing */
  readonly data: readonly { readonly path: string; readonly size: number | null }[];
  /** null: it can't be read */
  readonly model: OnnxModel | null;
  /** bytes of weights by their type */
  readonly weights: Readonly<Record<string, number>>;
  /** what pipelines call an output → what this file calls it, where they differ */
  readonly renamed: Readonly<Record<string, string>>;
  readonly faults: readonly string[];
}

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
  const contracts = contractsOf(manifest);
  const networks: NetworkFile[] = [];
  for (const role of Object.keys(contracts) as Role[]) {
    const path = manifest.files[role];
    if (path !== undefined) networks.push(await readNetwork(dir, role, path, contracts[role]));
  }
  const configs = await readConfigs(dir, manifest);
  const { tokenizer, tokenizer2 } = manifest.files;
  const tokenizers = [await readTokenizer(dir, tokenizer), await readTokenizer(dir, tokenizer2)] as const;
  const [first, second] = tokenizers.map(({ made }) => made);
  const settings = configs.scheduler &&
    configs.vaeEncoder && {
      predictionType: configs.scheduler.prediction_type,
      vaeScalingFactor: configs.vaeEncoder.scaling_factor,
    };
  return {
    ...{ dir, manifest, networks, settings: settings ?? null },
    tokenizers: first && second ? [first, second] : null,
    files: [
      'bundle.yaml',
      ...networks.flatMap(({ path, data }) => [path, ...data.map((one) => one.path)]),
      ...configs.files,
      ...tokenizers.flatMap(({ files }) => files),
    ].sort(),
    faults: [
      ...networks.flatMap(({ faults }) => faults),
      ...configs.faults,
      ...tokenizers.flatMap(({ faults }) => faults),
      ...disagreements(networks, configs, manifest, [first, second]),
    ],
  };
}

/**
 * Hash of a bundle's manifest and files: pictures drawn with equal ones can stand for each other. Reads every byte, so it is
 * asked for once, at the start.
 */
export async function bundleHash(dir: string): Promise<string> {
  const hash = createHash('sha256');
  for (const path of (await inspectBundle(dir)).files) {
    const part = createHash('sha256');
    await pipeline(createReadStream(join(dir, path)), part).catch(() => {}); // a missing file is named by loadBundle
    hash.update(path).update(part.digest());
  }
  return hash.digest('hex');
}

async function readNetwork(dir: string, role: Role, path: string, contract: Contract): Promise<NetworkFile> {
  const none = { role, path, data: [], model: null, weights: {}, renamed: {} };
  const size = await sizeOf(join(dir, path));
  if (size === null) return { ...none, size, faults: [`${path} is missing`] };
  let model: OnnxModel;
  try {
    model = readHeader(join(dir, path));
  } catch (error) {
    return { ...none, size, faults: [`${path} does not load: ${messageOf(error)}`] };
  }
  const tensors = tensorsOf(model);
  const weights: Record<string, number> = {};
  for (const { type, bytes } of tensors) weights[type] = (weights[type] ?? 0) + bytes;
  const { data, faults } = await externalData(dir, path, tensors);
  const { renamed, breaches } = compareWith(contract, model);
  return {
    ...{ role, path, size, data, model, weights, renamed },
    faults: [...breaches.map((breach) => `${path}: ${breach}`), ...faults],
  };
}

/** @throws {RangeError} when it is no ONNX file */
export function readHeader(path: string): OnnxModel {
  const descriptor = openSync(path, 'r');
  try {
    return readOnnx({
      size: fstatSync(descriptor).size,
      read(at, length) {
        const bytes = new Uint8Array(length);
        if (readSync(descriptor, bytes, 0, length, at) < length) throw new RangeError('the file was cut off');
        return bytes;
      },
    });
  } finally {
    closeSync(descriptor);
  }
}

/** Initializers, and what stands in the nodes as constants. */
function tensorsOf({ initializers, nodes }: Pick<OnnxModel, 'initializers' | 'nodes'>): OnnxTensor[] {
  const inNodes = nodes.flatMap(({ attributes, graphs }) => [
    ...Object.values(attributes).filter(
      (value): value is OnnxTensor => typeof value === 'object' && 'dims' in value,
    ),
    ...graphs.flatMap(tensorsOf),
  ]);
  return [...initializers, ...inNodes];
}

/** The files beside a network that hold its weights. */
async function externalData(dir: string, path: string, tensors: readonly OnnxTensor[]) {
  const ends = new Map<string, number>();
  for (const { data } of tensors) {
    if (data.kind === 'external')
      ends.set(data.file, Math.max(ends.get(data.file) ?? 0, data.at + data.length));
  }
  const data: { path: string; size: number | null }[] = [];
  const faults: string[] = [];
  for (const [name, needed] of ends) {
    if (!name || /^(\.\.|\/)/.test(normalize(name))) {
      faults.push(
        `${path}: its weights are in ${name || 'a file without a name'}, and a file of its folder is needed`,
      );
      continue;
    }
    const beside = join(dirname(path), name);
    const size = await sizeOf(join(dir, beside));
    data.push({ path: beside, size });
    if (size === null) faults.push(`${beside} is missing: ${path} has its weights there`);
    else if (size < needed)
      faults.push(`${beside} has ${size} bytes, and ${needed} are needed: ${path} has its weights there`);
  }
  return { data, faults };
}

function compareWith({ inputs, outputs }: Contract, model: OnnxModel) {
  const names = (values: readonly OnnxValue[]) => values.map(({ name }) => name).join(', ') || 'none';
  const breaches: string[] = [];
  const renamed: Record<string, string> = {};
  const check = (what: 'input' | 'output', value: OnnxValue, port: Port) => {
    const breach = breachOf(value, port);
    if (breach) breaches.push(`${what} ${value.name} ${breach}`);
  };
  const inOrder = (what: 'input' | 'output', ports: readonly Port[]) => {
    const values = model[`${what}s`];
    if (values.length !== ports.length) {
      const counted = `${ports.length} ${what}${ports.length === 1 ? '' : 's'}`;
      return breaches.push(`needs ${counted}, has ${values.length}: ${names(values)}`);
    }
    for (const [i, port] of ports.entries()) check(what, values[i]!, port);
  };

  if (isInOrder(inputs)) inOrder('input', inputs);
  else {
    for (const [name, port] of Object.entries(inputs)) {
      const input = model.inputs.find((value) => value.name === name);
      if (input) check('input', input, port);
      else breaches.push(`has no input ${name}; its inputs are ${names(model.inputs)}`);
    }
    const unknown = model.inputs.filter(({ name }) => !(name in inputs));
    if (!breaches.length && unknown.length)
      breaches.push(
        `has the input ${names(unknown)}, which nothing here feeds; known are ${Object.keys(inputs).join(', ')}`,
      );
  }
  if (isInOrder(outputs)) inOrder('output', outputs);
  else {
    for (const [name, port] of Object.entries(outputs)) {
      const fitting = model.outputs.filter((value) => !breachOf(value, port));
      const named = model.outputs.find((value) => value.name === name);
      const [only, ...others] = model.outputs.length === 1 ? model.outputs : fitting;
      const output = named ?? (port.anyName && !others.length ? only : undefined);
      if (output) check('output', output, port);
      else breaches.push(`has no output ${name}; its outputs are ${names(model.outputs)}`);
      if (output && output !== named) renamed[name] = output.name;
    }
  }
  return { breaches, renamed };
}

function isInOrder(ports: Ports | readonly Port[]): ports is readonly Port[] {
  return Array.isArray(ports);
}

/** What is wrong with it, as the rest of a sentence; null when nothing is. */
function breachOf({ type, shape }: OnnxValue, { types, shapes }: Port): string | null {
  if (shape && !shapes.some(({ length }) => length === shape.length)) {
    return `has ${shape.length} axes, and ${either(shapes.map(({ length }) => length))} are needed`;
  }
  if (!types.includes(type)) return `is ${type}, and ${either(types)} is needed`;
  if (!shape || shapes.some((axes) => fits(shape, axes))) return null;
  const wanted = shapes
    .filter(({ length }) => length === shape.length)
    .map((axes) => `[${axes.map((axis) => axisText[axis] ?? axis).join(', ')}]`);
  return `is [${shape.join(', ')}], and ${either(wanted)} is needed`;
}

const axisText: Readonly<Record<string | number, string>> = { free: 'dynamic', one: 'dynamic', any: '?' };

/** Symbolic axes fit every wish. */
function fits(shape: readonly (number | string)[], axes: readonly Axis[]): boolean {
  return (
    shape.length === axes.length &&
    axes.every((axis, i) => {
      const found = shape[i];
      return typeof found !== 'number' || axis === 'any' || found === (axis === 'one' ? 1 : axis);
    })
  );
}

const either = (values: readonly unknown[]) => values.join(' or ');
const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** bytes; null: no such file */
async function sizeOf(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() ? found.size : null;
}

/** Schedules differ by the request; what the network was trained with must be SDXL's, which `pipelines/schedulers.ts` has. */
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
  /** true, as diffusers takes it when it is left out: too large for half precision inside */
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

type Configs = Awaited<ReturnType<typeof readConfigs>>;

/** The JSON files beside the networks. A network may come without; the scheduler's and the VAE's must be there. */
async function readConfigs(dir: string, { files }: BundleManifest) {
  const found: string[] = [];
  const faults: string[] = [];
  async function read<S extends z.ZodType>(
    path: string,
    schema: S,
    needed = false,
  ): Promise<z.output<S> | null> {
    const text = await readFile(join(dir, path), 'utf8').catch(() => null);
    if (text === null) {
      if (needed) faults.push(`${path} is missing`);
      return null;
    }
    found.push(path);
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      faults.push(`${path} is not JSON`);
      return null;
    }
    const parsed = schema.safeParse(json);
    if (parsed.success) return parsed.data;
    faults.push(...parsed.error.issues.map((issue) => `${path}: ${sayIssue(json, issue)}`));
    return null;
  }
  const beside = (network: string) => join(dirname(network), 'config.json');
  const vaeEncoder = await read(beside(files.vaeEncoder), VaeConfig, true);
  const vaeDecoder = await read(beside(files.vaeDecoder), VaeConfig, true);
  if (vaeEncoder && vaeDecoder && vaeEncoder.scaling_factor !== vaeDecoder.scaling_factor) {
    const needed = `${vaeEncoder.scaling_factor}, as in ${beside(files.vaeEncoder)}, is needed`;
    faults.push(`${beside(files.vaeDecoder)}: scaling_factor is ${vaeDecoder.scaling_factor}, and ${needed}`);
  }
  return {
    scheduler: await read(files.scheduler, SchedulerConfig, true),
    ...{ vaeEncoder, vaeDecoder },
    textEncoder: await read(beside(files.textEncoder), TextConfig),
    textEncoder2: await read(beside(files.textEncoder2), TextConfig),
    unet: await read(beside(files.unet), UnetConfig),
    modelIndex: await read('model_index.json', ModelIndex),
    ...{ files: found, faults },
  };
}

/** Of a wrong value so much is shown. */
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
  if (issue.code === 'invalid_value') return either(issue.values.map((value) => JSON.stringify(value)));
  if (issue.code === 'invalid_type') return issue.expected;
  if (issue.code === 'invalid_union') return [...new Set(issue.errors.flat().map(neededBy))].join(' or ');
  return issue.message;
}

/** What fits in itself and not together: widths, layers, sizes of vocabularies. Broken files have been named already. */
function disagreements(
  networks: readonly NetworkFile[],
  configs: Configs,
  { files }: BundleManifest,
  tokenizers: readonly (Tokenizer | undefined)[],
): string[] {
  const faults: string[] = [];
  const sound = (role: Role) => networks.find((network) => network.role === role && !network.faults.length);
  /** The last axis of an input or output, where the file has it in numbers. */
  const width = (role: Role, name: string): number | undefined => {
    const { model } = sound(role) ?? {};
    const last = [...(model?.inputs ?? []), ...(model?.outputs ?? [])]
      .find((v) => v.name === name)
      ?.shape?.at(-1);
    return typeof last === 'number' ? last : undefined;
  };
  const agree = (
    path: string | undefined,
    what: string,
    is: number | undefined,
    needed: number | undefined,
    why: string,
  ) => {
    if (is !== undefined && needed !== undefined && is !== needed)
      faults.push(`${path}: ${what} is ${is}, and ${needed} is needed: ${why}`);
  };

  for (const [i, role] of (['textEncoder', 'textEncoder2'] as const).entries()) {
    const config = configs[role];
    const path = files[role];
    const states = sound(role)?.model?.outputs.filter(({ name }) => name.startsWith('hidden_states.')).length;
    const layers = config?.num_hidden_layers;
    if (states === 1)
      faults.push(`${path} has 1 hidden state, and at least 2 are needed: the last but one is used`);
    agree(
      path,
      'the number of its hidden states',
      states,
      layers && layers + 1,
      'num_hidden_layers of its config.json',
    );
    agree(
      path,
      'its width',
      width(role, 'hidden_states.0'),
      config?.hidden_size,
      'hidden_size of its config.json',
    );
    const { vocab_size: rows } = config ?? {};
    const largest = tokenizers[i]?.endId;
    if (rows !== undefined && largest !== undefined && largest >= rows)
      faults.push(
        `${path}: vocab_size of its config.json is ${rows}, and ${largest + 1} is needed: the tokenizer's last id`,
      );
  }
  const widthOf = (role: 'textEncoder' | 'textEncoder2') =>
    width(role, 'hidden_states.0') ?? (sound(role) && configs[role]?.hidden_size);
  const [one, two] = [widthOf('textEncoder'), widthOf('textEncoder2')];
  const context =
    width('unet', 'encoder_hidden_states') ?? (sound('unet') && configs.unet?.cross_attention_dim);
  if (one !== undefined && two !== undefined)
    agree(
      files.unet,
      'the width of encoder_hidden_states',
      context,
      one + two,
      `the text encoders' ${one} + ${two}`,
    );

  const { projection_class_embeddings_input_dim: all, addition_time_embed_dim: each } = configs.unet ?? {};
  const pooled = width('unet', 'text_embeds') ?? (sound('unet') && all && each && all - 6 * each);
  const projected =
    width('textEncoder2', 'text_embeds') ?? (sound('textEncoder2') && configs.textEncoder2?.projection_dim);
  agree(
    files.unet,
    'the width of text_embeds',
    pooled || undefined,
    projected,
    'what the second text encoder gives',
  );

  for (const [role, name] of [
    ['idTokens', 'id_tokens'],
    ['idFuse', 'class_embeds'],
    ['idFuse', 'id_tokens'],
    ['idEncoder', 'prompt_embeds'],
  ] as const)
    agree(
      files[role],
      `the width of ${name}`,
      width(role, name),
      context,
      "the UNet's encoder_hidden_states",
    );

  for (const role of ['vaeEncoder', 'vaeDecoder'] as const) {
    if (configs[role]?.force_upcast && computesInHalf(sound(role)?.model)) {
      const config = join(dirname(files[role]), 'config.json');
      faults.push(
        `${files[role]} computes in float16, and float32 is needed: force_upcast in ${config} is not false, so it overflows`,
      );
    }
  }
  return faults;
}

/** Weights in half precision may be cast before they are used; what counts is what a convolution or product is given. */
function computesInHalf(model: OnnxModel | null | undefined): boolean {
  if (!model) return false;
  const halves = new Set(
    tensorsOf(model)
      .filter(({ type }) => type === 'float16')
      .map(({ name }) => name),
  );
  return model.nodes.some(
    ({ op, inputs }) =>
      ['Conv', 'ConvTranspose', 'MatMul', 'Gemm'].includes(op) && inputs.some((name) => halves.has(name)),
  );
}

/** token → id. Checked at once: zod's `record` takes a tenth of a second for 49,408 of them. */
const Vocabulary = z.custom<Record<string, number>>(
  (value) => typeof value === 'object' && value !== null && Object.values(value).every(Number.isInteger),
  'an id for each token',
);
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

/** A folder with `vocab.json` and `merges.txt`; newer exports have both in `tokenizer.json`. */
async function readTokenizer(dir: string, path: string) {
  const files: string[] = [];
  const faults: string[] = [];
  async function text(name: string): Promise<string | null> {
    const content = await readFile(join(dir, path, name), 'utf8').catch(() => null);
    if (content !== null) files.push(join(path, name));
    return content;
  }
  async function json<S extends z.ZodType>(name: string, schema: S): Promise<z.output<S> | null> {
    const content = await text(name);
    if (content === null) return null;
    try {
      const value: unknown = JSON.parse(content);
      const parsed = schema.safeParse(value);
      if (parsed.success) return parsed.data;
      faults.push(...parsed.error.issues.map((issue) => `${path}/${name}: ${sayIssue(value, issue)}`));
    } catch {
      faults.push(`${path}/${name} is not JSON`);
    }
    return null;
  }
  const [vocabulary, merges] = [await json('vocab.json', Vocabulary), await text('merges.txt')];
  const [specials, config] = [
    await json('special_tokens_map.json', TokenizerConfig),
    await json('tokenizer_config.json', TokenizerConfig),
  ];
  const whole = await json('tokenizer.json', WholeTokenizer);
  const padToken = specials?.pad_token ?? config?.pad_token ?? whole?.padding?.pad_token;
  let made: Tokenizer | undefined;
  if (!faults.length) {
    const lines = whole?.model.merges.map((m) => (typeof m === 'string' ? m : m.join(' '))).join('\n');
    const [words, pairs] = vocabulary && merges !== null ? [vocabulary, merges] : [whole?.model.vocab, lines];
    if (!words || pairs === undefined) {
      const missing = vocabulary
        ? 'merges.txt'
        : merges === null
          ? 'vocab.json and merges.txt'
          : 'vocab.json';
      faults.push(`${path}/: ${missing} is missing, and there is no tokenizer.json`);
    } else if (!padToken) {
      faults.push(
        `${path}/: no pad_token is in special_tokens_map.json, tokenizer_config.json or tokenizer.json`,
      );
    } else {
      try {
        made = makeTokenizer(words, pairs, padToken);
      } catch (error) {
        faults.push(`${path}/: ${messageOf(error)}`);
      }
    }
  }
  return { made, files, faults };
}

/** What is in the folder and no picture depends on; dot files, pages and configs left out. */
export async function unusedFiles({ dir, files }: Inspection): Promise<string[]> {
  const known = new Set(files);
  const all = await readdir(dir, { recursive: true, withFileTypes: true });
  return all
    .filter((entry) => entry.isFile())
    .map((entry) =>
      normalize(join(entry.parentPath, entry.name)).slice(normalize(dir).length).replace(/^\/+/, ''),
    )
    .filter((path) => !known.has(path) && !/(^|\/)\.|\.(md|txt|json)$|LICEN[CS]E[^/]*$/i.test(path))
    .sort();
}
