/**
 * Pictures to latents and back.
 *
 * Source: Rombach et al. 2022 (arXiv:2112.10752); huggingface/diffusers@58eb52c `image_processor.py`, `models/autoencoders/
 * autoencoder_kl.py` (tiling), `pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl_img2img.py` `prepare_latents`.
 * Checked by: test/golden-runs/sdxl-tiny.ts, test/pipelines/sdxl/vae.test.ts.
 */
import type { Bitmap } from '../bitmap.ts';
import type { Session } from '../session.ts';
import { combine, type FloatTensor, floats, tensor } from '../tensor.ts';

/** px a latent cell */
export const CELL = 8;
export const LATENT_CHANNELS = 4;

/** The two halves, and what latents are multiplied with. */
export interface Vae {
  readonly vaeEncoder: Session;
  readonly vaeDecoder: Session;
  /** SDXL: 0.13025 */
  readonly vaeScalingFactor: number;
}

/**
 * Sides of more cells than this are taken in tiles, which overlap and are blended: memory grows with the area, and at 2048 px a
 * decoder needs more than most GPUs have. Tiles see only themselves, so the result is near to the whole one and not equal.
 */
const TILE = 128;
/** Share of a tile that the next one covers again. */
const OVERLAP = 0.25;

/** @returns [1, 3, H, W] −1…1 */
export function toSample({ rgb, width, height }: Bitmap): FloatTensor {
  const plane = width * height;
  const sample = new Float32Array(3 * plane);
  for (let p = 0, q = 0; p < plane; p++, q += 3) {
    sample[p] = rgb[q]! / 127.5 - 1;
    sample[plane + p] = rgb[q + 1]! / 127.5 - 1;
    sample[2 * plane + p] = rgb[q + 2]! / 127.5 - 1;
  }
  return tensor(sample, [1, 3, height, width]);
}

/** @returns [4, h, w] scaled latents: the mean of what the encoder gives; nothing is drawn */
export async function encodePicture(vae: Vae, picture: Bitmap): Promise<Float32Array> {
  return encodeSample(vae, toSample(picture));
}

/**
 * @param sample  [1, 3, H, W] −1…1
 * @param normals [4, h, w] for a draw from what the encoder gives; its mean when left out
 * @returns       [4, h, w] scaled latents
 */
export async function encodeSample(
  vae: Vae,
  sample: FloatTensor,
  normals?: Float32Array,
): Promise<Float32Array> {
  const run = async (part: FloatTensor) =>
    floats((await vae.vaeEncoder.run({ sample: part })).latent_parameters, 'latent_parameters');
  const { data, shape } = await tiled(sample, TILE * CELL, 1 / CELL, run);
  // Some exports draw inside: four channels, and there is no variance to draw with.
  const size = shape[1] === LATENT_CHANNELS ? data.length : data.length / 2;
  const mean = data.subarray(0, size);
  if (!normals || size === data.length) return combine([vae.vaeScalingFactor, mean]);
  const logVariance = data.subarray(size);
  const deviations = normals.map((n, i) => n * Math.exp(0.5 * Math.min(Math.max(logVariance[i]!, -30), 20)));
  return combine([vae.vaeScalingFactor, mean], [vae.vaeScalingFactor, deviations]);
}

/** @param latents [4, h, w] scaled; one picture at a time, as a decoder takes most memory of all */
export async function decodeLatents(
  vae: Vae,
  latents: Float32Array,
  height: number,
  width: number,
): Promise<Bitmap> {
  const { data } = await decodeToSample(vae, latents, height, width);
  const plane = height * width;
  const rgb = new Uint8Array(3 * plane);
  // Channel by channel and without a call for each: `Uint8ClampedArray`, or halves to even, took twice as long. The only value
  // in the middle of two levels is 0, which is 128 either way.
  for (let c = 0; c < 3; c++) {
    for (let p = 0, q = c, from = c * plane; p < plane; p++, q += 3) {
      const level = data[from + p]! * 127.5 + 127.5;
      rgb[q] = level < 0 ? 0 : level > 255 ? 255 : level + 0.5;
    }
  }
  return { rgb, width, height };
}

