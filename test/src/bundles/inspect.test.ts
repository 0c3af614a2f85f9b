/** What is told of a bundle's folder: all that is wrong with it, each with the file, what was found and what is needed. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type ElementType, Graph } from '#pipelines/onnx-writer.ts';
import { bundleHash, inspectBundle, unusedFiles } from '#src/bundles/inspect.ts';
import { type BundleCopy, copyBundle } from '../../support/bundle-copy.ts';
import { goldenDir } from '../../support/golden.ts';
import { external, half, halfWeights } from '../../support/onnx-variants.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-bundle-files-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

let copies = 0;
/** What is wrong with the reference bundle after a change. */
async function faultsAfter(change: (copy: BundleCopy) => Promise<void>): Promise<readonly string[]> {
  const copy = await copyBundle(join(dir, String(copies++)));
  await change(copy);
  return (await inspectBundle(copy.dir)).faults;
}

type Ports = Readonly<Record<string, readonly [type: ElementType, ...axes: (number | string)[]]>>;
/** A network of these inputs and outputs, which computes nothing. */
function network(inputs: Ports, outputs: Ports): Uint8Array {
  const graph = new Graph('a-test');
  for (const [name, [type, ...axes]] of Object.entries(inputs)) graph.input(name, type, axes);
  for (const [name, [type, ...axes]] of Object.entries(outputs))
    graph.output(name, graph.scalar(0), type, axes);
  return graph.bytes();
}
const unet: Ports = {
  sample: ['float', 'batch', 4, 'h', 'w'],
  timestep: ['float'],
  encoder_hidden_states: ['float', 'batch', 'length', 128],
  text_embeds: ['float', 'batch', 64],
  time_ids: ['float', 'batch', 6],
};
const tiny = (file: string) => readFile(join(goldenDir('sdxl-tiny'), file));

describe('configs', () => {
  it('that pipelines cannot honour are refused, each key with what is needed', async () => {
    const faults = await faultsAfter(async (copy) => {
      await copy.json('scheduler/scheduler_config.json', {
        beta_end: 0.02,
        beta_schedule: 'linear',
        prediction_type: 'sample',
        num_train_timesteps: undefined,
        rescale_betas_zero_snr: true,
        steps_offset: 0,
        set_alpha_to_one: true,
        trained_betas: [0.1],
        timestep_spacing: 'sideways',
        thresholding: true,
        clip_sample: true,
      });
      await copy.json('vae_encoder/config.json', { latents_mean: [0, 0, 0, 0], latents_std: [1, 1, 1, 1] });
      await copy.json('vae_decoder/config.json', { scaling_factor: undefined, shift_factor: 0.1 });
      await copy.json('unet/config.json', { in_channels: 9, time_cond_proj_dim: 256 });
      await copy.json('text_encoder/config.json', { max_position_embeddings: 248 });
      await copy.put('text_encoder_2/config.json', '{"hidden_size":');
      await copy.json('model_index.json', {
        _class_name: 'StableDiffusionPipeline',
        force_zeros_for_empty_prompt: false,
        requires_aesthetics_score: true,
      });
    });
    expect(faults).toEqual([
      'vae_encoder/config.json: latents_mean is [0,0,0,0], and null is needed',
      'vae_encoder/config.json: latents_std is [1,1,1,1], and null is needed',
      'vae_decoder/config.json: scaling_factor is missing, and number is needed',
      'vae_decoder/config.json: shift_factor is 0.1, and null or 0 is needed',
      'scheduler/scheduler_config.json: num_train_timesteps is missing, and 1000 is needed',
      'scheduler/scheduler_config.json: beta_end is 0.02, and 0.012 is needed',
      'scheduler/scheduler_config.json: beta_schedule is "linear", and "scaled_linear" is needed',
      'scheduler/scheduler_config.json: trained_betas is [0.1], and null is needed',
      'scheduler/scheduler_config.json: rescale_betas_zero_snr is true, and false is needed',
      'scheduler/scheduler_config.json: prediction_type is "sample", and "epsilon" or "v_prediction" is needed',
      'scheduler/scheduler_config.json: timestep_spacing is "sideways", and "leading" or "trailing" or "linspace" is needed',
      'scheduler/scheduler_config.json: steps_offset is 0, and 1 is needed',
      'scheduler/scheduler_config.json: set_alpha_to_one is true, and false is needed',
      'scheduler/scheduler_config.json: clip_sample is true, and false is needed',
      'scheduler/scheduler_config.json: thresholding is true, and false is needed',
      'text_encoder/config.json: max_position_embeddings is 248, and 77 is needed',
      'text_encoder_2/config.json is not JSON',
      'unet/config.json: in_channels is 9, and 4 is needed',
      'unet/config.json: time_cond_proj_dim is 256, and null is needed',
      'model_index.json: _class_name is "StableDiffusionPipeline", and a StableDiffusionXL pipeline is needed',
      'model_index.json: force_zeros_for_empty_prompt is false, and true is needed',
      'model_index.json: requires_aesthetics_score is true, and false is needed',
    ]);
  });

  it('say what the UNet predicts and how latents are scaled', async () => {
    const copy = await copyBundle(join(dir, 'velocity'));
    await copy.json('scheduler/scheduler_config.json', { prediction_type: 'v_prediction' });
    for (const half of ['vae_encoder', 'vae_decoder'])
      await copy.json(`${half}/config.json`, { scaling_factor: 0.25 });
    const { settings, faults } = await inspectBundle(copy.dir);
    expect(faults).toEqual([]);
    expect(settings).toEqual({ predictionType: 'v_prediction', vaeScalingFactor: 0.25 });
  });

  it('that are missing, and halves of a VAE that differ, are refused', async () => {
    const faults = await faultsAfter(async (copy) => {
      await copy.put('scheduler/scheduler_config.json', null);
      await copy.json('vae_decoder/config.json', { scaling_factor: 0.18215 });
    });
    expect(faults).toEqual([
      'vae_decoder/config.json: scaling_factor is 0.18215, and 0.13025, as in vae_encoder/config.json, is needed',
      'scheduler/scheduler_config.json is missing',
    ]);
  });
});

