/**
 * Small pictures of latents while they are drawn, one pixel a cell, without running the decoder.
 *
 * A VAE's colours are nearly a linear map of its latents. Tools carry that map of SDXL's as a table (comfyanonymous/ComfyUI@040a324
 * `comfy/latent_formats.py` `SDXL.latent_rgb_factors`); here it is fitted by least squares to what the bundle's own encoder makes of
 * flat colours, so that every bundle has previews, a fine-tuned VAE and the reference bundle too.
 */
import type { Bitmap } from '../bitmap.ts';
import { CELL, encodePicture, LATENT_CHANNELS, type Vae } from './vae.ts';

/** [4, h, w] scaled latents to a picture of w × h px. */
export type Preview = (latents: Float32Array, height: number, width: number) => Bitmap;

/** Levels of each primary: with 4 there are 64 colours, a patch each. */
const LEVELS = [0, 85, 170, 255];
const PATCHES_A_SIDE = 8;
/** px; its middle is taken, as a real encoder mixes neighbours at the edges */
const PATCH = 64;
const TERMS = LATENT_CHANNELS + 1;

const fitted = new WeakMap<Vae['vaeEncoder'], Promise<Preview>>();

/** Fits it when it is asked for first: the encoder is run once, on 512 × 512 px. */
export function previewOf(vae: Vae): Promise<Preview> {
  let preview = fitted.get(vae.vaeEncoder);
  if (!preview) {
    preview = fitLinear(vae);
    fitted.set(vae.vaeEncoder, preview);
  }
  return preview;
}

async function fitLinear(vae: Vae): Promise<Preview> {
  const side = PATCHES_A_SIDE * PATCH;
  const cells = side / CELL;
  const latents = await encodePicture(vae, palette(side));
  // Normal equations of colour = latents · factors + bias.
  const squares = Array.from({ length: TERMS }, () => new Float64Array(TERMS));
  const products = Array.from({ length: TERMS }, () => new Float64Array(3));
  for (let patch = 0; patch < PATCHES_A_SIDE ** 2; patch++) {
    const at = (i: number) => Math.floor(((i + 0.5) * PATCH) / CELL);
    const cell = at(Math.floor(patch / PATCHES_A_SIDE)) * cells + at(patch % PATCHES_A_SIDE);
    const terms = [...channels(latents, cells * cells, cell), 1];
    for (const [i, a] of terms.entries()) {
      for (const [j, b] of terms.entries()) squares[i]![j]! += a * b;
      for (const [c, level] of colourOf(patch).entries()) products[i]![c]! += a * level;
    }
  }
  const factors = solve(squares, products);

  return (x, height, width) => {
    const plane = height * width;
    const rgb = new Uint8ClampedArray(3 * plane);
    // The next step waits for it: a channel after the other, as to make an array for each cell took ten times as long.
    for (let c = 0; c < 3; c++) {
      const sums = new Float64Array(plane).fill(factors[LATENT_CHANNELS]![c]!);
      for (let channel = 0; channel < LATENT_CHANNELS; channel++) {
        const factor = factors[channel]![c]!;
        for (let p = 0, q = channel * plane; p < plane; p++, q++) sums[p]! += factor * x[q]!;
      }
      for (let p = 0; p < plane; p++) rgb[3 * p + c] = sums[p]!;
    }
    return { rgb: new Uint8Array(rgb.buffer), width, height };
  };
}

function channels(latents: Float32Array, plane: number, cell: number): number[] {
  return Array.from({ length: LATENT_CHANNELS }, (_, c) => latents[c * plane + cell]!);
}

function colourOf(patch: number): [number, number, number] {
  return [LEVELS[patch % 4]!, LEVELS[Math.floor(patch / 4) % 4]!, LEVELS[Math.floor(patch / 16)]!];
}

function palette(side: number): Bitmap {
  const rgb = new Uint8Array(side * side * 3);
  for (let y = 0, q = 0; y < side; y++) {
    for (let x = 0; x < side; x++, q += 3) {
      rgb.set(colourOf(Math.floor(y / PATCH) * PATCHES_A_SIDE + Math.floor(x / PATCH)), q);
    }
  }
  return { rgb, width: side, height: side };
}

/**
 * Gauss–Jordan with pivoting. A direction that the encoder never uses gets no weight: SDXL's latents have four channels for
 * three colours, and a stand-in's may be constant.
 */
function solve(squares: Float64Array[], products: Float64Array[]): Float64Array[] {
  // So little that it shows nowhere, and enough that no pivot is 0.
  for (const [i, row] of squares.entries()) row[i]! += 1e-6;
  for (let column = 0; column < TERMS; column++) {
    let pivot = column;
    for (let i = column + 1; i < TERMS; i++) {
      if (Math.abs(squares[i]![column]!) > Math.abs(squares[pivot]![column]!)) pivot = i;
    }
    [squares[column], squares[pivot]] = [squares[pivot]!, squares[column]!];
    [products[column], products[pivot]] = [products[pivot]!, products[column]!];
    const scale = 1 / squares[column]![column]!;
    for (let i = 0; i < TERMS; i++) {
      if (i === column) continue;
      const factor = squares[i]![column]! * scale;
      for (let j = 0; j < TERMS; j++) squares[i]![j]! -= factor * squares[column]![j]!;
      for (let c = 0; c < 3; c++) products[i]![c]! -= factor * products[column]![c]!;
    }
    for (let j = 0; j < TERMS; j++) squares[column]![j]! *= scale;
    for (let c = 0; c < 3; c++) products[column]![c]! *= scale;
  }
  return products;
}