/** @returns [1, 3, H, W], about −1…1, not clamped */
export async function decodeToSample(
  vae: Vae,
  latents: Float32Array,
  height: number,
  width: number,
): Promise<FloatTensor> {
  const [h, w] = [height / CELL, width / CELL];
  const z = tensor(combine([1 / vae.vaeScalingFactor, latents]), [1, LATENT_CHANNELS, h, w]);
  return tiled(z, TILE, CELL, async (part) =>
    floats((await vae.vaeDecoder.run({ latent_sample: part })).sample, 'sample'),
  );
}

/**
 * Runs a network tile by tile where a side is longer than a tile, and blends what overlaps by linear ramps, with the tile above
 * and then with the one to the left.
 *
 * @param input [1, C, h, w]
 * @param tile  of the input
 * @param scale output cells to one of the input
 */
async function tiled(
  input: FloatTensor,
  tile: number,
  scale: number,
  run: (part: FloatTensor) => Promise<FloatTensor>,
): Promise<FloatTensor> {
  const [, , height = 0, width = 0] = input.shape;
  if (height <= tile && width <= tile) return run(input);

  const stride = tile * (1 - OVERLAP);
  const blend = tile * OVERLAP * scale;
  const kept = stride * scale;
  let out: FloatTensor | undefined;
  let above: FloatTensor[] = [];
  for (let y = 0; y < height; y += stride) {
    const row: FloatTensor[] = [];
    for (let x = 0; x < width; x += stride) {
      const part = await run(cut(input, y, x, Math.min(tile, height - y), Math.min(tile, width - x)));
      const [upper, left] = [above[row.length], row.at(-1)];
      if (upper) blendInto(part, upper, blend, 'down');
      if (left) blendInto(part, left, blend, 'across');
      row.push(part);
      out ??= empty(part.shape[1]!, height * scale, width * scale);
      paste(
        out,
        cut(part, 0, 0, Math.min(kept, part.shape[2]!), Math.min(kept, part.shape[3]!)),
        y * scale,
        x * scale,
      );
    }
    above = row;
  }
  return out!;
}

function empty(channels: number, height: number, width: number): FloatTensor {
  return tensor(new Float32Array(channels * height * width), [1, channels, height, width]);
}

function cut(from: FloatTensor, top: number, left: number, h: number, w: number): FloatTensor {
  const [, channels = 0, height = 0, width = 0] = from.shape;
  const out = empty(channels, h, w);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < h; y++) {
      const start = (c * height + top + y) * width + left;
      out.data.set(from.data.subarray(start, start + w), (c * h + y) * w);
    }
  }
  return out;
}

function paste(to: FloatTensor, part: FloatTensor, top: number, left: number): void {
  const [, channels = 0, h = 0, w = 0] = part.shape;
  const [, , height = 0, width = 0] = to.shape;
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < h; y++) {
      to.data.set(
        part.data.subarray((c * h + y) * w, (c * h + y + 1) * w),
        (c * height + top + y) * width + left,
      );
    }
  }
}

/** The last cells of `before` fade into the first ones of `tile`. */
function blendInto(tile: FloatTensor, before: FloatTensor, extent: number, way: 'down' | 'across'): void {
  const [, channels = 0, h = 0, w = 0] = tile.shape;
  const [, , beforeH = 0, beforeW = 0] = before.shape;
  const down = way === 'down';
  const cells = Math.min(extent, down ? Math.min(h, beforeH) : Math.min(w, beforeW));
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < cells; i++) {
      const share = i / cells;
      const along = down ? Math.min(w, beforeW) : Math.min(h, beforeH);
      for (let j = 0; j < along; j++) {
        const [y, x] = down ? [i, j] : [j, i];
        const [v, u] = down ? [beforeH - cells + i, j] : [j, beforeW - cells + i];
        const at = (c * h + y) * w + x;
        tile.data[at] = before.data[(c * beforeH + v) * beforeW + u]! * (1 - share) + tile.data[at]! * share;
      }
    }
  }
}
