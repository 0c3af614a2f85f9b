/**
 * InsightFace's way from a picture to faces: detection (SCRFD), alignment, recognition (ArcFace), 106 landmarks, gender and
 * age. Networks take RGB, [B, 3, H, W].
 *
 * Source: deepinsight/insightface@7fadd42 python-package/insightface `model_zoo/{scrfd,arcface_onnx,landmark,attribute}.py`,
 * `utils/face_align.py`. Checked by: test/pipelines/faces/faces.test.ts.
 */
import {
  apply,
  type Bitmap,
  centred,
  fitSimilarity,
  inverse,
  type Point,
  resample,
  type Similarity,
  warp,
} from '../bitmap.ts';
import type { Session } from '../session.ts';
import { floats, tensor } from '../tensor.ts';

/** A face in a picture's pixels. */
export interface Face {
  readonly box: {
    readonly left: number;
    readonly top: number;
    readonly right: number;
    readonly bottom: number;
  };
  /** 0…1 */
  readonly score: number;
  /** image-left eye, image-right eye, nose, image-left and image-right corner of the mouth */
  readonly points: readonly [Point, Point, Point, Point, Point];
}

export interface DetectOptions {
  /** px, multiples of 32: what the picture is fitted into. With several of them, what each shows is put together. */
  readonly sizes?: readonly { readonly width: number; readonly height: number }[];
  /** 0…1, least score */
  readonly threshold?: number;
  /** 0…1, when two faces share more of their area than this, only the surer one is kept */
  readonly overlap?: number;
  /** px, of the shorter side: smaller faces are left out */
  readonly smallest?: number;
  /** how many at most; all of them when left out */
  readonly most?: number;
  /** which those are: large ones near the middle, or simply the largest */
  readonly prefer?: 'central' | 'large';
}

const STRIDES = [8, 16, 32];
const ANCHORS = 2;
const OVERLAP = 0.4;
const THRESHOLD = 0.5;
const SIZES = [{ width: 640, height: 640 }];
/** px, sides of squares: PhotoMaker's, where the usual one shows no face. */
const SMALLER = [576, 512, 448, 384, 320, 256];
/** Where ArcFace wants the five points in its 112 × 112 px. */
const TEMPLATE: readonly Point[] = [
  { x: 38.2946, y: 51.6963 },
  { x: 73.5318, y: 51.5014 },
  { x: 56.0252, y: 71.7366 },
  { x: 41.5493, y: 92.3655 },
  { x: 70.7299, y: 92.2041 },
];
/** as the detector is given it */
const BLACK = -127.5 / 128;
const RECOGNITION_SIDE = 112;
const LANDMARK_SIDE = 192;
const ATTRIBUTE_SIDE = 96;

/** Faces, best score first; with `most`, the preferred ones first. */
export async function detect(
  detector: Session,
  picture: Bitmap,
  options: DetectOptions = {},
): Promise<Face[]> {
  const { sizes = SIZES, threshold = THRESHOLD, smallest, most, prefer = 'central' } = options;
  const candidates: Face[] = [];
  for (const { width, height } of sizes) {
    const { blob, scale } = letterbox(picture, width, height);
    const outputs = await detectorOutputs(detector, blob, width, height);
    candidates.push(...decode(outputs, width, height, threshold, scale));
  }
  const faces = suppress(byScore(candidates.filter(isSomewhere)), options.overlap).filter(
    ({ box }) => smallest === undefined || Math.min(box.right - box.left, box.bottom - box.top) >= smallest,
  );
  return most === undefined || faces.length <= most
    ? faces
    : preferred(faces, picture, prefer).slice(0, most);
}

/**
 * Looks at smaller and smaller sizes until one shows a face, as PhotoMaker does: a face that fills its picture is small enough for
 * the network in a small one. Where there is a face, the first look mostly is the only one.
 *
 * @param side px, a multiple of 32: the square that the picture is fitted into first
 */
export async function detectInTurn(
  detector: Session,
  picture: Bitmap,
  side: number,
  options: Omit<DetectOptions, 'sizes'>,
): Promise<Face[]> {
  for (const size of [side, ...SMALLER.filter((smaller) => smaller < side)]) {
    const faces = await detect(detector, picture, { ...options, sizes: [{ width: size, height: size }] });
    if (faces.length) return faces;
  }
  return [];
}

/** Half precision overflows to infinities, and those make NaN: no face has such corners. */
const isSomewhere = ({ box, points }: Face) =>
  [box.left, box.top, box.right, box.bottom, ...points.flatMap(({ x, y }) => [x, y])].every(Number.isFinite);

