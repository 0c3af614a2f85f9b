/**
 * PhotoMaker V2: a person's photos as ID tokens, fused into the prompt's embedding at the word they belong to.
 *
 * Source: Li et al. 2023 (arXiv:2312.04461); TencentARC/PhotoMaker@060b4fc `photomaker/model_v2.py`, `photomaker/pipeline.py`
 * `encode_prompt_with_trigger_word`; huggingface/transformers 5.18 `CLIPImageProcessor`.
 * Checked by: test/golden-runs/photomaker.ts, test/pipelines/photomaker/photomaker.test.ts.
 */
import { type Bitmap, crop, resize } from '../bitmap.ts';
import type { GenderChoice } from '../choices.ts';
import type { Gender } from '../faces/faces.ts';
import { encodeChunks, type TextConditioning, type TextEncoders } from '../sdxl/conditioning.ts';
import { type Chunk, chunksOf, parsePrompt, type Token, tokensOf } from '../sdxl/prompt.ts';
import { CONTEXT_LENGTH, type Tokenizer } from '../sdxl/tokenizer.ts';
import type { Session } from '../session.ts';
import { floats, stack, tensor } from '../tensor.ts';

/** As a bundle has it: two graphs, whose ID tokens can be kept, or one. */
export type IdEncoder =
  | { readonly idTokens: Session; readonly idFuse: Session }
  | {
      /** `id_pixel_values`, `prompt_embeds`, `class_tokens_mask`, `id_embeds` → `updated_prompt_embeds` */
      readonly whole: Session;
    };

/** A person, as the networks see their photos. */
export interface FaceIdentity {
  /** n, photos */
  readonly count: number;
  /** [n, 512] raw ArcFace vectors */
  readonly embeddings: Float32Array;
  /** [n, 2, C] ID tokens; null where one graph makes them of the pixels each time */
  readonly idTokens: Float32Array | null;
  /** [n, 3, 224, 224] where one graph needs them */
  readonly pixels: Float32Array | null;
  /** what most of the photos show; null: not clear */
  readonly gender: Gender | null;
}

/** ID tokens for each photo. */
export const TOKENS_PER_PHOTO = 2;
/** A chunk holds no more: the 38th photo is left out. */
const PHOTOS_MAX = Math.floor((CONTEXT_LENGTH - 2) / TOKENS_PER_PHOTO);
const EMBEDDING = 512;
const SIDE = 224;
const PLANE = SIDE * SIDE;
const MEAN = [0.48145466, 0.4578275, 0.40821073];
const STD = [0.26862954, 0.26130258, 0.27577711];
/** The words that a face can belong to; the trigger goes behind the first one. Without one of them, behind "portrait". */
const PERSON_WORDS = new Set(
  [
    'person man woman boy girl child kid teenager lady gentleman guy',
    'father mother grandfather grandmother husband wife son daughter brother sister bride groom',
    'king queen emperor empress prince princess knight wizard witch warrior samurai',
    'actor actress dancer ballerina singer artist doctor pilot astronaut sailor soldier monk nun',
  ].flatMap((line) => line.split(' ')),
);
const GENDER_WORDS: Readonly<Record<Gender, string>> = { female: 'woman', male: 'man' };
/** Stands for the trigger in a prompt: of Unicode's private use, so no prompt has it, and no word hides it as `imgur` hides `img`. */
const MARK = '\uE000';
/** The id that the trigger has until it is taken out: no text encoder ever sees it. */
const TRIGGER_ID = -1;

/**
 * @param photos     of one face each
 * @param embeddings [n, 512] raw ArcFace vectors of those
 */
export async function identityOf(
  encoder: IdEncoder,
  photos: readonly Bitmap[],
  embeddings: Float32Array,
  gender: Gender | null,
): Promise<FaceIdentity> {
  const count = photos.length;
  const pixels = clipPixels(photos);
  if ('whole' in encoder) return { count, embeddings, idTokens: null, pixels, gender };
  const result = await encoder.idTokens.run({
    id_pixel_values: tensor(pixels, [count, 3, SIDE, SIDE]),
    id_embeds: tensor(embeddings, [count, EMBEDDING]),
  });
  const idTokens = floats(result.id_tokens, 'id_tokens').data;
  return { count, embeddings, idTokens, pixels: null, gender };
}

/** [n, 3, 224, 224] CLIP's view of whole photos, normalised. */
export function clipPixels(photos: readonly Bitmap[]): Float32Array {
  return stack(photos.map((photo) => normalised(clipPicture(photo))));
}

/** The middle square of a photo whose shorter side was brought to 224, bicubic. */
export function clipPicture(photo: Bitmap): Bitmap {
  const short = Math.min(photo.width, photo.height);
  const [w, h] = [photo.width, photo.height].map((side) => Math.trunc((SIDE * side) / short)) as [
    number,
    number,
  ];
  const small = resize(photo, w, h, 'bicubic');
  return crop(small, Math.trunc((w - SIDE) / 2), Math.trunc((h - SIDE) / 2), SIDE, SIDE);
}

