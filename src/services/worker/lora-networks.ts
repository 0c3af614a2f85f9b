/** A set of LoRAs in a thread of its own (lora-thread.ts), as the draw thread has it: sessions like its own. */
import { Worker } from 'node:worker_threads';
import type { LoraTarget } from '#pipelines/lora/file.ts';
import type { Session, Tensor } from '#pipelines/session.ts';
import type { LoraNetworks } from '#src/bundles/load.ts';
import type { LoraAsk, LoraThreadData, LoraTold } from './lora-thread.ts';

type Question<A = LoraAsk> = A extends LoraAsk ? Omit<A, 'id'> : never;

/** Starts the thread and loads the set. @throws as `openLoras` */
export async function startLoras(data: LoraThreadData): Promise<LoraNetworks> {
  const thread = new Worker(new URL('./lora-thread.ts', import.meta.url), { workerData: data });
  const waiting = new Map<number, PromiseWithResolvers<Record<string, Tensor>>>();
  const { promise: loaded, resolve: ready, reject: fail } = Promise.withResolvers<Loaded>();
  let last = 0;

  const end = (error: Error) => {
    fail(error);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  thread.on('error', end);
  thread.on('exit', (code) => end(new Error(`The thread of a set of LoRAs ended with ${code}`)));
  thread.on('message', (told: LoraTold) => {
    if (told.kind === 'ready') return ready(told);
    const asked = waiting.get(told.id);
    waiting.delete(told.id);
    if (told.kind === 'done') asked?.resolve(told.results);
    else asked?.reject(told.error);
  });

  function ask(question: Question): Promise<Record<string, Tensor>> {
    const id = ++last;
    const answer = Promise.withResolvers<Record<string, Tensor>>();
    waiting.set(id, answer);
    thread.postMessage({ ...question, id } satisfies LoraAsk);
    return answer.promise;
  }

  const { bytes, networks } = await loaded.catch(async (error: unknown) => {
    await thread.terminate();
    throw error;
  });
  const sessions: Partial<Record<LoraTarget, Session>> = {};
  for (const { target, inputs, outputs } of networks) {
    sessions[target] = {
      inputs,
      outputs,
      run: (feeds, fetches) => ask({ kind: 'run', target, feeds, fetches }),
    };
  }
  return {
    sessions,
    bytes,
    async close() {
      try {
        await ask({ kind: 'close' });
      } finally {
        await thread.terminate();
      }
    },
  };
}

type Loaded = Extract<LoraTold, { kind: 'ready' }>;
