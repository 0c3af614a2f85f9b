import type { Bitmap } from '#pipelines/bitmap.ts';

/** How near two pictures are, dB: over all samples, against 255. Infinity: equal. */
export function psnr(a: Bitmap, b: Bitmap): number {
  const error = a.rgb.reduce((sum, level, i) => sum + (level - b.rgb[i]!) ** 2, 0) / a.rgb.length;
  return 10 * Math.log10(255 ** 2 / error);
}
