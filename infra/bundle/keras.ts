/**
 * Keras layers models, as TensorFlow.js stores them, to ONNX.
 *
 * Pictures are NHWC there and NCHW here; `same` pads the odd pixel right and below, as SAME_UPPER does; average pools leave padding out of
 * the count in both. A softmax at the end is left out: the classifier's reader takes logits.
 *
 * Source: tensorflow/tfjs@tfjs-v4.22.0 `tfjs-layers/src/layers/*.ts` (what each layer does), `tfjs-core/src/io/io_utils.ts` (weights:
 * shards in the manifest's order, quantised ones as q · scale + min). Checked by: test/infra/bundle/fetch.test.ts.
 */
import { z } from 'zod';
import { Graph, type Value } from '#pipelines/onnx-writer.ts';

const padding = z.enum(['valid', 'same']);
const pair = z.tuple([z.number(), z.number()]);
const activation = z.enum(['linear', 'relu', 'softmax']);
const name = z.string();
const window = z.looseObject({ name, pool_size: pair, strides: pair, padding });
const convolution = z.looseObject({
  name,
  kernel_size: pair,
  strides: pair,
  padding,
  dilation_rate: z.tuple([z.literal(1), z.literal(1)]),
  activation: z.literal('linear'),
  use_bias: z.literal(false),
});
const Layer = z
  .discriminatedUnion('class_name', [
    z.looseObject({ class_name: z.literal('InputLayer'), config: z.looseObject({ name }) }),
    z.looseObject({
      class_name: z.literal('ZeroPadding2D'),
      config: z.looseObject({ name, padding: z.tuple([pair, pair]) }),
    }),
    z.looseObject({ class_name: z.literal('Conv2D'), config: convolution }),
    z.looseObject({ class_name: z.literal('DepthwiseConv2D'), config: convolution }),
    z.looseObject({
      class_name: z.literal('BatchNormalization'),
      config: z.looseObject({ name, epsilon: z.number() }),
    }),
    z.looseObject({
      class_name: z.literal('ReLU'),
      config: z.looseObject({
        name,
        max_value: z.number(),
        negative_slope: z.literal(0),
        threshold: z.literal(0),
      }),
    }),
    z.looseObject({ class_name: z.literal('Activation'), config: z.looseObject({ name, activation }) }),
    z.looseObject({ class_name: z.literal('Add'), config: z.looseObject({ name }) }),
    z.looseObject({ class_name: z.literal('Concatenate'), config: z.looseObject({ name }) }),
    z.looseObject({ class_name: z.literal('AveragePooling2D'), config: window }),
    z.looseObject({ class_name: z.literal('MaxPooling2D'), config: window }),
    z.looseObject({ class_name: z.literal('Flatten'), config: z.looseObject({ name }) }),
    z.looseObject({ class_name: z.literal('Dropout'), config: z.looseObject({ name }) }),
    z.looseObject({
      class_name: z.literal('Dense'),
      config: z.looseObject({ name, units: z.number(), activation, use_bias: z.literal(true) }),
    }),
  ])
  // Who feeds it: [layer, node, tensor, options].
  .and(
    z.looseObject({ inbound_nodes: z.array(z.array(z.tuple([name, z.number(), z.number(), z.unknown()]))) }),
  );

export const LayersModel = z.looseObject({
  modelTopology: z.looseObject({
    model_config: z.looseObject({
      config: z.looseObject({
        layers: z.array(Layer),
        output_layers: z.array(z.tuple([name, z.number(), z.number()])),
      }),
    }),
  }),
  weightsManifest: z.array(
    z.looseObject({
      paths: z.array(z.string()),
      weights: z.array(
        z.looseObject({
          name,
          shape: z.array(z.number().int().positive()),
          dtype: z.literal('float32'),
          quantization: z.looseObject({ min: z.number(), scale: z.number(), dtype: z.literal('uint8') }),
        }),
      ),
    }),
  ),
});
export type LayersModel = z.output<typeof LayersModel>;

interface Weight {
  readonly values: Float32Array;
  readonly shape: readonly number[];
}

/**
 * @param shards name → bytes, as the manifest names them
 * @param side   px
 * @returns the ONNX file: `pixel_values` [batch_size, 3, side, side] to `logits` [batch_size, labels]
 * @throws {Error} naming what is missing, or what this writer does not know
 */
