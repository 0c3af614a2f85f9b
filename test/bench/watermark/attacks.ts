/** What befalls pictures on their way: one thing, and two of them together. */
import sharp from 'sharp';
import { type Bitmap, crop } from '#pipelines/bitmap.ts';
import { mulberry32 } from '#src/mulberry32.ts';
import { readPicture } from '../../support/read-picture.ts';

export type Attack = (picture: Bitmap) => Promise<Bitmap>;

export const sharpOf = ({ rgb, width, height }: Bitmap) =>
  sharp(rgb, { raw: { width, height, channels: 3 } });
const sized = async (picture: Bitmap, width: number, height: number): Promise<Bitmap> => {
  const rgb = await sharpOf(picture).resize(width, height, { fit: 'fill' }).raw().toBuffer();
  return { rgb: new Uint8Array(rgb), width, height };
};

const random = mulberry32(9);
/** A part of the picture anywhere in it, by the share of its area that is left. */
const left = (share: number): Attack => {
  const side = Math.sqrt(share);
  return async (picture) => {
    const [width, height] = [Math.round(picture.width * side), Math.round(picture.height * side)];
    const at = (room: number) => Math.floor(random() * (room + 1));
    return crop(picture, at(picture.width - width), at(picture.height - height), width, height);
  };
};

const half: Attack = (picture) =>
  sized(picture, Math.round(picture.width / 2), Math.round(picture.height / 2));
const encoders: Record<string, Attack> = {
  'JPEG q50': async (picture) => readPicture(await sharpOf(picture).jpeg({ quality: 50 }).toBuffer()),
  'WebP q80': async (picture) => readPicture(await sharpOf(picture).webp({ quality: 80 }).toBuffer()),
  '4:2:0': async (picture) =>
    readPicture(await sharpOf(picture).jpeg({ quality: 95, chromaSubsampling: '4:2:0' }).toBuffer()),
};
const sizes: Record<string, Attack> = {
  half,
  'half and back': async (picture) => sized(await half(picture), picture.width, picture.height),
};
const crops: Record<string, Attack> = { '10% cut off': left(0.9), '10% left': left(0.1) };
const isOne: Record<string, Attack> = { ...encoders, ...sizes, ...crops };

/** Crops, then sizes, then encoders, as pictures go: each alone, and each with each of another kind; and both encoders. */
const names = [
  'none',
  ...Object.keys(isOne),
  ...pairs(crops, sizes),
  ...pairs(crops, encoders),
  ...pairs(sizes, encoders),
  'JPEG q50, WebP q80',
];

function pairs(firsts: Record<string, Attack>, seconds: Record<string, Attack>): string[] {
  return Object.keys(firsts).flatMap((first) => Object.keys(seconds).map((second) => `${first}, ${second}`));
}

export const attacks: ReadonlyMap<string, Attack> = new Map(
  names.map((name): [string, Attack] => [name, (picture) => attacked(picture)(name)]),
);

/** The picture after each attack; what two have in common befalls it once. */
export function attacked(picture: Bitmap): (name: string) => Promise<Bitmap> {
  const known = new Map<string, Promise<Bitmap>>([['none', Promise.resolve(picture)]]);
  return (name) => {
    if (!names.includes(name)) throw new Error(`There is no attack ${name}`);
    return name.split(', ').reduce((before, _, i, parts) => {
      const sofar = parts.slice(0, i + 1).join(', ');
      const after = known.get(sofar) ?? before.then(isOne[parts[i]!]!);
      known.set(sofar, after);
      return after;
    }, Promise.resolve(picture));
  };
}

/** At this size of what it was, in a frame, as JPEG. */
export const screenshot =
  (scale: number): Attack =>
  async (picture) =>
    readPicture(
      await sharpOf(picture)
        .resize(Math.round(picture.width * scale))
        .extend({ top: 90, bottom: 41, left: 133, right: 20, background: '#23272a' })
        .jpeg({ quality: 80 })
        .toBuffer(),
    );
