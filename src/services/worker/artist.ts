/** A bundle that is loaded, in threads of its own: promises over messages. What it takes of memory comes back when it is left. */
import { MessageChannel, Worker } from 'node:worker_threads';
import type { PortraitRequest } from '#pipelines/portrait.ts';
import type { LoraChoice } from '#src/bundles/lora-choice.ts';
import type { SessionOptions } from '#src/doors/onnx.ts';
import type { Identity } from '#src/marks/installation.ts';
import type { Circumstances } from '#src/moderation/verdicts.ts';
import type { DrawThreadData } from './draw-thread.ts';
import type { FinishThreadData } from './finish-thread.ts';
import {
  type Ask,
  BATCH_MAX,
  type DrawnTogether,
  type DrawResult,
  type FacePhotos,
  type PictureAsk,
  type Size,
  sizeOf,
  type ThreadMessage,
} from './protocol.ts';

/** One of the pictures that are drawn together. */
export interface AskedPicture {
  /** what its marks say */
  readonly generationId: string;
  readonly request: Omit<PortraitRequest, 'face'>;
  readonly face: FacePhotos | null;
  readonly where: Circumstances;
  /** It leaves at its next step, or at once where it waits, and its promise rejects; the others go on. */
  readonly signal: AbortSignal;
  /** 0…1, rising */
  readonly onProgress: (progress: number) => void;
  /** A part of its work begins, as the pipeline names it. */
  readonly onStage?: (stage: string) => void;
  /**
   * Small pictures on the way: WebP, 96 px at most, cleared by the classifiers; the first after `everyMs`. null: of the newest one it
   * was not, so what was told before is not to be seen any more. None when left out.
   */
  readonly previews?: { readonly everyMs: number; onPreview(webp: Uint8Array | null): void };
}

export interface Artist {
  /** the bundle's files that a picture depends on */
  readonly files: readonly string[];
  /**
   * Draws pictures of one shape (`SHARED` in pipelines/portrait.ts says of what) and one set of LoRAs as one batch. What is asked
   * while others are drawn waits for them, and begins without a gap: two batches in hand keep the networks busy.
   *
   * @returns a promise for each, kept as soon as that picture is ready; each of them rejects alone
   */
  drawTogether(pictures: readonly AskedPicture[], loras: readonly LoraChoice[]): Promise<DrawnTogether>[];
  /** How many pictures of that size memory had room for, as far as is known: less than four after a batch was too large. */
  batchMax(size: Size): number;
  /** Draws one portrait alone. */
  draw(
    request: Omit<PortraitRequest, 'face'>,
    face: FacePhotos | null,
    loras: readonly LoraChoice[],
    options: Pick<AskedPicture, 'generationId' | 'where' | 'signal' | 'onProgress'>,
  ): Promise<DrawResult>;
  countFaces(photo: Uint8Array): Promise<number>;
  /** Resolves when all that was asked for by now has left the networks: they are free. */
  rest(): Promise<void>;
  /** Loads a set of LoRAs beside what is drawn, unless it is there. @throws as `openLoras` */
  loadLoras(loras: readonly LoraChoice[]): Promise<void>;
  /** Lets sets of LoRAs and faces go, by their keys. Nothing may be drawn with them. */
  drop(loras: readonly string[], faces: readonly string[]): Promise<void>;
  /** Ids of the photos whose faces it remembers. */
  faces(): Promise<readonly string[]>;
  /** Forgets every face that has one of these photos. What waits to be drawn with one of them fails. */
  forget(photoIds: readonly string[]): Promise<void>;
  /** Rejects when a thread ends by itself: the worker cannot go on. */
  readonly broken: Promise<never>;
  /** Gives its memory back, and ends. Nothing may be drawn. */
  leave(): Promise<void>;
  /** Ends it, whatever it does. */
  close(): Promise<void>;
}

export interface ArtistOptions extends SessionOptions {
  /** what pictures are marked with */
  readonly identity: Identity;
  /** Told when a set of LoRAs or a face has come into memory. */
  readonly onKept?: (what: 'loras' | 'face', key: string, bytes: number) => void;
}

interface Waiting {
  resolve(message: ThreadMessage): void;
  reject(error: Error): void;
  readonly picture?: AskedPicture;
}

