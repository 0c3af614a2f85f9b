/** A picture of an operator's own, upright. */
import sharp from 'sharp';
import type { Bitmap } from '#pipelines/bitmap.ts';

export async function readPicture(path: string): Promise<Bitmap> {
  const { data, info } = await sharp(path, { limitInputPixels: 40_000_000 })
    .autoOrient()
    .flatten({ background: '#fff' })
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { rgb: new Uint8Array(data), width: info.width, height: info.height };
}
