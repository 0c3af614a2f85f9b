/** Small files that are large when they are decoded. */
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';

/** A PNG whose header says `width`×`height`, and whose pixels are a run of zeros. */
export async function bomb(width: number, height: number): Promise<Buffer> {
  const png = await sharp({ create: { width: 1, height: 1, channels: 3, background: '#c33' } })
    .png()
    .toBuffer();
  png.writeUInt32BE(width, 16);
  png.writeUInt32BE(height, 20);
  png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
  const zeros = deflateSync(Buffer.alloc(1_000_000));
  const chunk = Buffer.concat([Buffer.from('IDAT'), zeros]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(zeros.length);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(chunk));
  return Buffer.concat([png.subarray(0, 33), length, chunk, sum]);
}

let vast: Promise<Buffer> | undefined;
/** An AVIF of 36 megapixels: 1.2 KB, and some 650 MB while it is decoded. Making it takes seconds. */
export function vastAvif(): Promise<Buffer> {
  vast ??= sharp({ create: { width: 6_000, height: 6_000, channels: 3, background: '#888' } })
    .avif({ quality: 1, effort: 0 })
    .toBuffer();
  return vast;
}

/** An interlaced PNG of 16 bits with transparency: decoded whole, eight bytes a pixel. */
export function deepPng(width: number, height: number): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 4, background: { r: 90, g: 90, b: 90, alpha: 0.5 } } })
    .toColourspace('rgb16')
    .png({ progressive: true })
    .toBuffer();
}
