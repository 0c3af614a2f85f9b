/** `npm run bundle -- check`, as an operator runs it. */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { parse } from 'yaml';
import { BundleManifest } from '#src/bundles/manifest.ts';
import { copyBundle } from '#test/support/bundle-copy.ts';
import { goldenDir } from '#test/support/golden.ts';
import { external, halfBorder, halfWeights } from '#test/support/onnx-variants.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-check-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  return new Promise((done) => {
    const child = execFile(process.execPath, [resolve('infra/bundle/bundle.ts'), ...args], (_, out, err) =>
      done({ status: child.exitCode ?? -1, out, err }),
    );
  });
}

describe('npm run bundle -- check', () => {
  it('prints every file with its inputs and outputs, and ends with 0 when a worker could use it', async () => {
    const { status, out, err } = await run('check', inject('bundleDir'));
    expect(err).toBe('');
    expect(out.split('\n').filter((line) => line.length > 100)).toEqual([]);
    expect(out).toMatch(/^reference: Atelier reference bundle \(stand-in\)\. Licence: MIT$/m);
    expect(out).toMatch(/^unet {12}unet\/model\.onnx {3}\d+ KiB, float32 \d+ %, int64 \d+ %$/m);
    expect(out).toContain('so it asks about no concept: npm run bundle -- concepts DIR\n');
    expect(out).toMatch(/^ {2}in {3}timestep {23}float32 {3}\[\]$/m);
    expect(out).toMatch(
      /^ {2}out {2}hidden_states\.0 … 32 {11}float32 {3}\[batch_size, sequence_length, 64\]$/m,
    );
    expect(out.match(/^ {2}loads in \d+\.\d\d s, for cpu$/gm)).toHaveLength(12);
    expect(out).toMatch(/^tokenizer2 {6}tokenizer_2\/ {3}49,408 tokens, the end is 49407, padding is 0$/m);
    expect(out).toMatch(/^\d+ files, [\d.]+ MiB; bundle\.yaml asks for 0\.2 GiB of memory\.$/m);
    expect(out.trimEnd().split('\n').at(-1)).toBe('This bundle can be used.');
    expect(status).toBe(0);
  });

  it('tells precision and external data, what nothing uses, and all that is wrong, and ends with 1', async () => {
    const copy = await copyBundle(join(dir, 'wrong'));
    const { model, data } = external(
      halfWeights(await readFile(join(copy.dir, 'vae_decoder/model.onnx'))),
      'model.onnx_data',
    );
    await copy.put('vae_decoder/model.onnx', halfBorder(model));
    await copy.put('vae_decoder/model.onnx_data', data);
    await copy.put('unet/model.onnx', null);
    await copy.put('controlnet/model.onnx', 'x');
    await copy.json('scheduler/scheduler_config.json', { prediction_type: 'flow' });
    const { status, out } = await run('check', '--quick', copy.dir);
    expect(out).toMatch(/^unet {12}unet\/model\.onnx {3}missing$/m);
    expect(out).toMatch(/^vaeDecoder {6}vae_decoder\/model\.onnx {3}\d+ KiB, float16 \d+ %, int64 \d+ %$/m);
    expect(out).toMatch(/^ {16}vae_decoder\/model\.onnx_data {3}\d+ KiB, its weights$/m);
    expect(out).toMatch(/^ {2}out {2}sample {25}float16 {3}\[batch_size, 3, /m);
    expect(out).toMatch(/^Not named in bundle\.yaml, and not used:\n {2}controlnet\/model\.onnx$/m);
    expect(out).not.toContain('loads in');
    expect(out.split('\n\n').at(-1)).toBe(
      [
        "This bundle can't be used: 2 faults.",
        '  unet/model.onnx is missing',
        '  scheduler/scheduler_config.json: prediction_type is "flow", and "epsilon" or "v_prediction" is needed',
        '',
      ].join('\n'),
    );
    expect(status).toBe(1);
  });

  it('says which concepts a bundle asks about, and from where on', async () => {
    const copy = await copyBundle(join(dir, 'concepts'));
    await copy.manifest('ageError: 7', 'ageError: 7\nconcepts: { gore: 0.125, minors: 0.2 }');
    const { status, out } = await run('check', '--quick', copy.dir);
    expect(status).toBe(0);
    expect(out).toMatch(/have their pictures held for review, from:\n {2}gore +0\.125\n {2}minors +0\.2\n/);
  });

  it('writes the bundle.yaml that fits where there is none', async () => {
    const folder = join(dir, 'My SDXL');
    for (const entry of await readdir(goldenDir('sdxl-tiny')))
      if (!/\.png$|tensors|cases/.test(entry))
        await cp(join(goldenDir('sdxl-tiny'), entry), join(folder, entry), { recursive: true });
    const partly = await run('check', folder);
    expect(partly.out).toContain(`There is no bundle.yaml in ${folder}. Begin with this one:`);
    expect(partly.out).toMatch(
      /^Nothing was found for: faceDetector; .*; classifiers; idTokens and idFuse, or idEncoder\.$/m,
    );
    expect(partly.out).toMatch(
      /^ {2}in {3}encoder_hidden_states {10}float32 {3}\[batch_size, sequence_length, 80\]$/m,
    );
    expect(partly.status).toBe(1);

    for (const part of ['faces', 'photomaker', 'safety'])
      await cp(join(inject('bundleDir'), part), join(folder, part), { recursive: true });
    const { out, status } = await run('check', folder);
    expect(out).toContain('This one fits:');
    const manifest = BundleManifest.parse(
      parse(out.slice(out.indexOf('version:'), out.indexOf('This bundle'))),
    );
    expect(manifest).toMatchObject({
      name: 'my-sdxl',
      files: { unet: 'unet/model.onnx', tokenizer2: 'tokenizer_2', faceRecognizer: 'faces/w600k_r50.onnx' },
    });
    expect(status).toBe(1);
  });

  it.each([
    [[]],
    [['check']],
    [['check', '--all', 'x']],
    [['check', 'a', 'b']],
    [['check', '/nowhere/at/all']],
    [['draw']],
  ])('ends with 2 when it is asked %j', async (args) => {
    const { status, out, err } = await run(...args);
    expect([status, out]).toEqual([2, '']);
    expect(err).toMatch(/Usage:[\s\S]*check DIR|^There is no folder \/nowhere\/at\/all\.$/m);
  });
});
