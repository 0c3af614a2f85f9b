/**
 * The networks of a bundle, as their headers have them, held against what each must take and give.
 *
 * Names are those of the Hugging Face ONNX export of SDXL and of InsightFace's packs. What an export may do differently is in
 * `contractsOf`; all else is a fault, told with the file, what was found and what is needed.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { type OnnxModel, type OnnxTensor, type OnnxValue, readOnnx } from '#pipelines/onnx-reader.ts';
import { CONTEXT_LENGTH } from '#pipelines/sdxl/tokenizer.ts';
import { messageOf } from '#src/doors/log.ts';
import {
  type BundleManifest,
  type ClassifierEntry,
  classifierRole,
  type FileRole,
  type Role,
} from './manifest.ts';

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

/** The part of a manifest that networks are held against. */
type Named = Pick<BundleManifest, 'detector' | 'classifiers'> & {
  readonly files: { readonly [role in FileRole]?: string | undefined };
};

/** Each network that the manifest names; a missing or broken one comes with its faults. */
export async function readNetworks(dir: string, manifest: Named): Promise<NetworkFile[]> {
  const contracts = contractsOf(manifest);
  const networks: NetworkFile[] = [];
  for (const role of Object.keys(contracts) as FileRole[]) {
    const path = manifest.files[role];
    if (path !== undefined) networks.push(await readNetwork(dir, role, path, contracts[role]));
  }
  for (const one of manifest.classifiers)
    networks.push(await readNetwork(dir, classifierRole(one), one.file, classifierContract(one)));
  return networks;
}

/** A fixed axis, one that must be free, one that is free or 1, or one that may be anything. */
type Axis = number | 'free' | 'one' | 'any';

/** An input or output that a network must have. */
interface Port {
  /** the types that pipelines' own can be converted to */
  readonly types: readonly string[];
  /** the axes of each rank that is taken */
  readonly shapes: readonly (readonly Axis[])[];
  /** An output that goes by many names: taken by its shape when no name fits. */
  readonly anyName?: true;
}
type Ports = Readonly<Record<string, Port>>;

/** Ports by their names; or in their order, where names differ from file to file: InsightFace's networks have numbers. */
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
function contractsOf({ detector }: Named): Readonly<Record<FileRole, Contract>> {
  const ids: Port = { types: WHOLE, shapes: [['free', CONTEXT_LENGTH]] };
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
  };
}

function classifierContract({ input: { side }, labels }: ClassifierEntry): Contract {
  return {
    inputs: [real('one', 3, side, side)],
    outputs: { logits: anyName(real('one', labels.length)) },
  };
}

async function readNetwork(dir: string, role: Role, path: string, contract: Contract): Promise<NetworkFile> {
  const none = { role, path, data: [], model: null, weights: {}, renamed: {} };
  const size = await fileSize(join(dir, path));
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
    role,
    path,
    size,
    data,
    model,
    weights,
    renamed,
    faults: [...breaches.map((breach) => `${path}: ${breach}`), ...faults],
  };
}

/** @throws {RangeError} when it is no ONNX file. @throws {Error} of the file system */
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

/** Initializers, and the constants inside nodes. */
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
    const size = await fileSize(join(dir, beside));
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

/** Symbolic axes fit anything. */
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

/** bytes; null: no such file */
async function fileSize(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() ? found.size : null;
}

/** Weights in half precision may be cast before they are used; what counts is what a convolution or product is given. */
export function computesInHalf(model: OnnxModel): boolean {
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
