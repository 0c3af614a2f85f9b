/** The watermark after real encoders: the bench's attacks, on two drawn pictures. Before: test/pipelines/watermark. */
import { expect, it } from 'vitest';
import { resize } from '#pipelines/bitmap.ts';
import { drawPhoto, person } from '#pipelines/reference/photo.ts';
import { embedWatermark } from '#pipelines/watermark/embed.ts';
import { findWatermark } from '#pipelines/watermark/find.ts';
import { decodeMark, encodeMark } from '#src/marks/payload.ts';
import { attacks } from '../../bench/watermark/attacks.ts';
import { readDwtDct, writeDwtDct } from '../../support/dwt-dct.ts';

const mark = { installation: 4711, generation: '0a1b2c3d4' };
const drawn = resize(drawPhoto(person(2), 0, 512, 640), 832, 1040, 'bicubic');
const marked = embedWatermark(drawn, encodeMark(mark));
const after = async (name: string) => findWatermark(await attacks.get(name)!(marked));

it.each([
  'JPEG q50',
  'half, JPEG q50',
  'half, WebP q80',
  'half and back, JPEG q50',
  '10% cut off, JPEG q50',
  '10% cut off, half',
  '10% left, 4:2:0',
  'JPEG q50, WebP q80',
])('is read after %s', async (name) => {
  const bytes = await after(name);
  expect(bytes && decodeMark(bytes)).toEqual(mark);
});

it('is read on a plain ground after half, JPEG q50, whose blocks cut no two of its tiles alike', async () => {
  const [width, height] = [1024, 1024];
  const plain = { rgb: new Uint8Array(width * height * 3).fill(120), width, height };
  const half = await attacks.get('half, JPEG q50')!(embedWatermark(plain, encodeMark(mark)));
  const bytes = findWatermark(half);
  expect(bytes && decodeMark(bytes)).toEqual(mark);
});

it('is read where the one that diffusers writes is not', async () => {
  const bits = Array.from({ length: 48 }, (_, i) => ((i * 7) % 3) & 1);
  const theirs = writeDwtDct(drawn, bits);
  const right = readDwtDct(await attacks.get('half, JPEG q50')!(theirs)).filter((bit, i) => bit === bits[i]);
  expect(right.length).toBeLessThan(41);
});
