import { beforeAll, describe, expect, it } from 'vitest';
import { generator } from '#pipelines/noise.ts';
import { decodeToSample, encodePicture, encodeSample, toSample, type Vae } from '#pipelines/sdxl/vae.ts';
import type { Session } from '#pipelines/session.ts';
import { floats, tensor } from '#pipelines/tensor.ts';
import { distance } from '../../support/golden.ts';

/** A VAE without learning: each cell's first three channels are the colour of its 8 × 8 px. Sees nothing beyond the cell. */
const sizes: string[] = [];
const encoder: Session = {
  inputs: [],
  outputs: [],
  async run({ sample }) {
    const { data, shape } = floats(sample, 'sample');
    const [, , H = 0, W = 0] = shape;
    sizes.push(`${W}x${H}`);
    const [h, w] = [H / 8, W / 8];
    const out = new Float32Array(8 * h * w);
    for (let c = 0; c < 3; c++)
      for (let y = 0; y < h; y++)
        for (let x = 0; x < w; x++) out[(c * h + y) * w + x] = data[(c * H + y * 8) * W + x * 8]!;
    return { latent_parameters: tensor(out, [1, 8, h, w]) };
  },
};
const decoder: Session = {
  inputs: [],
  outputs: [],
  async run({ latent_sample }) {
    const { data, shape } = floats(latent_sample, 'latent_sample');
    const [, , h = 0, w = 0] = shape;
    sizes.push(`${w}x${h}`);
    const out = new Float32Array(3 * 64 * h * w);
    for (let c = 0; c < 3; c++)
      for (let y = 0; y < 8 * h; y++)
        for (let x = 0; x < 8 * w; x++)
          out[(c * 8 * h + y) * 8 * w + x] = data[(c * h + (y >> 3)) * w + (x >> 3)]!;
    return { sample: tensor(out, [1, 3, 8 * h, 8 * w]) };
  },
};
const vae: Vae = { vaeEncoder: encoder, vaeDecoder: decoder, vaeScalingFactor: 0.13025 };
beforeAll(() => {
  sizes.length = 0;
});

describe('tiles', () => {
  // A decoder that sees only its own cell gives the same in tiles as whole: seams and places are what is tested.
  it.each([
    [129, 40],
    [40, 129],
    [200, 300],
    [128, 224],
  ])('of %i × %i cells are put together without a seam', async (h, w) => {
    const latents = generator(1).normals(4 * h * w);
    sizes.length = 0;
    const got = await decodeToSample(vae, latents, h * 8, w * 8);
    expect(sizes.length).toBeGreaterThan(1);
    expect(sizes.every((size) => size.split('x').every((side) => Number(side) <= 128))).toBe(true);
    const scaled = latents.map((v) => v / 0.13025);
    const whole = floats(
      (await decoder.run({ latent_sample: tensor(scaled, [1, 4, h, w]) })).sample,
      'sample',
    );
    expect(got.shape).toEqual(whole.shape);
    expect(distance(got.data, whole.data, true)).toBeLessThan(1e-6);
  });

  it('of a large picture are encoded without a seam', async () => {
    const [H, W] = [1096, 1400];
    const rgb = new Uint8Array(H * W * 3);
    for (let y = 0; y < H; y++)
      for (let x = 0; x < W; x++) rgb[(y * W + x) * 3] = ((x >> 3) * 7 + (y >> 3) * 13) % 256;
    const picture = { rgb, width: W, height: H };
    sizes.length = 0;
    const latents = await encodePicture(vae, picture);
    expect(sizes.length).toBeGreaterThan(1);
    const { latent_parameters } = await encoder.run({ sample: toSample(picture) });
    const whole = floats(latent_parameters, 'latents')
      .data.subarray(0, latents.length)
      .map((v) => v * 0.13025);
    expect(distance(latents, whole)).toBeLessThan(1e-6);
  });

  it('are not made of what fits whole', async () => {
    sizes.length = 0;
    await decodeToSample(vae, new Float32Array(4 * 128 * 128), 1024, 1024);
    expect(sizes).toEqual(['128x128']);
  });
});

it('draws from what the encoder gives only when it is handed normals', async () => {
  const sample = tensor(new Float32Array(3 * 16 * 16).fill(0.5), [1, 3, 16, 16]);
  const mean = await encodeSample(vae, sample);
  const drawn = await encodeSample(vae, sample, new Float32Array(16).fill(2));
  expect(mean[0]).toBeCloseTo(0.5 * 0.13025, 6);
  // The logarithm of the variance is 0 here.
  expect(drawn[0]).toBeCloseTo(2.5 * 0.13025, 6);
});

it('takes an encoder that has drawn already as it is', async () => {
  const sampled: Session = {
    ...encoder,
    run: async () => ({ latent_parameters: tensor(new Float32Array(16).fill(3), [1, 4, 2, 2]) }),
  };
  const sample = tensor(new Float32Array(3 * 16 * 16), [1, 3, 16, 16]);
  const latents = await encodeSample({ ...vae, vaeEncoder: sampled }, sample, new Float32Array(16).fill(9));
  expect([...latents]).toEqual(Array(16).fill(Math.fround(3 * 0.13025)));
});
