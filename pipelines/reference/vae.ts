/**
 * Pictures to latents and back, without weights: fixed linear patches on the way in; interpolation and a contrast curve that
 * makes edges crisp again on the way out.
 *
 * Latents: brightness in the middle of each cell, blue − brightness, red − brightness, and brightness at the cell's lower
 * right corner. Middles and corners together sample brightness every 5.7 px.
 */
import { Graph, type Value } from '../onnx-writer.ts';
import { LUMA } from './algebra.ts';

const CELL = 8;
const SCALING_FACTOR = 0.13025;
/** latent units of brightness 0…1, and of a colour difference */
export const BRIGHT = 5;
export const CHROMA = 6;

/** rows: the three colour channels that latents have; columns: red, green, blue */
export const TO_LATENT = [
  LUMA.map((w) => w * BRIGHT),
  LUMA.map((w, i) => ((i === 2 ? 1 : 0) - w) * CHROMA),
  LUMA.map((w, i) => ((i === 0 ? 1 : 0) - w) * CHROMA),
] as const;

/** [B, 3, H, W] in −1…1 → [B, 8, H/8, W/8]: mean, and a logarithm of the variance that is as good as none */
export function vaeEncoder(): Uint8Array {
  const g = new Graph('vae_encoder');
  const sample = g.input('sample', 'float', ['batch_size', 3, 'sample_height', 'sample_width']);
  const padded = g.op('Pad', [sample, g.ints([0, 0, 0, 0, 0, 0, 4, 4])], { mode: 'edge' });
  const side = CELL + 4;
  const weights = new Float32Array(4 * 3 * side * side);
  for (let out = 0; out < 4; out++) {
    const [from, row] = out === 3 ? [4, TO_LATENT[0]] : [0, TO_LATENT[out as 0 | 1 | 2]];
    for (let c = 0; c < 3; c++)
      for (let y = from; y < from + CELL; y++)
        for (let x = from; x < from + CELL; x++)
          weights[((out * 3 + c) * side + y) * side + x] = row[c]! / CELL ** 2 / 2 / SCALING_FACTOR;
  }
  const mean = g.op('Conv', [padded, g.floats(weights, [4, 3, side, side])], {
    strides: [CELL, CELL],
    kernel_shape: [side, side],
  });
  const logvar = g.op('Sub', [g.op('Mul', [mean, g.scalar(0)]), g.scalar(30)]);
  const both = g.op('Concat', [mean, logvar], { axis: 1 });
  g.output('latent_parameters', both, 'float', ['batch_size', 8, 'sample_height / 8', 'sample_width / 8']);
  return g.bytes();
}