describe('tokenizers', () => {
  it('come with their padding token and 77 positions, or are refused', async () => {
    const faults = await faultsAfter(async (copy) => {
      for (const file of ['special_tokens_map.json', 'tokenizer_config.json'])
        await copy.json(`tokenizer/${file}`, { pad_token: undefined });
      await copy.json('tokenizer_2/tokenizer_config.json', { model_max_length: 512 });
    });
    expect(faults).toEqual([
      'tokenizer/: no pad_token is in special_tokens_map.json, tokenizer_config.json or tokenizer.json',
      'tokenizer_2/tokenizer_config.json: model_max_length is 512, and 77 is needed',
    ]);
  });

  it('may be one tokenizer.json, and their padding token an object', async () => {
    const copy = await copyBundle(join(dir, 'one-file'));
    for (const [folder, from] of [
      ['tokenizer', 'tokenizer'],
      ['tokenizer_2', 'tokenizer_2'],
    ]) {
      for (const file of ['vocab.json', 'merges.txt', 'special_tokens_map.json', 'tokenizer_config.json'])
        await copy.put(`${folder}/${file}`, null);
      for (const file of ['tokenizer.json', 'tokenizer_config.json'])
        await copy.put(`${folder}/${file}`, await tiny(`${from}/${file}`));
    }
    await copy.json('tokenizer/tokenizer_config.json', {
      pad_token: { content: '<|endoftext|>', lstrip: false },
    });
    const { tokenizers, faults } = await inspectBundle(copy.dir);
    expect(faults).toEqual([]);
    expect(tokenizers?.map(({ padId, endId }) => [padId, endId])).toEqual([
      [999, 999],
      [0, 999],
    ]);
  });

  it('with tokens that the text encoder has no rows for are refused', async () => {
    const faults = await faultsAfter((copy) => copy.json('text_encoder/config.json', { vocab_size: 30_000 }));
    expect(faults).toEqual([
      "text_encoder/model.onnx: vocab_size of its config.json is 30000, and 49408 is needed: the tokenizer's last id",
    ]);
  });
});