/** [3, 224, 224] */
export function normalised({ rgb }: Bitmap): Float32Array {
  const out = new Float32Array(3 * PLANE);
  for (let p = 0; p < PLANE; p++) {
    for (let c = 0; c < 3; c++) out[c * PLANE + p] = (rgb[p * 3 + c]! / 255 - MEAN[c]!) / STD[c]!;
  }
  return out;
}

/**
 * The prompt's conditioning with a person in it. Prompts of any length: the class word's tokens stay in one chunk.
 *
 * @param trigger a word that may stand in the prompt behind the one the face belongs to; otherwise that is found
 * @param weight  how many photos the person's are repeated to, each standing for two class tokens; more photos than that are all
 *                used, as far as they fit into a chunk
 * @param gender  the word that the trigger stands behind
 */
export async function encodeWithIdentity(
  encoders: TextEncoders,
  encoder: IdEncoder,
  prompt: string,
  trigger: string,
  identity: FaceIdentity,
  weight: number,
  gender: GenderChoice = 'auto',
): Promise<TextConditioning> {
  const wanted = Math.max(weight, identity.count);
  const photos = Array.from({ length: Math.min(wanted, PHOTOS_MAX) }, (_, i) => i % identity.count);
  const parts = parsePrompt(withMark(prompt, trigger, identity.gender, gender));
  const marked = (tokenizer: Tokenizer) => {
    const tokens = tokensOf(tokenizer, parts, { [MARK]: TRIGGER_ID });
    const expanded = repeatBefore(tokens, TOKENS_PER_PHOTO * photos.length);
    const chunks = chunksOf(tokenizer, expanded.tokens);
    return { chunks, from: placeOf(chunks, expanded.from) };
  };
  const [first, second] = [marked(encoders.tokenizer), marked(encoders.tokenizer2)];
  const text = await encodeChunks(encoders, first.chunks, second.chunks);
  // Both tokenizers give the same places, except behind a "!"; the reference takes the last one's.
  const context = await fuse(encoder, text, second.from, identity, photos);
  return { ...text, context, person: second.from };
}

/** The token's place among all chunks' states. */
function placeOf(chunks: readonly Chunk[], index: number): number {
  let rest = index;
  for (const [n, { length }] of chunks.entries()) {
    if (rest < length) return n * CONTEXT_LENGTH + 1 + rest;
    rest -= length;
  }
  throw new RangeError(`There is no token ${index}`);
}

/**
 * Puts ID tokens in the place of class tokens.
 *
 * @param from   the first class token
 * @param photos indices of the identity's, in order
 * @returns      [tokens, C]
 */
export async function fuse(
  encoder: IdEncoder,
  { context, tokens }: TextConditioning,
  from: number,
  identity: FaceIdentity,
  photos: readonly number[],
): Promise<Float32Array> {
  const width = context.length / tokens;
  const out = context.slice();
  const repeated = (list: Float32Array) => {
    const size = list.length / identity.count;
    return stack(photos.map((n) => list.subarray(n * size, (n + 1) * size)));
  };
  if ('whole' in encoder) {
    // It takes 77 tokens: the chunk that the class tokens are in.
    const start = Math.floor(from / CONTEXT_LENGTH) * CONTEXT_LENGTH;
    const mask = new Uint8Array(CONTEXT_LENGTH);
    mask.fill(1, from - start, from - start + TOKENS_PER_PHOTO * photos.length);
    const chunk = context.slice(start * width, (start + CONTEXT_LENGTH) * width);
    const { updated_prompt_embeds } = await encoder.whole.run({
      id_pixel_values: tensor(repeated(identity.pixels!), [1, photos.length, 3, SIDE, SIDE]),
      prompt_embeds: tensor(chunk, [1, CONTEXT_LENGTH, width]),
      class_tokens_mask: { type: 'bool', data: mask, shape: [1, CONTEXT_LENGTH] },
      id_embeds: tensor(repeated(identity.embeddings), [1, photos.length, EMBEDDING]),
    });
    out.set(floats(updated_prompt_embeds, 'updated_prompt_embeds').data, start * width);
    return out;
  }
  const count = TOKENS_PER_PHOTO * photos.length;
  const { fused_embeds } = await encoder.idFuse.run({
    class_embeds: tensor(context.slice(from * width, (from + count) * width), [count, width]),
    id_tokens: tensor(repeated(identity.idTokens!), [count, width]),
  });
  out.set(floats(fused_embeds, 'fused_embeds').data, from * width);
  return out;
}

/** The person's prompt without the person: the same words, and none of them is the trigger. What the base is drawn from. */
export function textOnlyPrompt(
  prompt: string,
  trigger: string,
  shown: Gender | null,
  gender: GenderChoice = 'auto',
): string {
  return withMark(prompt, trigger, shown, gender).replace(MARK, '');
}

