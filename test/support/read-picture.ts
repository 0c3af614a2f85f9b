import { createHash } from 'node:crypto';
import sharp from 'sharp';
import type { Bitmap } from '#pipelines/bitmap.ts';

/** A picture file as 8-bit RGB. */
export async function readPicture(file: string | Buffer): Promise<Bitmap> {
  const { data, info } = await sharp(file).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { rgb: new Uint8Array(data), width: info.width, height: info.height };
}

/** sha256 of a picture's pixels. Two files of the same ones differ: each is signed, at its own time. */
export async function pixelsOf({ png }: { readonly png: Uint8Array }): Promise<string> {
  const { rgb } = await readPicture(Buffer.from(png));
  return createHash('sha256').update(rgb).digest('hex');
}

/** Levels between two pictures of one size, root mean square. */
export async function rmsBetween(a: string | Buffer, b: string | Buffer): Promise<number> {
  const [{ rgb: one }, { rgb: other }] = [await readPicture(a), await readPicture(b)];
  return Math.sqrt(one.reduce((sum, level, i) => sum + (level - other[i]!) ** 2, 0) / one.length);
}