/** The nine outputs by position: their names are numbers that differ from file to file. @param blob [3, height, width] */
export async function detectorOutputs(
  detector: Session,
  blob: Float32Array,
  width: number,
  height: number,
): Promise<Float32Array[]> {
  const input = detector.inputs[0]?.name ?? 'input.1';
  const results = await detector.run({ [input]: tensor(blob, [1, 3, height, width]) });
  return detector.outputs.map(({ name }) => floats(results[name], name).data);
}

const byScore = (faces: Face[]) => faces.sort((a, b) => b.score - a.score);

function preferred(faces: readonly Face[], picture: Bitmap, prefer: 'central' | 'large'): Face[] {
  const [middleX, middleY] = [Math.floor(picture.width / 2), Math.floor(picture.height / 2)];
  const worth = ({ box: { left, top, right, bottom } }: Face) => {
    const area = (right - left) * (bottom - top);
    if (prefer === 'large') return area;
    return area - 2 * (((left + right) / 2 - middleX) ** 2 + ((top + bottom) / 2 - middleY) ** 2);
  };
  return [...faces].sort((a, b) => worth(b) - worth(a));
}

/**
 * Fits the picture into the top left corner; the rest is black.
 *
 * @returns blob [3, height, width]; `scale` of the picture's pixels to the rectangle's; the resized picture
 */
export function letterbox(
  picture: Bitmap,
  width: number,
  height: number,
): { blob: Float32Array; scale: number; resized: Bitmap } {
  const ratio = picture.height / picture.width;
  const fitsHeight = ratio > height / width;
  const h = fitsHeight ? height : Math.trunc(width * ratio);
  const w = fitsHeight ? Math.trunc(height / ratio) : width;
  const small = resample(picture, Math.max(w, 1), Math.max(h, 1));
  const plane = width * height;
  const blob = new Float32Array(3 * plane);
  for (let y = 0, q = 0; y < small.height; y++) {
    const row = y * width;
    for (let at = row, end = row + small.width; at < end; at++, q += 3) {
      blob[at] = (small.rgb[q]! - 127.5) / 128;
      blob[plane + at] = (small.rgb[q + 1]! - 127.5) / 128;
      blob[2 * plane + at] = (small.rgb[q + 2]! - 127.5) / 128;
    }
    for (let c = 0; c < 3; c++) blob.fill(BLACK, c * plane + row + small.width, c * plane + row + width);
  }
  for (let c = 0; c < 3; c++) blob.fill(BLACK, c * plane + small.height * width, (c + 1) * plane);
  return { blob, scale: small.height / picture.height, resized: small };
}

/** SCRFD's nine outputs: scores, boxes and points of strides 8, 16 and 32. Coordinates are divided by `scale`. */
export function decode(
  outputs: readonly Float32Array[],
  width: number,
  height: number,
  threshold: number,
  scale: number,
): Face[] {
  const faces: Face[] = [];
  for (const [s, stride] of STRIDES.entries()) {
    const [scores, boxes, points] = [outputs[s]!, outputs[s + 3]!, outputs[s + 6]!];
    const columns = Math.floor(width / stride);
    const cells = columns * Math.floor(height / stride);
    for (let k = 0; k < cells * ANCHORS; k++) {
      const score = scores[k]!;
      if (!(score >= threshold)) continue;
      const cell = Math.floor(k / ANCHORS);
      const [cx, cy] = [(cell % columns) * stride, Math.floor(cell / columns) * stride];
      const point = (j: number): Point => ({
        x: (cx + points[k * 10 + 2 * j]! * stride) / scale,
        y: (cy + points[k * 10 + 2 * j + 1]! * stride) / scale,
      });
      faces.push({
        score,
        box: {
          left: (cx - boxes[k * 4]! * stride) / scale,
          top: (cy - boxes[k * 4 + 1]! * stride) / scale,
          right: (cx + boxes[k * 4 + 2]! * stride) / scale,
          bottom: (cy + boxes[k * 4 + 3]! * stride) / scale,
        },
        points: [point(0), point(1), point(2), point(3), point(4)],
      });
    }
  }
  return byScore(faces);
}

