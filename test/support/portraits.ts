/** Photos to upload: of procedural people, and of what is not one face. */
import sharp from 'sharp';
import type { Bitmap } from '#pipelines/bitmap.ts';
import { drawPhoto, person } from '#pipelines/reference/photo.ts';

const png = ({ rgb, width, height }: Bitmap) =>
  sharp(rgb, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();

/** Shot `shot` of person `number`: the same face, another place, light, size and background. */
export const portraitPicture = (number: number, shot: number): Bitmap => drawPhoto(person(number), shot);

const photos = new Map<string, Promise<Buffer>>();

/** The same as a file. Each is drawn once in a process: that takes most of a second. */
export function portraitPhoto(number: number, shot = 0): Promise<Buffer> {
  const key = `${number}/${shot}`;
  const known = photos.get(key);
  if (known) return known;
  const photo = png(portraitPicture(number, shot));
  photos.set(key, photo);
  return photo;
}

/** Two people side by side. */
export async function twoFacesPhoto(): Promise<Buffer> {
  const [left, right] = await Promise.all([portraitPhoto(0), portraitPhoto(3, 1)]);
  return sharp({ create: { width: 640, height: 400, channels: 3, background: '#888' } })
    .composite([
      { input: left, left: 0, top: 0 },
      { input: right, left: 320, top: 0 },
    ])
    .png()
    .toBuffer();
}

/** A landscape: hills, a sky, a sun. */
export async function noFacePhoto(): Promise<Buffer> {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480">
    <rect width="640" height="480" fill="#8fc3ea"/><circle cx="500" cy="110" r="50" fill="#ffe9a8"/>
    <path d="M0 300 Q160 200 320 300 T640 280 V480 H0Z" fill="#4f8a52"/><path d="M0 380 Q200 320 420 390 T640 370 V480 H0Z" fill="#33633c"/>
  </svg>`;
  return sharp(Buffer.from(svg)).png().toBuffer();
}