/** Starts the threads and loads the bundle. @throws {Error} naming what is wrong with the bundle */
export async function startArtist(
  dir: string,
  { identity, onReport, onKept, ...options }: ArtistOptions,
): Promise<Artist> {
  const { port1: finisher, port2: drawer } = new MessageChannel();
  const drawing: DrawThreadData = { dir, options, finisher };
  const finishing: FinishThreadData = { drawer, identity };
  const draws = new Worker(new URL('./draw-thread.ts', import.meta.url), {
    workerData: drawing,
    transferList: [finisher],
  });
  const finishes = new Worker(new URL('./finish-thread.ts', import.meta.url), {
    workerData: finishing,
    transferList: [drawer],
  });
  const waiting = new Map<number, Waiting>();
  const batchMax = new Map<string, number>();
  /** sets of LoRAs on their way */
  const loading = new Set<Promise<void>>();
  let last = 0;
  let closing = false;

  const { promise: loaded, resolve: ready, reject: fail } = Promise.withResolvers<readonly string[]>();
  const { promise: broken, reject: break_ } = Promise.withResolvers<never>();
  // Nobody may be listening yet, or any more.
  broken.catch(() => {});
  const end = (error: Error) => {
    fail(error);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
    if (!closing) break_(error);
  };
  for (const [name, thread] of Object.entries({ draw: draws, finish: finishes })) {
    thread.on('error', end);
    thread.on('exit', (code) => end(new Error(`The ${name} thread ended with ${code}`)));
    thread.on('message', hear);
  }

  function hear(message: ThreadMessage): void {
    switch (message.kind) {
      case 'ready':
        ready(message.files);
        break;
      case 'session':
        onReport?.(message.report);
        break;
      case 'kept':
        onKept?.(message.what, message.key, message.bytes);
        break;
      case 'batch-max':
        batchMax.set(message.size, message.most);
        break;
      // What is said of one that has ended meanwhile is for nobody.
      case 'progress':
        waiting.get(message.id)?.picture?.onProgress(message.progress);
        break;
      case 'stage':
        waiting.get(message.id)?.picture?.onStage?.(message.stage);
        break;
      case 'preview':
        waiting.get(message.id)?.picture?.previews?.onPreview(message.webp);
        break;
      default: {
        const asked = waiting.get(message.id);
        waiting.delete(message.id);
        if (message.kind === 'failed') asked?.reject(message.error);
        else asked?.resolve(message);
      }
    }
  }
  const files = await loaded.catch(async (error: unknown) => {
    closing = true;
    await Promise.all([draws.terminate(), finishes.terminate()]);
    throw error;
  });

  const send = (ask: Ask) => draws.postMessage(ask);
  async function close(): Promise<void> {
    closing = true;
    // To end a thread that opens a network crashes the process.
    await Promise.allSettled(loading);
    await Promise.all([draws.terminate(), finishes.terminate()]);
  }
  /** The answer to what is sent under that id. */
  function answer<K extends ThreadMessage['kind']>(id: number, kind: K, picture?: AskedPicture) {
    return new Promise<ThreadMessage & { kind: K }>((resolve, reject) => {
      waiting.set(id, {
        resolve(message) {
          if (message.kind === kind) resolve(message as ThreadMessage & { kind: K });
          else reject(new Error(`A thread answered ${message.kind}, not ${kind}`));
        },
        reject,
        ...(picture && { picture }),
      });
    });
  }

  async function loadLoras(loras: readonly LoraChoice[]): Promise<void> {
    if (closing) throw new Error('The bundle is let go');
    const id = ++last;
    send({ kind: 'load-loras', id, loras });
    const done = answer(id, 'did').then(() => {});
    loading.add(done);
    try {
      await done;
    } finally {
      loading.delete(done);
    }
  }

  async function drawn(id: number, picture: AskedPicture): Promise<DrawnTogether> {
    const abort = () => send({ kind: 'abort', id });
    picture.signal.addEventListener('abort', abort, { once: true });
    try {
      return (await answer(id, 'drawn', picture)).result;
    } finally {
      picture.signal.removeEventListener('abort', abort);
    }
  }

  function drawTogether(pictures: readonly AskedPicture[], loras: readonly LoraChoice[]) {
    const asks: (PictureAsk & { readonly generationId: string })[] = [];
    const results = pictures.map((picture) => {
      if (picture.signal.aborted) return Promise.reject(picture.signal.reason);
      const { generationId, request, face, where, previews } = picture;
      const id = ++last;
      asks.push({ id, generationId, request, face, where, previewEveryMs: previews?.everyMs ?? null });
      return drawn(id, picture);
    });
    if (!asks.length) return results;
    // Who draws with them hears why they do not load.
    if (loras.length) loadLoras(loras).catch(() => {});
    send({ kind: 'draw', pictures: asks, loras });
    return results;
  }

  return {
    files,
    drawTogether,
    batchMax: (size) => batchMax.get(sizeOf(size)) ?? BATCH_MAX,
    async draw(request, face, loras, options) {
      const [drawn] = drawTogether([{ request, face, ...options }], loras);
      const { batch: _, ...result } = await drawn!;
      return result;
    },
    async countFaces(photo) {
      const id = ++last;
      send({ kind: 'count-faces', id, photo });
      return (await answer(id, 'counted')).faces;
    },
    async faces() {
      const id = ++last;
      send({ kind: 'faces', id });
      return (await answer(id, 'remembered')).photoIds;
    },
    async forget(photoIds) {
      const id = ++last;
      send({ kind: 'forget', id, photoIds });
      await answer(id, 'remembered');
    },
    async rest() {
      const id = ++last;
      send({ kind: 'rest', id });
      await answer(id, 'did');
    },
    loadLoras,
    async drop(loras, faces) {
      const id = ++last;
      send({ kind: 'drop', id, loras, faces });
      await answer(id, 'did');
    },
    broken,
    async leave() {
      const id = ++last;
      send({ kind: 'close', id });
      try {
        await answer(id, 'did');
      } finally {
        await close();
      }
    },
    close,
  };
}
