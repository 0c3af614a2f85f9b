/**
 * The door for people's files. Bytes come from Discord's own hosts alone, with a limit; a photo is decoded with limits,
 * turned upright and loses everything but its pixels.
 */
import sharp, { type Metadata } from 'sharp';
import { config } from '#config/env.ts';
import { log } from './doors/log.ts';
import { UserError } from './errors.ts';
import { quote } from './text.ts';

export interface Upload {
  /** as Discord signed it; it expires, so it is fetched at once and never kept */
  readonly url: string;
  readonly name: string;
  /** bytes, as Discord says */
  readonly size: number;
}

/** Upright, sRGB, without metadata. */
export interface Photo {
  readonly png: Buffer;
  /** px */
  readonly width: number;
  /** px */
  readonly height: number;
}

export const PHOTO_BYTES_MAX = 10 * 1024 * 1024;
const MEGAPIXELS_MAX = 40;
/** px */
const SIDE_MIN = 128;
/** Stored photos are no larger: a face needs a few hundred pixels. px */
const SIDE_MAX = 1536;
const FETCH_WITHIN_MS = 15_000;
const DECODE_WITHIN_S = 15;
const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]']);

/** @throws {UserError} `file_large`, `upload_gone` */
export async function fetchUpload({ url, name, size }: Upload, bytesMax: number): Promise<Buffer> {
  const tooLarge = (bytes: number) =>
    new UserError('file_large', { what: quote(name), bytes, max: bytesMax });
  if (size > bytesMax) throw tooLarge(size);
  const from = permitted(url);
  if (!from) {
    // Discord sends no such thing: a wrong DISCORD_CDN_HOSTS, or somebody who tries.
    log.error({ hosts: config.discord.cdnHosts }, 'an upload is on none of DISCORD_CDN_HOSTS');
    throw new UserError('upload_gone', { file: name });
  }

  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    // A redirect would lead wherever somebody likes.
    const response = await fetch(from, { redirect: 'error', signal: AbortSignal.timeout(FETCH_WITHIN_MS) });
    if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
    for await (const chunk of response.body) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw tooLarge(bytes);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    log.warn({ err: error }, 'upload not fetched');
    throw new UserError('upload_gone', { file: name });
  }
  return Buffer.concat(chunks);
}

/** The URL, when it is by https and we may fetch from its host and port; by http only on this machine. */
function permitted(url: string): URL | null {
  const from = URL.parse(url);
  if (!from || from.username || from.password) return null;
  if (!config.discord.cdnHosts.includes(from.host)) return null;
  const secure = from.protocol === 'https:' || (from.protocol === 'http:' && LOOPBACK.has(from.hostname));
  return secure ? from : null;
}

/** @throws {UserError} `upload_not_image`, `upload_pixels`, `upload_small` */
export async function readPhoto(bytes: Buffer, file: string): Promise<Photo> {
  const notImage = () => new UserError('upload_not_image', { file });
  const expected = formatOf(bytes);
  if (!expected) throw notImage();
  // The header first: a file of 32 KB can hold 300 megapixels, a gigabyte when decoded.
  let header: Metadata;
  try {
    header = await sharp(bytes, { limitInputPixels: false, failOn: 'error' }).metadata();
  } catch {
    throw notImage();
  }
  const { format, compression, width, height } = header;
  if (format !== expected || (format === 'heif' && compression !== 'av1')) throw notImage();
  const megapixels = (width * height) / 1e6;
  if (megapixels > MEGAPIXELS_MAX)
    throw new UserError('upload_pixels', { file, megapixels: Math.ceil(megapixels), max: MEGAPIXELS_MAX });

  const tooSmall = new UserError('upload_small', { file, min: SIDE_MIN });
  if (Math.min(width, height) < SIDE_MIN) throw tooSmall;
  try {
    // sharp writes no metadata that it is not asked to keep. It takes the first picture of an animation.
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
      .timeout({ seconds: DECODE_WITHIN_S })
      .toBuffer({ resolveWithObject: true });
    // Little is left of a very long picture when it is scaled down.
    if (Math.min(info.width, info.height) < SIDE_MIN) throw tooSmall;
    return { png: data, width: info.width, height: info.height };
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw notImage();
  }
}

/**
 * What a file is by its first bytes, in sharp's words; null for anything but JPEG, PNG, WebP and AVIF. Asked before
 * sharp sees the file: its readers of SVG, GIF and the rest are then never run.
 */
function formatOf(bytes: Buffer): 'jpeg' | 'png' | 'webp' | 'heif' | null {
  const ascii = (from: number, to: number) => bytes.toString('latin1', from, to);
  if (ascii(0, 3) === '\xff\xd8\xff') return 'jpeg';
  if (ascii(0, 8) === '\x89PNG\r\n\x1a\n') return 'png';
  if (ascii(0, 4) === 'RIFF' && ascii(8, 12) === 'WEBP') return 'webp';
  if (ascii(4, 8) === 'ftyp' && ['avif', 'mif1'].includes(ascii(8, 12))) return 'heif';
  return null;
}
