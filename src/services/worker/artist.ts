/** The worker's side of its draw thread: promises over messages. */
import { Worker } from 'node:worker_threads';
import type { PortraitRequest } from '#pipelines/portrait.ts';
import type { LoraChoice } from '#src/bundles/lora-choice.ts';
import type { SessionOptions } from '#src/doors/onnx.ts';
import type { Ask, DrawResult, FacePhotos, ThreadMessage } from './protocol.ts';

export interface Artist {
  /** the bundle's files that a picture depends on */
  readonly files: readonly string[];
  /** Draws one portrait. `signal` ends it at its next step. */
  draw(
    request: Omit<PortraitRequest, 'face'>,
    face: FacePhotos | null,
    loras: readonly LoraChoice[],
    options: { signal: AbortSignal; onProgress: (progress: number) => void },
  ): Promise<DrawResult>;
  countFaces(photo: Uint8Array): Promise<number>;
  /** Ids of the photos whose faces it remembers. */
  faces(): Promise<readonly string[]>;
  /** Forgets every face that has one of these photos. */
  forget(photoIds: readonly string[]): Promise<void>;
  /** Rejects when the thread ends by itself: the worker cannot go on. */
  readonly broken: Promise<never>;
  close(): Promise<void>;
}

interface Waiting {
  resolve(message: ThreadMessage): void;
  reject(error: Error): void;
  onProgress?: (progress: number) => void;
}

/** Starts the thread and loads the bundle in it. @throws {Error} naming what is wrong with the bundle */
export async function startArtist(dir: string, { onReport, ...options }: SessionOptions): Promise<Artist> {
  const workerData = { dir, ...options };
  const thread = new Worker(new URL('./draw-thread.ts', import.meta.url), { workerData });
  const waiting = new Map<number, Waiting>();
  let last = 0;
  let closing = false;

  let ready: (files: readonly string[]) => void = () => {};
  let fail: (error: Error) => void = () => {};
  const loaded = new Promise<readonly string[]>((resolve, reject) => {
    ready = resolve;
    fail = reject;
  });
  let break_: (error: Error) => void = () => {};
  const broken = new Promise<never>((_, reject) => {
    break_ = reject;
  });
  // Nobody may be listening yet, or any more.
  broken.catch(() => {});
  const end = (error: Error) => {
    fail(error);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
    if (!closing) break_(error);
  };
  thread.on('error', end);
  thread.on('exit', (code) => end(new Error(`The draw thread ended with ${code}`)));
  thread.on('message', (message: ThreadMessage) => {
    if (message.kind === 'ready') return ready(message.files);
    if (message.kind === 'session') return onReport?.(message.report);
    const ask = waiting.get(message.id);
    if (!ask) return;
    if (message.kind === 'progress') return ask.onProgress?.(message.progress);
    waiting.delete(message.id);
    if (message.kind === 'failed') ask.reject(message.error);
    else ask.resolve(message);
  });
  const files = await loaded;

  function ask(make: (id: number) => Ask, onProgress?: (progress: number) => void, signal?: AbortSignal) {
    const id = ++last;
    const send = (one: Ask) => thread.postMessage(one);
    return new Promise<ThreadMessage>((resolve, reject) => {
      waiting.set(id, { resolve, reject, ...(onProgress && { onProgress }) });
      signal?.addEventListener('abort', () => send({ kind: 'abort', id }), { once: true });
      send(make(id));
    });
  }

  return {
    files,
    async draw(request, face, loras, { signal, onProgress }) {
      signal.throwIfAborted();
      const answer = await ask((id) => ({ kind: 'draw', id, request, face, loras }), onProgress, signal);
      if (answer.kind !== 'drawn') throw new Error(`The draw thread answered ${answer.kind}`);
      return answer.result;
    },
    async countFaces(photo) {
      const answer = await ask((id) => ({ kind: 'count-faces', id, photo }));
      if (answer.kind !== 'counted') throw new Error(`The draw thread answered ${answer.kind}`);
      return answer.faces;
    },
    async faces() {
      const answer = await ask((id) => ({ kind: 'faces', id }));
      if (answer.kind !== 'remembered') throw new Error(`The draw thread answered ${answer.kind}`);
      return answer.photoIds;
    },
    async forget(photoIds) {
      await ask((id) => ({ kind: 'forget', id, photoIds }));
    },
    broken,
    async close() {
      closing = true;
      await thread.terminate();
    },
  };
}
