/** Pure: drawn pictures, and what befalls them by our own resizes. What encoders do to them is in test/src/marks/watermark.test.ts. */
import { describe, expect, it } from 'vitest';
import { type Bitmap, crop, resize } from '#pipelines/bitmap.ts';
import { generator } from '#pipelines/noise.ts';
import { drawPhoto, person } from '#pipelines/reference/photo.ts';
import { decode, encode } from '#pipelines/watermark/code.ts';
import { embedWatermark, SIDE_MIN } from '#pipelines/watermark/embed.ts';
import { findWatermark, LIKENESS_MIN, READINGS_MAX, readWatermark } from '#pipelines/watermark/find.ts';
import { GROUP, TILE, tilesOf, waves } from '#pipelines/watermark/pattern.ts';
import { psnr } from '../../support/psnr.ts';

const bytes = Uint8Array.of(0xde, 0xad, 0xbe, 0xef, 0, 1, 2, 255);
const drawn = drawPhoto(person(3), 1, 512, 640);
const marked = embedWatermark(drawn, bytes);

describe('the code', () => {
  const noisy = (said: Int8Array, seed: number, noise: number) => {
    const normals = generator(seed).doubleNormals(said.length);
    return Float64Array.from(said, (value, i) => value + noise * normals[i]!);
  };

  it('brings every bit back, also those at its two ends', () => {
    for (let bit = 0; bit < 64; bit++) {
      const one = new Uint8Array(8);
      one[bit >> 3] = 0x80 >> (bit & 7);
      expect(decode(Float64Array.from(encode(one)))).toEqual(one);
    }
  });

  it('has no codewords that are alike', () => {
    const random = generator(2);
    const some = Array.from({ length: 60 }, () => encode(Uint8Array.from(random.integers(256, 8))));
    const differ = some.flatMap((a, i) => some.slice(0, i).map((b) => a.filter((v, k) => v !== b[k]).length));
    expect(Math.min(...differ)).toBeGreaterThan(150);
  });

  it('reads what reaches the least likeness that counts, but for a few', () => {
    // √448 / noise is the likeness.
    const noise = Math.sqrt(448) / (LIKENESS_MIN + 2);
    const right = Array.from({ length: 60 }, (_, seed) => decode(noisy(encode(bytes), seed, noise)));
    expect(right.filter((found) => found.join() === bytes.join()).length).toBeGreaterThan(55);
  });
});

it('says all in long waves and in short ones, of one strength', () => {
  const { long, short } = tilesOf(bytes);
  for (const tile of [long, short]) {
    expect(tile.length).toBe(TILE * TILE);
    expect(tile.reduce((sum, v) => sum + v, 0) / tile.length).toBeCloseTo(0, 5);
    expect(tile.reduce((sum, v) => sum + v * v, 0) / tile.length).toBeCloseTo(1, 5);
  }
  const lengths = waves.map(({ x, y }) => TILE / Math.hypot(x, y));
  expect(Math.min(...lengths.slice(0, GROUP))).toBeGreaterThan(16.5);
  expect(Math.max(...lengths.slice(GROUP))).toBeLessThan(17);
  // Shorter ones would not be left of half the size.
  expect(Math.min(...lengths)).toBeGreaterThan(8);
});

