/** What is seen while a picture loads: its thumbhash as a blur of some 150 bytes, inside the page. */
import sharp from 'sharp';
import { thumbHashToRGBA } from 'thumbhash';
import type { PublishedPicture } from '#src/gallery.ts';
import { LruCache } from '#src/lru-cache.ts';

const remembered = new LruCache<string | null>(10_000);

/** A data URL; null when the hash is none. */
export async function placeholderOf({ id, thumbhash }: PublishedPicture): Promise<string | null> {
  let url = remembered.get(id);
  if (url === undefined) {
    url = await draw(thumbhash).catch(() => null);
    remembered.set(id, url, 1);
  }
  return url;
}

async function draw(thumbhash: Uint8Array): Promise<string> {
  const { w: width, h: height, rgba } = thumbHashToRGBA(thumbhash);
  const webp = await sharp(rgba, { raw: { width, height, channels: 4 } })
    .removeAlpha()
    .resize({ width: 16 })
    .webp({ quality: 40, effort: 4 })
    .toBuffer();
  return `data:image/webp;base64,${webp.toString('base64')}`;
}
