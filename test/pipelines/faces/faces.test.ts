/** Faces by closed forms. InsightFace's own results are compared in test/golden.test.ts. */
import { describe, expect, it } from 'vitest';
import { apply, type Bitmap, inverse, type Point, warp } from '#pipelines/bitmap.ts';
import {
  alignment,
  attributeCrop,
  detect,
  detectInTurn,
  type Face,
  letterbox,
  suppress,
} from '#pipelines/faces/faces.ts';
import type { Session } from '#pipelines/session.ts';
import { tensor } from '#pipelines/tensor.ts';
import { distance } from '../../support/golden.ts';

const points = (flat: readonly number[]) =>
  Array.from({ length: flat.length / 2 }, (_, i): Point => ({ x: flat[2 * i]!, y: flat[2 * i + 1]! }));
const faceAt = (left: number, top: number, right: number, bottom: number, score = 1): Face => ({
  box: { left, top, right, bottom },
  score,
  points: points([0, 0, 1, 0, 0.5, 0.5, 0, 1, 1, 1]) as unknown as Face['points'],
});
const blank = (width: number, height: number): Bitmap => ({
  rgb: new Uint8Array(width * height * 3).fill(200),
  width,
  height,
});

describe('letterbox', () => {
  it.each([
    [640, 1536, 266, 640, 0.4166667],
    [1536, 640, 640, 266, 0.415625],
    [1344, 768, 640, 365, 0.4752604],
  ])('of %i × %i px is %i × %i, by insightface’s own scale', (width, height, w, h, scale) => {
    const { blob, resized, scale: got } = letterbox(blank(width, height), 640, 640);
    expect([resized.width, resized.height]).toEqual([w, h]);
    expect(got).toBeCloseTo(scale, 6);
    expect(blob[0]).toBe((200 - 127.5) / 128);
    // The last pixel is padding, black.
    expect(blob.at(-1)).toBe(-127.5 / 128);
  });
});

describe('alignment', () => {
  it('is the closed form of the least-squares similarity', () => {
    const five = [310.5, 240.25, 402.75, 236, 358, 292.5, 322.25, 345.75, 395.5, 342];
    const { a, b, tx, ty } = alignment({ points: points(five) as unknown as Face['points'] });
    expect(distance([a, b, tx, ty], [0.38567195, 0.01004493, -79.0411765, -44.0395358])).toBeLessThan(1e-5);
  });
});

describe('the crop of landmarks and attributes', () => {
  it('is the box and half of it around', () => {
    const crop = attributeCrop({ left: 280, top: 180, right: 440, bottom: 400 }, 192);
    expect(distance([crop.a, crop.b, crop.tx, crop.ty], [0.5818182, 0, -113.4545, -72.7273])).toBeLessThan(
      1e-4,
    );
    const back = inverse(crop);
    expect(apply(back, { x: 96, y: 96 })).toEqual({ x: expect.closeTo(360, 3), y: expect.closeTo(290, 3) });
    expect(apply(back, { x: 48, y: 120 })).toEqual({
      x: expect.closeTo(277.5, 3),
      y: expect.closeTo(331.25, 3),
    });
  });

  it('is black where it reaches beyond the picture, and of no other picture’s bytes', () => {
    const crop = attributeCrop({ left: -40, top: -40, right: 40, bottom: 40 }, 64);
    const levels = warp(blank(20, 30), crop, 64);
    expect(levels[0]).toBe(0);
    expect(levels.some((v) => v === 200)).toBe(true);
    expect(levels.every((v) => v >= 0 && v <= 200)).toBe(true);
  });
});

describe('non-maximum suppression', () => {
  it('keeps the surer of two that share more than the limit, both edges counted in', () => {
    const [sure, near, far] = [
      faceAt(0, 0, 99, 99),
      faceAt(20, 0, 119, 99, 0.9),
      faceAt(60, 0, 159, 99, 0.8),
    ];
    // 80 × 100 of 120 × 100 px are shared by the first two, 60 × 100 by the last two.
    expect(suppress([sure, near, far])).toEqual([sure, far]);
    expect(suppress([sure, near, far], 0.7)).toEqual([sure, near, far]);
  });
});

