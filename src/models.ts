/**
 * The door to onnxruntime: loads a bundle's networks and makes sessions of them.
 *
 * A bundle is refused as a whole when a file is missing or a network's inputs are not those of the real exports, with every
 * fault named: better at the start than in the middle of a picture.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { z } from 'zod';
import { parseYaml } from '#config/load.ts';
import { fromHalves, toHalves } from '#pipelines/half.ts';
import type { PortraitBundle } from '#pipelines/portrait.ts';
import { makeTokenizer, type Tokenizer } from '#pipelines/sdxl/tokenizer.ts';
import type { Session, Tensor, TensorData, TensorInfo, TensorType } from '#pipelines/session.ts';

const file = z.string().regex(/^(?!.*\.\.)[\w./-]+$/, 'must be a path inside the bundle');

/** `bundle.yaml` */
export const BundleManifest = z.strictObject({
  version: z.literal(1),
  name: z.string().regex(/^[a-z0-9-]+$/),
  title: z.string().min(1),
  family: z.literal('sdxl'),
  /** true: made for tests and demos, and says so wherever it is named */
  standIn: z.boolean().default(false),
  precision: z.enum(['fp32', 'fp16']).default('fp32'),
  licence: z.string().min(1),
  triggerWord: z.string().regex(/^[a-z]+$/),
  memoryGib: z.number().positive(),
  files: z.strictObject({
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
    idTokens: file,
    idFuse: file,
    safety: file,
  }),
  safetyLabels: z.array(z.string()).min(2).default(['normal', 'flagged']),
  detector: z.strictObject({ size: z.number().int().multipleOf(32), threshold: z.number().min(0).max(1) }),
  /** px */
  detailSide: z.number().int().multipleOf(64).default(1024),
});
export type BundleManifest = z.output<typeof BundleManifest>;

type NetworkName = Exclude<keyof BundleManifest['files'], 'tokenizer' | 'tokenizer2' | 'scheduler'>;

/** What each network must take and give. InsightFace's have numbers for names, so only their count is told. */
const contracts: Record<
  NetworkName,
  { inputs: Record<string, number[]> | number; outputs: string[] | number }
> = {
  textEncoder: { inputs: { input_ids: [2] }, outputs: ['hidden_states.0'] },
  textEncoder2: { inputs: { input_ids: [2] }, outputs: ['text_embeds', 'hidden_states.0'] },
  unet: {
    inputs: { sample: [4], timestep: [0, 1], encoder_hidden_states: [3], text_embeds: [2], time_ids: [2] },
    outputs: ['out_sample'],
  },
  vaeEncoder: { inputs: { sample: [4] }, outputs: ['latent_parameters'] },
  vaeDecoder: { inputs: { latent_sample: [4] }, outputs: ['sample'] },
  faceDetector: { inputs: 1, outputs: 9 },
  faceRecognizer: { inputs: 1, outputs: 1 },
  faceLandmarks: { inputs: 1, outputs: 1 },
  faceGenderAge: { inputs: 1, outputs: 1 },
  idTokens: { inputs: { id_pixel_values: [4], id_embeds: [2] }, outputs: ['id_tokens'] },
  idFuse: { inputs: { class_embeds: [2], id_tokens: [2] }, outputs: ['fused_embeds'] },
  safety: { inputs: { pixel_values: [4] }, outputs: ['logits'] },
};

/** What pipelines compute with; a bundle's half precision is converted at the border. */
const REAL: readonly TensorType[] = ['float32', 'float16'];
const WHOLE: readonly TensorType[] = ['int64', 'int32'];
/** Inputs of other types: ids of tokens, and what is a whole number in some exports. */
const INPUT_TYPES: Readonly<Record<string, readonly TensorType[]>> = {
  input_ids: WHOLE,
  timestep: [...REAL, ...WHOLE],
  time_ids: [...REAL, ...WHOLE],
};

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

/**
 * Hash of a bundle's manifest and files: pictures drawn with equal ones can stand for each other. Reads every byte, so it is
 * asked for once, at the start.
 */
