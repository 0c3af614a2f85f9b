/**
 * The door for people's files. Bytes come from Discord's own hosts alone, with a limit; a photo is decoded with limits,
 * turned upright and loses everything but its pixels.
 */
import sharp, { type Metadata } from 'sharp';
import { config } from '#config/env.ts';
import { UserError } from './errors.ts';
import { log } from './log.ts';

export interface Upload {
  /** as Discord signed it; it expires, so it is fetched at once and never kept */
  readonly url: string;
  readonly name: string;
  /** bytes, as Discord says */
  readonly size: number;
}

export interface Photo {
  readonly png: Buffer;
  /** px */
  readonly width: number;
  /** px */
  readonly height: number;
}

export const PHOTO_BYTES_MAX = 10 * 1024 * 1024;
const MEGAPIXELS_MAX = 40;
const SIDE_MIN = 128;
/** Stored photos are no larger: a face needs a few hundred pixels. px */
const SIDE_MAX = 1536;
const FETCH_WITHIN_MS = 15_000;
/** What the bytes say they are, whatever the file is called. SVG and PDF can name other files; GIF and TIFF hold many. */
const FORMATS = new Set(['jpeg', 'png', 'webp', 'heif']);
const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]']);

/** @throws {UserError} `file_large`, `upload_gone` */
export async function fetchUpload({ url, name, size }: Upload, bytesMax: number): Promise<Buffer> {
  if (size > bytesMax)
    throw new UserError('file_large', { what: name.slice(0, 60), bytes: size, max: bytesMax });
  const from = new URL(url);
  const known = config.discord.cdnHosts.includes(from.host);
  if (!known || (from.protocol !== 'https:' && !LOOPBACK.has(from.hostname))) {
    throw new Error('An upload is not on one of DISCORD_CDN_HOSTS');
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    // A redirect would lead wherever somebody likes.
    const response = await fetch(from, { redirect: 'error', signal: AbortSignal.timeout(FETCH_WITHIN_MS) });
    if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
    for await (const chunk of response.body) {
      bytes += chunk.length;
      if (bytes > bytesMax)
        throw new UserError('file_large', { what: name.slice(0, 60), bytes, max: bytesMax });
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    log.warn({ err: error }, 'upload not fetched');
    throw new UserError('upload_gone', { file: name });
  }
  return Buffer.concat(chunks);
}

/** @throws {UserError} `upload_not_image`, `upload_pixels`, `upload_small` */
export async function readPhoto(bytes: Buffer, file: string): Promise<Photo> {
  // The header first: a file of 32 KB can hold 300 megapixels, a gigabyte when decoded.
  let header: Metadata;
  try {
    header = await sharp(bytes, { limitInputPixels: false, failOn: 'error' }).metadata();
  } catch {
    throw new UserError('upload_not_image', { file });
  }
  const { format, width, height } = header;
  if (!format || !FORMATS.has(format) || !width || !height) throw new UserError('upload_not_image', { file });
  const megapixels = (width * height) / 1e6;
  if (megapixels > MEGAPIXELS_MAX) {
    throw new UserError('upload_pixels', { file, megapixels: Math.round(megapixels), max: MEGAPIXELS_MAX });
  }
  if (Math.min(width, height) < SIDE_MIN) throw new UserError('upload_small', { file, min: SIDE_MIN });
  try {
    const { data, info } = await sharp(bytes, {
      limitInputPixels: MEGAPIXELS_MAX * 1e6,
      failOn: 'error',
      pages: 1,
    })
      .autoOrient()
      .resize({ width: SIDE_MAX, height: SIDE_MAX, fit: 'inside', withoutEnlargement: true })
      .flatten({ background: '#fff' })
      .toColourspace('srgb')
      .png()
      .toBuffer({ resolveWithObject: true });
    return { png: data, width: info.width, height: info.height };
  } catch {
    throw new UserError('upload_not_image', { file });
  }
}
