/** Pictures made smaller for where they are shown, marked anew. */
import sharp from 'sharp';
import { markPicture, type Source } from '#src/marks/marks.ts';

/** px; and below, ever smaller */
const SIDES = [Number.POSITIVE_INFINITY, 1024, 768, 512, 256];
const QUALITIES = [92, 80, 60];

/** As WebP. @param room bytes; when not even the smallest fits, that one comes */
export async function shrunk(picture: Buffer, room: number, source: Source): Promise<Buffer> {
  let smallest = picture;
  for (const side of SIDES) {
    for (const quality of QUALITIES) {
      const scaled = Number.isFinite(side)
        ? sharp(picture).resize({ width: side, height: side, fit: 'inside', withoutEnlargement: true })
        : sharp(picture);
      smallest = (await markPicture(scaled.webp({ quality }), source)).bytes;
      if (smallest.length <= room) return smallest;
    }
  }
  return smallest;
}
