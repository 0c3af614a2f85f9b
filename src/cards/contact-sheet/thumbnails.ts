/** Pictures in the size of a cell, kept in memory: a sheet is drawn again and again while its batch goes on. */
import sharp from 'sharp';
import { LruCache } from '#src/lru-cache.ts';
import { colours } from './colours.ts';

export interface Thumbnail {
  /** RGB, a byte each */
  readonly data: Buffer;
  /** px */
  readonly width: number;
  /** px */
  readonly height: number;
}

/** Bytes of pixels. */
const MEMORY_MAX = 96 * 1024 * 1024;
/** `id width height` → thumbnail */
const thumbnails = new LruCache<Thumbnail>(MEMORY_MAX);

/** The whole picture, as large as fits inside. @param load asked only when the thumbnail is not in memory */
export async function loadThumbnail(
  id: string,
  load: () => Promise<Uint8Array>,
  width: number,
  height: number,
): Promise<Thumbnail> {
  const key = `${id} ${width}x${height}`;
  const known = thumbnails.get(key);
  if (known) return known;
  const [r, g, b] = colours.page;
  const { data, info } = await sharp(await load())
    .resize(width, height, { fit: 'inside' })
    .flatten({ background: { r, g, b } })
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const thumbnail = { data, width: info.width, height: info.height };
  thumbnails.set(key, thumbnail, data.length);
  return thumbnail;
}
