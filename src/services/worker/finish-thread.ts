/**
 * The thread that finishes: pixels to files, with their marks. That takes a tenth of a second for a picture; here the next one's networks
 * do not wait for it, and its own end does not wait for their runs.
 */
import { createHash } from 'node:crypto';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import sharp from 'sharp';
import { rgbaToThumbHash } from 'thumbhash';
import type { Bitmap } from '#pipelines/bitmap.ts';
import { embedWatermark } from '#pipelines/watermark/embed.ts';
import { type Identity, takeIdentity } from '#src/marks/installation.ts';
import { markPicture, watermarkOf } from '#src/marks/marks.ts';
import type { DrawnTogether, Pixels, ThreadMessage } from './protocol.ts';

export interface FinishThreadData {
  /** to the draw thread */
  readonly drawer: MessagePort;
  readonly identity: Identity;
}

/** px; thumbhash takes at most 100 a side */
const THUMB_SIDE = 100;
/** Of zlib. Somebody waits for it: 6 takes half as long again for 2 % fewer bytes. */
const COMPRESSION = 3;
/** A preview of 96 px is 0.5 to 3 kB then, and its marks 3 more. */
const PREVIEW_QUALITY = 60;

const { drawer, identity } = workerData as FinishThreadData;
takeIdentity(identity);
const port = parentPort;
if (!port) throw new Error('finish-thread.ts runs as a worker thread');
const say = (message: ThreadMessage, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);

drawer.on('message', (pixels: Pixels) => {
  const { id } = pixels;
  const work = pixels.kind === 'picture' ? finish(pixels) : show(pixels);
  work.catch((error: unknown) => {
    // Nobody waits for a preview.
    if (pixels.kind === 'picture')
      say({ kind: 'failed', id, error: error instanceof Error ? error : new Error(String(error)) });
  });
});

type Of<Kind> = Extract<Pixels, { readonly kind: Kind }>;

async function finish({ id, generationId, picture: drawn, facts }: Of<'picture'>): Promise<void> {
  const startedAt = performance.now();
  const { width, height } = drawn;
  const mark = await watermarkOf(generationId);
  const picture = embedWatermark(drawn, mark);
  const [{ bytes: png }, small] = await Promise.all([
    markPicture(rawOf(picture).png({ compressionLevel: COMPRESSION }), 'drawn', mark),
    rawOf(picture)
      .resize(THUMB_SIDE, THUMB_SIDE, { fit: 'inside' })
      .ensureAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true }),
  ]);
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

async function show({ id, picture }: Of<'preview'>): Promise<void> {
  // Too small for a watermark.
  const { bytes } = await markPicture(rawOf(picture).webp({ quality: PREVIEW_QUALITY }), 'drawn');
  const webp = new Uint8Array(bytes);
  say({ kind: 'preview', id, webp }, [webp.buffer]);
}

const rawOf = ({ rgb, width, height }: Bitmap) => sharp(rgb, { raw: { width, height, channels: 3 } });