describe('networks', () => {
  it('with weights beside them need that file, whole', async () => {
    const data = new Map<string, Uint8Array>();
    const faults = await faultsAfter(async (copy) => {
      for (const folder of ['unet', 'vae_decoder', 'vae_encoder']) {
        await copy.bytes(`${folder}/model.onnx`, (bytes) => {
          const moved = external(bytes, folder === 'vae_encoder' ? '../stolen' : 'model.onnx_data');
          data.set(folder, moved.data);
          return moved.model;
        });
      }
      await copy.put('vae_decoder/model.onnx_data', data.get('vae_decoder')!.subarray(0, 100));
    });
    expect(faults).toEqual([
      'unet/model.onnx_data is missing: unet/model.onnx has its weights there',
      'vae_encoder/model.onnx: its weights are in ../stolen, and a file of its folder is needed',
      expect.stringMatching(
        /^vae_decoder\/model\.onnx_data has 100 bytes, and \d+ are needed: vae_decoder\/model\.onnx has its weights there$/,
      ),
    ]);
  });

  it('change the hash of the bundle by their weights beside them', async () => {
    const copy = await copyBundle(join(dir, 'external'));
    const { model, data } = external(await readFile(join(copy.dir, 'unet/model.onnx')), 'model.onnx_data');
    await copy.put('unet/model.onnx', model);
    await copy.put('unet/model.onnx_data', data);
    const { networks, faults } = await inspectBundle(copy.dir);
    expect(faults).toEqual([]);
    expect(networks.find(({ role }) => role === 'unet')?.data).toEqual([
      { path: 'unet/model.onnx_data', size: expect.any(Number) },
    ]);
    const before = await bundleHash(copy.dir);
    await copy.bytes('unet/model.onnx_data', (bytes) =>
      bytes.map((byte, i) => (i === 1000 ? byte ^ 1 : byte)),
    );
    expect(await bundleHash(copy.dir)).not.toBe(before);
  });

  it('of another kind, size or type are refused', async () => {
    const faults = await faultsAfter(async (copy) => {
      // Inpainting has nine channels, a distilled one is told its guidance, and this one was exported for one size.
      const other: Ports = {
        ...unet,
        sample: ['float', 2, 9, 128, 128],
        timestep_cond: ['float', 'batch', 256],
      };
      await copy.put('unet/model.onnx', network(other, { out_sample: ['bfloat16', 'batch', 4, 'h', 'w'] }));
      await copy.put(
        'vae_encoder/model.onnx',
        network({ sample: ['float', 'b', 3, 'h', 'w'] }, { z: ['float', 'b', 32, 'h', 'w'] }),
      );
      await copy.put(
        'safety/model.onnx',
        network({ pixel_values: ['double', 1, 3, 224, 224] }, { logits: ['float', 1, 5] }),
      );
      await copy.put('faces/det_10g.onnx', network({ x: ['float', 1, 3, 320, 320] }, { y: ['float', 1, 1] }));
      await copy.put(
        'faces/2d106det.onnx',
        'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n',
      );
      await copy.put('faces/genderage.onnx', '');
    });
    expect(faults).toEqual([
      'unet/model.onnx: input sample is [2, 9, 128, 128], and [dynamic, 4, dynamic, dynamic] is needed',
      'unet/model.onnx: output out_sample is bfloat16, and float32 or float16 is needed',
      'vae_encoder/model.onnx: output z is [b, 32, h, w], and [dynamic, 8, ?, ?] or [dynamic, 4, ?, ?] is needed',
      'faces/det_10g.onnx: input x is [1, 3, 320, 320], and [dynamic, 3, 640, 640] is needed',
      'faces/det_10g.onnx: needs 9 outputs, has 1: y',
      'faces/2d106det.onnx does not load: this is no ONNX file',
      'faces/genderage.onnx does not load: this is no ONNX file: it has no graph',
      'safety/model.onnx: input pixel_values is float64, and float32 or float16 is needed',
      'safety/model.onnx: output logits is [1, 5], and [dynamic, 2] is needed',
    ]);
  });

  it('that would have to be fed what nothing here knows are refused', async () => {
    const faults = await faultsAfter((copy) =>
      copy.put(
        'unet/model.onnx',
        network({ ...unet, timestep_cond: ['float', 'batch', 256] }, { x: ['float', 'b', 4, 'h', 'w'] }),
      ),
    );
    expect(faults).toEqual([
      'unet/model.onnx: has the input timestep_cond, which nothing here feeds; known are sample, timestep, encoder_hidden_states, text_embeds, time_ids',
    ]);
  });

  it('that do not fit together are refused, with the widths of both', async () => {
    const faults = await faultsAfter(async (copy) => {
      await copy.put('unet/model.onnx', await tiny('unet/model.onnx'));
      await copy.put('unet/config.json', await tiny('unet/config.json'));
      await copy.json('text_encoder/config.json', { hidden_size: 768, num_hidden_layers: 11 });
    });
    expect(faults).toEqual([
      'text_encoder/model.onnx: the number of its hidden states is 13, and 12 is needed: num_hidden_layers of its config.json',
      'text_encoder/model.onnx: its width is 64, and 768 is needed: hidden_size of its config.json',
      "unet/model.onnx: the width of encoder_hidden_states is 80, and 128 is needed: the text encoders' 64 + 64",
      'unet/model.onnx: the width of text_embeds is 40, and 64 is needed: what the second text encoder gives',
      "photomaker/id_tokens.onnx: the width of id_tokens is 128, and 80 is needed: the UNet's encoder_hidden_states",
      "photomaker/fuse.onnx: the width of class_embeds is 128, and 80 is needed: the UNet's encoder_hidden_states",
      "photomaker/fuse.onnx: the width of id_tokens is 128, and 80 is needed: the UNet's encoder_hidden_states",
    ]);
  });

  it('may be in half precision, but a VAE whose config says that it overflows', async () => {
    const faults = await faultsAfter(async (copy) => {
      for (const folder of ['text_encoder', 'unet', 'vae_encoder', 'vae_decoder'])
        await copy.bytes(`${folder}/model.onnx`, half);
      await copy.json('vae_encoder/config.json', { force_upcast: false });
      await copy.json('vae_decoder/config.json', { force_upcast: true });
    });
    expect(faults).toEqual([
      'vae_decoder/model.onnx computes in float16, and float32 is needed: force_upcast in vae_decoder/config.json is not false, so it overflows',
    ]);
    const stored = await faultsAfter(async (copy) => {
      await copy.bytes('vae_decoder/model.onnx', halfWeights); // cast before they are used
      await copy.json('vae_decoder/config.json', { force_upcast: true });
    });
    expect(stored).toEqual([]);
  });
});

