/**
 * Image classifiers: a picture is brought to the square that each was trained on, and its logits become scores.
 *
 * How a classifier is fed decides what it says: a photo that is porn to 0.69 by one resize is so to 0.04 by the other. So a bundle says it
 * for each of them.
 *
 * Source: huggingface/transformers 5.18 `ViTImageProcessor` (antialiased bilinear, mean and std); tensorflow/tfjs@tfjs-v4.22.0
 * `tfjs-backend-cpu/src/kernels/ResizeBilinear.ts` with `alignCorners` (nsfwjs). Checked by: test/infra/bundle/fetch.test.ts.
 */
import { type Bitmap, resize } from '../bitmap.ts';
import type { Session } from '../session.ts';
import { floats, tensor } from '../tensor.ts';

/** How a classifier is fed: (level / 255 − mean) / std, of each channel. */
export interface Feed {
  /** px */
  readonly side: number;
  /** `antialias`: as Pillow's bilinear; `corners`: between the four nearest pixels, corners aligned, as TensorFlow.js' */
  readonly resize: 'antialias' | 'corners';
  /** of red, green and blue, 0…1 */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

export interface Classifier {
  readonly name: string;
  /** one input [1, 3, side, side], `logits` [1, labels] */
  readonly session: Session;
  readonly input: Feed;
  readonly labels: readonly string[];
}

/** Label → 0…1, summing to 1. */
export type LabelScores = Readonly<Record<string, number>>;
/** Classifier → what it says; null: it failed, which its reader must take for "flagged". */
export type Scores = Readonly<Record<string, LabelScores | null>>;

/** What every one of them says. Never rejects: one that fails, or says nothing of use, is null. */
export async function classifyAll(classifiers: readonly Classifier[], picture: Bitmap): Promise<Scores> {
  const scores: Record<string, LabelScores | null> = {};
  for (const one of classifiers) scores[one.name] = await classify(one, picture).catch(() => null);
  return scores;
}

/** @throws {RangeError} naming what of the network's answer is no use */
export async function classify(
  { name, session, input, labels }: Classifier,
  picture: Bitmap,
): Promise<LabelScores> {
  const { side } = input;
  const [port = { name: 'pixel_values' }] = session.inputs;
  const result = await session.run({ [port.name]: tensor(fed(picture, input), [1, 3, side, side]) });
  const logits = [...floats(result.logits, 'logits').data];
  if (logits.length !== labels.length)
    throw new RangeError(
      `${name} gives ${logits.length} logits, and has ${labels.length} labels: ${labels.join(', ')}`,
    );
  if (!logits.every(Number.isFinite))
    throw new RangeError(`${name} gives ${logits.map(String).join(', ')}, and numbers are needed`);
  const most = Math.max(...logits);
  const weights = logits.map((v) => Math.exp(v - most));
  const sum = weights.reduce((a, b) => a + b);
  return Object.fromEntries(labels.map((label, i) => [label, weights[i]! / sum]));
}

/** [3, side, side] */
function fed(picture: Bitmap, { side, resize: how, mean, std }: Feed): Float32Array {
  const levels =
    how === 'corners' ? cornersAligned(picture, side) : resize(picture, side, side, 'bilinear').rgb;
  const plane = side * side;
  const out = new Float32Array(3 * plane);
  for (let c = 0; c < 3; c++) {
    const [scale, shift] = [1 / (255 * std[c]!), mean[c]! / std[c]!];
    for (let p = 0, q = c; p < plane; p++, q += 3) out[c * plane + p] = levels[q]! * scale - shift;
  }
  return out;
}

/** [side, side, 3] levels, not rounded: a picture's corners come to lie on the square's. */
function cornersAligned({ rgb, width, height }: Bitmap, side: number): Float32Array {
  const out = new Float32Array(side * side * 3);
  const last = Math.max(1, side - 1);
  for (let y = 0, q = 0; y < side; y++) {
    const v = (y * (height - 1)) / last;
    const top = Math.floor(v);
    const bottom = Math.min(height - 1, top + 1);
    for (let x = 0; x < side; x++) {
      const u = (x * (width - 1)) / last;
      const left = Math.floor(u);
      const right = Math.min(width - 1, left + 1);
      for (let c = 0; c < 3; c++) {
        const at = (row: number, column: number) => rgb[(row * width + column) * 3 + c]!;
        const above = at(top, left) + (at(top, right) - at(top, left)) * (u - left);
        const below = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * (u - left);
        out[q++] = above + (below - above) * (v - top);
      }
    }
  }
  return out;
}
