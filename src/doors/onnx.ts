/**
 * The door to onnxruntime: loads a bundle's networks and makes sessions of them.
 *
 * A bundle is refused as a whole, with everything that is wrong with it: better at the start than in the middle of a picture.
 * Exports differ in types and names at their borders (half precision, int32 ids, an output's name); pipelines see one form.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { z } from 'zod';
import { fromHalves, toHalves } from '#pipelines/half.ts';
import type { LoraTarget } from '#pipelines/lora/file.ts';
import type { PortraitBundle } from '#pipelines/portrait.ts';
import { Graph } from '#pipelines/reference/onnx.ts';
import type { Session, Tensor, TensorData, TensorInfo, TensorType } from '#pipelines/session.ts';
import { inspectBundle } from '#src/bundles/inspect.ts';
import type { LoraChoice } from '#src/bundles/lora-choice.ts';
import { mergedNetworks } from '#src/bundles/loras.ts';
import type { BundleManifest, Role } from '#src/bundles/manifest.ts';
import { messageOf, type NetworkFile } from '#src/bundles/networks.ts';
import { log } from './log.ts';

/** Execution providers, as ONNX_PROVIDERS names them. */
export type Provider = 'tensorrt' | 'cuda' | 'webgpu' | 'cpu';

export interface SessionOptions {
  /** of one session; 0 lets onnxruntime choose */
  readonly threads?: number;
  /** In order of preference; nodes that one can't run are for those after it. The CPU alone when left out. */
  readonly providers?: readonly Provider[];
  /** Told when a network is loaded, and again when its first run has shown where its nodes run. */
  readonly onReport?: (report: SessionReport) => void;
  /** Count where nodes run also when there is nothing to choose. */
  readonly alwaysCount?: boolean;
}

/** What became of one network. */
export type SessionReport = {
  readonly network: string;
  readonly loadSeconds: number;
  /** what it was opened with */
  readonly providers: readonly Provider[];
  /**
   * Where its nodes run, the most first; `nodes` null: all of them, uncounted. Empty until the first run, as onnxruntime
   * says at no earlier time which provider took a node; with one provider there is nothing to ask.
   */
  readonly used: readonly { readonly provider: string; readonly nodes: number | null }[];
};

export interface LoadOptions extends SessionOptions {
  /** merged in beside the bundle's own */
  readonly loras?: readonly LoraChoice[];
}

/** What of a network's file is needed to open it; what else was read of it is let go. */
type Openable = Pick<NetworkFile, 'role' | 'path' | 'renamed'>;

/** A bundle with what `withLoras` opens some of its networks anew by. */
export type LoadedBundle = PortraitBundle & {
  readonly manifest: BundleManifest;
  readonly networks: readonly Openable[];
};

export interface OpenSession extends Session {
  close(): Promise<void>;
}

