/**
 * The door to onnxruntime: sessions of ONNX files, the execution providers that this machine has, and where networks really run.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { z } from 'zod';
import { Graph } from '#pipelines/onnx-writer.ts';
import type { Session, Tensor, TensorData, TensorInfo, TensorType } from '#pipelines/session.ts';
import { log, messageOf } from './log.ts';
import { optimisedOf } from './onnx-optimised.ts';
import { fromNetwork, toNetwork } from './onnx-tensors.ts';

/** Execution providers, as ONNX_PROVIDERS names them. */
export type Provider = 'tensorrt' | 'cuda' | 'webgpu' | 'cpu';

export interface SessionOptions {
  /** threads of one session; 0 lets onnxruntime choose */
  readonly threads?: number;
  /** In order of preference; the next ones run the nodes that one can't. The CPU alone when left out. */
  readonly providers?: readonly Provider[];
  /** Told when a network is loaded, and again when its first run has shown where its nodes run. */
  readonly onReport?: (report: SessionReport) => void;
  /** Count where nodes run even when there is no choice of providers. */
  readonly alwaysCount?: boolean;
  /** Keep it beside its file as it was optimised, for the next time. Only where its weights are in that file. */
  readonly keepOptimised?: boolean;
}

/** What became of one network. */
export type SessionReport = {
  readonly network: string;
  readonly loadSeconds: number;
  /** what it was opened with */
  readonly providers: readonly Provider[];
  /**
   * Where its nodes run, the provider with most nodes first; `nodes` null: all of them, uncounted. Empty until the first run:
   * onnxruntime does not say earlier which provider took a node. With the CPU alone there is nothing to ask.
   */
  readonly used: readonly { readonly provider: string; readonly nodes: number | null }[];
};

export interface OpenSession extends Session {
  close(): Promise<void>;
}

/**
 * Opens one network with the first provider that takes it.
 *
 * @throws {Error} onnxruntime's, with the last provider
 */
export async function openSession(
  path: string,
  options: SessionOptions & { readonly network?: string } = {},
): Promise<OpenSession> {
  const { network = path, onReport, alwaysCount = false } = options;
  const offered = await availableProviders(options.providers);
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
      const given: Record<string, OrtTensor> = {};
      for (const [name, value] of Object.entries(feeds)) {
        const info = types.get(name);
        const { type, data, shape } = info ? toNetwork(value, info) : value;
        given[name] = new OrtTensor(type as 'float32', data as Float32Array, [...shape]);
      }
      const results = await session.run(given, fetches ? [...fetches] : session.outputNames);
      if (uncounted) {
        const folder = uncounted;
        uncounted = null;
        session.endProfiling();
        report(await countNodes(folder));
      }
      return Object.fromEntries(
        Object.entries(results).map(([name, value]) => [name, fromNetwork(tensorOf(value as OrtTensor))]),
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
  { threads = 0, alwaysCount = false, keepOptimised = false }: SessionOptions,
) {
  for (let first = 0; ; first++) {
    const providers = offered.slice(first);
    const counted = alwaysCount || providers.some((provider) => provider !== 'cpu');
    // That a session was made does not say where its nodes run: onnxruntime gives the CPU what a provider can't do. Its
    // trace of the first run does.
    const trace = counted ? await mkdtemp(join(tmpdir(), 'atelier-trace-')) : null;
    try {
      const create = keepOptimised && !counted ? createOptimised : createPlain;
      const session = await create(path, {
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

async function createPlain(path: string, options: InferenceSession.SessionOptions) {
  return (await ort()).InferenceSession.create(path, options);
}

/** As it was optimised before, or optimises it for the next time. For the CPU: what others make of a graph can't all be written. */
async function createOptimised(path: string, options: InferenceSession.SessionOptions) {
  const { InferenceSession, env } = await ort();
  const optimised = await optimisedOf(path, String(env.versions.node));
  if (optimised?.isThere) {
    try {
      return await InferenceSession.create(optimised.path, {
        ...options,
        graphOptimizationLevel: 'disabled',
      });
    } catch (error) {
      log.warn(
        { path: optimised.path, reason: reasonOf(error) },
        'not loaded as it was optimised; made anew',
      );
      await optimised.forget();
    }
  }
  try {
    if (optimised)
      return await optimised.keep((to) =>
        InferenceSession.create(path, { ...options, optimizedModelFilePath: to }),
      );
  } catch (error) {
    // The disk is full, or it is no network: that is said below.
    log.warn({ path: optimised?.path, reason: reasonOf(error) }, 'not kept as it was optimised');
  }
  return InferenceSession.create(path, options);
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

function tensorOf({ type, data, dims }: OrtTensor): Tensor {
  return { type: type as TensorType, data: data as TensorData, shape: [...dims] };
}

type Ort = typeof import('onnxruntime-node');
let runtime: Ort | undefined;

async function ort(): Promise<Ort> {
  // Node 24 has a Float16Array of its own, which onnxruntime 1.30 then expects for float16 and miscounts
  // (microsoft/onnxruntime#26791). Without it, it takes Uint16Array, as before.
  if (!runtime) {
    Reflect.deleteProperty(globalThis, 'Float16Array');
    // What networks take and give are arrays outside V8's heap. By default V8 marks its whole heap for every few tens of MB of
    // them: seven times a portrait, 40 ms. Counted together with a heap that may grow by V8's largest step, it hardly ever does:
    // 2 ms a portrait, alone or in a batch of four, for 100 MB more.
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

/** Which of `wanted` this machine has, and why it lacks the others. Each that it lacks is logged once. */
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

/** Those of `wanted` that this machine has. @throws {Error} when there is none */
export async function availableProviders(wanted: readonly Provider[] = ['cpu']): Promise<Provider[]> {
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

/** Tries it with the smallest of networks. */
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

/** What onnxruntime's error says, without the place in its source. */
export function reasonOf(error: unknown): string {
  const line = messageOf(error).trim().split('\n')[0] ?? '';
  return line
    .replace(/^\/onnxruntime_src\/\S+ .*? was false\. /, '')
    .replace(/^(\/onnxruntime_src\/\S+|OrtSessionOptionsAppend\w+:) /, '');
}

/**
 * Whatever allocator it was that had no more: onnxruntime's arena (which says the same of the CPU's memory and a GPU's), CUDA, cuBLAS and
 * cuDNN, TensorRT, C++ or V8.
 */
const OUT_OF_MEMORY =
  /failed to allocate memory|smaller than requested bytes|out[ _]?of[ _]?memory|alloc(ation)?_failed|bad[ _]alloc|array buffer allocation failed/i;

/**
 * Whether a run failed because there was not enough memory for it, so that a smaller one may do. onnxruntime has no code for that, only
 * words: microsoft/onnxruntime@009aae1 `core/framework/bfc_arena.cc` `Extend`, @1a42650 `core/providers/cuda/cuda_call.cc`
 * `CudaErrString`. TensorRT's provider mostly says in its log alone why it failed; that counts as any failure.
 */
export function isOutOfMemory(error: unknown): boolean {
  return OUT_OF_MEMORY.test(messageOf(error));
}
