/** Detection, alignment, recognition, landmarks, gender and age, by InsightFace's own code on small networks. */
import { existsSync } from 'node:fs';
import { z } from 'zod';
import {
  apply,
  type Bitmap,
  centred,
  inverse,
  type Point,
  type Similarity,
  warp,
} from '#pipelines/bitmap.ts';
import {
  alignment,
  attributeCrop,
  cosine,
  decode,
  detect,
  detectorOutputs,
  embed,
  type Face,
  genderAge,
  landmarkPoints,
  landmarks,
  letterbox,
  outputOf,
  readGenderAge,
  suppress,
} from '#pipelines/faces/faces.ts';
import type { Session } from '#pipelines/session.ts';
import { openSession } from '#src/doors/onnx.ts';
import {
  type Comparison,
  compare,
  compareLevels,
  type GoldenCase,
  type GoldenRunner,
  type GoldenSet,
  goldenDir,
  openSet,
} from '../support/golden.ts';
import { readPicture } from '../support/read-picture.ts';

const MATRIX = { relative: 1e-4 };
/** px, where the network's output is given, and where the whole way was gone */
const POINTS = { absolute: 0.01 };
const WHOLE_WAY = { absolute: 0.1 };
const SCORE = { absolute: 1e-4 };
/** OpenCV interpolates in fixed point. */
const PIXELS = { most: 2, mean: 0.2 };
/** 1 − cosine */
const ALIKE = { absolute: 1e-4 };
/** of a network given the reference's own picture */
const RAW = { relative: 1e-4 };
const RECOGNITION_SIDE = 112;
const LANDMARK_SIDE = 192;
const ATTRIBUTE_SIDE = 96;

const Detect = z.object({
  picture: z.string(),
  det_size_wh: z.array(z.tuple([z.number(), z.number()])),
  det_thresh: z.number(),
  nms_thresh: z.number(),
  max_num: z.number(),
  metric: z.enum(['default', 'max']),
});
const Transform = z.object({
  picture: z.string(),
  center: z.tuple([z.number(), z.number()]),
  size: z.number(),
  scale: z.number(),
  rotation_deg: z.number(),
});

interface Networks {
  readonly det: Session;
  readonly recognizer: Session;
  readonly landmark: Session;
  readonly attribute: Session;
}

export const insightface: GoldenRunner = async (set) => {
  const own = openSet(goldenDir('insightface'));
  const file = (name: string) => (existsSync(set.path(name)) ? set.path(name) : own.path(name));
  const networks: Networks = {
    det: await openSession(file('det_10g.onnx'), { threads: 1 }),
    recognizer: await openSession(file('w600k_r50.onnx'), { threads: 1 }),
    landmark: await openSession(file('2d106det.onnx'), { threads: 1 }),
    attribute: await openSession(file('genderage.onnx'), { threads: 1 }),
  };
  const picture = (name: unknown) => readPicture(file(z.string().parse(name)));

  return async (c) => {
    if (c.name.startsWith('detect')) return detection(networks, set, c, await picture(c.params.picture));
    if (c.name.startsWith('face')) return face(networks, set, c, await picture(c.params.picture));
    if (c.name.startsWith('transform')) return transformed(set, c, await picture(c.params.picture));
    if (c.name.startsWith('norm')) return norm(c);
    if (c.name.startsWith('nms')) return nms(c);
    return distances(c);
  };
};

const numbers = (c: GoldenCase, name: string) => Float32Array.from(c.get(name).data);
const rows = (list: ArrayLike<number>, width: number) =>
  Array.from(
    { length: list.length / width },
    (_, i) => Array.prototype.slice.call(list, i * width, (i + 1) * width) as number[],
  );
