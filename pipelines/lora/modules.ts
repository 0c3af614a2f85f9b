/**
 * Which of a network's weights belong to which module. Convolutions and some linear layers keep their names in an export; the
 * others' weights are transposed and anonymous, and are found by the node that multiplies with them, whose name is the module's path.
 *
 * Source of the original SDXL names: Stability-AI/generative-models@0ad7de9 `sgm/modules/diffusionmodules/openaimodel.py`, as
 * kohya-ss/sd-scripts@48d368f `library/sdxl_model_util.py` maps them.
 */
import type { OnnxModel, OnnxTensor } from '../onnx-reader.ts';

export interface ModuleWeight {
  /** [out, in] or [out, in, kh, kw]; with `transposed` [in, out] */
  readonly tensor: OnnxTensor;
  readonly transposed: boolean;
}

/** Weights by the names that LoRA files may have for their modules. */
export type Modules = ReadonlyMap<string, ModuleWeight>;

/** @returns by path (`a.b.0.c`), by path with underscores, and for a UNet by its original SDXL name with underscores */
export function modulesOf(model: OnnxModel): Modules {
  const paths = weightsByPath(model);
  const layers = new Set(
    [...paths.keys()].flatMap((path) => /^down_blocks\.0\.resnets\.(\d+)\./u.exec(path)?.[1] ?? []),
  ).size;
  const attended = new Set(
    [...paths.keys()].flatMap((path) => /^(up_blocks\.\d+)\.attentions\./u.exec(path)?.[1] ?? []),
  );
  const names = new Map<string, ModuleWeight>();
  for (const [path, weight] of paths) {
    const underscored = path.replaceAll('.', '_');
    // Some exports leave the text model's own name out.
    const others = path.startsWith('encoder.layers')
      ? [`text_model.${path}`, `text_model_${underscored}`]
      : [];
    const original = originalName(path, layers, attended);
    for (const name of [path, underscored, ...others, ...(original ? [original.replaceAll('.', '_')] : [])]) {
      names.set(name, weight);
    }
  }
  return names;
}

function weightsByPath({ nodes, initializers }: OnnxModel): Map<string, ModuleWeight> {
  const tensors = new Map(initializers.map((tensor) => [tensor.name, tensor]));
  const makers = new Map(nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const out = new Map<string, ModuleWeight>();

  /** The initializer behind a value, through what only turns or converts it. */
  function behind(value: string, transposed: boolean): ModuleWeight | null {
    const tensor = tensors.get(value);
    if (tensor) return { tensor, transposed };
    const maker = makers.get(value);
    const [from = ''] = maker?.inputs ?? [];
    if (maker?.op === 'Transpose') return behind(from, !transposed);
    if (maker?.op === 'Cast' || maker?.op === 'Identity') return behind(from, transposed);
    return null;
  }

  for (const node of nodes) {
    const [, value = ''] = node.inputs;
    let weight: ModuleWeight | null = null;
    if (node.op === 'Conv') weight = behind(value, false);
    if (node.op === 'Gemm') weight = behind(value, node.attributes.transB !== 1);
    if (node.op === 'MatMul') weight = behind(value, true);
    if (!weight || weight.tensor.dims.length < 2) continue;
    const named = /^(.+)\.weight$/u.exec(weight.tensor.name)?.[1];
    const path = named ?? node.name.split('/').filter(Boolean).slice(0, -1).join('.');
    if (path) out.set(path.replace(/^unet\./u, ''), weight);
  }
  return out;
}

const RESNET: Readonly<Record<string, string>> = {
  conv1: 'in_layers.2',
  conv2: 'out_layers.3',
  time_emb_proj: 'emb_layers.1',
  conv_shortcut: 'skip_connection',
};
const ALONE: Readonly<Record<string, string>> = {
  conv_in: 'input_blocks.0.0',
  conv_out: 'out.2',
  'time_embedding.linear_1': 'time_embed.0',
  'time_embedding.linear_2': 'time_embed.2',
  'add_embedding.linear_1': 'label_emb.0.0',
  'add_embedding.linear_2': 'label_emb.0.2',
};

/**
 * A UNet module's name in the original code, which counts blocks straight on instead of by level.
 *
 * @param layers   ResNets of a level on the way down; one more on the way up
 * @param attended `up_blocks.N` with attention: there the upsampler is the third part of its block, elsewhere the second
 */
function originalName(path: string, layers: number, attended: ReadonlySet<string>): string | null {
  if (ALONE[path]) return ALONE[path];
  const part = /^(?:(down|up)_blocks\.(\d+)|mid_block)\.(\w+)\.(\d+)\.(.+)$/u.exec(path);
  if (!part) return null;
  const [, way, level, kind, number, rest] = part;
  const [b, n] = [Number(level), Number(number)];
  const a = layers + 1;
  const inner = kind === 'resnets' ? RESNET[rest!] : rest;
  if (!inner) return null;
  if (!way) return kind === 'attentions' ? `middle_block.1.${inner}` : `middle_block.${2 * n}.${inner}`;
  if (kind === 'downsamplers') return `input_blocks.${a * (b + 1)}.0.op`;
  if (kind === 'upsamplers')
    return `output_blocks.${a * b + layers}.${attended.has(`up_blocks.${b}`) ? 2 : 1}.conv`;
  const place = kind === 'attentions' ? 1 : 0;
  return way === 'down'
    ? `input_blocks.${1 + a * b + n}.${place}.${inner}`
    : `output_blocks.${a * b + n}.${place}.${inner}`;
}
