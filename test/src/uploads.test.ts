import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { config } from '#config/env.ts';
import { fetchUpload, readPhoto } from '#src/uploads.ts';

const picture = (width: number, height: number, background = '#c33') =>
  sharp({ create: { width, height, channels: 3, background } });
const code = (code: string) => expect.objectContaining({ code });

/** A PNG whose header says `width`×`height`, and whose pixels are a run of zeros. */
async function bomb(width: number, height: number): Promise<Buffer> {
  const png = await picture(1, 1).png().toBuffer();
  png.writeUInt32BE(width, 16);
  png.writeUInt32BE(height, 20);
  const { crc32 } = await import('node:zlib');
  png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
  const zeros = deflateSync(Buffer.alloc(1_000_000));
  const chunk = Buffer.concat([Buffer.from('IDAT'), zeros]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(zeros.length);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(chunk));
  return Buffer.concat([png.subarray(0, 33), length, chunk, sum]);
}

describe('readPhoto', () => {
  it.each(['jpeg', 'png', 'webp', 'avif'] as const)(
    'reads %s into a PNG of the same picture',
    async (format) => {
      const photo = await readPhoto(await picture(200, 300).toFormat(format).toBuffer(), 'photo');
      expect([photo.width, photo.height]).toEqual([200, 300]);
      const { dominant, channels } = await sharp(photo.png).stats();
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
    const { png, width, height } = await readPhoto(turned, 'photo.jpg');
    expect([width, height]).toEqual([200, 300]);
    expect(png.includes('SECRET')).toBe(false);
    const { exif, icc, xmp, iptc, orientation, comments } = await sharp(png).metadata();
    expect([exif, icc, xmp, iptc, orientation, comments]).toEqual(Array(6).fill(undefined));
  });

  it('scales down to 1536 px, and makes grey, 16-bit and transparent ones plain sRGB', async () => {
    const large = await readPhoto(await picture(3000, 1500).jpeg().toBuffer(), 'photo');
    expect([large.width, large.height]).toEqual([1536, 768]);
    const grey = await picture(200, 200).greyscale().toColourspace('grey16').png().toBuffer();
    const clear = await sharp({
      create: { width: 200, height: 200, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } },
    })
      .png()
      .toBuffer();
    for (const bytes of [grey, clear]) {
      const { channels, depth } = await sharp((await readPhoto(bytes, 'photo')).png).metadata();
      expect([channels, depth]).toEqual([3, 'uchar']);
    }
    expect((await sharp((await readPhoto(clear, 'photo')).png).stats()).dominant.r).toBeGreaterThan(240);
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
    await expect(readPhoto(bytes, 'face.png')).rejects.toEqual(code('upload_not_image'));
  });

  it.each(['gif', 'tiff'] as const)('refuses %s', async (format) => {
    const bytes = await picture(300, 300).toFormat(format).toBuffer();
    await expect(readPhoto(bytes, 'face.png')).rejects.toEqual(code('upload_not_image'));
  });

  it('takes the first picture of an animated WebP', async () => {
    const frames = await Promise.all(['#f00', '#00f'].map((c) => picture(150, 150, c).png().toBuffer()));
    const animated = await sharp(frames, { join: { animated: true } })
      .webp({ loop: 0 })
      .toBuffer();
    expect((await sharp(animated).metadata()).pages).toBe(2);
    const { png, height } = await readPhoto(animated, 'face.webp');
    expect(height).toBe(150);
    expect((await sharp(png).stats()).dominant.r).toBeGreaterThan(200);
  });

  it('refuses 300 megapixels by the header, at once and without the memory', async () => {
    const bytes = await bomb(20_000, 15_000);
    await readPhoto(await picture(200, 200).png().toBuffer(), 'warm');
    const memory = process.memoryUsage().rss;
    const before = performance.now();
    await expect(readPhoto(bytes, 'bomb.png')).rejects.toMatchObject({
      code: 'upload_pixels',
      userMessage: '`bomb.png` has 300 megapixels, and 40 is the most. Scale it down.',
    });
    expect(performance.now() - before).toBeLessThan(50);
    expect(process.memoryUsage().rss - memory).toBeLessThan(50e6);
  });

  it('refuses a header that promises more pixels than the file has', async () => {
    await expect(readPhoto(await bomb(5_000, 5_000), 'short.png')).rejects.toEqual(code('upload_not_image'));
  });

  it('refuses what is smaller than 128 px, or so long that it would become so', async () => {
    for (const [width, height] of [
      [127, 500],
      [500, 1],
      [130, 5_000],
    ] as const)
      await expect(readPhoto(await picture(width, height).png().toBuffer(), 'x.png')).rejects.toEqual(
        code('upload_small'),
      );
  });

  it('refuses or reads a damaged file, and never breaks', async () => {
    const whole = await picture(160, 160).jpeg().toBuffer();
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), async (at, byte, end) => {
        const damaged = Buffer.from(whole.subarray(0, end));
        if (at < end) damaged[at] = byte;
        await readPhoto(damaged, 'x').catch((error) => expect(error.name).toBe('UserError'));
      }),
      { numRuns: 100 },
    );
  });
});