const points = (list: ArrayLike<number>): Point[] => rows(list, 2).map(([x, y]) => ({ x: x!, y: y! }));
const flat = (list: readonly Point[]) => list.flatMap(({ x, y }) => [x, y]);
const matrix = ({ a, b, tx, ty }: Similarity) => [a, -b, tx, b, a, ty];
const faceOf = (box: ArrayLike<number>, five: ArrayLike<number>, score = 1): Face => ({
  box: { left: box[0]!, top: box[1]!, right: box[2]!, bottom: box[3]! },
  score,
  points: points(five) as unknown as Face['points'],
});
const boxOf = ({ box }: Face) => [box.left, box.top, box.right, box.bottom];
const pointsOf = (face: Face) => flat(face.points);

async function detection(
  { det }: Networks,
  set: GoldenSet,
  c: GoldenCase,
  picture: Bitmap,
): Promise<Comparison[]> {
  const params = Detect.parse(c.params);
  const options = {
    threshold: params.det_thresh,
    overlap: params.nms_thresh,
    prefer: params.metric === 'max' ? ('large' as const) : ('central' as const),
    ...(params.max_num > 0 && { most: params.max_num }),
  };
  const sizes = params.det_size_wh.map(([width, height]) => ({ width, height }));
  const out: Comparison[] = [];

  const found = await detect(det, picture, { ...options, sizes });
  out.push(...sameFaces('found', found, c.get('det').data, c.get('kps').data, WHOLE_WAY));

  const [size] = sizes;
  if (!size || sizes.length > 1) return out;
  const { width, height } = size;
  const { blob, scale, resized } = letterbox(picture, width, height);
  if (c.has('det_scale'))
    out.push(compare('det_scale', [scale], c.get('det_scale').data, { relative: 1e-12 }));
  if (c.has('resized_wh'))
    out.push(compare('resized_wh', [resized.width, resized.height], c.get('resized_wh').data, {}));
  for (const name of c.tensors.filter((tensor) => tensor.startsWith('blob_rows_'))) {
    const some = name.slice('blob_rows_'.length).split('_').map(Number);
    const got = [0, 1, 2].flatMap((channel) =>
      some.flatMap((y) => [
        ...blob.subarray((channel * height + y) * width, (channel * height + y + 1) * width),
      ]),
    );
    out.push(compare(name, got, c.get(name).data, { absolute: 0.02 }));
  }
  const names = det.outputs.map(({ name }) => `net_${name}`);
  if (names.every((name) => c.has(name))) {
    const outputs = names.map((name) => numbers(c, name));
    const candidates = decode(outputs, width, height, params.det_thresh, scale);
    if (c.has('candidates'))
      out.push(
        ...sameFaces(
          'candidates',
          candidates,
          c.get('candidates').data,
          c.get('candidates_kps').data,
          POINTS,
        ),
      );
    if (!params.max_num)
      out.push(
        ...sameFaces(
          'kept',
          suppress(candidates, params.nms_thresh),
          c.get('det').data,
          c.get('kps').data,
          POINTS,
        ),
      );
  }
  const png = set.path(`${c.name}-letterbox.png`);
  if (existsSync(png)) {
    const wanted = await readPicture(png);
    out.push(compareLevels(`${c.name}-letterbox.png`, unblob(blob), wanted.rgb, PIXELS));
    if (names.every((name) => c.has(name))) {
      const outputs = await detectorOutputs(det, toBlob(wanted), width, height);
      for (const [i, name] of names.entries()) out.push(compare(name, outputs[i]!, c.get(name).data, SCORE));
    }
  }
  return out;
}