describe('a marked picture', () => {
  it('is a new one, 42 dB or more from what it was', () => {
    expect(marked.rgb).not.toBe(drawn.rgb);
    expect([marked.width, marked.height]).toEqual([512, 640]);
    expect(psnr(drawn, marked)).toBeGreaterThan(42);
  });

  it('keeps 42 dB where all of it is rough', () => {
    const rough = noise(512, 384, 60);
    expect(psnr(rough, embedWatermark(rough, bytes))).toBeGreaterThan(42);
  });

  it('changes a plain ground by less than a level, root mean square, and by four at most', () => {
    const plain = ground(512, 512, 120);
    const { rgb } = embedWatermark(plain, bytes);
    expect(psnr(plain, { ...plain, rgb })).toBeGreaterThan(48);
    expect(rgb.reduce((most, level) => Math.max(most, Math.abs(level - 120)), 0)).toBeLessThanOrEqual(4);
  });

  it.each([
    ['as it is', marked],
    ['half its size', resize(marked, 256, 320, 'bicubic')],
    ['half its size, and back', resize(resize(marked, 256, 320, 'bilinear'), 512, 640, 'bicubic')],
    ['a tenth cut off', crop(marked, 17, 31, 486, 607)],
    ['a tenth cut off, half its size', resize(crop(marked, 13, 0, 486, 607), 243, 304, 'lanczos')],
    ['half of it cut off', crop(marked, 91, 140, 362, 452)],
    ['0.8 of its size', resize(marked, 410, 512, 'lanczos')],
    ['twice its size', resize(marked, 1024, 1280, 'bicubic')],
    ['a screenshot', framed(resize(marked, 640, 800, 'bicubic'), 77, 133)],
  ])('is read: %s', (_, picture) => {
    expect(findWatermark(picture)).toEqual(bytes);
  });

  it.each([
    [832, 1216],
    [511, 257],
    [256, 256],
  ])('is read at %i × %i', (width, height) => {
    expect(findWatermark(embedWatermark(resize(drawn, width, height, 'bicubic'), bytes))).toEqual(bytes);
  });

  it('tells its size', () => {
    expect(readWatermark(resize(marked, 410, 512, 'lanczos'))?.scale).toBeCloseTo(0.8, 2);
  });

  it('says what was written last', () => {
    const other = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    expect([bytes.join(), other.join()]).toContain(findWatermark(embedWatermark(marked, other))?.join());
  });
});

it('leaves a picture that is too small as it was', () => {
  const small = crop(drawn, 0, 0, SIDE_MIN - 1, 400);
  expect(embedWatermark(small, bytes)).toBe(small);
});

describe('no watermark is found', () => {
  it.each([
    ['in a drawing', drawn],
    ['in noise', noise(512, 512, 50)],
    ['on plain ground', ground(300, 300, 77)],
    ['in stripes as long as its waves', striped(512, 512, 16)],
    ['in what is laid side by side again and again, as the pattern is', tiled(noise(TILE, TILE, 40), 3)],
    ['in 10 px', noise(10, 10, 50)],
    ['in one pixel', ground(1, 1, 5)],
    ['in a line', noise(2000, 1, 50)],
  ])('%s', (_, picture) => {
    expect(findWatermark(picture)).toBe(null);
  });

  it('by chance in one picture of a million', () => {
    // The normal tail beyond 11, by its first terms: Abramowitz & Stegun 26.2.12, which is above it.
    const tail = (t: number) => Math.exp((-t * t) / 2) / (t * Math.sqrt(2 * Math.PI));
    expect(READINGS_MAX * 2 ** 64 * 3.18 * tail(LIKENESS_MIN)).toBeLessThan(1e-6);
  });
});

function noise(width: number, height: number, deviation: number): Bitmap {
  const normals = generator(7).normals(width * height * 3);
  return {
    rgb: Uint8Array.from(new Uint8ClampedArray(normals.map((v) => 128 + deviation * v))),
    width,
    height,
  };
}

function ground(width: number, height: number, level: number): Bitmap {
  return { rgb: new Uint8Array(width * height * 3).fill(level), width, height };
}

function striped(width: number, height: number, period: number): Bitmap {
  const rgb = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const pixel = Math.floor(i / 3);
    const along = (pixel % width) + Math.floor(pixel / width);
    return 128 + 60 * Math.sin((2 * Math.PI * along) / period);
  });
  return { rgb, width, height };
}

function tiled({ rgb, width, height }: Bitmap, times: number): Bitmap {
  const out = new Uint8Array(rgb.length * times * times);
  for (let y = 0, q = 0; y < height * times; y++) {
    const row = rgb.subarray((y % height) * width * 3, ((y % height) + 1) * width * 3);
    for (let n = 0; n < times; n++, q += row.length) out.set(row, q);
  }
  return { rgb: out, width: width * times, height: height * times };
}

function framed({ rgb, width, height }: Bitmap, left: number, top: number): Bitmap {
  const out = ground(width + 2 * left, height + 2 * top, 30);
  for (let y = 0; y < height; y++)
    out.rgb.set(rgb.subarray(y * width * 3, (y + 1) * width * 3), ((y + top) * out.width + left) * 3);
  return out;
}