export async function bundleHash(dir: string): Promise<string> {
  const { files } = await readManifest(dir);
  const hash = createHash('sha256').update(await readFile(join(dir, 'bundle.yaml')));
  for (const [name, path] of Object.entries(files).sort()) {
    hash.update(name);
    const isFolder = name === 'tokenizer' || name === 'tokenizer2';
    const paths = isFolder
      ? (await readdir(join(dir, path)).catch(() => [])).sort().map((f) => join(path, f))
      : [path];
    for (const one of paths) {
      const part = createHash('sha256');
      await pipeline(createReadStream(join(dir, one)), part).catch(() => {}); // a missing file is named by loadBundle
      hash.update(part.digest());
    }
  }
  return hash.digest('hex');
}

export interface LoadOptions {
  /** of one session; 0 lets onnxruntime choose */
  readonly threads: number;
}

/** @throws {Error} naming the bundle and every file, input and output at fault */
export async function loadBundle(
  dir: string,
  { threads }: LoadOptions,
): Promise<PortraitBundle & { manifest: BundleManifest }> {
  const manifest = await readManifest(dir);
  const faults: string[] = [];
  const sessions: Partial<Record<NetworkName, Session>> = {};
  for (const name of Object.keys(contracts) as NetworkName[]) {
    const path = manifest.files[name];
    try {
      await access(join(dir, path));
    } catch {
      faults.push(`${path} is missing`);
      continue;
    }
    try {
      const session = await openSession(join(dir, path), threads);
      faults.push(...breaches(path, session, contracts[name]));
      sessions[name] = session;
    } catch (error) {
      faults.push(
        `${path} does not load: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`,
      );
    }
  }
  const tokenizers: Tokenizer[] = [];
  for (const [path, padToken] of [
    [manifest.files.tokenizer, '<|endoftext|>'],
    [manifest.files.tokenizer2, '!'],
  ] as const) {
    try {
      tokenizers.push(await readTokenizer(join(dir, path), padToken));
    } catch (error) {
      faults.push(`${path}/: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (faults.length)
    throw new Error(`Bundle ${manifest.name} can't be used:\n${faults.map((f) => `  ${f}`).join('\n')}`);

  const [tokenizer, tokenizer2] = tokenizers as [Tokenizer, Tokenizer];
  const { name, triggerWord, safetyLabels, detector, detailSide } = manifest;
  const { idTokens, idFuse, ...others } = sessions as Record<NetworkName, Session>;
  return {
    ...others,
    idEncoder: { idTokens, idFuse },
    upscaler: null,
    predictionType: 'epsilon',
    vaeScalingFactor: 0.13025,
    ...{ name, triggerWord, safetyLabels, detector, detailSide, tokenizer, tokenizer2, manifest },
  };
}

function breaches(
  path: string,
  session: Session,
  { inputs, outputs }: (typeof contracts)[NetworkName],
): string[] {
  const has = (infos: readonly TensorInfo[]) => infos.map(({ name }) => name).join(', ') || 'none';
  const faults: string[] = [];
  const check = (what: 'input' | 'output', { name, type }: TensorInfo, types: readonly TensorType[]) => {
    if (!types.includes(type))
      faults.push(`${path}: ${what} ${name} is ${type}, and ${types.join(' or ')} is needed`);
  };
  if (typeof inputs === 'number') {
    if (session.inputs.length !== inputs)
      faults.push(`${path}: needs ${inputs} input, has ${has(session.inputs)}`);
    for (const input of session.inputs) check('input', input, REAL);
  } else {
    for (const [name, ranks] of Object.entries(inputs)) {
      const input = session.inputs.find((info) => info.name === name);
      if (!input) faults.push(`${path}: has no input ${name}; its inputs are ${has(session.inputs)}`);
      else if (!ranks.includes(input.shape.length)) {
        faults.push(
          `${path}: input ${name} has ${input.shape.length} axes, and ${ranks.join(' or ')} are needed`,
        );
      } else check('input', input, INPUT_TYPES[name] ?? REAL);
    }
  }
  if (typeof outputs === 'number') {
    if (session.outputs.length !== outputs)
      faults.push(`${path}: needs ${outputs} outputs, has ${session.outputs.length}`);
    for (const output of session.outputs) check('output', output, REAL);
  } else {
    for (const name of outputs) {
      const output = session.outputs.find((info) => info.name === name);
      if (!output) faults.push(`${path}: has no output ${name}; its outputs are ${has(session.outputs)}`);
      else check('output', output, REAL);
    }
  }
  return faults;
}

const Vocabulary = z.record(z.string(), z.number().int());

/** `vocab.json` and `merges.txt`; newer exports have both in `tokenizer.json`. */
async function readTokenizer(dir: string, padToken: string): Promise<Tokenizer> {
  try {
    const vocabulary = Vocabulary.parse(JSON.parse(await readFile(join(dir, 'vocab.json'), 'utf8')));
    return makeTokenizer(vocabulary, await readFile(join(dir, 'merges.txt'), 'utf8'), padToken);
  } catch (error) {
    const Whole = z.object({
      model: z.object({
        vocab: Vocabulary,
        merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
      }),
    });
    const text = await readFile(join(dir, 'tokenizer.json'), 'utf8').catch(() => null);
    if (text === null) throw new Error('vocab.json or merges.txt is missing or broken', { cause: error });
    const { vocab, merges } = Whole.parse(JSON.parse(text)).model;
    return makeTokenizer(
      vocab,
      merges.map((m) => (typeof m === 'string' ? m : m.join(' '))).join('\n'),
      padToken,
    );
  }
}

type Ort = typeof import('onnxruntime-node');
let runtime: Ort | undefined;

async function ort(): Promise<Ort> {
  // Node 24 has a Float16Array of its own, which onnxruntime 1.30 then expects for float16 and miscounts
  // (microsoft/onnxruntime#26791). Without it, it takes Uint16Array, as before.
  if (!runtime) Reflect.deleteProperty(globalThis, 'Float16Array');
  runtime ??= await import('onnxruntime-node');
  return runtime;
}

/** Opens one network on the CPU. @throws {Error} of onnxruntime */
export async function openSession(path: string, threads = 0): Promise<Session> {
  const { InferenceSession, Tensor: OrtTensor } = await ort();
  const session = await InferenceSession.create(path, {
    graphOptimizationLevel: 'all',
    // Of warnings there are many, about networks that nobody here can change.
    logSeverityLevel: 3,
    ...(threads && { intraOpNumThreads: threads }),
  });
  const inputs = session.inputMetadata.map(infoOf);
  const types = new Map(inputs.map((info) => [info.name, info]));
  return {
    inputs,
    outputs: session.outputMetadata.map(infoOf),
    async run(feeds, fetches) {
      const ours = Object.entries(feeds).map(([name, value]) => {
        const info = types.get(name);
        const fit = info ? fitted(value, info) : value;
        return [
          name,
          new OrtTensor(fit.type as 'float32', fit.data as Float32Array, [...fit.shape]),
        ] as const;
      });
      const results = await session.run(
        Object.fromEntries(ours),
        fetches ? [...fetches] : session.outputNames,
      );
      return Object.fromEntries(
        Object.entries(results).map(([name, value]) => [name, fromOrt(value as OrtTensor)]),
      );
    },
  };
}

function infoOf(metadata: InferenceSession.ValueMetadata): TensorInfo {
  if (!metadata.isTensor) return { name: metadata.name, type: 'float32', shape: [] };
  return { name: metadata.name, type: metadata.type as TensorType, shape: [...metadata.shape] };
}

/** Exports differ: ids of int32, a timestep of shape [1], float16 at the border. Pipelines need not know. */
function fitted(value: Tensor, { type, shape }: TensorInfo): Tensor {
  const wanted = shape.length === 1 && value.shape.length === 0 ? { ...value, shape: [1] } : value;
  if (wanted.type === type) return wanted;
  const numbers = Array.from(wanted.data as ArrayLike<number | bigint>, Number);
  const data: TensorData | null =
    type === 'int32'
      ? Int32Array.from(numbers)
      : type === 'int64'
        ? BigInt64Array.from(numbers, BigInt)
        : type === 'float32'
          ? Float32Array.from(numbers)
          : type === 'float16'
            ? toHalves(Float32Array.from(numbers))
            : null;
  return data ? { type, data, shape: wanted.shape } : wanted;
}

function fromOrt(value: OrtTensor): Tensor {
  const shape = [...value.dims];
  if (value.type === 'float16') {
    return { type: 'float32', data: fromHalves(value.data as Uint16Array), shape };
  }
  return { type: value.type as TensorType, data: value.data as TensorData, shape };
}