/** Faces whose scores are all but equal may have changed places: each wanted one is looked for by where it is. */
function sameFaces(
  what: string,
  found: readonly Face[],
  det: ArrayLike<number>,
  kps: ArrayLike<number>,
  limit: { readonly absolute: number },
): Comparison[] {
  const wanted = rows(det, 5);
  const five = rows(kps, 10);
  if (found.length !== wanted.length)
    return [compare(`${what}: how many`, [found.length], [wanted.length], {})];
  const distanceTo = (face: Face, row: readonly number[]) =>
    Math.max(...boxOf(face).map((v, i) => Math.abs(v - row[i]!)));
  const rest = new Set(found);
  const faces = wanted.map((row) => {
    const nearest = [...rest].reduce((best, one) =>
      distanceTo(best, row) <= distanceTo(one, row) ? best : one,
    );
    rest.delete(nearest);
    return nearest;
  });
  return [
    compare(
      `${what}: boxes`,
      faces.flatMap(boxOf),
      wanted.flatMap((row) => row.slice(0, 4)),
      limit,
    ),
    compare(`${what}: points`, faces.flatMap(pointsOf), five.flat(), limit),
    compare(
      `${what}: scores`,
      faces.map(({ score }) => score),
      wanted.map((row) => row[4]!),
      SCORE,
    ),
  ];
}

const unblob = (blob: Float32Array) => interleaved(blob.map((v) => v * 128 + 127.5));

/** [3, n] to [n, 3] */
function interleaved(planes: Float32Array): Float32Array {
  const plane = planes.length / 3;
  return planes.map((_, i) => planes[(i % 3) * plane + Math.floor(i / 3)]!);
}

function toBlob({ rgb }: Bitmap): Float32Array {
  const plane = rgb.length / 3;
  return Float32Array.from(rgb, (_, i) => (rgb[(i % plane) * 3 + Math.floor(i / plane)]! - 127.5) / 128);
}

async function face(
  networks: Networks,
  set: GoldenSet,
  c: GoldenCase,
  picture: Bitmap,
): Promise<Comparison[]> {
  const one = faceOf(c.get('bbox').data, c.get('kps').data);
  const aligned = alignment(one);
  const embedding = await embed(networks.recognizer, picture, one);
  const norm = Math.hypot(...embedding);
  const out = [
    compare('norm_matrix', matrix(aligned), c.get('norm_matrix').data, MATRIX),
    compare('embedding', [1 - cosine(embedding, c.get('embedding').data)], [0], ALIKE),
    compare(
      'normed_embedding',
      embedding.map((v) => v / norm),
      c.get('normed_embedding').data,
      { absolute: 1e-3 },
    ),
  ];
  const crops = {
    landmark: attributeCrop(one.box, LANDMARK_SIDE),
    genderage: attributeCrop(one.box, ATTRIBUTE_SIDE),
  };
  for (const [name, crop] of Object.entries(crops)) {
    out.push(
      compare(`${name}_matrix`, matrix(crop), c.get(`${name}_matrix`).data, MATRIX),
      compare(`${name}_inverse`, matrix(inverse(crop)), c.get(`${name}_inverse`).data, MATRIX),
      compare(`${name}_scale`, [crop.a], c.get(`${name}_scale`).data, MATRIX),
    );
  }
  for (const [name, transform, side, network] of [
    ['112', aligned, RECOGNITION_SIDE, null],
    ['landmark', crops.landmark, LANDMARK_SIDE, networks.landmark],
    ['genderage', crops.genderage, ATTRIBUTE_SIDE, networks.attribute],
  ] as const) {
    const png = set.path(`${c.name}-${name}.png`);
    if (!existsSync(png)) continue;
    const { rgb } = await readPicture(png);
    const levels = warp(picture, transform, side).map(Math.round);
    out.push(compareLevels(`${c.name}-${name}.png`, levels, rgb, PIXELS));
    if (network) {
      const raw = await outputOf(network, rgb, side);
      out.push(compare(`${name}_raw`, raw, c.get(`${name}_raw`).data, RAW));
    }
  }

  const given = {
    points: landmarkPoints(numbers(c, 'landmark_raw'), crops.landmark),
    ...readGenderAge(numbers(c, 'genderage_raw')),
  };
  const found = await landmarks(networks.landmark, picture, one);
  const { gender, age } = await genderAge(networks.attribute, picture, one);
  const wanted = c.get('landmark_2d_106').data;
  return [
    ...out,
    compare('landmark_2d_106 of landmark_raw', flat(given.points), wanted, POINTS),
    compare('landmark_2d_106', flat(found), wanted, WHOLE_WAY),
    compare('gender of genderage_raw', [Number(given.gender === 'male')], c.get('gender').data, {}),
    compare('gender', [Number(gender === 'male')], c.get('gender').data, {}),
    compare('age of genderage_raw', [given.age], c.get('age').data, {}),
    compare('age', [age], c.get('age').data, { absolute: 1 }),
  ];
}

