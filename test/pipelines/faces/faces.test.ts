/** Detection, alignment, recognition, landmarks and attributes against InsightFace's own, on small stand-in networks. */
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  alignment,
  attributeCrop,
  cosine,
  decode,
  detect,
  embed,
  type Face,
  genderAge,
  landmarks,
  suppress,
} from '#pipelines/faces/faces.ts';
import { inverse, type Point } from '#pipelines/picture.ts';
import type { Session } from '#pipelines/session.ts';
import { openSession } from '#src/models.ts';
import { distance, golden, goldenDir } from '../../support/golden.ts';
import { readPicture } from '../../support/read-picture.ts';

const dir = goldenDir('insightface');
const open = (name: string) => openSession(join(dir, `${name}.onnx`));
let networks: Record<'det' | 'rec' | 'landmark' | 'attribute', Session>;
beforeAll(async () => {
  networks = {
    det: await open('det_10g'),
    rec: await open('w600k_r50'),
    landmark: await open('2d106det'),
    attribute: await open('genderage'),
  };
});

const points = (flat: ArrayLike<number>): Point[] =>
  Array.from({ length: flat.length / 2 }, (_, i) => ({ x: flat[2 * i]!, y: flat[2 * i + 1]! }));
const flat = (list: readonly Point[]) => list.flatMap(({ x, y }) => [x, y]);
const faceOf = (box: ArrayLike<number>, kps: ArrayLike<number>): Face => ({
  box: { left: box[0]!, top: box[1]!, right: box[2]!, bottom: box[3]! },
  score: 1,
  points: points(kps) as unknown as Face['points'],
});

const Detect = z.object({
  picture: z.string(),
  det_size_wh: z.tuple([z.tuple([z.number(), z.number()])]),
  det_thresh: z.number(),
  max_num: z.literal(0),
});
const detections = golden('insightface', Detect);

describe('detection', () => {
  const decoded = detections.filter((c) => c.has('net_448'));

  it('has pictures to look at', () => expect(decoded.length).toBeGreaterThanOrEqual(3));

  it.each(decoded.map((c) => [c.name, c] as const))('decodes the network’s outputs exactly: %s', (_, c) => {
    const [[width, height]] = c.params.det_size_wh;
    const nets = ['448', '471', '494', '451', '474', '497', '454', '477', '500'].map((n) =>
      Float32Array.from(c.get(`net_${n}`).data),
    );
    const faces = suppress(decode(nets, width, height, c.params.det_thresh, c.get('det_scale').data[0]!));
    const boxes = faces.flatMap(({ box, score }) => [box.left, box.top, box.right, box.bottom, score]);
    expect(distance(boxes, c.get('det').data)).toBeLessThan(0.01);
    expect(
      distance(
        faces.flatMap((face) => flat(face.points)),
        c.get('kps').data,
      ),
    ).toBeLessThan(0.01);
  });

  const square = detections.filter(
    ({
      params: {
        det_size_wh: [[w, h]],
      },
    }) => w === h,
  );
  it.each(square.map((c) => [c.name, c] as const))(
    'finds the same faces in the picture: %s',
    async (_, c) => {
      const picture = await readPicture(join(dir, c.params.picture));
      const [[size]] = c.params.det_size_wh;
      const faces = await detect(networks.det, picture, { size, threshold: c.params.det_thresh });
      const wanted = c.get('det');
      expect(faces).toHaveLength(wanted.shape[0] ?? 0);
      // Scores that are nearly equal may change places: each is looked for by where it is.
      for (let i = 0; i < faces.length; i++) {
        const one = wanted.data.subarray(i * 5, i * 5 + 5);
        const apart = faces.map(({ box, score }) =>
          distance([box.left, box.top, box.right, box.bottom, score], one),
        );
        expect(Math.min(...apart)).toBeLessThan(0.5);
      }
    },
  );
});

describe('a face', () => {
  const cases = golden('insightface', z.object({ picture: z.string() })).filter(({ name }) =>
    name.startsWith('face-'),
  );

  it.each(cases.map((c) => [c.name, c] as const))(
    'is aligned, recognised and measured as by InsightFace: %s',
    async (_, c) => {
      const picture = await readPicture(join(dir, c.params.picture));
      const face = faceOf(c.get('bbox').data, c.get('kps').data);
      const { a, b, tx, ty } = alignment(face);
      expect(distance([a, -b, tx, b, a, ty], c.get('norm_matrix').data, true)).toBeLessThan(1e-4);
      expect(cosine(await embed(networks.rec, picture, face), c.get('embedding').data)).toBeGreaterThan(
        0.9999,
      );

      const crop = attributeCrop(face.box, 192);
      expect(
        distance([crop.a, -crop.b, crop.tx, crop.b, crop.a, crop.ty], c.get('landmark_matrix').data, true),
      ).toBeLessThan(1e-4);
      const back = inverse(crop);
      expect(
        distance([back.a, -back.b, back.tx, back.b, back.a, back.ty], c.get('landmark_inverse').data, true),
      ).toBeLessThan(1e-4);
      const found = await landmarks(networks.landmark, picture, face);
      expect(distance(flat(found), c.get('landmark_2d_106').data)).toBeLessThan(0.2);
      const { gender, age } = await genderAge(networks.attribute, picture, face);
      expect(gender).toBe(c.get('gender').data[0] === 1 ? 'male' : 'female');
      expect(Math.abs(age - c.get('age').data[0]!)).toBeLessThanOrEqual(1);
    },
  );

  it('is aligned by the closed form: InsightFace’s golden points', () => {
    const five = [310.5, 240.25, 402.75, 236, 358, 292.5, 322.25, 345.75, 395.5, 342];
    const { a, b, tx, ty } = alignment(faceOf([0, 0, 0, 0], five));
    expect(distance([a, b, tx, ty], [0.38567195, 0.01004493, -79.0411765, -44.0395358])).toBeLessThan(1e-5);
  });
});
