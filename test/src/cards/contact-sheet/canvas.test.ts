import { randomBytes } from 'node:crypto';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { Canvas } from '#src/cards/contact-sheet/canvas.ts';
import { type Colour, colours } from '#src/cards/contact-sheet/colours.ts';
import { takeIdentity } from '#src/marks/installation.ts';
import { testIdentity } from '#test/support/identity.ts';

takeIdentity(testIdentity);

const WIDTH = 64;
const HEIGHT = 48;
const WHITE: Colour = [255, 255, 255];

/** Whether the middle of an 8 × 8 block, which JPEG keeps apart from its neighbours, is painted white. */
async function isWhite(canvas: Canvas): Promise<(column: number, row: number) => boolean> {
  const { data } = await sharp((await canvas.encode()).bytes)
    .raw()
    .toBuffer({ resolveWithObject: true });
  return (column, row) => data[((row * 8 + 4) * WIDTH + column * 8 + 4) * 3]! > 128;
}

const white = { data: Buffer.alloc(32 * 32 * 3, 255), width: 32, height: 32 };

describe('what lies outside a canvas', () => {
  it.each<[string, (canvas: Canvas) => void]>([
    ['a rectangle', (canvas) => canvas.fill(48, 32, 1_000, 1_000, WHITE)],
    ['a picture', (canvas) => canvas.picture(white, 48, 32)],
    ['a text', (canvas) => canvas.text(white, 48, 32, WHITE)],
  ])('of %s is cut off, and comes in again nowhere', async (_, paint) => {
    const canvas = new Canvas(WIDTH, HEIGHT);
    paint(canvas);
    const at = await isWhite(canvas);
    for (let row = 0; row < HEIGHT / 8; row++)
      for (let column = 0; column < WIDTH / 8; column++)
        expect(at(column, row)).toBe(column >= 6 && row >= 4);
  });

  it('is cut off on the left and above as well', async () => {
    const canvas = new Canvas(WIDTH, HEIGHT);
    canvas.fill(-16, -16, 32, 24, WHITE);
    const at = await isWhite(canvas);
    expect([at(0, 0), at(1, 0), at(2, 0), at(0, 1), at(7, 0), at(7, 5)]).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
  });
});

it('rounding takes off the corners of a rectangle, and nothing else', async () => {
  const canvas = new Canvas(WIDTH, HEIGHT);
  canvas.fill(0, 0, WIDTH, HEIGHT, WHITE);
  canvas.round(0, 0, WIDTH, HEIGHT, 24);
  const { data } = await sharp((await canvas.encode()).bytes)
    .raw()
    .toBuffer({ resolveWithObject: true });
  const red = (x: number, y: number) => data[(y * WIDTH + x) * 3]!;
  for (const [x, y] of [
    [0, 0],
    [WIDTH - 1, 0],
    [0, HEIGHT - 1],
    [WIDTH - 1, HEIGHT - 1],
  ] as const)
    expect(Math.abs(red(x, y) - colours.page[0])).toBeLessThan(12);
  for (const [x, y] of [
    [32, 0],
    [0, 24],
    [32, HEIGHT - 1],
    [WIDTH - 1, 24],
    [32, 24],
    [12, 12],
  ] as const)
    expect(red(x, y)).toBeGreaterThan(240);
});

// Noise is what no JPEG makes small: at the last quality it would still be 9 MiB.
it('what would be too many bytes is encoded half as large, and says so', async () => {
  const side = 4_096;
  const canvas = new Canvas(side, side);
  canvas.picture({ data: randomBytes(side * side * 3), width: side, height: side }, 0, 0);
  const { bytes, width, height } = await canvas.encode();
  expect(bytes.length).toBeLessThanOrEqual(8 * 1024 * 1024);
  expect([width, height]).toEqual([side / 2, side / 2]);
  expect(await sharp(bytes).metadata()).toMatchObject({ width, height });
});
