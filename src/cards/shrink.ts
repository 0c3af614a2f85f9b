/** Pictures made smaller for where they are shown; their marks stay on them. */
import sharp from 'sharp';

/** px; and below, ever smaller */
const SIDES = [Number.POSITIVE_INFINITY, 1024, 768, 512, 256];
const QUALITIES = [92, 80, 60];

/** As WebP, which keeps what the file says of its origin. @param room bytes; when not even the smallest fits, that one comes */
export async function shrunk(picture: Buffer, room: number): Promise<Buffer> {
  let smallest = picture;
  for (const side of SIDES) {
    for (const quality of QUALITIES) {
      const scaled = Number.isFinite(side)
        ? sharp(picture).resize({ width: side, height: side, fit: 'inside', withoutEnlargement: true })
        : sharp(picture);
      smallest = await scaled.keepMetadata().webp({ quality }).toBuffer();
      if (smallest.length <= room) return smallest;
    }
  }
  return smallest;
}