describe('detection', () => {
  /** Answers with one face in the first cell of stride 8, where `box` tells one for the size it is asked at. */
  const answering = (
    sizes: string[],
    box: readonly number[] | ((width: number) => readonly number[] | undefined),
  ): Session => ({
    inputs: [{ name: 'input.1', type: 'float32', shape: [1, 3, '?', '?'] }],
    outputs: Array.from({ length: 9 }, (_, i) => ({ name: `${448 + i}`, type: 'float32', shape: [] })),
    async run(feeds) {
      const [, , h = 0, w = 0] = feeds['input.1']!.shape;
      sizes.push(`${w}x${h}`);
      const anchors = [8, 16, 32].map((stride) => 2 * (h / stride) * (w / stride));
      const out = anchors.flatMap((n) => [n, 4 * n, 10 * n].map((length) => new Float32Array(length)));
      const ordered = [0, 1, 2].flatMap((kind) => [0, 1, 2].map((s) => out[s * 3 + kind]!));
      const found = typeof box === 'function' ? box(w) : box;
      ordered[0]![0] = found ? 0.9 : 0;
      ordered[3]!.set(found ?? []);
      return Object.fromEntries(ordered.map((data, i) => [`${448 + i}`, tensor(data, [data.length])]));
    },
  });

  it('joins what it finds at several sizes, also where they are no squares', async () => {
    const sizes: string[] = [];
    const found = await detect(answering(sizes, [0, 0, 4, 4]), blank(320, 640), {
      sizes: [
        { width: 160, height: 320 },
        { width: 320, height: 640 },
      ],
    });
    expect(sizes).toEqual(['160x320', '320x640']);
    // 32 px in each: twice as large in the picture where it was seen at half its size.
    expect(found.map(({ box }) => box.right)).toEqual([64, 32]);
  });

  it('gives as many as are wanted, central ones before large ones or the other way', async () => {
    const session = answering([], [0, 0, 4, 4]);
    const options = {
      sizes: [
        { width: 160, height: 320 },
        { width: 320, height: 640 },
      ],
      most: 1,
    };
    const [large] = await detect(session, blank(320, 640), { ...options, prefer: 'large' });
    expect(large!.box.right).toBe(64);
    expect(await detect(session, blank(320, 640), options)).toHaveLength(1);
  });

  it('leaves out faces that are too small, and such as are nowhere', async () => {
    const at = async (box: readonly number[], smallest?: number) => {
      const sizes = [{ width: 160, height: 160 }];
      const options = smallest === undefined ? { sizes } : { sizes, smallest };
      return (await detect(answering([], box), blank(160, 160), options)).length;
    };
    expect([await at([0, 0, 2, 1]), await at([0, 0, 2, 1], 8), await at([0, 0, 2, 1], 9)]).toEqual([1, 1, 0]);
    expect(await at([0, 0, Number.NaN, 1])).toBe(0);
    expect(await at([Number.NEGATIVE_INFINITY, 0, 4, 4])).toBe(0);
  });

  it('looks at smaller and smaller sizes, until one shows a face', async () => {
    const looked = async (until: number, side: number) => {
      const sizes: string[] = [];
      const session = answering(sizes, (width) => (width <= until ? [0, 0, 4, 4] : undefined));
      const found = await detectInTurn(session, blank(64, 64), side, {});
      return [found.length, ...sizes.map((size) => size.replace(/x.*/u, ''))].join(' ');
    };
    expect(await looked(640, 640)).toBe('1 640');
    expect(await looked(500, 640)).toBe('1 640 576 512 448');
    expect(await looked(0, 320)).toBe('0 320 256');
  });

  it('takes a score that is no number for none', async () => {
    const session = answering([], [0, 0, 4, 4]);
    const broken: Session = {
      ...session,
      async run(feeds) {
        const result = await session.run(feeds);
        (result['448']!.data as Float32Array).fill(Number.NaN);
        return result;
      },
    };
    expect(await detect(broken, blank(160, 160), { sizes: [{ width: 160, height: 160 }] })).toEqual([]);
  });
});