describe('fetchUpload', () => {
  let server: Server;
  let origin: string;
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  let asked = 0;
  beforeAll(async () => {
    server = createServer((request, response) => {
      asked++;
      answer(request, response);
    }).listen(0, '127.0.0.1');
    await new Promise((listening) => server.once('listening', listening));
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    origin = `http://${host}`;
    vi.spyOn(config.discord.cdnHosts, 'includes').mockImplementation((asked) =>
      ['cdn.discordapp.com', host].includes(asked),
    );
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  const upload = (url: string, size = 10) => ({ url, name: 'face.png', size });

  it('gives the bytes', async () => {
    answer = (_, response) => response.end('the bytes');
    expect(String(await fetchUpload(upload(`${origin}/a/b.png?ex=1`), 100))).toBe('the bytes');
  });

  it('stops at the limit, whatever size was said', async () => {
    answer = (_, response) => {
      const more = () => response.write(Buffer.alloc(64_000), (error) => error || more());
      more();
    };
    await expect(fetchUpload(upload(origin), 100_000)).rejects.toEqual(code('file_large'));
    const before = asked;
    await expect(fetchUpload(upload(origin, 101), 100)).rejects.toEqual(code('file_large'));
    expect(asked).toBe(before);
  });

  it('follows no redirect, and takes no error page for a file', async () => {
    answer = (request, response) =>
      request.url === '/away' ? response.end('inside') : response.writeHead(302, { location: '/away' }).end();
    await expect(fetchUpload(upload(`${origin}/`), 100)).rejects.toEqual(code('upload_gone'));
    answer = (_, response) => response.writeHead(404).end('not here');
    await expect(fetchUpload(upload(`${origin}/`), 100)).rejects.toEqual(code('upload_gone'));
  });

  it.each([
    'http://cdn.discordapp.com/a.png',
    'https://cdn.discordapp.com:8443/a.png',
    'https://cdn.discordapp.com@127.0.0.1/a.png',
    'https://user:pass@cdn.discordapp.com/a.png',
    'https://cdn.discordapp.com.evil.example/a.png',
    'https://evil.example/cdn.discordapp.com',
    'https://evil.example#@cdn.discordapp.com',
    'https://cdn.discordapp.com./a.png',
    'https://xn--cdn-.discordapp.com/',
    'http://localhost/',
    'http://127.0.0.1/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://[::ffff:127.0.0.1]/',
    'http://169.254.169.254/latest/meta-data',
    'file:///etc/passwd',
    'data:image/png;base64,AAAA',
    'ftp://cdn.discordapp.com/a.png',
    '//cdn.discordapp.com/a.png',
    'not a url',
    '',
  ])('asks nobody for %s', async (url) => {
    const fetching = vi.spyOn(globalThis, 'fetch');
    await expect(fetchUpload(upload(url), 100)).rejects.toEqual(code('upload_gone'));
    expect(fetching).not.toHaveBeenCalled();
    fetching.mockRestore();
  });
});
