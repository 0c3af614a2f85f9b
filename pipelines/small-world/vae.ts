/** The VAE: colours of 8 × 8 px patches as latents; and back, with edges as sharp as a brush's. */
import { COLOUR_MATRIX, COLOUR_SCALE, ENCODED_MARK } from './denoiser.ts';
import { Graph, type Value } from './onnx.ts';

const SCALING_FACTOR = 0.13025;
const GAIN = COLOUR_SCALE / SCALING_FACTOR;

/** `vae_encoder/model.onnx` */
export function vaeEncoder(): Uint8Array {
  const g = new Graph('vae_encoder');
  const sample = g.input('sample', 'float', ['batch_size', 3, 'height', 'width']);
  const patches = g.op('AveragePool', [sample], { kernel_shape: [8, 8], strides: [8, 8] });
  const weights = [...COLOUR_MATRIX.flatMap((row) => row.map((w) => w * GAIN)), ...Array<number>(15).fill(0)];
  // Fourth channel: the mark of an encoded picture; then log variances, so low that nothing is drawn from them.
  const bias = [0, 0, 0, ENCODED_MARK / SCALING_FACTOR, ...Array<number>(4).fill(-30)];
  const out = g.op('Conv', [patches, g.floats(weights, [8, 3, 1, 1]), g.floats(bias, [8])]);
  g.output('latent_parameters', out, 'float', ['batch_size', 8, 'height_8', 'width_8']);
  return g.bytes();
}

/**
 * `vae_decoder/model.onnx`: bicubic, then each pixel is pushed to the nearer of the extremes around it. A slope's pixel is
 * midway between them and stays; an edge's goes to its side.
 */
export function vaeDecoder(): Uint8Array {
  const g = new Graph('vae_decoder');
  const latents = g.input('latent_sample', 'float', ['batch_size', 4, 'height', 'width']);
  const weights = [0, 1, 2].flatMap((c) => [...COLOUR_MATRIX.map((row) => row[c]! / GAIN), 0]);
  const rgb = g.op('Conv', [latents, g.floats(weights, [3, 4, 1, 1])]);
  const large = g.op('Resize', [rgb, '', g.floats([1, 1, 8, 8], [4])], {
    mode: 'cubic',
    coordinate_transformation_mode: 'half_pixel',
    cubic_coeff_a: { float: -0.5 },
  });
  const sharp = sharpen(g, sharpen(g, large, 11, 2.6), 7, 1.6);
  g.output('sample', sharp, 'float', ['batch_size', 3, 'height_px', 'width_px']);
  return g.bytes();
}

function sharpen(g: Graph, x: Value, size: number, strength: number): Value {
  const pool = (value: Value) => {
    const half = (size - 1) / 2;
    // Across, then down: the same as a square window, at a fraction of the cost.
    const across = g.op('MaxPool', [value], {
      kernel_shape: [1, size],
      pads: [0, half, 0, half],
      strides: [1, 1],
    });
    return g.op('MaxPool', [across], { kernel_shape: [size, 1], pads: [half, 0, half, 0], strides: [1, 1] });
  };
  const high = pool(x);
  const low = g.op('Neg', [pool(g.op('Neg', [x]))]);
  const half = g.scalar(0.5);
  const middle = g.op('Mul', [g.op('Add', [high, low]), half]);
  const reach = g.op('Add', [g.op('Mul', [g.op('Sub', [high, low]), half]), g.scalar(1e-4)]);
  const side = g.op('Div', [g.op('Sub', [x, middle]), reach]); // −1…1
  const pushed = g.op('Div', [
    g.op('Tanh', [g.op('Mul', [side, g.scalar(strength)])]),
    g.scalar(Math.tanh(strength)),
  ]);
  return g.op('Add', [middle, g.op('Mul', [reach, pushed])]);
}
