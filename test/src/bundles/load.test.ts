/** Bundles as they are loaded: whole, refused with all that is wrong, and in other exporters' forms. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { Graph } from '#pipelines/onnx-writer.ts';
import { drawPortrait, encodeFace } from '#pipelines/portrait.ts';
import { tensor } from '#pipelines/tensor.ts';
import { bundleHash } from '#src/bundles/inspect.ts';
import { loadBundle } from '#src/bundles/load.ts';
import { surveyProviders } from '#src/doors/onnx.ts';
import { type BundleCopy, copyBundle } from '#test/support/bundle-copy.ts';
import {
  castInput,
  external,
  FLOAT,
  halfBorder,
  INT32,
  meanOnly,
  renamedOutput,
} from '#test/support/onnx-variants.ts';
import { portraitRequest } from '#test/support/portrait-request.ts';
import { portraitPicture } from '#test/support/portraits.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-bundle-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** The folder of a copy of the reference bundle, changed. */
async function changed(name: string, change: (copy: BundleCopy) => Promise<void>): Promise<string> {
  const copy = await copyBundle(join(dir, name));
  await change(copy);
  return copy.dir;
}

const photo = portraitPicture(1, 0);
async function drawWith(folder: string) {
  const bundle = await loadBundle(folder, { threads: 1 });
  const face = await encodeFace(bundle, [photo]);
  return drawPortrait(
    bundle,
    portraitRequest('portrait of a woman, red hair', { steps: 5, detailSteps: 3, face }),
  );
}

