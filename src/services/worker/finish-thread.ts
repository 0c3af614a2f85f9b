/**
 * The thread that finishes: pixels to files. Encoding a picture takes tens of milliseconds; here the next picture's networks do not
 * wait for it, and its own end does not wait for their runs.
 */
import { createHash } from 'node:crypto';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import sharp from 'sharp';
import { rgbaToThumbHash } from 'thumbhash';
import type { Bitmap } from '#pipelines/bitmap.ts';
import type { DrawnFacts, DrawnTogether, Pixels, ThreadMessage } from './protocol.ts';

export interface FinishThreadData {
  /** to the draw thread */
  readonly drawer: MessagePort;
}

/** px; thumbhash takes at most 100 a side */
const THUMB_SIDE = 100;
/** A preview of 96 px is 0.5 to 3 kB then. */
const PREVIEW_QUALITY = 60;

const { drawer } = workerData as FinishThreadData;
const port = parentPort;
if (!port) throw new Error('finish-thread.ts runs as a worker thread');
const say = (message: ThreadMessage, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);

drawer.on('message', (pixels: Pixels) => {
  const { id } = pixels;
  const work =
    pixels.kind === 'picture' ? finish(id, pixels.picture, pixels.facts) : show(id, pixels.picture);
  work.catch((error: unknown) => {
    // Nobody waits for a preview.
    if (pixels.kind === 'picture')
      say({ kind: 'failed', id, error: error instanceof Error ? error : new Error(String(error)) });
  });
});

async function finish(id: number, picture: Bitmap, facts: DrawnFacts): Promise<void> {
  const startedAt = performance.now();
  const { width, height } = picture;
  const png = await rawOf(picture).png({ compressionLevel: 6 }).toBuffer();
  const small = await rawOf(picture)
    .resize(THUMB_SIDE, THUMB_SIDE, { fit: 'inside' })
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const thumbhash = rgbaToThumbHash(small.info.width, small.info.height, small.data);
  const result: DrawnTogether = {
    ...facts,
    png: new Uint8Array(png),
    width,
    height,
    thumbhash: new Uint8Array(thumbhash),
    sha256: createHash('sha256').update(png).digest('hex'),
    timings: { ...facts.timings, encode: Math.round(performance.now() - startedAt) },
  };
  say({ kind: 'drawn', id, result }, [result.png.buffer]);
}

async function show(id: number, picture: Bitmap): Promise<void> {
  const webp = new Uint8Array(await rawOf(picture).webp({ quality: PREVIEW_QUALITY }).toBuffer());
  say({ kind: 'preview', id, webp }, [webp.buffer]);
}

const rawOf = ({ rgb, width, height }: Bitmap) => sharp(rgb, { raw: { width, height, channels: 3 } });