describe('PhotoMaker’s ID encoder', () => {
  const two = '  idTokens: photomaker/id_tokens.onnx\n  idFuse: photomaker/fuse.onnx\n';
  const one = '  idEncoder: photomaker/id_encoder.onnx\n';

  it('may be one graph, as wide as the UNet wants it', async () => {
    const whole = await readFile(join(goldenDir('photomaker'), 'id_encoder.onnx'));
    const faults = await faultsAfter(async (copy) => {
      await copy.manifest(two, one);
      await copy.put('photomaker/id_encoder.onnx', whole);
    });
    expect(faults).toEqual([
      "photomaker/id_encoder.onnx: the width of prompt_embeds is 80, and 128 is needed: the UNet's encoder_hidden_states",
    ]);
  });

  it.each([
    ['both', two + one],
    ['none', ''],
    ['half of it', '  idFuse: photomaker/fuse.onnx\n'],
  ])('is refused with its line when a manifest has %s', async (_, lines) => {
    const copy = await copyBundle(join(dir, `id-${copies++}`));
    await copy.manifest(two, lines);
    await expect(inspectBundle(copy.dir)).rejects.toThrow(
      /^bundle\.yaml:\d+: files: PhotoMaker's ID encoder is idTokens and idFuse, or idEncoder alone$/,
    );
  });
});

it('names what lies in the folder and nothing uses', async () => {
  const copy = await copyBundle(join(dir, 'extra'));
  for (const path of ['unet/old.onnx', 'unet/model.safetensors', 'notes.md', 'LICENSE', '.git/HEAD'])
    await copy.put(path, 'x');
  expect(await unusedFiles(await inspectBundle(copy.dir))).toEqual([
    'unet/model.safetensors',
    'unet/old.onnx',
  ]);
  expect(await bundleHash(copy.dir)).toBe(await bundleHash(inject('bundleDir')));
});