/** @throws {Error} naming the bundle and every file, input, output and setting at fault */
export async function loadBundle(dir: string, options: LoadOptions = {}): Promise<LoadedBundle> {
  const { manifest, networks, settings, tokenizers, faults } = await inspectBundle(dir);
  if (faults.length || !settings || !tokenizers) throw unusable(manifest, faults);
  const providers = await available(options.providers);
  const merged = await mergedNetworks(dir, options.loras ?? []);

  const unopened: string[] = [];
  const sessions: Partial<Record<Role, Session>> = {};
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
  const { name, triggerWord, safetyLabels, detector, detailSide } = manifest;
  return {
    // The manifest has each of them, so each was opened.
    ...(others as Record<Exclude<Role, 'idTokens' | 'idFuse' | 'idEncoder' | 'upscaler'>, Session>),
    idEncoder: idEncoder
      ? { whole: idEncoder }
      : { idTokens: idTokens as Session, idFuse: idFuse as Session },
    ...{ upscaler, tokenizer, tokenizer2, ...settings },
    ...{ name, triggerWord, safetyLabels, detector, detailSide, manifest },
    networks: networks.map(({ role, path, renamed }) => ({ role, path, renamed })),
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
): Promise<{ bundle: PortraitBundle; close(): Promise<void> }> {
  const merged = await mergedNetworks(dir, loras);
  if (!merged) return { bundle, close: async () => {} };
  const opened: Partial<Record<LoraTarget, OpenSession>> = {};
  for (const target of merged.targets) {
    const network = bundle.networks.find(({ role }) => role === target);
    if (network) opened[target] = await openNetwork(merged.dir, network, options);
  }
  return {
    bundle: { ...bundle, ...opened },
    async close() {
      for (const session of Object.values(opened)) await session.close();
    },
  };
}

function unusable({ name }: BundleManifest, faults: readonly string[]): Error {
  return new Error(`Bundle ${name} can't be used:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
}

/** A network under the names that pipelines know. @throws {Error} of onnxruntime */
export async function openNetwork(
  dir: string,
  { role, path, renamed }: Openable,
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

type Ort = typeof import('onnxruntime-node');
let runtime: Ort | undefined;

async function ort(): Promise<Ort> {
  // Node 24 has a Float16Array of its own, which onnxruntime 1.30 then expects for float16 and miscounts
  // (microsoft/onnxruntime#26791). Without it, it takes Uint16Array, as before.
  if (!runtime) {
    Reflect.deleteProperty(globalThis, 'Float16Array');
    // What networks take and give are arrays outside V8's heap. By its default each few tens of MB of them make it mark the whole
    // heap: seven times a portrait, 40 ms. Counted together with the heap, and a heap may always grow by what is V8's largest step,
    // it is hardly ever: 2 ms, also for one of a batch of four, and 100 MB more.
    setFlagsFromString('--external-memory-accounted-in-global-limit');
    setFlagsFromString('--heap-growing-percent=300');
  }
  runtime ??= await import('onnxruntime-node');
  // What it would print is in the errors that it throws, or about networks that nobody here can change.
  runtime.env.logLevel = 'fatal';
  return runtime;
}

/** Why a provider can't be used on this machine, asked once; null: it can. */
const obstacles = new Map<Provider, Promise<string | null>>();

/** Which of `wanted` this machine has, and why it has not the others. Each of those is logged once. */
export async function surveyProviders(wanted: readonly Provider[]) {
  const found: Provider[] = [];
  const missing: { provider: Provider; reason: string }[] = [];
  for (const provider of wanted) {
    const reason = await obstacle(provider);
    if (reason === null) found.push(provider);
    else missing.push({ provider, reason });
  }
  return { found, missing };
}

/** @throws {Error} when there is none */
async function available(wanted: readonly Provider[] = ['cpu']): Promise<Provider[]> {
  const { found, missing } = await surveyProviders(wanted);
  if (found.length) return found;
  const lines = missing.map(({ provider, reason }) => `\n  ${provider}: ${reason}`);
  throw new Error(
    `No execution provider of ONNX_PROVIDERS is available here, and cpu is not among them:${lines.join('')}`,
  );
}

function obstacle(provider: Provider): Promise<string | null> {
  if (provider === 'cpu') return Promise.resolve(null);
  const known = obstacles.get(provider);
  if (known) return known;
  const asked = tryProvider(provider).then((reason) => {
    if (reason !== null) log.warn({ provider, reason }, 'this execution provider is not available');
    return reason;
  });
  obstacles.set(provider, asked);
  return asked;
}

/** Opens the smallest of networks with it. */
async function tryProvider(provider: Provider): Promise<string | null> {
  const { InferenceSession, listSupportedBackends } = await ort();
  const graph = new Graph('smallest');
  graph.output('y', graph.input('x', 'float', [1]), 'float', [1]);
  try {
    const session = await InferenceSession.create(graph.bytes(), { executionProviders: [provider] });
    await session.release();
    return null;
  } catch (error) {
    const bundled = listSupportedBackends().some(({ name, bundled }) => name === provider && bundled);
    return bundled ? reasonOf(error) : `${reasonOf(error)} (its libraries do not come with the npm package)`;
  }
}

/** Of onnxruntime's message what it says, without the place in its source. */
export function reasonOf(error: unknown): string {
  const line = messageOf(error).trim().split('\n')[0] ?? '';
  return line
    .replace(/^\/onnxruntime_src\/\S+ .*? was false\. /, '')
    .replace(/^(\/onnxruntime_src\/\S+|OrtSessionOptionsAppend\w+:) /, '');
}

/**
 * Opens one network with the first provider that takes it.
 *
 * @throws {Error} of onnxruntime, of the last provider
 */
export async function openSession(
  path: string,
  options: SessionOptions & { readonly network?: string } = {},
): Promise<OpenSession> {
  const { network = path, onReport, alwaysCount = false } = options;
  const offered = await available(options.providers);
  const startedAt = performance.now();
  const { session, providers, trace } = await openWithFirst(path, network, offered, options);
  const loadSeconds = (performance.now() - startedAt) / 1_000;
  const report = (used: SessionReport['used']) => onReport?.({ network, loadSeconds, providers, used });
  const alone = providers.length === 1 && providers[0] === 'cpu' && !alwaysCount;
  report(alone ? [{ provider: 'cpu', nodes: null }] : []);

  const { Tensor: OrtTensor } = await ort();
  const inputs = session.inputMetadata.map(infoOf);
  const types = new Map(inputs.map((info) => [info.name, info]));
  let uncounted = trace;
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
      if (uncounted) {
        const folder = uncounted;
        uncounted = null;
        session.endProfiling();
        report(await countNodes(folder));
      }
      return Object.fromEntries(
        Object.entries(results).map(([name, value]) => [name, fromOrt(value as OrtTensor)]),
      );
    },
    async close() {
      await session.release();
      if (uncounted) await rm(uncounted, { recursive: true, force: true });
    },
  };
}

/** @param offered not empty */
async function openWithFirst(
  path: string,
  network: string,
  offered: readonly Provider[],
  { threads = 0, alwaysCount = false }: SessionOptions,
) {
  const { InferenceSession } = await ort();
  for (let first = 0; ; first++) {
    const providers = offered.slice(first);
    const counted = alwaysCount || providers.some((provider) => provider !== 'cpu');
    // That a session was made does not say where its nodes run: onnxruntime gives the CPU what a provider can't do. Its
    // trace of the first run does.
    const trace = counted ? await mkdtemp(join(tmpdir(), 'atelier-trace-')) : null;
    try {
      const session = await InferenceSession.create(path, {
        executionProviders: providers,
        graphOptimizationLevel: 'all',
        logSeverityLevel: 4,
        // Threads that wait for the next node by spinning took half of all CPU time, and the cores from whoever had work: a
        // portrait took as long or longer. (1,490 ms of 2,930 on two cores; without it 1,260 of 1,410.)
        extra: { session: { intra_op: { allow_spinning: '0' } } },
        ...(threads && { intraOpNumThreads: threads }),
        ...(trace && { enableProfiling: true, profileFilePrefix: join(trace, 'trace') }),
      });
      return { session, providers, trace };
    } catch (error) {
      if (trace) await rm(trace, { recursive: true, force: true });
      if (first === offered.length - 1) throw error;
      log.warn(
        { network, provider: providers[0], reason: reasonOf(error) },
        'not loaded there; trying the next',
      );
    }
  }
}

const ORT_PROVIDERS: Readonly<Record<string, Provider>> = {
  TensorrtExecutionProvider: 'tensorrt',
  NvTensorRTRTXExecutionProvider: 'tensorrt',
  CUDAExecutionProvider: 'cuda',
  WebGpuExecutionProvider: 'webgpu',
  CPUExecutionProvider: 'cpu',
};
const Trace = z.array(
  z.looseObject({ cat: z.string(), name: z.string(), args: z.record(z.string(), z.unknown()) }),
);

/** Nodes of a traced run by the provider that ran them. The trace is removed. */
async function countNodes(folder: string): Promise<SessionReport['used']> {
  const nodes = new Map<string, number>();
  for (const name of await readdir(folder)) {
    for (const { cat, name: event, args } of Trace.parse(
      JSON.parse(await readFile(join(folder, name), 'utf8')),
    )) {
      if (cat !== 'Node' || !event.endsWith('_kernel_time')) continue;
      const provider = ORT_PROVIDERS[String(args.provider)] ?? String(args.provider);
      nodes.set(provider, (nodes.get(provider) ?? 0) + 1);
    }
  }
  await rm(folder, { recursive: true, force: true });
  return [...nodes].sort(([, a], [, b]) => b - a).map(([provider, count]) => ({ provider, nodes: count }));
}

function infoOf(metadata: InferenceSession.ValueMetadata): TensorInfo {
  if (!metadata.isTensor) return { name: metadata.name, type: 'float32', shape: [] };
  return { name: metadata.name, type: metadata.type as TensorType, shape: [...metadata.shape] };
}

/** Exports differ: ids of int32, a timestep of shape [1], float16 at the border. Pipelines need not know. */
function fitted(value: Tensor, { type, shape }: TensorInfo): Tensor {
  const wanted = shape.length === 1 && value.shape.length === 0 ? { ...value, shape: [1] } : value;
  if (wanted.type === type) return wanted;
  const { data } = wanted;
  const made = data instanceof BigInt64Array ? fromWhole(data, type) : fromNumbers(data, type);
  return made ? { type, data: made, shape: wanted.shape } : wanted;
}

function fromWhole(data: BigInt64Array, type: TensorType): TensorData | null {
  if (type === 'int32') {
    const out = new Int32Array(data.length);
    for (let i = 0; i < out.length; i++) out[i] = Number(data[i]);
    return out;
  }
  const numbers = new Float32Array(data.length);
  for (let i = 0; i < numbers.length; i++) numbers[i] = Number(data[i]);
  return type === 'float32' ? numbers : type === 'float16' ? toHalves(numbers) : null;
}

function fromNumbers(data: Exclude<TensorData, BigInt64Array>, type: TensorType): TensorData | null {
  if (type === 'float16') return toHalves(data instanceof Float32Array ? data : new Float32Array(data));
  if (type === 'float32') return new Float32Array(data);
  if (type === 'int32') return new Int32Array(data);
  if (type !== 'int64') return null;
  const out = new BigInt64Array(data.length);
  // A timestep may be fractional; whole ones are what such an export was made for.
  for (let i = 0; i < out.length; i++) out[i] = BigInt(Math.round(data[i]!));
  return out;
}

function fromOrt(value: OrtTensor): Tensor {
  const shape = [...value.dims];
  if (value.type === 'float16') {
    return { type: 'float32', data: fromHalves(value.data as Uint16Array), shape };
  }
  return { type: value.type as TensorType, data: value.data as TensorData, shape };
}
