/** LoRA files and their sums, by closed forms. What diffusers and peft make of them is compared in test/golden.test.ts. */
import { describe, expect, it } from 'vitest';
import { readLora } from '#pipelines/lora/file.ts';
import { applyChange, changesOf } from '#pipelines/lora/merge.ts';
import { type Modules, modulesOf } from '#pipelines/lora/modules.ts';
import type { OnnxModel, OnnxNode, OnnxTensor } from '#pipelines/onnx-reader.ts';
import type { Safetensors, StoredTensor } from '#pipelines/safetensors.ts';

const stored = (shape: number[], values: ArrayLike<number>): StoredTensor => ({
  dtype: 'F32',
  shape,
  numbers: () => Float64Array.from(values),
  floats: () => Float32Array.from(values),
});
const file = (tensors: Record<string, StoredTensor>, metadata: Record<string, string> = {}): Safetensors =>
  Object.assign(new Map(Object.entries(tensors)), { metadata });
/** Rank 1: down [1, 2] = (3, 5), up [3, 1] = (1, 10, 100). */
const pair = (module: string, [down, up] = ['lora_down', 'lora_up']) => ({
  [`${module}.${down}.weight`]: stored([1, 2], [3, 5]),
  [`${module}.${up}.weight`]: stored([3, 1], [1, 10, 100]),
});

describe('a file', () => {
  it.each([
    [
      'lora_unet_mid_block_attentions_0_proj_in',
      'lora_down',
      'lora_up',
      'unet',
      'mid_block_attentions_0_proj_in',
    ],
    [
      'lora_te1_text_model_encoder_layers_0_mlp_fc1',
      'lora_down',
      'lora_up',
      'textEncoder',
      'text_model_encoder_layers_0_mlp_fc1',
    ],
    [
      'lora_te2_text_model_encoder_layers_0_mlp_fc1',
      'lora_down',
      'lora_up',
      'textEncoder2',
      'text_model_encoder_layers_0_mlp_fc1',
    ],
    ['unet.mid_block.attn1.to_q', 'lora_A', 'lora_B', 'unet', 'mid_block.attn1.to_q'],
    [
      'base_model.model.unet.mid_block.attn1.to_q',
      'lora_A.default',
      'lora_B.default',
      'unet',
      'mid_block.attn1.to_q',
    ],
    [
      'text_encoder_2.encoder.layers.0.mlp.fc1',
      'lora_A',
      'lora_B',
      'textEncoder2',
      'encoder.layers.0.mlp.fc1',
    ],
    ['text_encoder.encoder.layers.0.mlp.fc1', 'lora_A', 'lora_B', 'textEncoder', 'encoder.layers.0.mlp.fc1'],
    ['unet.mid_block.attn1.to_q', 'lora.down', 'lora.up', 'unet', 'mid_block.attn1.to_q'],
  ])('names its modules as %s.%s', (module, down, up, target, name) => {
    const [part, ...more] = readLora(file(pair(module, [down, up])));
    expect(more).toEqual([]);
    expect(part).toMatchObject({ target, module: name, rank: 1, scale: 1 });
  });

  it('of diffusers’ attention processors, as PhotoMaker’s, is read, and its ID encoder left alone', () => {
    const of = (name: string) => `lora_weights.unet.mid_block.attn1.processor.${name}_lora`;
    const half = (name: string, way: string, shape: number[]) => ({
      [`${of(name)}.${way}.weight`]: stored(shape, [1, 2, 3]),
    });
    const parts = readLora(
      file({
        ...half('to_q', 'down', [1, 3]),
        ...half('to_q', 'up', [3, 1]),
        ...half('to_out', 'down', [1, 3]),
        ...half('to_out', 'up', [3, 1]),
        'id_encoder.fuse_module.mlp1.fc1.weight': stored([1, 1], [0]),
      }),
    );
    expect(parts.map(({ module }) => module)).toEqual(['mid_block.attn1.to_q', 'mid_block.attn1.to_out.0']);
  });

  it('says its alpha in a tensor, in the header, by module, or not at all', () => {
    const scaleOf = (more: Record<string, StoredTensor>, adapter?: object) =>
      readLora(
        file(
          {
            'unet.a.lora_A.weight': stored([4, 2], new Float32Array(8)),
            'unet.a.lora_B.weight': stored([3, 4], new Float32Array(12)),
            ...more,
          },
          adapter && { lora_adapter_metadata: JSON.stringify(adapter) },
        ),
      )[0]!.scale;
    expect(scaleOf({})).toBe(1);
    expect(scaleOf({ 'unet.a.alpha': stored([], [2]) })).toBe(0.5);
    expect(scaleOf({}, { 'unet.lora_alpha': 8 })).toBe(2);
    expect(scaleOf({}, { 'unet.lora_alpha': 8, 'unet.alpha_pattern': { a: 1 } })).toBe(0.25);
    expect(scaleOf({}, { 'unet.lora_alpha': 8, 'unet.use_rslora': true })).toBe(4);
  });

  it.each([
    [{}, 'it has no LoRA tensors'],
    [{ 'unet.a.weight': stored([1], [1]) }, '1 of its tensors are no LoRA’s: unet.a.weight'],
    [
      { ...pair('unet.a'), 'unet.a.dora_scale': stored([3], [1, 1, 1]) },
      'unet.a.dora_scale belongs to DoRA, LoHa, LoKr or another kind',
    ],
    [{ 'lora_unet_a.hada_w1_a': stored([1], [1]) }, 'belongs to DoRA, LoHa, LoKr'],
    [{ 'unet.a.lora_A.weight': stored([1, 2], [1, 2]) }, 'unet.a has only one of its two matrices'],
    [
      { ...pair('unet.a'), 'unet.a.lora_up.weight': stored([3, 2], [1, 2, 3, 4, 5, 6]) },
      'unet.a: [1, 2] and [3, 2] are no pair of matrices',
    ],
  ])('that is none is refused: %#', (tensors, problem) => {
    expect(() => readLora(file(tensors as Record<string, StoredTensor>))).toThrow(problem.replace('’', "'"));
  });
});

