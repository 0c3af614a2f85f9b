/**
 * PhotoMaker V2: a person's photos as ID tokens, fused into the prompt's embedding at the word they belong to.
 *
 * Source: Li et al. 2023 (arXiv:2312.04461); TencentARC/PhotoMaker@060b4fc `photomaker/model_v2.py`, `photomaker/pipeline.py`
 * `encode_prompt_with_trigger_word`. Checked by: test/pipelines/photomaker/photomaker.test.ts.
 */
import { crop, type Picture, resize } from '../picture.ts';
import { encodeIds, type TextConditioning, type TextEncoders } from '../sdxl/conditioning.ts';
import { CONTEXT_LENGTH, type Tokenizer } from '../sdxl/tokenizer.ts';
import type { Session } from '../session.ts';
import { floats, stack, tensor } from '../tensor.ts';

/** ID tokens for each photo. */
export const TOKENS_PER_PHOTO = 2;
const SIDE = 224;
const MEAN = [0.48145466, 0.4578275, 0.40821073];
const STD = [0.26862954, 0.26130258, 0.27577711];
/** The words that a face can belong to; the trigger goes behind the first one. */
const CLASS_WORDS = new Set(
  'person man woman boy girl lady gentleman guy portrait king queen prince princess knight wizard witch warrior actor actress samurai astronaut sailor dancer singer artist doctor pilot'.split(
    ' ',
  ),
);

/** [n, 3, 224, 224] CLIP's view of a whole photo: shorter side to 224 by bicubic, the middle of it, normalised. */
export function clipPixels(photos: readonly Picture[]): Float32Array {
  const plane = SIDE * SIDE;
  return stack(
    photos.map((photo) => {
      const short = Math.min(photo.width, photo.height);
      const [w, h] = [photo.width, photo.height].map((side) => Math.trunc((SIDE * side) / short));
      const small = resize(photo, w!, h!, 'bicubic');
      const middle = crop(
        small,
        Math.trunc((small.width - SIDE) / 2),
        Math.trunc((small.height - SIDE) / 2),
        SIDE,
        SIDE,
      );
      const out = new Float32Array(3 * plane);
      for (let p = 0; p < plane; p++) {
        for (let c = 0; c < 3; c++) out[c * plane + p] = (middle.rgb[p * 3 + c]! / 255 - MEAN[c]!) / STD[c]!;
      }
      return out;
    }),
  );
}

/**
 * @param pixels     [n, 3, 224, 224], see `clipPixels`
 * @param embeddings [n, 512] raw ArcFace vectors
 * @returns          [n, 2, C] and C
 */
export async function idTokensOf(idTokens: Session, pixels: Float32Array, embeddings: Float32Array) {
  const n = embeddings.length / 512;
  const result = await idTokens.run({
    id_pixel_values: tensor(pixels, [n, 3, SIDE, SIDE]),
    id_embeds: tensor(embeddings, [n, 512]),
  });
  const out = floats(result.id_tokens, 'id_tokens');
  return { tokens: out.data, width: out.shape[2] ?? 0 };
}

/** The prompt with the trigger behind the first word that a face can belong to, or with a person of its own. */
export function withTrigger(prompt: string, trigger: string): string {
  if (new RegExp(`\\b${trigger}\\b`, 'u').test(prompt)) return prompt;
  const parts = prompt.split(/([\p{L}]+)/u);
  // "portrait of a woman": the woman, not the portrait.
  const at = (words: Set<string>) =>
    parts.findIndex((part, i) => i % 2 === 1 && words.has(part.toLowerCase()));
  const person = at(new Set([...CLASS_WORDS].filter((word) => word !== 'portrait')));
  const index = person >= 0 ? person : at(CLASS_WORDS);
  if (index < 0) return `${prompt.replace(/[\s,]+$/u, '')}, person ${trigger}`;
  parts[index] = `${parts[index]} ${trigger}`;
  return parts.join('');
}

export interface Triggered {
  /** [77] with the class word standing 2·n times */
  readonly ids: readonly number[];
  /** index of the first of them */
  readonly from: number;
  /** how many of them are within the 77 */
  readonly count: number;
}

/** The id that stands for the trigger until it is taken out: one beyond the vocabulary, so no text encoder ever sees it. */
const TRIGGER_ID = -1;

/**
 * Takes the trigger out and repeats the token before it.
 *
 * @throws {RangeError} when there is not exactly one trigger within 77 tokens
 */
export function expandTrigger(
  tokenizer: Tokenizer,
  prompt: string,
  trigger: string,
  photos: number,
): Triggered {
  const { startId, endId, padId } = tokenizer;
  const encoded = tokenizer.encode(prompt, { [trigger]: TRIGGER_ID });
  // Cut before and again after: a long prompt can lose its end token, as in the reference.
  const framed = [startId, ...encoded.slice(0, CONTEXT_LENGTH - 2), endId];
  const clean: number[] = [];
  const found: number[] = [];
  for (const id of framed) {
    if (id === TRIGGER_ID) found.push(clean.length - 1);
    else clean.push(id);
  }
  const [at] = found;
  if (at === undefined || found.length > 1) {
    throw new RangeError(
      `The prompt has ${found.length} trigger words within its first 77 tokens; one is needed`,
    );
  }
  const repeat = TOKENS_PER_PHOTO * photos;
  const expanded = [...clean.slice(0, at), ...Array<number>(repeat).fill(clean[at]!), ...clean.slice(at + 1)];
  const ids = [...expanded, ...Array<number>(CONTEXT_LENGTH).fill(padId)].slice(0, CONTEXT_LENGTH);
  return { ids, from: at, count: Math.max(0, Math.min(repeat, CONTEXT_LENGTH - at)) };
}

/**
 * The prompt's conditioning with a person in it.
 *
 * @param idTokens [n, 2, C]
 * @param weight   0: the class word alone; 1: PhotoMaker's own
 */
export async function encodeWithIdentity(
  encoders: TextEncoders,
  fuse: Session,
  prompt: string,
  trigger: string,
  idTokens: Float32Array,
  width: number,
  weight: number,
): Promise<TextConditioning> {
  const photos = idTokens.length / (TOKENS_PER_PHOTO * width);
  const one = expandTrigger(encoders.tokenizer, prompt, trigger, photos);
  const two = expandTrigger(encoders.tokenizer2, prompt, trigger, photos);
  const text = await encodeIds(encoders, one.ids, two.ids);
  const { context } = text;
  // Both tokenizers give the same places; the reference takes the last one's.
  const { from, count } = two;
  const rows = context.slice(from * width, (from + count) * width);
  const result = await fuse.run({
    class_embeds: tensor(rows, [count, width]),
    id_tokens: tensor(idTokens.subarray(0, count * width), [count, width]),
  });
  const fused = floats(result.fused_embeds, 'fused_embeds').data;
  const out = context.slice();
  for (let i = 0; i < fused.length; i++) out[from * width + i] = rows[i]! + weight * (fused[i]! - rows[i]!);
  return { ...text, context: out };
}