/** [B, 4, h, w] → [B, 3, 8h, 8w] in about −1…1 */
export function vaeDecoder(): Uint8Array {
  const g = new Graph('vae_decoder');
  const input = g.input('latent_sample', 'float', ['batch_size', 4, 'latent_height', 'latent_width']);
  const latents = g.op('Mul', [input, g.scalar(SCALING_FACTOR)]);
  // A grid of half cells: brightness is known at two of four places and is the mean of four neighbours at the others.
  const padded = g.op('Pad', [latents, g.ints([0, 0, 1, 1, 0, 0, 1, 1])], { mode: 'edge' });
  const k = new Float32Array(12 * 4 * 9);
  const put = (out: number, channel: number, dy: number, dx: number, w: number) => {
    k[((out * 4 + channel) * 3 + dy + 1) * 3 + dx + 1] = w;
  };
  // DepthToSpace takes channel (2·dy + dx)·3 + c to place (dy, dx) of colour channel c.
  put(0, 0, 0, 0, 1);
  for (const [dy, dx, w] of [[0, 0, 1]] as const) put(9, 3, dy, dx, w);
  for (const [c, dy, dx] of [
    [0, 0, 0],
    [0, 0, 1],
    [3, 0, 0],
    [3, -1, 0],
  ] as const)
    put(3, c, dy, dx, 0.25);
  for (const [c, dy, dx] of [
    [0, 0, 0],
    [0, 1, 0],
    [3, 0, 0],
    [3, 0, -1],
  ] as const)
    put(6, c, dy, dx, 0.25);
  for (const c of [1, 2]) {
    put(c, c, 0, 0, 1);
    for (const dx of [0, 1]) put(3 + c, c, 0, dx, 0.5);
    for (const dy of [0, 1]) put(6 + c, c, dy, 0, 0.5);
    for (const dy of [0, 1]) for (const dx of [0, 1]) put(9 + c, c, dy, dx, 0.25);
  }
  const grid12 = g.op('Conv', [padded, g.floats(k, [12, 4, 3, 3])], { kernel_shape: [3, 3] });
  const grid = g.op('DepthToSpace', [grid12], { blocksize: 2, mode: 'DCR' }); // [B, 3, 2h, 2w]

  // Its points lie at 3.5 + 4k px; pixels between them by Catmull-Rom, their neighbourhood's range by lines.
  const smooth = upsample(g, grid, cubic);
  const pool = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1] };
  const high = upsample(g, g.op('MaxPool', [grid], pool), linear);
  const low = upsample(g, g.op('Neg', [g.op('MaxPool', [g.op('Neg', [grid])], pool)]), linear);
  const range = g.op('Sub', [high, low]);
  const at = g.op('Div', [g.op('Sub', [smooth, low]), g.op('Max', [range, g.scalar(1e-3)])]);
  // Where the range is wide there is an edge, and it is made steep at its half; where it is small there is shading.
  const edge = g.op('Clip', [
    g.op('Mul', [g.op('Sub', [range, g.scalar(0.4)]), g.scalar(1 / 1.2)]),
    g.scalar(0),
    g.scalar(1),
  ]);
  const gain = g.op('Add', [g.scalar(1), g.op('Mul', [edge, g.scalar(1.5)])]);
  const steep = g.op('Clip', [
    g.op('Add', [g.op('Mul', [g.op('Sub', [at, g.scalar(0.5)]), gain]), g.scalar(0.5)]),
    g.scalar(0),
    g.scalar(1),
  ]);
  const crisp = g.op('Add', [low, g.op('Mul', [steep, range])]);
  const rgb = g.op('Conv', [crisp, g.floats(fromLatent().flat(), [3, 3, 1, 1])], { kernel_shape: [1, 1] });
  g.output('sample', rgb, 'float', ['batch_size', 3, 'latent_height * 8', 'latent_width * 8']);
  return g.bytes();
}

/** Columns: latents; rows: red, green, blue in −1…1. The inverse of `TO_LATENT` on 0…1, doubled. */
export function fromLatent(): number[][] {
  const [r, g, b] = LUMA;
  const [y, d] = [2 / BRIGHT, 2 / CHROMA];
  return [
    [y, 0, d],
    [y, (-b / g) * d, (-r / g) * d],
    [y, d, 0],
  ];
}

type Kernel = (distance: number) => number;
const linear: Kernel = (x) => Math.max(0, 1 - Math.abs(x));
const cubic: Kernel = (value) => {
  const x = Math.abs(value);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
};

/** Four times the size: [B, 3, n, m] → [B, 3, 4n, 4m]; pixel 4k + r is at k + (r − 3.5) / 4 of the grid. */
function upsample(g: Graph, grid: Value, kernel: Kernel): Value {
  const planes = g.op('Pad', [grid, g.ints([0, 0, 2, 2, 0, 0, 1, 1])], { mode: 'edge' });
  const weights = new Float32Array(48 * 16);
  for (let r = 0; r < 4; r++)
    for (let s = 0; s < 4; s++)
      for (let c = 0; c < 3; c++)
        for (let y = 0; y < 4; y++)
          for (let x = 0; x < 4; x++)
            // Grouped: the output channels of a colour lie together; CRD takes c·16 + r·4 + s to place (r, s).
            weights[(c * 16 + r * 4 + s) * 16 + y * 4 + x] =
              kernel(y - 2 - (r - 3.5) / 4) * kernel(x - 2 - (s - 3.5) / 4);
  const wide = g.op('Conv', [planes, g.floats(weights, [48, 1, 4, 4])], { kernel_shape: [4, 4], group: 3 });
  return g.op('DepthToSpace', [wide], { blocksize: 4, mode: 'CRD' });
}