/** Non-maximum suppression. The reference counts both edges of a box in, hence the ones. */
export function suppress(sorted: readonly Face[], overlap = OVERLAP): Face[] {
  const areaOf = ({ box }: Face) => (box.right - box.left + 1) * (box.bottom - box.top + 1);
  const kept: Face[] = [];
  for (const face of sorted) {
    const covered = kept.some((other) => {
      const w = Math.min(face.box.right, other.box.right) - Math.max(face.box.left, other.box.left) + 1;
      const h = Math.min(face.box.bottom, other.box.bottom) - Math.max(face.box.top, other.box.top) + 1;
      const both = Math.max(0, w) * Math.max(0, h);
      return both / (areaOf(face) + areaOf(other) - both) > overlap;
    });
    if (!covered) kept.push(face);
  }
  return kept;
}

/**
 * Turns a face upright into ArcFace's square.
 *
 * @param side px, a multiple of 112, or of 128, where the face has a margin left and right
 */
export function alignment({ points }: Pick<Face, 'points'>, side = RECOGNITION_SIDE): Similarity {
  const scale = side % RECOGNITION_SIDE ? side / 128 : side / RECOGNITION_SIDE;
  const margin = side % RECOGNITION_SIDE ? 8 * scale : 0;
  return fitSimilarity(
    points,
    TEMPLATE.map(({ x, y }) => ({ x: x * scale + margin, y: y * scale })),
  );
}

/** [512] raw, as PhotoMaker V2 wants it; divide by its norm to compare. */
export async function embed(recognizer: Session, picture: Bitmap, face: Face): Promise<Float32Array> {
  const levels = warp(picture, alignment(face), RECOGNITION_SIDE);
  return outputOf(recognizer, levels, RECOGNITION_SIDE, (v) => (v - 127.5) / 127.5);
}

/** 106 points in the picture's pixels. */
export async function landmarks(
  network: Session,
  picture: Bitmap,
  { box }: Pick<Face, 'box'>,
): Promise<Point[]> {
  const crop = attributeCrop(box, LANDMARK_SIDE);
  return landmarkPoints(await outputOf(network, warp(picture, crop, LANDMARK_SIDE), LANDMARK_SIDE), crop);
}

/** @param raw [212] −1…1 of the crop */
export function landmarkPoints(raw: Float32Array, crop: Similarity): Point[] {
  const back = inverse(crop);
  return Array.from({ length: raw.length / 2 }, (_, i) =>
    apply(back, {
      x: (raw[2 * i]! + 1) * (LANDMARK_SIDE / 2),
      y: (raw[2 * i + 1]! + 1) * (LANDMARK_SIDE / 2),
    }),
  );
}

export type Gender = 'female' | 'male';

export interface GenderAge {
  readonly gender: Gender;
  /** years */
  readonly age: number;
}

export async function genderAge(
  network: Session,
  picture: Bitmap,
  { box }: Pick<Face, 'box'>,
): Promise<GenderAge> {
  const levels = warp(picture, attributeCrop(box, ATTRIBUTE_SIDE), ATTRIBUTE_SIDE);
  return readGenderAge(await outputOf(network, levels, ATTRIBUTE_SIDE));
}

/** @param raw [3] female, male, age in centuries */
export function readGenderAge([female, male, age]: Float32Array): GenderAge {
  return { gender: male! > female! ? 'male' : 'female', age: Math.round(age! * 100) };
}

/**
 * What a network says of a square of a picture.
 *
 * @param levels [side, side, 3] 0…255
 * @param scaled what the network takes for a level
 */
export async function outputOf(
  network: Session,
  levels: ArrayLike<number>,
  side: number,
  scaled: (level: number) => number = (level) => level,
): Promise<Float32Array> {
  const plane = side * side;
  const blob = new Float32Array(3 * plane);
  for (let c = 0; c < 3; c++) {
    for (let p = 0, q = c; p < plane; p++, q += 3) blob[c * plane + p] = scaled(Math.round(levels[q]!));
  }
  const input = network.inputs[0]?.name ?? 'data';
  const output = network.outputs[0]?.name ?? '';
  const result = await network.run({ [input]: tensor(blob, [1, 3, side, side]) });
  return floats(result[output], output).data;
}

/** The box and half of it around, as the landmark and attribute networks were trained. */
export function attributeCrop({ left, top, right, bottom }: Face['box'], side: number): Similarity {
  const scale = side / (1.5 * Math.max(right - left, bottom - top));
  return centred({ x: (left + right) / 2, y: (top + bottom) / 2 }, side, scale);
}

/** −1…1: how alike two faces are. */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
  }
  return dot / Math.sqrt(aa * bb);
}
