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
    const shade = Math.floor((y * 110) / HEIGHT);
    for (let x = 0; x < WIDTH; x++, q += 3) {
      const away = (x - 250) ** 2 + (y - 190) ** 2;
      const isRing = away > 8_000 && away < 20_000;
      const stripe = x % 2 && away < 8_000 ? 70 : 0;
      rgb[q] = Math.min(255, (isRing ? 225 : 40 + shade) + stripe);
      rgb[q + 1] = Math.min(255, (isRing ? 160 : 60 + Math.floor(shade / 2)) + stripe);
      rgb[q + 2] = Math.min(255, (isRing ? 130 : 90) + stripe);
    }
  }
  return { rgb, width: WIDTH, height: HEIGHT };
}
