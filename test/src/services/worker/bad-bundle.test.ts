/** Bundles with faults, given to a worker as an operator would: it must say at the start what is wrong, and not begin. */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type ElementType, Graph } from '#pipelines/onnx-writer.ts';
import { db } from '#src/doors/db.ts';
import { startWorker } from '#src/services/worker/worker.ts';
import { only } from '#test/support/bundle-copy.ts';

type Ports = Readonly<Record<string, readonly [type: ElementType, ...axes: string[]]>>;

/** A network of these inputs and outputs. It computes nothing: it is never run. */
function network(inputs: Ports, outputs: Ports): Uint8Array {
  const graph = new Graph('a-test');
  for (const [name, [type, ...axes]] of Object.entries(inputs)) graph.input(name, type, axes);
  for (const [name, [type, ...axes]] of Object.entries(outputs)) {
    const one = type === 'float' ? graph.scalar(0) : graph.ints([0], []);
    const shape = graph.ints(axes.map(() => 1));
    graph.output(name, graph.op('Expand', [one, shape]), type, axes);
  }
  return graph.bytes();
}

const ids: Ports = { input_ids: ['int64', 'batch', 'length'] };
/** As many as config.json beside it has layers, and the embedding. */
const hidden: Ports = Object.fromEntries(
  Array.from({ length: 13 }, (_, i) => [`hidden_states.${i}`, ['float', 'batch', 'length', 'width']]),
);
const unet: Ports = {
  sample: ['float', 'batch', 'channels', 'h', 'w'],
  timestep: ['float'],
  encoder_hidden_states: ['float', 'batch', 'length', 'width'],
  text_embeds: ['float', 'batch', 'width'],
  time_ids: ['float', 'batch', 'six'],
};
const noise: Ports = { out_sample: ['float', 'batch', 'channels', 'h', 'w'] };

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-bad-bundle-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Each file that is put into a copy of the reference bundle, null: taken out of it; and what is said of it. */
const FAULTS: readonly [file: string, bytes: Uint8Array | null, says: string[]][] = [
  [
    'text_encoder/model.onnx',
    network({ ids: ['int64', 'batch', 'length'] }, { last: ['float', 'batch', 'length', 'width'] }),
    ['has no input input_ids; its inputs are ids', 'has no output hidden_states.0; its outputs are last'],
  ],
  [
    'text_encoder_2/model.onnx',
    network({ input_ids: ['float', 'batch', 'length'] }, { ...hidden, text_embeds: ['float', 'batch', 'n'] }),
    ['input input_ids is float32, and int64 or int32 is needed'],
  ],
  [
    'unet/model.onnx',
    network(
      { ...unet, sample: ['int64', 'batch', 'channels', 'h', 'w'], time_ids: ['float', 'batch'] },
      { out_sample: ['int64', 'batch', 'channels', 'h', 'w'] },
    ),
    [
      'input sample is int64, and float32 or float16 is needed',
      'input time_ids has 1 axes, and 2 are needed',
      'output out_sample is int64, and float32 or float16 is needed',
    ],
  ],
  ['vae_decoder/model.onnx', null, ['is missing']],
  [
    'faces/w600k_r50.onnx',
    network({ 'input.1': ['int64', 'n', 'c', 'h', 'w'] }, { 683: ['float', 'n', 'width'] }),
    ['input input.1 is int64, and float32 or float16 is needed'],
  ],
];

describe('a worker', () => {
  it('does not start with a bundle of wrong networks, and names every fault of every file', async () => {
    const bundle = join(dir, 'wrong');
    await cp(inject('bundleDir'), bundle, { recursive: true });
    for (const [file, bytes] of FAULTS) {
      if (bytes) await writeFile(join(bundle, file), bytes);
      else await rm(join(bundle, file));
    }
    const refusal = await startWorker({ bundles: only(bundle) }).catch((error: Error) => error.message);
    const lines = FAULTS.flatMap(([file, bytes, says]) =>
      says.map((one) => (bytes ? `  ${file}: ${one}` : `  ${file} ${one}`)),
    );
    expect(refusal).toBe(`Bundle reference can't be used:\n${lines.join('\n')}`);
    expect(await db.worker.count()).toBe(0);
  });

  it('takes whole numbers for time steps and sizes, as some exports have them', async () => {
    const { loadBundle } = await import('#src/bundles/load.ts');
    const bundle = join(dir, 'whole');
    await cp(inject('bundleDir'), bundle, { recursive: true });
    const whole = { timestep: ['int64'], time_ids: ['int64', 'batch', 'six'] } as const;
    await writeFile(join(bundle, 'unet/model.onnx'), network({ ...unet, ...whole }, noise));
    await writeFile(join(bundle, 'text_encoder/model.onnx'), network(ids, hidden));
    await expect(loadBundle(bundle, { threads: 1 })).resolves.toMatchObject({ name: 'reference' });
  });
});
