/** A `bundle.yaml` for the tiny SDXL of the golden sets, as far as tests read it. */
import { stringify } from 'yaml';

const files = {
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
};

export const tinyManifest = stringify({
  version: 1,
  name: 'tiny',
  title: 'Tiny SDXL',
  family: 'sdxl',
  licence: 'Apache-2.0',
  triggerWord: 'img',
  memoryGib: 0.1,
  files,
  detector: { size: 640, threshold: 0.5 },
});
