import sharp from 'sharp';
import { expect, it } from 'vitest';
import { shrunk } from '#src/cards/shrink.ts';

const noise = { type: 'gaussian', mean: 128, sigma: 30 } as const;
const create = { width: 1200, height: 800, channels: 3, background: '#888', noise } as const;
const xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><made by="machine"/></x:xmpmeta>';
const photo = await sharp({ create }).withXmp(xmp).png().toBuffer();

it.each([600_000, 100_000, 20_000])(
  'a picture fits into %i bytes, with its marks and its shape',
  async (room) => {
    const small = await shrunk(photo, room);
    expect(small.length).toBeLessThanOrEqual(room);
    const { format, width, height, xmpAsString } = await sharp(small).metadata();
    expect(format).toBe('webp');
    expect(width / height).toBeCloseTo(1.5, 1);
    expect(xmpAsString).toContain('made by="machine"');
  },
);

it('of one that can not fit the smallest comes', async () => {
  const { width } = await sharp(await shrunk(photo, 10)).metadata();
  expect(width).toBe(256);
});
