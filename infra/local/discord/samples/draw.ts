/** Draws the sample photos anew, after the reference world has changed. */
import { writeFile } from 'node:fs/promises';
import sharp from 'sharp';
import { drawPhoto, person } from '#pipelines/reference/photo.ts';
import { SHOTS, sampleNames } from './samples.ts';

for (const [at, name] of sampleNames.entries()) {
  const { rgb, width, height } = drawPhoto(person(Math.floor(at / SHOTS)), at % SHOTS);
  const photo = sharp(rgb, { raw: { width, height, channels: 3 } }).jpeg({ quality: 92 });
  await writeFile(new URL(name, import.meta.url), await photo.toBuffer());
}