/**
 * The prompt with a mark behind the word that a face belongs to, or with a person of its own, and without triggers.
 *
 * @param shown  what the photos show
 * @param gender `auto`: the prompt's own word, and where it names nobody the one that the photos show. `man`, `woman`, `person`: that
 *               word stands before the trigger, whatever else the prompt says; `none`: no word is put there
 */
function withMark(prompt: string, trigger: string, shown: Gender | null, gender: GenderChoice): string {
  const own = new RegExp(`(\\p{L})[ \\t]+${trigger}\\b`, 'u');
  const mine = own.test(prompt) ? prompt.replace(own, `$1 ${MARK}`) : prompt;
  const clean = mine.replace(new RegExp(`\\b${trigger}\\b`, 'gu'), '');
  const isMarked = clean.includes(MARK);
  if (gender === 'auto') return isMarked ? clean : behindClassWord(clean, MARK, shown);
  if (gender === 'none') return isMarked ? clean : behindOwnWord(clean, MARK);
  if (new RegExp(`\\b${gender} ${MARK}`, 'iu').test(clean)) return clean;
  if (isMarked) return clean.replace(MARK, `${gender} ${MARK}`);
  const said = new RegExp(`\\b${gender}\\b`, 'iu');
  return said.test(clean) ? clean.replace(said, `$& ${MARK}`) : `${gender} ${MARK} ${clean.trimStart()}`;
}

/** Puts the mark behind a word that the prompt has: for a person, else "portrait", else the last one. */
function behindOwnWord(prompt: string, mark: string): string {
  const named = behindClassWord(prompt, mark, null);
  if (named.replace(` ${mark}`, '') === prompt) return named;
  const last = /.*\p{L}/su.exec(prompt)?.[0];
  return last === undefined ? named : `${last} ${mark}${prompt.slice(last.length)}`;
}

/**
 * Puts the mark behind the word for a person. A prompt without one is given one, by the person's gender: a prompt's own word is
 * never contradicted.
 */
export function behindClassWord(prompt: string, mark: string, gender: Gender | null): string {
  const parts = prompt.split(/([\p{L}]+)/u);
  const at = (isMeant: (word: string) => boolean) =>
    parts.findIndex((part, i) => i % 2 === 1 && isMeant(part.toLowerCase()));
  const person = at((word) => PERSON_WORDS.has(word));
  if (person >= 0) {
    parts[person] = `${parts[person]} ${mark}`;
    return parts.join('');
  }
  const portrait = at((word) => word === 'portrait');
  if (portrait < 0)
    return `${prompt.replace(/[\s,]+$/u, '')}, ${gender ? GENDER_WORDS[gender] : 'person'} ${mark}`;
  // "portrait of a smith": whoever that is has a word already, though it is not known here.
  const isOfSomebody = /^[^,.;:]*\bof\b/iu.test(parts.slice(portrait + 1).join(''));
  parts[portrait] += gender && !isOfSomebody ? ` of a ${GENDER_WORDS[gender]} ${mark}` : ` ${mark}`;
  return parts.join('');
}

/**
 * Takes the triggers out, and repeats the token before the one of them so many times.
 *
 * @throws {RangeError} when there is not exactly one
 */
function repeatBefore(tokens: readonly Token[], times: number): { tokens: Token[]; from: number } {
  const clean: Token[] = [];
  const found: number[] = [];
  for (const token of tokens) {
    if (token.id === TRIGGER_ID) found.push(clean.length - 1);
    else clean.push(token);
  }
  const [from] = found;
  if (from === undefined || found.length > 1)
    throw new RangeError(`The prompt has ${found.length} trigger words; one is needed`);
  const repeated = Array.from({ length: times }, (_, i) => ({ ...clean[from]!, ends: i === times - 1 }));
  return { tokens: [...clean.slice(0, from), ...repeated, ...clean.slice(from + 1)], from };
}

export interface Triggered {
  /** [77] with the class word standing 2·n times */
  readonly ids: readonly number[];
  /** index of the first of them */
  readonly from: number;
  /** how many of them are within the 77 */
  readonly count: number;
}

/**
 * What PhotoMaker itself does with a prompt of its notation: cut to 77 tokens before the class word is repeated and again
 * after, so that a long one can lose its end token; a trigger at the very start makes the start token the class word.
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
  const framed = [startId, ...encoded.slice(0, CONTEXT_LENGTH - 2), endId];
  const repeat = TOKENS_PER_PHOTO * photos;
  const { tokens, from } = repeatBefore(
    framed.map((id) => ({ id, weight: 1, ends: true })),
    repeat,
  );
  const padded = [...tokens.map(({ id }) => id), ...Array<number>(CONTEXT_LENGTH).fill(padId)];
  return {
    ids: padded.slice(0, CONTEXT_LENGTH),
    from,
    count: Math.max(0, Math.min(repeat, CONTEXT_LENGTH - from)),
  };
}
