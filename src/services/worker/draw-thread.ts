/**
 * The thread that draws. One ONNX run blocks its thread for as long as it takes, and the worker must go on renewing its
 * locks: so sessions live here, and the worker only waits. What a picture needs beside networks is done in finish-thread.ts.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type Bitmap, detectFaces, type PortraitBundle } from '#pipelines/portrait.ts';
import { type LoraNetworks, loadBundle } from '#src/bundles/load.ts';
import { type LoraChoice, sayLoras } from '#src/bundles/lora-choice.ts';
import { metrics } from '#src/doors/metrics.ts';
import type { SessionOptions } from '#src/doors/onnx.ts';
import { clearAway } from '#src/garbage.ts';
import { openEasel, openPhoto } from './easel.ts';
import { startLoras } from './lora-networks.ts';
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

/** Nobody waits longer for what a classifier says of a picture: it is held for review then. ms */
const CLASSIFIER_LIMIT_MS = 10_000;

const bundle = await loadBundle(dir, {
  ...options,
  classifierLimitMs: CLASSIFIER_LIMIT_MS,
  onReport: (report) => say({ kind: 'session', report }),
});
/** Sets of LoRAs that are loaded or on their way, by what they are called. Which are kept is the worker's to say, see pool.ts. */
const sets = new Map<string, LoraSet>();
interface LoraSet {
  readonly networks: Promise<LoraNetworks>;
  /** no turn was drawn with it yet */
  isFresh: boolean;
}

/** Of each picture that has not ended: its marks name it. */
const generationIds = new Map<number, string>();

const easel = openEasel(bundle, bundleWith, {
  progress: (id, progress) => say({ kind: 'progress', id, progress }),
  stage: (id, stage) => say({ kind: 'stage', id, stage }),
  preview(id, picture) {
    if (picture) hand({ kind: 'preview', id, picture });
    else say({ kind: 'preview', id, webp: null });
  },
  drawn(id, picture, facts) {
    hand({ kind: 'picture', id, generationId: generationIds.get(id) ?? '', picture, facts });
    generationIds.delete(id);
  },
  failed(id, error) {
    say({ kind: 'failed', id, error });
    generationIds.delete(id);
  },
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
      for (const { id, generationId } of ask.pictures) generationIds.set(id, generationId);
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
    case 'load-loras':
      return did(ask.id, setOf(ask.loras).networks);
    case 'drop':
      easel.drop(ask.faces);
      return did(ask.id, Promise.all(ask.loras.map(dropLoras)));
    case 'rest':
      return did(ask.id, easel.rest());
    case 'close':
      return did(ask.id, closeAll());
  }
});
clearAway();
say({ kind: 'ready', files: bundle.files });

async function bundleWith(loras: readonly LoraChoice[]): Promise<PortraitBundle> {
  if (!loras.length) return bundle;
  const set = setOf(loras);
  if (!set.isFresh) metrics.warm({ what: 'loras', result: 'hit' });
  set.isFresh = false;
  return { ...bundle, ...(await set.networks).sessions };
}

/** Loads it in a thread of its own, unless it is there. One that does not load is tried again by who asks next. */
function setOf(loras: readonly LoraChoice[]): LoraSet {
  const key = sayLoras(loras);
  const known = sets.get(key);
  if (known) return known;
  metrics.warm({ what: 'loras', result: 'miss' });
  const startedAt = performance.now();
  const networks = startLoras({ dir, networks: bundle.networks, loras, options });
  const set: LoraSet = { networks, isFresh: true };
  sets.set(key, set);
  networks.then(
    ({ bytes }) => {
      say({ kind: 'kept', what: 'loras', key, bytes });
      metrics.poolLoad({ what: 'loras' }, (performance.now() - startedAt) / 1_000);
    },
    () => sets.delete(key),
  );
  return set;
}

async function dropLoras(key: string): Promise<void> {
  const known = sets.get(key);
  sets.delete(key);
  await (await known?.networks)?.close();
}

/** What a thread has open when it ends, is given back some time; what it closes, now. */
async function closeAll(): Promise<void> {
  await Promise.all([...sets.keys()].map(dropLoras));
  await bundle.close();
}

const asError = (error: unknown) => (error instanceof Error ? error : new Error(String(error)));

const countFaces = async (photo: Uint8Array) => (await detectFaces(bundle, await openPhoto(photo))).length;

function bufferOf({ rgb }: Bitmap): ArrayBuffer {
  if (rgb.buffer instanceof ArrayBuffer) return rgb.buffer;
  throw new TypeError('Pixels of shared memory cannot be handed over');
}
