/**
 * Builds the reference bundle: small networks with the files, names and types of the real exports, and meaning, made by
 * formula. A stand-in for SDXL, InsightFace and PhotoMaker V2 for tests, demos and development.
 *
 *   node pipelines/small-world/build.ts <folder>
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { stringify } from 'yaml';
import { byteAlphabet } from '../sdxl/tokenizer.ts';
import { unet } from './denoiser.ts';
import { detector, faceLandmarks, genderAge, idFuse, idTokens, recognizer, safety } from './faces.ts';
import { layout, textEncoder, textEncoder2 } from './text.ts';
import { vaeDecoder, vaeEncoder } from './vae.ts';

const manifest = {
  version: 1,
  name: 'reference',
  title: 'Atelier reference bundle (stand-in)',
  family: 'sdxl',
  standIn: true,
  precision: 'fp32',
  licence: 'MIT',
  triggerWord: 'img',
  memoryGib: 0.2,
  files: {
    textEncoder: 'text_encoder/model.onnx',
    textEncoder2: 'text_encoder_2/model.onnx',
    unet: 'unet/model.onnx',
    vaeEncoder: 'vae_encoder/model.onnx',
    vaeDecoder: 'vae_decoder/model.onnx',
    tokenizer: 'tokenizer',
    tokenizer2: 'tokenizer_2',
    scheduler: 'scheduler/scheduler_config.json',
    faceDetector: 'faces/det_10g.onnx',
    faceRecognizer: 'faces/w600k_r50.onnx',
    faceLandmarks: 'faces/2d106det.onnx',
    faceGenderAge: 'faces/genderage.onnx',
    idTokens: 'photomaker/id_tokens.onnx',
    idFuse: 'photomaker/fuse.onnx',
    safety: 'safety/model.onnx',
  },
  safetyLabels: ['normal', 'flagged'],
  detector: { size: 640, threshold: 0.5 },
  detailSide: 640,
};

const schedulerConfig = {
  _class_name: 'EulerDiscreteScheduler',
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  beta_start: 0.00085,
  interpolation_type: 'linear',
  num_train_timesteps: 1000,
  prediction_type: 'epsilon',
  set_alpha_to_one: false,
  steps_offset: 1,
  timestep_spacing: 'leading',
};

/** CLIP's vocabulary is made of its merges: bytes, bytes that end a word, merged pairs in order, two specials. */
export async function clipVocabulary(): Promise<{ vocabulary: Map<string, number>; merges: string }> {
  const packed = await readFile(new URL('./clip-merges.txt.gz', import.meta.url));
  const merges = gunzipSync(packed).toString('utf8');
  const pairs = merges.split('\n').filter((line) => line && !line.startsWith('#version'));
  const { toCharacter } = byteAlphabet();
  // CLIP lists printable bytes first, then the others in the order they were given characters.
  const characters = [...toCharacter].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
  const tokens = [
    ...characters,
    ...characters.map((character) => `${character}</w>`),
    ...pairs.map((pair) => pair.replace(' ', '')),
    '<|startoftext|>',
    '<|endoftext|>',
  ];
  return { vocabulary: new Map(tokens.map((token, id) => [token, id])), merges };
}

/** Writes the bundle's folder, whole or not at all. The same bytes every time. */
export async function buildReferenceBundle(dir: string): Promise<void> {
  const { vocabulary, merges } = await clipVocabulary();
  const vocabJson = JSON.stringify(Object.fromEntries(vocabulary));
  const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  const { files } = manifest;
  const tokenizer = (pad: string) => ({
    model_max_length: 77,
    pad_token: pad,
    tokenizer_class: 'CLIPTokenizer',
    do_lower_case: true,
  });
  const contents: Record<string, string | Uint8Array> = {
    'bundle.yaml': stringify(manifest),
    'model_index.json': json({
      _class_name: 'StableDiffusionXLPipeline',
      force_zeros_for_empty_prompt: true,
    }),
    [files.scheduler]: json(schedulerConfig),
    [files.textEncoder]: textEncoder(vocabulary, merges),
    'text_encoder/config.json': json({
      hidden_size: layout.first,
      num_hidden_layers: 12,
      vocab_size: vocabulary.size,
    }),
    [files.textEncoder2]: textEncoder2(),
    'text_encoder_2/config.json': json({
      hidden_size: layout.second,
      num_hidden_layers: 32,
      vocab_size: vocabulary.size,
    }),
    [files.unet]: unet(),
    'unet/config.json': json({
      cross_attention_dim: layout.width,
      in_channels: 4,
      out_channels: 4,
      sample_size: 80,
    }),
    [files.vaeEncoder]: vaeEncoder(),
    'vae_encoder/config.json': json({ latent_channels: 4, scaling_factor: 0.13025 }),
    [files.vaeDecoder]: vaeDecoder(),
    'vae_decoder/config.json': json({ latent_channels: 4, scaling_factor: 0.13025 }),
    [files.faceDetector]: detector(),
    [files.faceRecognizer]: recognizer(),
    [files.faceLandmarks]: faceLandmarks(),
    [files.faceGenderAge]: genderAge(),
    [files.idTokens]: idTokens(),
    [files.idFuse]: idFuse(),
    [files.safety]: safety(),
  };
  for (const [folder, pad] of [
    [files.tokenizer, '<|endoftext|>'],
    [files.tokenizer2, '!'],
  ] as const) {
    contents[`${folder}/vocab.json`] = vocabJson;
    contents[`${folder}/merges.txt`] = merges;
    contents[`${folder}/tokenizer_config.json`] = json(tokenizer(pad));
    contents[`${folder}/special_tokens_map.json`] = json({
      pad_token: pad,
      bos_token: '<|startoftext|>',
      eos_token: '<|endoftext|>',
    });
  }

  const making = `${dir}.making`;
  await rm(making, { recursive: true, force: true });
  for (const [path, content] of Object.entries(contents)) {
    await mkdir(dirname(join(making, path)), { recursive: true });
    await writeFile(join(making, path), content);
  }
  await mkdir(dirname(dir), { recursive: true });
  await rm(dir, { recursive: true, force: true });
  await rename(making, dir);
}

if (import.meta.main) {
  const [dir] = process.argv.slice(2);
  if (!dir) {
    process.stderr.write('Usage: node pipelines/small-world/build.ts <folder>\n');
    process.exit(2);
  }
  await buildReferenceBundle(dir);
}
