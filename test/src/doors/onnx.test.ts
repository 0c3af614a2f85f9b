/** The door to onnxruntime: types at a network's border, execution providers, and where networks ran. */
import { copyFile, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { fromHalf, toHalf } from '#pipelines/half.ts';
import { type ElementType, Graph } from '#pipelines/onnx-writer.ts';
import { tensor } from '#pipelines/tensor.ts';
import {
  isOutOfMemory,
  openSession,
  type Provider,
  type SessionOptions,
  type SessionReport,
  surveyProviders,
} from '#src/doors/onnx.ts';
import { FLOAT } from '#test/support/onnx-variants.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-bundle-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

describe('a network', () => {
  it('is fed what it declares, whatever pipelines have', async () => {
    const graph = new Graph('types');
    const cast = (name: string, type: ElementType, shape: (number | string)[]) =>
      graph.output(
        `${name}_out`,
        graph.op('Cast', [graph.input(name, type, shape)], { to: FLOAT }),
        'float',
        shape,
      );
    cast('half', 'float16', ['n']);
    cast('ids', 'int32', ['n']);
    cast('timestep', 'int64', [1]);
    cast('sizes', 'float', ['n']);
    cast('mask', 'bool', ['n']);
    graph.output('half_again', graph.op('Identity', ['half']), 'float16', ['n']);
    const file = join(dir, 'types.onnx');
    await writeFile(file, graph.bytes());
    const session = await openSession(file);
    const results = await session.run({
      half: tensor(Float32Array.of(1 / 3, -70_000), [2]),
      ids: { type: 'int64', data: BigInt64Array.of(49_406n, -1n), shape: [2] },
      timestep: tensor(Float32Array.of(321.5), []),
      sizes: { type: 'int64', data: BigInt64Array.of(1024n), shape: [1] },
      mask: { type: 'bool', data: Uint8Array.of(0, 1, 1), shape: [3] },
    });
    const numbers = Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, [...data]]));
    expect(numbers).toEqual({
      half_out: [fromHalf(toHalf(1 / 3)), Number.NEGATIVE_INFINITY],
      half_again: [fromHalf(toHalf(1 / 3)), Number.NEGATIVE_INFINITY],
      ids_out: [49_406, -1],
      timestep_out: [322],
      sizes_out: [1024],
      mask_out: [0, 1, 1],
    });
    expect(results.half_again?.type).toBe('float32');
  });
});

describe('an error', () => {
  it('of a run that needs more memory than there is, is one of memory; one of a wrong input is not', async () => {
    const graph = new Graph('huge');
    const x = graph.op('Identity', [graph.input('x', 'float', [1])]);
    graph.output('y', graph.op('Expand', [x, graph.ints([2 ** 44])]), 'float', ['n']);
    const file = join(dir, 'huge.onnx');
    await writeFile(file, graph.bytes());
    const session = await openSession(file);
    const failure = (length: number) =>
      session.run({ x: tensor(new Float32Array(length), [length]) }).catch((error: unknown) => error);
    expect(isOutOfMemory(await failure(1))).toBe(true);
    expect(await failure(2)).toBeInstanceOf(Error);
    expect(isOutOfMemory(await failure(2))).toBe(false);
  });

  // Of providers that this machine may lack: as others reported them.
  it.each([
    'BFCArena::AllocateRawInternal Available memory of 16 is smaller than requested bytes of 32',
    'CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);',
    'CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; expr=cublasCreate(&cublas_handle_);',
    'CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED',
    'CUDNN failure 4002: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED',
    'IExecutionContext::enqueueV3: Error Code 2: OutOfMemory (Requested size was 8589934592 bytes.)',
    'Error Code 1: Cuda Runtime (out of memory)',
    'Non-zero status code returned while running MatMul node. Status Message: bad allocation',
    'std::bad_alloc',
  ])('that says “%s” is one of memory', (message) => {
    expect(isOutOfMemory(new Error(message))).toBe(true);
  });

  it.each([
    'CUDNN failure 8: CUDNN_STATUS_EXECUTION_FAILED',
    'TensorRT EP execution context enqueue failed.',
    'Failed to allocate input tensor: shape [2] is wrong',
  ])('that says “%s” is none', (message) => {
    expect(isOutOfMemory(new Error(message))).toBe(false);
  });
});

