/** Stage 2's geometry: whatever face there is, what its mask leaves out keeps its bytes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Bitmap, Point } from '#pipelines/bitmap.ts';
import { composite, magnify, regionOf } from '#pipelines/detail.ts';
import type { Face } from '#pipelines/faces/faces.ts';

const picture = (width: number, height: number, level: (i: number) => number): Bitmap => ({
  rgb: Uint8Array.from({ length: width * height * 3 }, (_, i) => level(i)),
  width,
  height,
});
const faceAt = (left: number, top: number, width: number, height: number): Face => ({
  box: { left, top, right: left + width, bottom: top + height },
  score: 1,
  points: Array.from({ length: 5 }, () => ({ x: left, y: top })) as unknown as Face['points'],
});
/** 106 landmarks: jaw and brows in a ring, as far as the outline needs them. */
const landmarksOf = ({ box }: Face): Point[] =>
  Array.from({ length: 106 }, (_, i) => {
    const angle = (i / 106) * 2 * Math.PI;
    const [w, h] = [box.right - box.left, box.bottom - box.top];
    return {
      x: box.left + w / 2 + (Math.cos(angle) * w) / 2,
      y: box.top + h / 2 + (Math.sin(angle) * h) / 2,
    };
  });
const cut = { cropFactor: 2, feather: 0.14 };

describe('a redrawn face', () => {
  it('changes no byte outside its mask, wherever it is and whatever was drawn', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 16, max: 90 }),
        fc.integer({ min: 16, max: 90 }),
        fc.double({ min: -60, max: 120, noNaN: true }),
        fc.double({ min: -60, max: 120, noNaN: true }),
        fc.double({ min: 1, max: 80, noNaN: true }),
        fc.double({ min: 1, max: 80, noNaN: true }),
        fc.boolean(),
        fc.double({ min: 1.2, max: 4, noNaN: true }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        (width, height, left, top, w, h, withPoints, cropFactor, feather) => {
          const base = picture(width, height, (i) => (i * 37) % 256);
          const face = faceAt(left, top, w, h);
          const points = withPoints ? landmarksOf(face) : [];
          const region = regionOf(base, face, points, { cropFactor, feather });
          expect(magnify(base, region, 64)).toMatchObject({ width: 64, height: 64 });
          const mask = new Float32Array(width * height);
          const out = composite(
            base,
            picture(64, 64, () => 255),
            region,
            mask,
          );
          expect([out.width, out.height]).toEqual([width, height]);
          const kept = base.rgb.every((v, i) => mask[Math.floor(i / 3)]! > 0 || out.rgb[i] === v);
          expect(kept).toBe(true);
          expect(mask.every((m) => m >= 0 && m <= 1)).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is drawn wholly in its middle, and fades out towards the mask’s edge', () => {
    const base = picture(120, 120, () => 0);
    const face = faceAt(40, 40, 40, 40);
    const region = regionOf(base, face, [], cut);
    const mask = new Float32Array(120 * 120);
    const out = composite(
      base,
      picture(64, 64, () => 200),
      region,
      mask,
    );
    const row = Array.from({ length: 120 }, (_, x) => out.rgb[(60 * 120 + x) * 3]!);
    expect(row[60]).toBe(200);
    expect(row[25]).toBe(0);
    const falling = row.slice(60, 95);
    expect(falling).toEqual([...falling].sort((a, b) => b - a));
    expect(new Set(falling).size).toBeGreaterThan(3);
  });

  it('overlapping another is drawn over it, and both are in the mask', () => {
    const base = picture(160, 100, () => 0);
    const mask = new Float32Array(160 * 100);
    const first = regionOf(base, faceAt(40, 30, 40, 40), [], cut);
    const second = regionOf(base, faceAt(60, 30, 40, 40), [], cut);
    const one = composite(
      base,
      picture(64, 64, () => 100),
      first,
      mask,
    );
    const two = composite(
      one,
      picture(64, 64, () => 200),
      second,
      mask,
    );
    const at = (x: number) => two.rgb[(50 * 160 + x) * 3];
    expect([at(45), at(80)]).toEqual([100, 200]);
    expect(mask[50 * 160 + 45]).toBe(1);
    expect(mask[50 * 160 + 80]).toBe(1);
  });
});