const initializer = (name: string, dims: number[], type: OnnxTensor['type'] = 'float32'): OnnxTensor => ({
  name,
  dims,
  type,
  bytes: 0,
  data: { kind: 'inside', at: 0 },
});
const node = (
  op: string,
  name: string,
  inputs: string[],
  attributes: OnnxNode['attributes'] = {},
): OnnxNode => ({
  op,
  name,
  inputs,
  attributes,
  outputs: [`${name}.out`],
  graphs: [],
});
const model = (initializers: OnnxTensor[], nodes: OnnxNode[]): OnnxModel => ({
  producer: '',
  opset: 18,
  inputs: [],
  outputs: [],
  initializers,
  nodes,
});

describe('a network’s modules', () => {
  it('are found by a weight’s name, or by the node that multiplies with an anonymous, transposed one', () => {
    const modules = modulesOf(
      model(
        [
          initializer('mid_block.resnets.0.conv1.weight', [8, 4, 3, 3]),
          initializer('time_embedding.linear_1.weight', [8, 4]),
          initializer('onnx::MatMul_7', [4, 8]),
          initializer('plain', [8, 4]),
        ],
        [
          node('Conv', '/mid_block/resnets.0/conv1/Conv', ['x', 'mid_block.resnets.0.conv1.weight']),
          node('Gemm', '/time_embedding/linear_1/Gemm', ['x', 'time_embedding.linear_1.weight'], {
            transB: 1,
          }),
          node('MatMul', '/down_blocks.1/attentions.0/attn1/to_out.0/MatMul', ['x', 'onnx::MatMul_7']),
          node('Transpose', '/t', ['plain']),
          node('Cast', '/c', ['/t.out']),
          node('MatMul', '/down_blocks.1/attentions.0/attn1/to_q/MatMul', ['x', '/c.out']),
          node('MatMul', '/down_blocks.1/attentions.0/attn1/MatMul_1', ['x', 'y']),
        ],
      ),
    );
    const of = (name: string) => [modules.get(name)?.tensor.name, modules.get(name)?.transposed];
    expect(of('mid_block.resnets.0.conv1')).toEqual(['mid_block.resnets.0.conv1.weight', false]);
    expect(of('middle_block_0_in_layers_2')).toEqual(['mid_block.resnets.0.conv1.weight', false]);
    expect(of('time_embed_0')).toEqual(['time_embedding.linear_1.weight', false]);
    expect(of('down_blocks_1_attentions_0_attn1_to_out_0')).toEqual(['onnx::MatMul_7', true]);
    expect(of('down_blocks.1.attentions.0.attn1.to_q')).toEqual(['plain', false]);
    expect(modules.has('down_blocks.1.attentions.0.attn1')).toBe(false);
  });

  it('have SDXL’s original names: every block of its three levels', () => {
    const paths = [
      ...[0, 1, 2].flatMap((b) => [0, 1].map((n) => `down_blocks.${b}.resnets.${n}.conv1`)),
      ...[1, 2].flatMap((b) => [0, 1].map((n) => `down_blocks.${b}.attentions.${n}.proj_in`)),
      ...[0, 1].map((b) => `down_blocks.${b}.downsamplers.0.conv`),
      ...['mid_block.resnets.0.conv2', 'mid_block.attentions.0.proj_in', 'mid_block.resnets.1.time_emb_proj'],
      ...[0, 1, 2].flatMap((b) => [0, 1, 2].map((n) => `up_blocks.${b}.resnets.${n}.conv_shortcut`)),
      ...[0, 1].flatMap((b) => [0, 1, 2].map((n) => `up_blocks.${b}.attentions.${n}.proj_out`)),
      ...[0, 1].map((b) => `up_blocks.${b}.upsamplers.0.conv`),
      ...['conv_in', 'conv_out', 'add_embedding.linear_2'],
    ];
    const tensors = paths.map((path) => initializer(`${path}.weight`, [2, 2]));
    const modules = modulesOf(
      model(
        tensors,
        tensors.map(({ name }) => node('Conv', `/${name}`, ['x', name])),
      ),
    );
    const at = (name: string) => modules.get(name)?.tensor.name.replace(/\.weight$/, '');
    expect([
      at('input_blocks_0_0'),
      at('input_blocks_1_0_in_layers_2'),
      at('input_blocks_3_0_op'),
      at('input_blocks_4_1_proj_in'),
      at('input_blocks_6_0_op'),
      at('input_blocks_8_1_proj_in'),
      at('middle_block_0_out_layers_3'),
      at('middle_block_1_proj_in'),
      at('middle_block_2_emb_layers_1'),
      at('output_blocks_0_0_skip_connection'),
      at('output_blocks_2_2_conv'),
      at('output_blocks_5_1_proj_out'),
      at('output_blocks_5_2_conv'),
      at('output_blocks_8_0_skip_connection'),
      at('out_2'),
      at('label_emb_0_2'),
    ]).toEqual([
      'conv_in',
      'down_blocks.0.resnets.0.conv1',
      'down_blocks.0.downsamplers.0.conv',
      'down_blocks.1.attentions.0.proj_in',
      'down_blocks.1.downsamplers.0.conv',
      'down_blocks.2.attentions.1.proj_in',
      'mid_block.resnets.0.conv2',
      'mid_block.attentions.0.proj_in',
      'mid_block.resnets.1.time_emb_proj',
      'up_blocks.0.resnets.0.conv_shortcut',
      'up_blocks.0.upsamplers.0.conv',
      'up_blocks.1.attentions.2.proj_out',
      'up_blocks.1.upsamplers.0.conv',
      'up_blocks.2.resnets.2.conv_shortcut',
      'conv_out',
      'add_embedding.linear_2',
    ]);
  });
});

