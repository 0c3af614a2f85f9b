/**
 * A picture that every machine makes alike. A bundle may say what a classifier gives for it: one that is fed otherwise than it was trained
 * (another side, resize, mean or std), or whose labels are in another order, gives something else, which nothing in its file would tell.
 */
import type { Bitmap } from '../bitmap.ts';

/** px; no multiple of what classifiers take, and not square */
const [WIDTH, HEIGHT] = [500, 380];

/** Stripes of one pixel, which resizes answer to differently, a ring and shades: whole numbers alone. */
export function testCard(): Bitmap {
  const rgb = new Uint8Array(WIDTH * HEIGHT * 3);
  for (let y = 0, q = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      const [dx, dy] = [x - 250, y - 190];
      const away = dx * dx + dy * dy;
      const isRing = away > 8_000 && away < 20_000;
      const stripes = x % 2 ? 70 : 0;
      const shade = Math.floor((y * 110) / HEIGHT);
      const [red, green, blue] = isRing ? [225, 160, 130] : [40 + shade, 60 + Math.floor(shade / 2), 90];
      for (const level of [red, green, blue]) rgb[q++] = Math.min(255, level! + (away < 8_000 ? stripes : 0));
    }
  }
  return { rgb, width: WIDTH, height: HEIGHT };
}
