import type { Bitmap } from '#pipelines/bitmap.ts';

/** Pearson's, −1…1, of all levels of two pictures of one size. */
export function correlation(a: Bitmap, b: Bitmap): number {
  const mean = ({ rgb }: Bitmap) => rgb.reduce((sum, v) => sum + v, 0) / rgb.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.rgb.length; i++) {
    const [da, db] = [a.rgb[i]! - ma, b.rgb[i]! - mb];
    ab += da * db;
    aa += da * da;
    bb += db * db;
  }
  return ab / Math.sqrt(aa * bb);
}