describe('execution providers', () => {
  const vae = () => join(inject('bundleDir'), 'vae_decoder/model.onnx');
  const latents = { latent_sample: tensor(new Float32Array(4 * 4 * 6), [1, 4, 4, 6]) };

  it('are taken in order, those that are not here left out, and what was used is told', async () => {
    const wanted: Provider[] = ['tensorrt', 'cuda', 'webgpu', 'cpu'];
    const { found, missing } = await surveyProviders(wanted);
    expect([...found, ...missing.map(({ provider }) => provider)].sort()).toEqual([...wanted].sort());
    for (const { reason } of missing) expect(reason).toMatch(/^[A-Z][^\n]{10,150}$/);

    const reports: SessionReport[] = [];
    const session = await openSession(vae(), {
      network: 'vaeDecoder',
      providers: wanted,
      onReport: (report) => reports.push(report),
    });
    const { sample } = await session.run(latents);
    expect(sample?.shape).toEqual([1, 3, 32, 48]);
    expect(reports.at(-1)).toMatchObject({ network: 'vaeDecoder', loadSeconds: expect.any(Number) });
    expect(found).toEqual(expect.arrayContaining([...reports.at(-1)!.providers]));
    expect(reports.at(-1)!.used.length).toBeGreaterThan(0);
    await session.close();
  });

  it('are counted by what the first run did, and leave nothing behind', async () => {
    const traces = async () => (await readdir(tmpdir())).filter((name) => name.startsWith('atelier-trace-'));
    const before = await traces();
    const reports: SessionReport[] = [];
    const session = await openSession(vae(), {
      alwaysCount: true,
      onReport: (report) => reports.push(report),
    });
    expect(reports.map(({ used }) => used)).toEqual([[]]);
    await session.run(latents);
    await session.run(latents);
    expect(reports.map(({ used }) => used)).toEqual([[], [{ provider: 'cpu', nodes: expect.any(Number) }]]);
    expect(reports[1]!.used[0]!.nodes).toBeGreaterThan(5);
    const unused = await openSession(vae(), { alwaysCount: true });
    await unused.close();
    expect(await traces()).toEqual(before);
  });
});

describe('a network that is kept as it was optimised', () => {
  const latents = {
    latent_sample: tensor(
      Float32Array.from({ length: 96 }, (_, i) => Math.sin(i)),
      [1, 4, 4, 6],
    ),
  };
  let folder: string;
  let network: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(dir, 'optimised-'));
    network = join(folder, 'model.onnx');
    await copyFile(join(inject('bundleDir'), 'vae_decoder/model.onnx'), network);
  });
  const kept = async () => (await readdir(join(folder, '.optimised'))).sort();
  async function draw(options: SessionOptions = { keepOptimised: true }) {
    const session = await openSession(network, options);
    const { sample } = await session.run(latents);
    await session.close();
    return sample;
  }

  it('draws the same the first time, the next time, and as without it', async () => {
    const plain = await draw({});
    expect(await draw()).toEqual(plain);
    const [file, ...others] = await kept();
    expect(others).toEqual([]);
    // So that it would be seen if it were written again.
    const long = new Date('2001-01-01');
    await utimes(join(folder, '.optimised', file!), long, long);
    expect(await draw()).toEqual(plain);
    expect(await kept()).toEqual([file]);
    expect((await stat(join(folder, '.optimised', file!))).mtime).toEqual(long);
  });

  it('is what is opened the next time', async () => {
    await draw();
    const other = join(inject('bundleDir'), 'vae_encoder/model.onnx');
    const [file] = await kept();
    await copyFile(other, join(folder, '.optimised', file!));
    await expect(draw()).rejects.toThrow(/input 'sample' is missing/);
  });

  it('is made anew where it was broken, and where the network has changed, and then is the only one', async () => {
    const plain = await draw();
    const [file] = await kept();
    await writeFile(join(folder, '.optimised', file!), 'cut o');
    expect(await draw()).toEqual(plain);
    expect(await draw()).toEqual(plain);
    expect(await kept()).toEqual([file]);

    await copyFile(join(inject('bundleDir'), 'vae_encoder/model.onnx'), network);
    const session = await openSession(network, { keepOptimised: true });
    expect(session.inputs.map(({ name }) => name)).toEqual(['sample']);
    const [changed, ...others] = await kept();
    expect(changed).not.toBe(file);
    expect(others).toEqual([]);
  });

  it('is opened as it is where nothing can be kept', async () => {
    await writeFile(join(folder, '.optimised'), 'no folder');
    expect(await draw()).toEqual(await draw({}));
  });

  it('is not kept where it is none', async () => {
    await writeFile(network, 'no network');
    await expect(draw()).rejects.toThrow(/protobuf/i);
    expect(await kept()).toEqual([]);
  });
});
