/**
 * The image classifier: a ViT's preprocessing, logits, softmax.
 * Source: huggingface/transformers 5.18 `ViTImageProcessor` (224 px, bilinear, mean and std 0.5).
 */
import { type Bitmap, resize } from '../bitmap.ts';
import type { Session } from '../session.ts';
import { floats, tensor } from '../tensor.ts';

const SIDE = 224;

/**
 * Label → 0…1, summing to 1.
 *
 * @throws {RangeError} when the network's answer is no use; the caller must take that for "flagged"
 */
export async function classify(
  classifier: Session,
  picture: Bitmap,
  labels: readonly string[],
): Promise<Record<string, number>> {
  const small = resize(picture, SIDE, SIDE, 'bilinear');
  const plane = SIDE * SIDE;
  const pixels = new Float32Array(3 * plane);
  for (let p = 0; p < plane; p++)
    for (let c = 0; c < 3; c++) pixels[c * plane + p] = small.rgb[p * 3 + c]! / 127.5 - 1;
  const result = await classifier.run({ pixel_values: tensor(pixels, [1, 3, SIDE, SIDE]) });
  const logits = [...floats(result.logits, 'logits').data];
  if (logits.length !== labels.length || !logits.every(Number.isFinite)) {
    throw new RangeError(
      `The classifier gave ${logits.length} logits for ${labels.length} labels, or none that is a number`,
    );
  }
  const most = Math.max(...logits);
  const weights = logits.map((v) => Math.exp(v - most));
  const sum = weights.reduce((a, b) => a + b);
  return Object.fromEntries(labels.map((label, i) => [label, weights[i]! / sum]));
}
