/** The photos that the demo offers for `/faces add`. */
import sharp from 'sharp';
import { expect, inject, it } from 'vitest';
import { sampleNames, samplePhoto } from '#infra/local/discord/samples/samples.ts';
import { detectFaces } from '#pipelines/portrait.ts';
import { drawPhoto, person } from '#pipelines/reference/photo.ts';
import { loadBundle } from '#src/bundles/load.ts';
import { readPhoto } from '#src/uploads/photos.ts';

it('are people of the reference world as it is now', async () => {
  const ben = await samplePhoto('ben-2.jpg');
  const { data, info } = await sharp(ben?.data).raw().toBuffer({ resolveWithObject: true });
  const { rgb, width, height } = drawPhoto(person(1), 1);
  expect([info.width, info.height, info.channels]).toEqual([width, height, 3]);
  const off = data.reduce((sum, value, i) => sum + Math.abs(value - rgb[i]!), 0) / data.length;
  // A JPEG is near; another shot or person is 15 and more off.
  expect(off).toBeLessThan(3);
});

it('are all taken as photos, and have one face each', async () => {
  const bundle = await loadBundle(inject('bundleDir'), { threads: 1 });
  for (const name of sampleNames) {
    const photo = await samplePhoto(name);
    expect(await readPhoto(photo!.data, name), name).toMatchObject({ width: 320, height: 400 });
    const rgb = await sharp(photo!.data).raw().toBuffer();
    expect(await detectFaces(bundle, { rgb, width: 320, height: 400 }), name).toHaveLength(1);
  }
  expect(await samplePhoto('../samples.ts')).toBeNull();
});
