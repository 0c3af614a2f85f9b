import sharp from 'sharp';
import type { Bitmap } from '#pipelines/bitmap.ts';

/** A picture file as 8-bit RGB. */
export async function readPicture(file: string | Buffer): Promise<Bitmap> {
  const { data, info } = await sharp(file).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { rgb: new Uint8Array(data), width: info.width, height: info.height };
}
