/** LoRAs fused by diffusers and peft into the tiny SDXL's UNet: its weights, and what it answers. */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { modulesOf } from '#pipelines/lora/modules.ts';
import type { OnnxTensor } from '#pipelines/onnx-reader.ts';
import { floats, tensor } from '#pipelines/tensor.ts';
import { mergedNetworks } from '#src/bundles/merged-networks.ts';
import { readHeader } from '#src/bundles/networks.ts';
import { openSession } from '#src/doors/onnx.ts';
import {
  type Comparison,
  compare,
  type GoldenCase,
  type GoldenRunner,
  goldenDir,
} from '../support/golden.ts';
import { tinyManifest } from '../support/tiny-manifest.ts';

const WEIGHTS = { absolute: 1e-6 };
const OUTPUT = { absolute: 1e-4 };
const Params = z.object({
  files: z.array(z.string()).default([]),
  scales: z.array(z.number()).default([]),
  inputs_of: z.string().optional(),
  weights_of: z.string().optional(),
});
const UNET = 'unet/model.onnx';

export const lora: GoldenRunner = (set) => async (c) => {
  const { files, scales, inputs_of, weights_of } = Params.parse(c.params);
  const beside = set.path(`../sdxl-tiny/${UNET}`);
  const original = existsSync(beside) ? beside : join(goldenDir('sdxl-tiny'), UNET);
  const dir = await mkdtemp(join(tmpdir(), 'atelier-lora-'));
  try {
    await mkdir(join(dir, 'unet'));
    await mkdir(join(dir, 'loras'));
    await copyFile(original, join(dir, UNET));
    await writeFile(join(dir, 'bundle.yaml'), tinyManifest);
    const choices: { name: string; scale: number }[] = [];
    for (const [i, file] of files.entries()) {
      const name = basename(file, '.safetensors');
      await copyFile(set.path(file), join(dir, 'loras', `${name}.safetensors`));
      choices.push({ name, scale: scales[i] ?? 1 });
    }
    const merged = await mergedNetworks(dir, choices);
    const path = join(merged?.dir ?? dir, UNET);
    const weights = weights_of ? set.named(weights_of) : c;
    return [
      ...(await sameWeights(weights, original, path)),
      await sameOutput(c, set.named(inputs_of ?? c.name), path),
    ];
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
};

/** Those that are given, in torch's layout; and every other of the network must be what it was. */
async function sameWeights(c: GoldenCase, original: string, path: string): Promise<Comparison[]> {
  const [before, after] = [await readFile(original), await readFile(path)];
  const model = readHeader(path);
  const modules = modulesOf(model);
  const numbers = (file: Buffer, { data, bytes }: OnnxTensor) =>
    data.kind === 'inside'
      ? new Float32Array(new Uint8Array(file.subarray(data.at, data.at + bytes)).buffer)
      : new Float32Array();
  const out: Comparison[] = [];
  const given = new Set<string>();
  for (const name of c.tensors.filter((one) => one.startsWith('weight.'))) {
    const weight = modules.get(name.slice('weight.'.length));
    if (!weight) throw new Error(`The network has no ${name}`);
    given.add(weight.tensor.name);
    const stored = numbers(after, weight.tensor);
    const [first = 1] = weight.tensor.dims;
    const columns = stored.length / first;
    const torch = weight.transposed
      ? Float32Array.from(stored, (_, i) => stored[(i % first) * columns + Math.floor(i / first)]!)
      : stored;
    out.push(compare(name, torch, c.get(name).data, WEIGHTS));
  }
  const others = model.initializers.filter((one) => one.type === 'float32' && !given.has(one.name));
  const flat = (file: Buffer) => others.flatMap((one) => [...numbers(file, one)]);
  return [...out, compare('all other weights', flat(after), flat(before), {})];
}

async function sameOutput(c: GoldenCase, inputs: GoldenCase, path: string): Promise<Comparison> {
  const { timestep } = z.object({ timestep: z.number() }).parse(inputs.params);
  const input = (name: string) => tensor(Float32Array.from(inputs.get(name).data), inputs.get(name).shape);
  const session = await openSession(path, { threads: 1 });
  const { out_sample } = await session.run({
    timestep: tensor(Float32Array.of(timestep), []),
    sample: input('sample'),
    encoder_hidden_states: input('encoder_hidden_states'),
    text_embeds: input('text_embeds'),
    time_ids: input('time_ids'),
  });
  await session.close();
  return compare('out_sample', floats(out_sample, 'out_sample').data, c.get('out_sample').data, OUTPUT);
}
