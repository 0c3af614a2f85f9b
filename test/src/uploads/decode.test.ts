import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodePhoto, type Refusal } from '#src/uploads/decode.ts';
import { bomb, deepPng, vastAvif } from '#test/support/bombs.ts';

const NO_PICTURE: Refusal = { why: 'no picture' };
const picture = (width: number, height: number, background = '#c33') =>
  sharp({ create: { width, height, channels: 3, background } });

async function png(bytes: Buffer): Promise<Buffer> {
  const decoded = await decodePhoto(bytes);
  if (!Buffer.isBuffer(decoded)) throw new Error(JSON.stringify(decoded));
  return decoded;
}

describe('decodePhoto', () => {
  it.each(['jpeg', 'png', 'webp', 'avif'] as const)(
    'reads %s into a PNG of the same picture',
    async (format) => {
      const photo = await png(await picture(200, 300).toFormat(format).toBuffer());
      expect(await sharp(photo).metadata()).toMatchObject({ format: 'png', width: 200, height: 300 });
      const { dominant, channels } = await sharp(photo).stats();
      expect(channels).toHaveLength(3);
      expect(dominant.r).toBeGreaterThan(dominant.g + 60);
    },
  );

  it('turns upright, and keeps nothing but pixels', async () => {
    const turned = await picture(300, 200)
      .withExif({ IFD0: { Copyright: 'SECRET', ImageDescription: 'SECRET' }, IFD3: { GPSLatitude: '1/1' } })
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    expect(turned.includes('SECRET')).toBe(true);
    const upright = await png(turned);
    expect(upright.includes('SECRET')).toBe(false);
    const { width, height, ...metadata } = await sharp(upright).metadata();
    expect([width, height]).toEqual([200, 300]);
    const { exif, icc, xmp, iptc, orientation, comments } = metadata;
    expect([exif, icc, xmp, iptc, orientation, comments]).toEqual(Array(6).fill(undefined));
  });

  it('scales down to 1536 px, and makes grey, 16-bit and transparent ones plain sRGB', async () => {
    const large = await png(await picture(3000, 1500).jpeg().toBuffer());
    expect(await sharp(large).metadata()).toMatchObject({ width: 1536, height: 768 });
    const grey = await picture(200, 200).greyscale().toColourspace('grey16').png().toBuffer();
    const clear = await sharp({
      create: { width: 200, height: 200, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } },
    })
      .png()
      .toBuffer();
    for (const bytes of [grey, clear]) {
      const { channels, depth } = await sharp(await png(bytes)).metadata();
      expect([channels, depth]).toEqual([3, 'uchar']);
    }
    expect((await sharp(await png(clear)).stats()).dominant.r).toBeGreaterThan(240);
  });

  it.each([
    ['an SVG', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300"/>')],
    [
      'an SVG that reads a file',
      Buffer.from(
        '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
      ),
    ],
    ['a PDF', Buffer.from('%PDF-1.7\n')],
    ['HTML', Buffer.from('<!doctype html><img src=x>')],
    ['nothing', Buffer.alloc(0)],
    ['zeros', Buffer.alloc(4096)],
    ['a PNG that ends early', Buffer.from('\x89PNG\r\n\x1a\n', 'latin1')],
  ])('refuses %s, whatever it is called', async (_, bytes) => {
    expect(await decodePhoto(bytes)).toEqual(NO_PICTURE);
  });

  it.each(['gif', 'tiff'] as const)('refuses %s', async (format) => {
    const bytes = await picture(300, 300).toFormat(format).toBuffer();
    expect(await decodePhoto(bytes)).toEqual(NO_PICTURE);
  });

  it('takes the first picture of an animated WebP', async () => {
    const frames = await Promise.all(['#f00', '#00f'].map((c) => picture(150, 150, c).png().toBuffer()));
    const animated = await sharp(frames, { join: { animated: true } })
      .webp({ loop: 0 })
      .toBuffer();
    expect((await sharp(animated).metadata()).pages).toBe(2);
    const first = await png(animated);
    expect((await sharp(first).metadata()).height).toBe(150);
    expect((await sharp(first).stats()).dominant.r).toBeGreaterThan(200);
  });

  it.each<[what: string, bytes: () => Buffer | Promise<Buffer>, says: Refusal]>([
    ['300 megapixels', () => bomb(20_000, 15_000), { why: 'large', megapixels: 300, max: 40, of: '' }],
    ['an AVIF of 36 megapixels', vastAvif, { why: 'large', megapixels: 36, max: 16, of: 'AVIF' }],
    [
      'a PNG of 40 megapixels, 16 bits and transparency',
      () => deepPng(6_300, 6_300),
      { why: 'large', megapixels: 40, max: 20, of: '16-bit' },
    ],
  ])('refuses %s by the header, and decodes nothing', async (_, bytes, says) => {
    // What follows is broken: a decoder that got there would say so.
    const header = (await bytes()).subarray(0, 1_000);
    expect(await decodePhoto(header)).toEqual(says);
  });

  it('takes as much of 16 bits as it says', async () => {
    const deep = await png(await deepPng(5_000, 3_999));
    expect(await sharp(deep).metadata()).toMatchObject({ width: 1536, depth: 'uchar' });
  });

  it('refuses a header that promises more pixels than the file has', async () => {
    expect(await decodePhoto(await bomb(5_000, 5_000))).toEqual(NO_PICTURE);
  });

  it('refuses what is smaller than 128 px, or so long that it would become so', async () => {
    for (const [width, height] of [
      [127, 500],
      [500, 1],
      [130, 5_000],
    ] as const)
      expect(await decodePhoto(await picture(width, height).png().toBuffer())).toEqual({
        why: 'small',
        min: 128,
      });
  });

  it('refuses or reads a damaged file, and never breaks', async () => {
    const whole = await picture(160, 160).jpeg().toBuffer();
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), async (at, byte, end) => {
        const damaged = Buffer.from(whole.subarray(0, end));
        if (at < end) damaged[at] = byte;
        await expect(decodePhoto(damaged)).resolves.toBeDefined();
      }),
      { numRuns: 100 },
    );
  });
});
