/** Pictures to latents and back. Source: huggingface/diffusers@58eb52c `image_processor.py`, SDXL's VAE config. */

import type { Picture } from '../picture.ts';
import type { Session } from '../session.ts';
import { floats, roundHalfEven, tensor } from '../tensor.ts';

/** px a latent cell */
export const CELL = 8;
const SCALING_FACTOR = 0.13025;

/**
 * @returns [4, h, w] latents × 0.13025: the mean of what the encoder gives; nothing is drawn
 */
export async function encodePicture(
  vaeEncoder: Session,
  { rgb, width, height }: Picture,
): Promise<Float32Array> {
  const plane = width * height;
  const sample = new Float32Array(3 * plane);
  for (let p = 0; p < plane; p++) {
    for (let c = 0; c < 3; c++) sample[c * plane + p] = (rgb[p * 3 + c]! / 255) * 2 - 1;
  }
  const { latent_parameters } = await vaeEncoder.run({ sample: tensor(sample, [1, 3, height, width]) });
  const parameters = floats(latent_parameters, 'latent_parameters').data;
  return parameters.subarray(0, parameters.length / 2).map((mean) => mean * SCALING_FACTOR);
}

/** @param latents [4, h, w]; one picture at a time, as a decoder takes most memory of all */
export async function decodeLatents(
  vaeDecoder: Session,
  latents: Float32Array,
  height: number,
  width: number,
): Promise<Picture> {
  const sample = (await decodeToFloats(vaeDecoder, latents, height, width)).data;
  const plane = height * width;
  const rgb = new Uint8Array(3 * plane);
  for (let p = 0; p < plane; p++) {
    for (let c = 0; c < 3; c++)
      rgb[p * 3 + c] = roundHalfEven(Math.min(Math.max(sample[c * plane + p]!, 0), 1) * 255);
  }
  return { rgb, width, height };
}

/** [1, 3, H, W] in 0…1, not clamped. */
export async function decodeToFloats(
  vaeDecoder: Session,
  latents: Float32Array,
  height: number,
  width: number,
) {
  const input = tensor(
    latents.map((v) => v / SCALING_FACTOR),
    [1, 4, height / CELL, width / CELL],
  );
  const { sample } = await vaeDecoder.run({ latent_sample: input });
  const out = floats(sample, 'sample');
  return tensor(
    out.data.map((v) => v * 0.5 + 0.5),
    out.shape,
  );
}
