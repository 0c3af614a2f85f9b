/**
 * The thread of one set of LoRAs: the networks that it changes are made, opened and run here. To open a network blocks the thread that
 * does it, for seconds with SDXL, and to merge files that are new takes minutes; the draw thread goes on with others meanwhile.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { LoraTarget } from '#pipelines/lora/file.ts';
import type { Tensor, TensorInfo } from '#pipelines/session.ts';
import { type LoadedBundle, openLoras } from '#src/bundles/load.ts';
import type { LoraChoice } from '#src/bundles/lora-choice.ts';
import type { SessionOptions } from '#src/doors/onnx.ts';
import { clearAway } from '#src/garbage.ts';

export interface LoraThreadData {
  readonly dir: string;
  readonly networks: LoadedBundle['networks'];
  readonly loras: readonly LoraChoice[];
  readonly options: Omit<SessionOptions, 'onReport'>;
}

/** from the draw thread */
export type LoraAsk =
  | {
      readonly kind: 'run';
      readonly id: number;
      readonly target: LoraTarget;
      readonly feeds: Readonly<Record<string, Tensor>>;
      readonly fetches: readonly string[] | undefined;
    }
  /** to close every session; nothing is asked for any more */
  | { readonly kind: 'close'; readonly id: number };

/** to it */
export type LoraTold =
  | {
      readonly kind: 'ready';
      /** of their files */
      readonly bytes: number;
      readonly networks: readonly {
        readonly target: LoraTarget;
        readonly inputs: readonly TensorInfo[];
        readonly outputs: readonly TensorInfo[];
      }[];
    }
  | { readonly kind: 'done'; readonly id: number; readonly results: Record<string, Tensor> }
  | { readonly kind: 'failed'; readonly id: number; readonly error: Error };

const { dir, networks, loras, options } = workerData as LoraThreadData;
const port = parentPort;
if (!port) throw new Error('lora-thread.ts runs as a worker thread');
const say = (told: LoraTold, transfer: ArrayBuffer[] = []) => port.postMessage(told, transfer);

const { sessions, bytes, close } = await openLoras(dir, networks, loras, options);

async function follow(ask: LoraAsk): Promise<Record<string, Tensor>> {
  if (ask.kind === 'close') {
    await close();
    return {};
  }
  const session = sessions[ask.target];
  if (!session) throw new Error(`These LoRAs do not change ${ask.target}`);
  return session.run(ask.feeds, ask.fetches);
}

port.on('message', (ask: LoraAsk) => {
  const { id } = ask;
  follow(ask).then(
    (results) => say({ kind: 'done', id, results }, buffersOf(results)),
    (error: unknown) =>
      say({ kind: 'failed', id, error: error instanceof Error ? error : new Error(String(error)) }),
  );
});
clearAway();
say({
  kind: 'ready',
  bytes,
  networks: (Object.keys(sessions) as LoraTarget[]).flatMap((target) => {
    const session = sessions[target];
    return session ? { target, inputs: session.inputs, outputs: session.outputs } : [];
  }),
});

/** Nothing here looks at results again: they are handed over, each buffer once. */
function buffersOf(results: Readonly<Record<string, Tensor>>): ArrayBuffer[] {
  const buffers = Object.values(results).map(({ data }) => data.buffer);
  return [...new Set(buffers)].filter((buffer) => buffer instanceof ArrayBuffer);
}
