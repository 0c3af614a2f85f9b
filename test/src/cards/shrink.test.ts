import sharp from 'sharp';
import { expect, it } from 'vitest';
import { shrunk } from '#src/cards/shrink.ts';
import { ourAuthorities, takeIdentity } from '#src/marks/installation.ts';
import { readClaim } from '#src/marks/reader.ts';
import { testIdentity } from '#test/support/identity.ts';

takeIdentity(testIdentity);
const authorities = await ourAuthorities();

const noise = { type: 'gaussian', mean: 128, sigma: 30 } as const;
const create = { width: 1200, height: 800, channels: 3, background: '#888', noise } as const;
const photo = await sharp({ create }).png().toBuffer();

it.each([600_000, 100_000, 20_000])(
  'a picture fits into %i bytes, with its marks and its shape',
  async (room) => {
    const small = await shrunk(photo, room, 'drawn');
    expect(small.length).toBeLessThanOrEqual(room);
    const { format, width, height, xmpAsString } = await sharp(small).metadata();
    expect(format).toBe('webp');
    expect(width / height).toBeCloseTo(1.5, 1);
    expect(xmpAsString).toContain('digitalsourcetype/trainedAlgorithmicMedia');
    expect(await readClaim(small, 'webp', authorities)).toMatchObject({ intact: true });
  },
);

it('of one that can not fit the smallest comes', async () => {
  const { width } = await sharp(await shrunk(photo, 10, 'drawn')).metadata();
  expect(width).toBe(256);
});
