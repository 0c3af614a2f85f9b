/**
 * A photo is turned upright, scaled down, and loses everything but its pixels. Pure; called in a process of its own
 * (decode-process.ts), as a picture of a kilobyte may take a gigabyte, and in tests.
 */
import sharp, { type Metadata, type Sharp } from 'sharp';
import { z } from 'zod';

export const Refusal = z.discriminatedUnion('why', [
  z.object({ why: z.literal('no picture') }),
  z.object({ why: z.literal('small'), min: z.number() }),
  z.object({
    why: z.literal('large'),
    megapixels: z.number(),
    max: z.number(),
    /** what the limit is for; empty: for all */
    of: z.enum(['', 'AVIF', '16-bit']),
  }),
]);
export type Refusal = z.output<typeof Refusal>;

export type FileFormat = 'jpeg' | 'png' | 'webp' | 'heif';

/** px */
const SIDE_MIN = 128;
/** Stored photos are no larger: a face needs a few hundred pixels. px */
const SIDE_MAX = 1536;
const MEGAPIXELS_MAX = 40;
/** Of one picture decoded whole, as interlaced ones are: 40 megapixels with four samples of 8 bits. Millions of bytes */
const DECODED_MAX = 160;
/** AVIF takes some 18 bytes for each pixel while it is decoded: millions of pixels of 8 bits. */
const AVIF_MAX = 16;
const BYTES_OF = { uchar: 1, char: 1, ushort: 2, short: 2 } as const;

/** What is a picture, by its header, and not too large to be decoded. */
export interface Opened {
  readonly header: Metadata & { readonly format: FileFormat };
  /** nothing of it is decoded yet; of an animation the first picture. It throws when it is broken */
  readonly picture: Sharp;
}

/** Reads the header alone: a file of 32 KB can hold 300 megapixels, a gigabyte when decoded. */
export async function openPicture(bytes: Buffer): Promise<Opened | Refusal> {
  const notImage = { why: 'no picture' } as const;
  const format = formatOf(bytes);
  if (!format) return notImage;
  let header: Metadata;
  try {
    header = await sharp(bytes, { limitInputPixels: false, failOn: 'error' }).metadata();
  } catch {
    return notImage;
  }
  if (header.format !== format || (format === 'heif' && header.compression !== 'av1')) return notImage;
  const picture = sharp(bytes, { limitInputPixels: MEGAPIXELS_MAX * 1e6, failOn: 'error', pages: 1 });
  return tooLarge(header) ?? { header: { ...header, format }, picture };
}

/** As a person sees it: turned as it says, on white, in sRGB. @param most px of its longer side: what is larger is made smaller */
export function upright(picture: Sharp, most: number): Sharp {
  return picture
    .autoOrient()
    .resize({ width: most, height: most, fit: 'inside', withoutEnlargement: true })
    .flatten({ background: '#fff' })
    .toColourspace('srgb');
}

/** @returns a PNG in sRGB */
export async function decodePhoto(bytes: Buffer): Promise<Buffer | Refusal> {
  const opened = await openPicture(bytes);
  if ('why' in opened) return opened;
  const { header, picture } = opened;
  const tooSmall = { why: 'small', min: SIDE_MIN } as const;
  if (Math.min(header.width, header.height) < SIDE_MIN) return tooSmall;
  try {
    // sharp writes no metadata that it is not asked to keep.
    const { data, info } = await upright(picture, SIDE_MAX).png().toBuffer({ resolveWithObject: true });
    // Little is left of a very long picture when it is scaled down.
    return Math.min(info.width, info.height) < SIDE_MIN ? tooSmall : data;
  } catch {
    return { why: 'no picture' };
  }
}

/** By area × depth. */
function tooLarge({ format, width, height, channels, depth }: Metadata): Refusal | null {
  const megapixels = (width * height) / 1e6;
  const bytes = BYTES_OF[depth as keyof typeof BYTES_OF] ?? 4;
  const max = Math.floor(
    format === 'heif' ? AVIF_MAX / bytes : Math.min(MEGAPIXELS_MAX, DECODED_MAX / (channels * bytes)),
  );
  if (megapixels <= max) return null;
  const of = format === 'heif' ? 'AVIF' : max < MEGAPIXELS_MAX ? '16-bit' : '';
  return { why: 'large', megapixels: Math.ceil(megapixels), max, of };
}

/**
 * What a file is by its first bytes, in sharp's words; null for anything but JPEG, PNG, WebP and AVIF. Asked before
 * sharp sees the file: its readers of SVG, GIF and the rest are then never run.
 */
function formatOf(bytes: Buffer): FileFormat | null {
  const ascii = (from: number, to: number) => bytes.toString('latin1', from, to);
  if (ascii(0, 3) === '\xff\xd8\xff') return 'jpeg';
  if (ascii(0, 8) === '\x89PNG\r\n\x1a\n') return 'png';
  if (ascii(0, 4) === 'RIFF' && ascii(8, 12) === 'WEBP') return 'webp';
  if (ascii(4, 8) === 'ftyp' && ['avif', 'mif1'].includes(ascii(8, 12))) return 'heif';
  return null;
}