export function kerasToOnnx(
  model: LayersModel,
  shards: ReadonlyMap<string, Uint8Array>,
  side: number,
): Uint8Array {
  const weights = weightsOf(model, shards);
  const weight = (path: string): Weight => {
    const found = weights.get(path);
    if (!found) throw new Error(`There are no weights ${path}.`);
    return found;
  };
  const {
    layers,
    output_layers: [last],
  } = model.modelTopology.model_config.config;
  const g = new Graph('nsfw');
  const made = new Map<string, Value>();
  let labels = 0;
  for (const {
    class_name: kind,
    config,
    inbound_nodes: [inbound = []],
  } of layers) {
    const inputs = inbound.map(([from]) => made.get(from) ?? fail(`There is no layer ${from}.`));
    const [input = ''] = inputs;
    const named = (part: string) => weight(`${config.name}/${part}`);
    const value = (): Value => {
      switch (kind) {
        case 'InputLayer':
          return g.input('pixel_values', 'float', ['batch_size', 3, side, side]);
        case 'ZeroPadding2D': {
          const [[top, bottom], [left, right]] = config.padding;
          return g.op('Pad', [input, g.ints([0, 0, top, left, 0, 0, bottom, right])]);
        }
        case 'Conv2D': {
          const kernel = toOihw(named('kernel'));
          return g.op('Conv', [input, g.floats(kernel.values, kernel.shape)], movingOf(config));
        }
        case 'DepthwiseConv2D': {
          const kernel = depthwise(named('depthwise_kernel'));
          return g.op('Conv', [input, g.floats(kernel.values, kernel.shape)], {
            ...movingOf(config),
            group: kernel.shape[0]!,
          });
        }
        case 'BatchNormalization': {
          const [beta, mean, variance] = ['beta', 'moving_mean', 'moving_variance'].map(named) as [
            Weight,
            Weight,
            Weight,
          ];
          const gamma = weights.get(`${config.name}/gamma`)?.values ?? beta.values.map(() => 1);
          const parts = [gamma, beta.values, mean.values, variance.values];
          return g.op('BatchNormalization', [input, ...parts.map((one) => g.floats(one, [one.length]))], {
            epsilon: { float: config.epsilon },
          });
        }
        case 'ReLU':
          return g.op('Clip', [input, g.scalar(0), g.scalar(config.max_value)]);
        case 'Activation':
          return activated(g, input, config.activation);
        case 'Add':
          return inputs.slice(1).reduce((sum, one) => g.op('Add', [sum, one]), input);
        case 'Concatenate':
          return g.op('Concat', inputs, { axis: 1 });
        case 'AveragePooling2D':
          return g.op('AveragePool', [input], { ...movingOf(config), kernel_shape: config.pool_size });
        case 'MaxPooling2D':
          return g.op('MaxPool', [input], { ...movingOf(config), kernel_shape: config.pool_size });
        case 'Flatten':
          return g.op('Reshape', [g.op('Transpose', [input], { perm: [0, 2, 3, 1] }), g.ints([0, -1])]);
        case 'Dropout':
          return input;
        case 'Dense': {
          labels = config.units;
          const [kernel, bias] = [named('kernel'), named('bias')];
          const product = g.op('MatMul', [input, g.floats(kernel.values, kernel.shape)]);
          const sum = g.op('Add', [product, g.floats(bias.values, bias.shape)]);
          return config.name === last?.[0] && config.activation === 'softmax'
            ? sum
            : activated(g, sum, config.activation);
        }
      }
    };
    made.set(config.name, value());
  }
  g.output('logits', made.get(last?.[0] ?? '') ?? fail('There is no last layer.'), 'float', [
    'batch_size',
    labels,
  ]);
  return g.bytes();
}

function fail(message: string): never {
  throw new Error(message);
}

/** All tensors, in full precision. */
function weightsOf(
  { weightsManifest }: LayersModel,
  shards: ReadonlyMap<string, Uint8Array>,
): Map<string, Weight> {
  const weights = new Map<string, Weight>();
  for (const { paths, weights: listed } of weightsManifest) {
    const parts = paths.map((path) => shards.get(path) ?? fail(`There is no shard ${path}.`));
    const bytes = Buffer.concat(parts);
    let at = 0;
    for (const { name: path, shape, quantization } of listed) {
      const count = shape.reduce((product, one) => product * one, 1);
      if (at + count > bytes.length) fail(`The shards end before ${path}.`);
      const values = new Float32Array(count);
      for (let i = 0; i < count; i++) values[i] = bytes[at + i]! * quantization.scale + quantization.min;
      weights.set(path, { values, shape });
      at += count;
    }
    if (at !== bytes.length) fail(`The shards have ${bytes.length - at} bytes that belong to nothing.`);
  }
  return weights;
}

function activated(g: Graph, value: Value, kind: z.output<typeof activation>): Value {
  if (kind === 'softmax') return g.op('Softmax', [value], { axis: -1 });
  return kind === 'relu' ? g.op('Relu', [value]) : value;
}

const movingOf = ({
  strides,
  padding: kind,
}: {
  strides: [number, number];
  padding: z.output<typeof padding>;
}) => ({
  strides,
  auto_pad: kind === 'same' ? 'SAME_UPPER' : 'VALID',
});

/** [h, w, in, out] → [out, in, h, w] */
function toOihw({ values, shape }: Weight): Weight {
  const [h = 0, w = 0, inputs = 0, outputs = 0] = shape;
  const out = new Float32Array(values.length);
  for (let p = 0; p < h * w; p++)
    for (let i = 0; i < inputs; i++)
      for (let o = 0; o < outputs; o++)
        out[(o * inputs + i) * h * w + p] = values[(p * inputs + i) * outputs + o]!;
  return { values: out, shape: [outputs, inputs, h, w] };
}

/** [h, w, channels, times] → [channels · times, 1, h, w] */
function depthwise({ values, shape }: Weight): Weight {
  const [h = 0, w = 0, channels = 0, times = 0] = shape;
  const out = new Float32Array(values.length);
  for (let p = 0; p < h * w; p++)
    for (let c = 0; c < channels * times; c++) out[c * h * w + p] = values[p * channels * times + c]!;
  return { values: out, shape: [channels * times, 1, h, w] };
}
