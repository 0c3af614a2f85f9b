/**
 * The thread that draws. One ONNX run blocks its thread for as long as it takes, and the worker must go on renewing its
 * locks: so sessions live here, and the worker only waits.
 */
import { parentPort, workerData } from 'node:worker_threads';
import sharp from 'sharp';
import { rgbaToThumbHash } from 'thumbhash';
import {
  type Bitmap,
  detectFaces,
  drawPortrait,
  encodeFace,
  type FaceIdentity,
  type PortraitBundle,
} from '#pipelines/portrait.ts';
import { loadBundle, withLoras } from '#src/bundles/load.ts';
import { type LoraChoice, sayLoras } from '#src/bundles/lora-choice.ts';
import { metrics } from '#src/doors/metrics.ts';
import type { SessionOptions } from '#src/doors/onnx.ts';
import type { Ask, DrawResult, FacePhotos, ThreadMessage } from './protocol.ts';

/** Identities kept in memory; one is a few hundred KiB. */
const IDENTITIES_MAX = 64;
/** px; thumbhash takes at most 100 a side */
const THUMB_SIDE = 100;

const { dir, ...options } = workerData as { dir: string } & SessionOptions;
const port = parentPort;
if (!port) throw new Error('draw-thread.ts runs as a worker thread');
const say = (message: ThreadMessage, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);

const bundle = await loadBundle(dir, { ...options, onReport: (report) => say({ kind: 'session', report }) });
/** by the ids of the photos they are of */
const identities = new Map<
  string,
  { readonly photoIds: readonly string[]; readonly identity: FaceIdentity }
>();
/** The bundle with the LoRAs that were asked for last. One set is kept beside the plain one, as each is a UNet in memory. */
let merged: {
  readonly key: string;
  readonly bundle: PortraitBundle;
  readonly bytes: number;
  close(): Promise<void>;
} | null = null;
tellWeights();
const aborts = new Map<number, AbortController>();

port.on('message', (ask: Ask) => {
  if (ask.kind === 'abort') {
    aborts.get(ask.id)?.abort(new Error('cancelled'));
    return;
  }
  if (ask.kind === 'faces' || ask.kind === 'forget') {
    if (ask.kind === 'forget') forget(new Set(ask.photoIds));
    const photoIds = [...identities.values()].flatMap((known) => known.photoIds);
    say({ kind: 'remembered', id: ask.id, photoIds });
    return;
  }
  const abort = new AbortController();
  aborts.set(ask.id, abort);
  const work = ask.kind === 'draw' ? draw(ask, abort.signal) : countFaces(ask);
  work
    .catch((error: unknown) => {
      say({ kind: 'failed', id: ask.id, error: error instanceof Error ? error : new Error(String(error)) });
    })
    .finally(() => aborts.delete(ask.id));
});
say({ kind: 'ready', files: bundle.files });

async function draw(ask: Extract<Ask, { kind: 'draw' }>, signal: AbortSignal): Promise<void> {
  const { id, request } = ask;
  const timings: Record<string, number> = {};
  let stage = 'lora';
  let since = performance.now();
  const close = () => {
    timings[stage] = Math.round((timings[stage] ?? 0) + performance.now() - since);
    since = performance.now();
  };

  const drawnWith = await bundleWith(ask.loras);
  close();
  // Last, as the one before may take minutes: a face is held for no longer than it takes to draw it.
  stage = 'face';
  const face = ask.face && (await identityOf(ask.face));
  const stepsInAll = request.steps + (face ? request.detailSteps : 0);
  let steps = 0;
  const drawn = await drawPortrait(
    drawnWith,
    { ...request, face },
    {
      signal,
      onStage(next) {
        close();
        stage = next;
      },
      onStep() {
        steps++;
        say({ kind: 'progress', id, progress: Math.min(0.99, steps / stepsInAll) });
      },
    },
  );
  close();

  stage = 'encode';
  const { rgb, width, height } = drawn.picture;
  const raw = { raw: { width, height, channels: 3 } } as const;
  const png = await sharp(rgb, raw).png({ compressionLevel: 6 }).toBuffer();
  const small = await sharp(rgb, raw)
    .resize(THUMB_SIDE, THUMB_SIDE, { fit: 'inside' })
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const thumbhash = rgbaToThumbHash(small.info.width, small.info.height, small.data);
  close();

  const result: DrawResult = {
    png: new Uint8Array(png),
    width,
    height,
    thumbhash: new Uint8Array(thumbhash),
    scores: drawn.scores,
    likeness: drawn.likeness,
    timings,
  };
  say({ kind: 'drawn', id, result }, [result.png.buffer]);
}

/** Making and opening it takes seconds, and minutes where a set of LoRAs is new and the UNet is SDXL's. */
async function bundleWith(loras: readonly LoraChoice[]): Promise<PortraitBundle> {
  if (!loras.length) return bundle;
  const key = sayLoras(loras);
  const isWarm = merged?.key === key;
  metrics.warm({ what: 'loras', result: isWarm ? 'hit' : 'miss' });
  if (merged && isWarm) return merged.bundle;
  await merged?.close();
  merged = null;
  merged = { key, ...(await withLoras(dir, bundle, loras, options)) };
  tellWeights();
  return merged.bundle;
}

function tellWeights(): void {
  const [base, loras] = [bundle.bytes, merged?.bytes ?? 0];
  metrics.weights([
    [{ what: 'bundle' }, base],
    [{ what: 'loras' }, loras],
  ]);
}

async function countFaces({ id, photo }: Extract<Ask, { kind: 'count-faces' }>): Promise<void> {
  const faces = await detectFaces(bundle, await decode(photo));
  say({ kind: 'counted', id, faces: faces.length });
}

async function identityOf({ photoIds, photos }: FacePhotos): Promise<FaceIdentity> {
  const key = photoIds.join(' ');
  const known = identities.get(key);
  metrics.warm({ what: 'face', result: known ? 'hit' : 'miss' });
  if (known) return known.identity;
  const identity = await encodeFace(bundle, await Promise.all(photos.map(decode)));
  if (identities.size >= IDENTITIES_MAX) identities.delete(identities.keys().next().value ?? '');
  identities.set(key, { photoIds, identity });
  return identity;
}

/** What is drawn with one of them meanwhile has ended already: its row says so, and it hears of it at its next step. */
function forget(photoIds: ReadonlySet<string>): void {
  for (const [key, known] of identities)
    if (known.photoIds.some((id) => photoIds.has(id))) identities.delete(key);
}

/** Stored photos were decoded with limits when they were uploaded; the limits hold here too. */
async function decode(bytes: Uint8Array): Promise<Bitmap> {
  const { data, info } = await sharp(bytes, { limitInputPixels: 40_000_000 })
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { rgb: new Uint8Array(data), width: info.width, height: info.height };
}
