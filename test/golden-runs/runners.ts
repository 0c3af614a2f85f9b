/** Which code runs the cases of which golden set. */
import type { GoldenRunner } from '../support/golden.ts';
import { clipTokenizer } from './clip-tokenizer.ts';
import { insightface } from './insightface.ts';
import { lora } from './lora.ts';
import { noise } from './noise.ts';
import { photomaker } from './photomaker.ts';
import { schedulers } from './schedulers.ts';
import { sdxlTiny } from './sdxl-tiny.ts';
import { watermark } from './watermark.ts';

export const runners: Readonly<Record<string, GoldenRunner>> = {
  'clip-tokenizer': clipTokenizer,
  insightface,
  lora,
  noise,
  photomaker,
  schedulers,
  'sdxl-tiny': sdxlTiny,
  watermark,
};