describe('a merge', () => {
  const share = (name: string, tensors: Record<string, StoredTensor>, scale = 1) => ({
    name,
    scale,
    parts: readLora(file(tensors)),
  });
  const modules = (transposed: boolean, dims: number[], type: OnnxTensor['type'] = 'float32'): Modules =>
    new Map(['a', 'b'].map((name) => [name, { tensor: initializer('w', dims, type), transposed }]));

  it.each([
    ['as it is', false, [3, 2], [4, 6, 31, 51, 301, 501]],
    ['transposed', true, [2, 3], [4, 31, 301, 6, 51, 501]],
  ] as const)('adds up · down to a weight that is stored %s', (_, transposed, dims, wanted) => {
    const [change] = changesOf('unet', modules(transposed, [...dims]), [share('film', pair('unet.a'))]);
    const numbers = new Float32Array(6).fill(1);
    applyChange(numbers, change!);
    expect([...numbers]).toEqual(wanted);
  });

  it('of a convolution takes each kernel number as a column', () => {
    const lora = share('film', {
      'unet.a.lora_down.weight': stored([1, 2, 1, 2], [1, 2, 3, 4]),
      'unet.a.lora_up.weight': stored([2, 1, 1, 1], [1, -1]),
    });
    const [change] = changesOf('unet', modules(false, [2, 2, 1, 2]), [lora]);
    const numbers = new Float32Array(8);
    applyChange(numbers, change!);
    expect([...numbers]).toEqual([1, 2, 3, 4, -1, -2, -3, -4]);
  });

  it('sums several LoRAs by their scales, and modules that share a weight', () => {
    const loras = [
      share('film', pair('unet.a'), 0.5),
      share('ink', { ...pair('unet.a'), ...pair('unet.b') }, -2),
    ];
    const changes = changesOf('unet', modules(false, [3, 2]), loras);
    expect(changes).toHaveLength(1);
    const numbers = new Float32Array(6);
    applyChange(numbers, changes[0]!);
    expect([...numbers]).toEqual([3, 5, 30, 50, 300, 500].map((v) => v * (0.5 - 2 - 2)));
  });

  it('is refused whole, naming the LoRA and what does not fit', () => {
    expect(() =>
      changesOf('unet', modules(false, [3, 2]), [share('film', { ...pair('unet.a'), ...pair('unet.c') })]),
    ).toThrow('LoRA film is for another network: 1 of its 2 modules are not in the unet: c');
    expect(() => changesOf('unet', modules(false, [4, 2]), [share('film', pair('unet.a'))])).toThrow(
      'LoRA film: a changes 3 × 2 numbers, and the weight has 4 × 2',
    );
    expect(() => changesOf('unet', modules(false, [3, 2], 'int8'), [share('film', pair('unet.a'))])).toThrow(
      'LoRA film: a is a weight of int8',
    );
  });
});