function norm(c: GoldenCase): Comparison[] {
  const five = { points: points(c.get('points').data) as unknown as Face['points'] };
  return c.tensors
    .filter((name) => /^m\d+$/.test(name))
    .map((name) => compare(name, matrix(alignment(five, Number(name.slice(1)))), c.get(name).data, MATRIX));
}

function nms(c: GoldenCase): Comparison[] {
  const { nms_thresh } = z.object({ nms_thresh: z.number() }).parse(c.params);
  const noPoints = new Float32Array(10);
  const faces = rows(c.get('dets').data, 5).map((row) => faceOf(row, noPoints, row[4]!));
  const kept = suppress(
    [...faces].sort((a, b) => b.score - a.score),
    nms_thresh,
  );
  return [
    compare(
      'keep',
      kept.map((one) => faces.indexOf(one)),
      c.get('keep').data,
      {},
    ),
  ];
}

/** `distance2bbox` and `distance2kps`: one anchor each, as a detector's single cell would have it. */
function distances(c: GoldenCase): Comparison[] {
  const anchors = rows(c.get('points').data, 2);
  const [boxes, five] = [rows(c.get('distance').data, 4), rows(c.get('distance_kps').data, 10)];
  const faces = anchors.map(([x, y], i) => {
    // The first cell of stride 8 is at the origin: moved to the anchor afterwards.
    const one = Float32Array.of(1, 0);
    const none = new Float32Array(2);
    const scaled = (list: readonly number[]) => Float32Array.from([...list, ...list].map((v) => v / 8));
    const [face] = decode(
      [
        one,
        none,
        none,
        scaled(boxes[i]!),
        new Float32Array(8),
        new Float32Array(8),
        scaled(five[i]!),
        new Float32Array(20),
        new Float32Array(20),
      ],
      8,
      8,
      0.5,
      1,
    );
    return {
      box: boxOf(face!).map((v, k) => v + (k % 2 ? y! : x!)),
      five: pointsOf(face!).map((v, k) => v + (k % 2 ? y! : x!)),
    };
  });
  return [
    compare(
      'bbox',
      faces.flatMap(({ box }) => box),
      c.get('bbox').data,
      POINTS,
    ),
    compare(
      'kps',
      faces.flatMap((one) => one.five),
      c.get('kps').data,
      POINTS,
    ),
  ];
}

async function transformed(set: GoldenSet, c: GoldenCase, picture: Bitmap): Promise<Comparison[]> {
  const { center, size, scale, rotation_deg } = Transform.parse(c.params);
  const turn = centred({ x: center[0], y: center[1] }, size, scale, rotation_deg);
  const moved = points(c.get('points').data).map((point) => apply(turn, point));
  const out = [
    compare('matrix', matrix(turn), c.get('matrix').data, MATRIX),
    compare('inverse', matrix(inverse(turn)), c.get('inverse').data, MATRIX),
    compare('moved', flat(moved), c.get('moved').data, POINTS),
  ];
  const png = set.path(`${c.name}.png`);
  if (existsSync(png)) {
    const levels = warp(picture, turn, size).map(Math.round);
    out.push(compareLevels(`${c.name}.png`, levels, (await readPicture(png)).rgb, PIXELS));
  }
  return out;
}