describe('a bundle', () => {
  it('loads, and says that it is a stand-in', async () => {
    const bundle = await loadBundle(inject('bundleDir'), { threads: 1 });
    expect(bundle.manifest).toMatchObject({ name: 'reference', standIn: true, family: 'sdxl' });
    expect(bundle).toMatchObject({ predictionType: 'epsilon', vaeScalingFactor: 0.13025, upscaler: null });
    expect(bundle.unet.inputs.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['sample', 'timestep', 'encoder_hidden_states', 'text_embeds', 'time_ids']),
    );
  });

  it('with missing files is refused, every one named', async () => {
    const bundle = await changed('missing', async ({ put }) => {
      await put('unet/model.onnx', null);
      await put('tokenizer/merges.txt', null);
    });
    const refusal = loadBundle(bundle, { threads: 1 });
    await expect(refusal).rejects.toThrow(/unet\/model\.onnx is missing/);
    await expect(refusal).rejects.toThrow(/tokenizer\/.*merges\.txt/);
  });

  it('with a network of other inputs is refused, naming what is there and what is needed', async () => {
    const bundle = await changed('swapped', ({ manifest }) =>
      manifest('unet: unet/model.onnx', 'unet: vae_decoder/model.onnx'),
    );
    await expect(loadBundle(bundle, { threads: 1 })).rejects.toThrow(
      /has no input timestep; its inputs are latent_sample/,
    );
  });

  it('with a file that is no network is refused', async () => {
    const bundle = await changed('broken', ({ put }) => put('safety/model.onnx', 'not a network'));
    await expect(loadBundle(bundle, { threads: 1 })).rejects.toThrow(/safety\/model\.onnx does not load/);
  });

  it('with a network that only onnxruntime can find fault with is refused in its words', async () => {
    const graph = new Graph('fuse');
    const [words, tokens] = ['class_embeds', 'id_tokens'].map((name) =>
      graph.input(name, 'float', ['k', 128]),
    );
    graph.output('fused_embeds', graph.op('Odd', [words!, tokens!]), 'float', ['k', 128]);
    const bundle = await changed('odd', ({ put }) => put('photomaker/fuse.onnx', graph.bytes()));
    await expect(loadBundle(bundle, { threads: 1 })).rejects.toThrow(
      /^Bundle reference can't be used:\n {2}photomaker\/fuse\.onnx does not load: .*Odd/,
    );
  });

  it('with a bad manifest is refused with the line', async () => {
    const bundle = await changed('manifest', ({ manifest }) => manifest('family: sdxl', 'family: sd15'));
    await expect(loadBundle(bundle, { threads: 1 })).rejects.toThrow(/bundle\.yaml:\d+: family/);
    await expect(loadBundle(join(dir, 'nowhere'), { threads: 1 })).rejects.toThrow(/no bundle\.yaml/);
  });

  it('has a hash that changes with any of its bytes', async () => {
    const before = await bundleHash(inject('bundleDir'));
    expect(await bundleHash(inject('bundleDir'))).toBe(before);
    const bundle = await changed('hashed', ({ bytes }) =>
      bytes('scheduler/scheduler_config.json', (file) => Buffer.concat([file, Buffer.from(' ')])),
    );
    expect(await bundleHash(bundle)).not.toBe(before);
  });

  it('of another exporter draws the same picture: other names, other types, weights beside the network', async () => {
    const other = await changed('other', async ({ dir: at, bytes, put }) => {
      await bytes('text_encoder/model.onnx', (file) => castInput(halfBorder(file), 'input_ids', INT32));
      await bytes('text_encoder_2/model.onnx', (file) => castInput(file, 'input_ids', INT32));
      await bytes('unet/model.onnx', (file) =>
        castInput(renamedOutput(file, 'out_sample', 'noise_pred'), 'timestep', FLOAT, [1]),
      );
      await bytes('vae_encoder/model.onnx', meanOnly);
      const { model, data } = external(await readFile(join(at, 'vae_decoder/model.onnx')), 'weights.bin');
      await put('vae_decoder/model.onnx', renamedOutput(model, 'sample', 'images'));
      await put('vae_decoder/weights.bin', data);
      await rm(join(at, 'vae_decoder/.optimised'), { recursive: true, force: true });
    });
    const [wanted, got] = [await drawWith(inject('bundleDir')), await drawWith(other)];
    expect(got.faces).toBe(1);
    const far = got.picture.rgb.map((level, i) => Math.abs(level - wanted.picture.rgb[i]!));
    // Text states went through half precision.
    expect(far.reduce((sum, d) => sum + d, 0) / far.length).toBeLessThan(0.1);
    // Weights beside a network may be gigabytes: no copy of them is kept.
    expect(await readdir(join(other, 'vae_decoder'))).not.toContain('.optimised');
    expect(await readdir(join(other, 'unet'))).toContain('.optimised');
  });

  it('may have an upscaler, and PhotoMaker’s ID encoder in one', async () => {
    const upscaler = (side: number | string) => {
      const graph = new Graph('twice');
      const input = graph.input('input', 'float', [1, 3, side, side]);
      const twice = graph.op('Resize', [input, '', graph.floats([1, 1, 2, 2], [4])], { mode: 'nearest' });
      graph.output('output', twice, 'float', [1, 3, '2s', '2s']);
      return graph.bytes();
    };
    const whole = new Graph('whole');
    const prompt = whole.input('prompt_embeds', 'float', [1, 77, 128]);
    whole.input('id_pixel_values', 'float', [1, 'n', 3, 224, 224]);
    whole.input('class_tokens_mask', 'bool', [1, 77]);
    whole.input('id_embeds', 'float', [1, 'n', 512]);
    whole.output('updated_prompt_embeds', prompt, 'float', [1, 77, 128]);
    const copy = await copyBundle(join(dir, 'more'));
    await copy.manifest(
      '  idTokens: photomaker/id_tokens.onnx\n  idFuse: photomaker/fuse.onnx\n',
      '  idEncoder: photomaker/whole.onnx\n  upscaler: upscaler.onnx\n',
    );
    await copy.put('photomaker/whole.onnx', whole.bytes());
    await copy.put('upscaler.onnx', upscaler(64));
    await expect(loadBundle(copy.dir)).rejects.toThrow(
      'upscaler.onnx: input input is [1, 3, 64, 64], and [dynamic, 3, dynamic, dynamic] is needed',
    );
    await copy.put('upscaler.onnx', upscaler('s'));
    const bundle = await loadBundle(copy.dir, { threads: 1 });
    expect(Object.keys(bundle.idEncoder)).toEqual(['whole']);
    const { output } = await bundle.upscaler!.run({
      input: tensor(Float32Array.of(0.25, 0.5, 1), [1, 3, 1, 1]),
    });
    expect([...output!.data]).toEqual([0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1]);
  });

  it('is not loaded without an execution provider that is here, and without cpu', async () => {
    const { missing } = await surveyProviders(['tensorrt', 'cuda', 'webgpu']);
    const providers = missing.map(({ provider }) => provider);
    if (!providers.length) return; // a machine that has them all
    const lines = missing.map(({ provider, reason }) => `  ${provider}: ${reason}`);
    await expect(loadBundle(inject('bundleDir'), { providers })).rejects.toThrow(
      `No execution provider of ONNX_PROVIDERS is available here, and cpu is not among them:\n${lines.join('\n')}`,
    );
  });
});
