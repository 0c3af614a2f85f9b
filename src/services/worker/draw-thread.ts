/**
 * The thread that draws. One ONNX run blocks its thread for as long as it takes, and the worker must go on renewing its
 * locks: so sessions live here, and the worker only waits. What a picture needs beside networks is done in finish-thread.ts.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type Bitmap, detectFaces, type PortraitBundle } from '#pipelines/portrait.ts';
import { loadBundle, withLoras } from '#src/bundles/load.ts';
import { type LoraChoice, sayLoras } from '#src/bundles/lora-choice.ts';
import { metrics } from '#src/doors/metrics.ts';
import type { SessionOptions } from '#src/doors/onnx.ts';
import { openEasel, openPhoto } from './easel.ts';
import type { Ask, Pixels, ThreadMessage } from './protocol.ts';

export interface DrawThreadData {
  readonly dir: string;
  readonly options: Omit<SessionOptions, 'onReport'>;
  /** to the finish thread */
  readonly finisher: MessagePort;
}

const { dir, options, finisher } = workerData as DrawThreadData;
const port = parentPort;
if (!port) throw new Error('draw-thread.ts runs as a worker thread');
const say = (message: ThreadMessage) => port.postMessage(message);
/** The pixels leave this thread: nothing here looks at them again. */
const hand = (pixels: Pixels) => finisher.postMessage(pixels, [bufferOf(pixels.picture)]);

const bundle = await loadBundle(dir, { ...options, onReport: (report) => say({ kind: 'session', report }) });
/** The bundle with sets of LoRAs in it. Which are kept is the worker's to say, see pool.ts. */
const merged = new Map<string, { readonly bundle: PortraitBundle; close(): Promise<void> }>();

const easel = openEasel(bundle, bundleWith, {
  progress: (id, progress) => say({ kind: 'progress', id, progress }),
  stage: (id, stage) => say({ kind: 'stage', id, stage }),
  preview(id, picture) {
    if (picture) hand({ kind: 'preview', id, picture });
    else say({ kind: 'preview', id, webp: null });
  },
  drawn: (id, picture, facts) => hand({ kind: 'picture', id, picture, facts }),
  failed: (id, error) => say({ kind: 'failed', id, error }),
  batchMax: (size, most) => say({ kind: 'batch-max', size, most }),
  remembered: (key, bytes) => say({ kind: 'kept', what: 'face', key, bytes }),
});
/** Says that it is done, or why not. */
const did = (id: number, work: Promise<unknown>) =>
  void work.then(
    () => say({ kind: 'did', id }),
    (error: unknown) => say({ kind: 'failed', id, error: asError(error) }),
  );

port.on('message', (ask: Ask) => {
  switch (ask.kind) {
    case 'draw':
      return easel.draw(ask.pictures, ask.loras);
    case 'abort':
      return easel.cancel(ask.id);
    case 'forget':
      easel.forget(new Set(ask.photoIds));
      return say({ kind: 'remembered', id: ask.id, photoIds: easel.photoIds() });
    case 'faces':
      return say({ kind: 'remembered', id: ask.id, photoIds: easel.photoIds() });
    case 'count-faces':
      countFaces(ask.photo).then(
        (faces) => say({ kind: 'counted', id: ask.id, faces }),
        (error: unknown) => say({ kind: 'failed', id: ask.id, error: asError(error) }),
      );
      return;
    case 'drop':
      easel.drop(ask.faces);
      return did(ask.id, Promise.all(ask.loras.map(dropLoras)));
    case 'rest':
      return did(ask.id, easel.rest());
    case 'close':
      return did(ask.id, closeAll());
  }
});
say({ kind: 'ready', files: bundle.files });

/** Making and opening it takes seconds, and minutes where a set of LoRAs is new and the UNet is SDXL's. */
async function bundleWith(loras: readonly LoraChoice[]): Promise<PortraitBundle> {
  if (!loras.length) return bundle;
  const key = sayLoras(loras);
  const known = merged.get(key);
  metrics.warm({ what: 'loras', result: known ? 'hit' : 'miss' });
  if (known) return known.bundle;
  const startedAt = performance.now();
  const made = await withLoras(dir, bundle, loras, options);
  merged.set(key, made);
  say({ kind: 'kept', what: 'loras', key, bytes: made.bytes });
  metrics.poolLoad({ what: 'loras' }, (performance.now() - startedAt) / 1_000);
  return made.bundle;
}

async function dropLoras(key: string): Promise<void> {
  const known = merged.get(key);
  merged.delete(key);
  await known?.close();
}

/** What a thread has open when it ends, is given back some time; what it closes, now. */
async function closeAll(): Promise<void> {
  await Promise.all([...merged.keys()].map(dropLoras));
  await bundle.close();
}

const asError = (error: unknown) => (error instanceof Error ? error : new Error(String(error)));

const countFaces = async (photo: Uint8Array) => (await detectFaces(bundle, await openPhoto(photo))).length;

function bufferOf({ rgb }: Bitmap): ArrayBuffer {
  if (rgb.buffer instanceof ArrayBuffer) return rgb.buffer;
  throw new TypeError('Pixels of shared memory cannot be handed over');
}
