/**
 * Builds the reference bundle: small networks with the files, names and types of the real exports, and meaning, made by
 * formula. A stand-in for SDXL, InsightFace and PhotoMaker V2, for tests, demos and development; nothing in it was trained.
 *
 *   npm run bundle -- reference DIR
 */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { clipVocabulary } from './clip-vocabulary.ts';
import { detector } from './detector.ts';
import { faceLandmarks, genderAge, idFuse, idTokens, recognizer } from './face-networks.ts';
import { loras } from './loras.ts';
import { safety } from './safety.ts';
import { textEncoder, textEncoder2, WIDTH } from './text.ts';
import { unet } from './unet.ts';
import { vaeDecoder, vaeEncoder } from './vae.ts';

const manifest = {
  version: 1,
  name: 'reference',
  title: 'Atelier reference bundle (stand-in)',
  family: 'sdxl',
  standIn: true,
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
  },
  classifiers: [
    {
      name: 'checkerboard',
      file: 'safety/model.onnx',
      input: { side: 224, resize: 'antialias', mean: 0.5, std: 0.5 },
      labels: ['normal', 'flagged'],
    },
  ],
  // As `npm run bundle -- ages` measures it.
  ageError: 7,
  detector: { size: 640, threshold: 0.5 },
  detailSide: 640,
} as const;

/** SDXL's own. */
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

const modelIndex = {
  _class_name: 'StableDiffusionXLPipeline',
  force_zeros_for_empty_prompt: true,
  scheduler: ['diffusers', 'EulerDiscreteScheduler'],
  text_encoder: ['transformers', 'CLIPTextModel'],
  text_encoder_2: ['transformers', 'CLIPTextModelWithProjection'],
  tokenizer: ['transformers', 'CLIPTokenizer'],
  tokenizer_2: ['transformers', 'CLIPTokenizer'],
  unet: ['diffusers', 'UNet2DConditionModel'],
  vae: ['diffusers', 'AutoencoderKL'],
};

/** Writes the bundle's folder, whole or not at all. The same bytes every time. */
export async function buildReferenceBundle(dir: string): Promise<void> {
  const clip = await clipVocabulary();
  const { files } = manifest;
  const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  const vocabularySize = Object.keys(clip.vocabulary).length;
  const encoderConfig = (layers: number) =>
    json({
      hidden_size: WIDTH,
      num_hidden_layers: layers,
      vocab_size: vocabularySize,
      max_position_embeddings: 77,
    });
  const vaeConfig = json({ latent_channels: 4, scaling_factor: 0.13025 });
  const contents: Record<string, string | Uint8Array> = {
    'bundle.yaml': stringify(manifest),
    'model_index.json': json(modelIndex),
    [files.scheduler]: json(schedulerConfig),
    [files.textEncoder]: textEncoder(clip),
    'text_encoder/config.json': encoderConfig(12),
    [files.textEncoder2]: textEncoder2(clip),
    'text_encoder_2/config.json': encoderConfig(32),
    [files.unet]: unet(),
    'unet/config.json': json({
      cross_attention_dim: 2 * WIDTH,
      in_channels: 4,
      out_channels: 4,
      sample_size: 80,
    }),
    [files.vaeEncoder]: vaeEncoder(),
    'vae_encoder/config.json': vaeConfig,
    [files.vaeDecoder]: vaeDecoder(),
    'vae_decoder/config.json': vaeConfig,
    [files.faceDetector]: detector(),
    [files.faceRecognizer]: recognizer(),
    [files.faceLandmarks]: faceLandmarks(),
    [files.faceGenderAge]: genderAge(),
    [files.idTokens]: idTokens(),
    [files.idFuse]: idFuse(),
    [manifest.classifiers[0].file]: safety(),
  };
  for (const [folder, pad] of [
    [files.tokenizer, '<|endoftext|>'],
    [files.tokenizer2, '!'],
  ] as const) {
    const specials = {
      bos_token: '<|startoftext|>',
      eos_token: '<|endoftext|>',
      pad_token: pad,
      unk_token: '<|endoftext|>',
    };
    contents[`${folder}/vocab.json`] = JSON.stringify(clip.vocabulary);
    contents[`${folder}/merges.txt`] = clip.merges;
    contents[`${folder}/special_tokens_map.json`] = json(specials);
    contents[`${folder}/tokenizer_config.json`] = json({
      ...specials,
      do_lower_case: true,
      model_max_length: 77,
      tokenizer_class: 'CLIPTokenizer',
    });
  }

  for (const [name, bytes] of Object.entries(loras())) contents[`loras/${name}`] = bytes;

  const making = `${dir}.${process.pid}.making`;
  await rm(making, { recursive: true, force: true });
  for (const [path, content] of Object.entries(contents)) {
    await mkdir(dirname(join(making, path)), { recursive: true });
    await writeFile(join(making, path), content);
  }
  await mkdir(dirname(dir), { recursive: true });
  await rm(dir, { recursive: true, force: true });
  await rename(making, dir);
}
