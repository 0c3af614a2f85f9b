/**
 * A portrait in two stages.
 *
 *   1 base     text-only SDXL: prompt → latents → picture
 *   2 detail   each face is cropped, magnified and drawn again as the person of the reference photos, under a mask that lets
 *              the face change and keeps the rest; pixels outside the mask are the base's own, exactly
 *
 * Then the classifier looks at the result. Same bundle, same request, same bytes: nothing here reads a clock, a file or
 * a setting.
 */
import type { Bitmap } from './bitmap.ts';
import type { GenderChoice } from './choices.ts';
import { composite, magnify, regionOf } from './detail.ts';
import { cosine, detectInTurn, embed, type Face, type Gender, genderAge, landmarks } from './faces/faces.ts';
import { generator } from './noise.ts';
import {
  encodeWithIdentity,
  type FaceIdentity,
  type IdEncoder,
  identityOf,
  textOnlyPrompt,
} from './photomaker/photomaker.ts';
import { classify } from './safety/classify.ts';
import { makeScheduler, type SchedulerName, type Spacing } from './schedulers.ts';
import {
  emphasise,
  encodePrompt,
  evened,
  type TextConditioning,
  type TextEncoders,
  timeIds,
  zerosLike,
} from './sdxl/conditioning.ts';
import { beginOf, denoise, type Guidance } from './sdxl/denoise.ts';
import { previewOf } from './sdxl/preview.ts';
import { CONTEXT_LENGTH } from './sdxl/tokenizer.ts';
import { CELL, decodeLatents, encodePicture, LATENT_CHANNELS } from './sdxl/vae.ts';
import type { Session } from './session.ts';
import { combine, resizePlane, stack } from './tensor.ts';

export type { Bitmap } from './bitmap.ts';
export type { Face } from './faces/faces.ts';
export type { FaceIdentity } from './photomaker/photomaker.ts';
export type { SchedulerName } from './schedulers.ts';

/** The parts of a loaded bundle. `src/bundles/load.ts` loads it. */
export interface PortraitBundle extends TextEncoders {
  readonly name: string;
  /** stands behind the word that a face belongs to */
  readonly triggerWord: string;
  readonly unet: Session;
  readonly vaeEncoder: Session;
  readonly vaeDecoder: Session;
  readonly faceDetector: Session;
  readonly faceRecognizer: Session;
  readonly faceLandmarks: Session;
  readonly faceGenderAge: Session;
  /** PhotoMaker's */
  readonly idEncoder: IdEncoder;
  /** [1, 3, H, W] to [1, 3, s·H, s·W], both 0…1 */
  readonly upscaler: Session | null;
  /** what the UNet's answer means */
  readonly predictionType: 'epsilon' | 'v_prediction';
  /** latents are the VAE's own × this */
  readonly vaeScalingFactor: number;
  readonly safety: Session;
  readonly safetyLabels: readonly string[];
  readonly detector: { readonly size: number; readonly threshold: number };
  /** px, side of the square that a face is drawn in, where a request says nothing else */
  readonly detailSide: number;
}

export interface PortraitRequest {
  readonly prompt: string;
  /** null: zeros stand for it; `''` is encoded */
  readonly negativePrompt: string | null;
  /** px, a multiple of 8 */
  readonly width: number;
  /** px, a multiple of 8 */
  readonly height: number;
  /** 0…2³²−1 */
  readonly seed: number;
  readonly scheduler: SchedulerName;
  readonly spacing: Spacing;
  readonly steps: number;
  readonly guidanceScale: number;
  /** 0…1, of both stages, see `Guidance` */
  readonly guidanceRescale: number;
  /** of both stages, see `Guidance` */
  readonly guidanceCutoff: NonNullable<Guidance['cutoff']>;
  /** Emphasis of the whole prompt: `empty + weight · (prompt − empty)`; 1 changes nothing. */
  readonly weight: number;
  /** null: no stage 2 */
  readonly face: FaceIdentity | null;
  readonly detailSteps: number;
  readonly detailGuidanceScale: number;
  /** 0…1, share of the detailing schedule that is run; 0: no stage 2 */
  readonly detailStrength: number;
  /** ≥ 1, stage 2's square is so many times the face */
  readonly detailCropFactor: number;
  /** px, a multiple of 8: the square is magnified to this; null: to the bundle's own */
  readonly detailSide: number | null;
  /** 0…1, share of the face's width over which stage 2's change fades out */
  readonly detailFeather: number;
  /** ≥ 1, how many photos the person's are repeated to: two tokens of the prompt for each */
  readonly faceIdWeight: number;
  /** the word for the person, in both stages */
  readonly gender: GenderChoice;
  /** The base uses the identity in the steps after this one, counting from 0; 1000: never. */
  readonly startMergeStep: number;
}

export interface PortraitOptions {
  /** told when a stage begins: `conditioning`, `base`, `decode`, `detail`, `likeness`, `safety` */
  readonly onStage?: (stage: string) => void;
  /**
   * Told after each step of either stage. `previews` gives what each portrait, or each of the faces in hand, is on the way to, an
   * eighth of the size; no classifier has seen it, so it is not for posting.
   */
  readonly onStep?: (previews: () => Promise<Bitmap[]>) => void;
  /** ends it before its next step, by throwing its reason */
  readonly signal?: AbortSignal;
}

export interface Portrait {
  readonly picture: Bitmap;
  /** what stage 1 drew */
  readonly base: Bitmap;
  /** [height, width] 0…1, where stage 2 changed it; null without stage 2 */
  readonly mask: Float32Array | null;
  /** faces that were drawn again */
  readonly faces: number;
  /** −1…1, how alike the largest face drawn and the person are; null: nobody was asked for, or there is no face */
  readonly likeness: number | null;
  /** label → 0…1; null: the classifier failed, which its reader must take for flagged */
  readonly scores: Record<string, number> | null;
}

/** A generation draws several streams of noise, each from a seed of its own. */
const streams = { base: 0, detail: 1 } as const;
const streamOf = (seed: number, stream: keyof typeof streams, index = 0) =>
  generator((BigInt(seed) ^ (BigInt(streams[stream]) * 0x9e37_79b9n)) + BigInt(index));

/** px, of the shorter side. A smaller face is a speck: nobody is known by it, and drawing it again gains nothing. */
const SMALLEST_FACE = 10;

/** The faces in a photo or a drawn picture, best score first. */
export async function detectFaces(bundle: PortraitBundle, picture: Bitmap): Promise<Face[]> {
  const { size, threshold } = bundle.detector;
  return detectInTurn(bundle.faceDetector, picture, size, { threshold, smallest: SMALLEST_FACE });
}

/** @throws {RangeError} naming the photo that has not exactly one face */
export async function encodeFace(bundle: PortraitBundle, photos: readonly Bitmap[]): Promise<FaceIdentity> {
  const embeddings: Float32Array[] = [];
  const genders: Gender[] = [];
  for (const [i, photo] of photos.entries()) {
    const [face, ...others] = await detectFaces(bundle, photo);
    if (!face || others.length)
      throw new RangeError(`Photo ${i + 1} has ${face ? others.length + 1 : 0} faces, not one`);
    embeddings.push(await embed(bundle.faceRecognizer, photo, face));
    genders.push((await genderAge(bundle.faceGenderAge, photo, face)).gender);
  }
  return identityOf(bundle.idEncoder, photos, stack(embeddings), majority(genders));
}

/** null: a tie */
function majority(genders: readonly Gender[]): Gender | null {
  const men = genders.filter((gender) => gender === 'male').length;
  const women = genders.length - men;
  if (men === women) return null;
  return men > women ? 'male' : 'female';
}

/** [512] the mean of a person's normed ArcFace vectors. */
export function meanEmbedding({ embeddings, count }: FaceIdentity): Float32Array {
  const mean = new Float32Array(embeddings.length / count);
  for (let n = 0; n < count; n++) {
    const one = embeddings.subarray(n * mean.length, (n + 1) * mean.length);
    const norm = Math.hypot(...one) || 1;
    for (let i = 0; i < mean.length; i++) mean[i] = mean[i]! + one[i]! / norm;
  }
  return mean;
}

export async function drawPortrait(
  bundle: PortraitBundle,
  request: PortraitRequest,
  options: PortraitOptions = {},
): Promise<Portrait> {
  const [portrait] = await drawPortraits(bundle, [request], options);
  return portrait!;
}

/** What the requests of one batch must have in common: the networks see them as one tensor, at the same timesteps. */
const SHARED = [
  'width',
  'height',
  'scheduler',
  'spacing',
  'steps',
  'guidanceRescale',
  'guidanceCutoff',
  'detailSteps',
  'detailStrength',
  'detailSide',
] as const;

/**
 * Draws several at once: prompts, seeds, guidance and faces may differ.
 *
 * @throws {RangeError} when there is none, when they do not fit together, naming in what, or when a side is no multiple of 8
 */
export async function drawPortraits(
  bundle: PortraitBundle,
  requests: readonly PortraitRequest[],
  options: PortraitOptions = {},
): Promise<Portrait[]> {
  const [first] = requests;
  if (!first) throw new RangeError('A batch has at least one request');
  for (const name of SHARED) {
    if (requests.some((request) => request[name] !== first[name]))
      throw new RangeError(`Requests of one batch differ in ${name}`);
  }
  if ((first.detailSide ?? 0) % CELL)
    throw new RangeError(`detailSide ${first.detailSide} px: it is a multiple of ${CELL}`);
  if (first.width % CELL || first.height % CELL)
    throw new RangeError(`${first.width} × ${first.height} px: sides are multiples of ${CELL}`);
  options.onStage?.('conditioning');
  const texts = await conditioningOf(bundle, requests);

  options.onStage?.('base');
  const latents = await drawBase(bundle, requests, texts, options);
  options.onStage?.('decode');
  const drafts: Draft[] = [];
  for (const [n, request] of requests.entries()) {
    const { width, height } = request;
    const base = await decodeLatents(bundle, latents[n]!, height, width);
    drafts.push({ request, texts: texts[n]!, base, picture: base, faces: [], mask: null });
  }

  const toDetail = drafts.filter(
    ({ texts: { identity }, request }) => identity && request.detailStrength > 0,
  );
  if (toDetail.length) {
    options.onStage?.('detail');
    await drawDetail(bundle, toDetail, options);
  }

  options.onStage?.('likeness');
  const likenesses: (number | null)[] = [];
  for (const { picture, request, mask, faces } of drafts) {
    const wasFaceless = mask && !faces.length; // it was looked at in every size, and is as it was
    likenesses.push(request.face && !wasFaceless ? await likenessOf(bundle, picture, request.face) : null);
  }

  options.onStage?.('safety');
  const portraits: Portrait[] = [];
  for (const [n, { base, picture, mask, faces }] of drafts.entries()) {
    const scores = await classify(bundle.safety, picture, bundle.safetyLabels).catch(() => null);
    portraits.push({ picture, base, mask, faces: faces.length, likeness: likenesses[n]!, scores });
  }
  return portraits;
}

/** A portrait between its stages. */
interface Draft {
  readonly request: PortraitRequest;
  readonly texts: Texts;
  readonly base: Bitmap;
  picture: Bitmap;
  faces: readonly Face[];
  /** [height, width] */
  mask: Float32Array | null;
}

interface Texts {
  readonly positive: TextConditioning;
  readonly negative: TextConditioning;
  /** the prompt with the person in it; null without a face */
  readonly identity: TextConditioning | null;
}

/** Every request's texts, brought to one length so that they fit into one tensor. */
async function conditioningOf(
  bundle: PortraitBundle,
  requests: readonly PortraitRequest[],
): Promise<Texts[]> {
  const all: Texts[] = [];
  for (const request of requests) all.push(await textsOf(bundle, request));
  const flat = all.flatMap(({ positive, negative, identity }) => [positive, negative, identity ?? positive]);
  const isEven = flat.every(({ tokens }) => tokens === flat[0]?.tokens);
  const even = fitting(bundle, isEven ? flat : evened(flat, await encodePrompt(bundle, '')));
  return all.map(({ identity }, n) => ({
    positive: even[3 * n]!,
    negative: even[3 * n + 1]!,
    identity: identity && even[3 * n + 2]!,
  }));
}

/**
 * Some exports take 77 tokens and no more: what a long prompt says beyond them is lost there, as in every tool that cuts. Where
 * the prompt has a person, the 77 tokens around the person are kept.
 */
function fitting({ unet }: PortraitBundle, texts: readonly TextConditioning[]): readonly TextConditioning[] {
  const most = unet.inputs.find(({ name }) => name === 'encoder_hidden_states')?.shape[1];
  if (typeof most !== 'number') return texts;
  return texts.map((text) => {
    if (text.tokens <= most) return text;
    const width = text.context.length / text.tokens;
    const chunk = Math.floor((text.person ?? 0) / CONTEXT_LENGTH) * CONTEXT_LENGTH;
    const from = Math.min(chunk, text.tokens - most);
    return { ...text, tokens: most, context: text.context.slice(from * width, (from + most) * width) };
  });
}

async function textsOf(bundle: PortraitBundle, request: PortraitRequest): Promise<Texts> {
  const { prompt, negativePrompt, weight, face, gender } = request;
  // As PhotoMaker does: a base that names no one might show no one, or a head that the face does not fit.
  const text = face ? textOnlyPrompt(prompt, bundle.triggerWord, face.gender, gender) : prompt;
  const plain = await encodePrompt(bundle, text);
  let positive = plain;
  if (weight !== 1) {
    const empty = await encodePrompt(bundle, '');
    positive = emphasise(evened([empty, plain], empty)[0]!, plain, weight);
  }
  const identity =
    face &&
    (await encodeWithIdentity(
      bundle,
      bundle.idEncoder,
      prompt,
      bundle.triggerWord,
      face,
      request.faceIdWeight,
      gender,
    ));
  return {
    positive,
    negative: negativePrompt === null ? zerosLike(plain) : await encodePrompt(bundle, negativePrompt),
    identity,
  };
}

/** Stage 1. @returns [4, H/8, W/8] clean latents of each */
async function drawBase(
  bundle: PortraitBundle,
  requests: readonly PortraitRequest[],
  texts: readonly Texts[],
  options: PortraitOptions,
): Promise<Float32Array[]> {
  const [first] = requests as [PortraitRequest];
  const [height, width] = [first.height / CELL, first.width / CELL];
  const count = LATENT_CHANNELS * height * width;
  const scheduler = makeScheduler(first.scheduler, first.steps, {
    prediction: bundle.predictionType,
    spacing: first.spacing,
  });
  const noises = requests.map(({ seed }) => streamOf(seed, 'base'));
  const normals = () => stack(noises.map((noise) => noise.normals(count)));
  /** The same array for all steps with the same prompts: `denoise` keeps what it makes of an array. */
  let prompts: readonly TextConditioning[] = [];
  const latents = await denoise(bundle.unet, scheduler, combine([scheduler.initNoiseSigma, normals()]), {
    guidance: guidanceOf(
      first,
      requests.map(({ guidanceScale }) => guidanceScale),
    ),
    positive(step) {
      const now = texts.map(({ positive, identity }, n) =>
        identity && step > requests[n]!.startMergeStep ? identity : positive,
      );
      if (now.some((text, n) => text !== prompts[n])) prompts = now;
      return prompts;
    },
    negative: texts.map(({ negative }) => negative),
    timeIds: timeIds(first.height, first.width),
    height,
    width,
    stepNoise: normals,
    signal: options.signal,
    onStep: (_, clean) => options.onStep?.(() => previews(bundle, clean(), height, width)),
  });
  return requests.map((_, n) => latents.subarray(n * count, (n + 1) * count));
}

function guidanceOf(shared: PortraitRequest, scales: readonly number[]): Guidance {
  return { scales, rescale: shared.guidanceRescale, cutoff: shared.guidanceCutoff };
}

async function previews(
  bundle: PortraitBundle,
  latents: Float32Array,
  height: number,
  width: number,
): Promise<Bitmap[]> {
  const preview = await previewOf(bundle);
  const size = LATENT_CHANNELS * height * width;
  return Array.from({ length: latents.length / size }, (_, n) =>
    preview(latents.subarray(n * size, (n + 1) * size), height, width),
  );
}

/** Stage 2: each draft's faces in turn, those of all drafts at once. */
async function drawDetail(bundle: PortraitBundle, drafts: Draft[], options: PortraitOptions): Promise<void> {
  for (const draft of drafts) {
    draft.faces = await detectFaces(bundle, draft.base);
    draft.mask = new Float32Array(draft.base.width * draft.base.height);
  }
  const most = Math.max(...drafts.map(({ faces }) => faces.length));
  for (let index = 0; index < most; index++) {
    // One face of a picture at a time: where two overlap, the second is drawn on what the first became.
    const now = drafts.filter(({ faces }) => index < faces.length);
    await redraw(bundle, now, index, options);
  }
}

/** Draws the face of that index anew in each draft, and notes in its mask where. */
async function redraw(
  bundle: PortraitBundle,
  drafts: readonly Draft[],
  index: number,
  options: PortraitOptions,
): Promise<void> {
  const [{ request }] = drafts as [Draft];
  const side = request.detailSide ?? bundle.detailSide;
  const cells = side / CELL;
  const begin = beginOf(request.detailSteps, request.detailStrength);
  if (begin >= request.detailSteps) return;

  const regions = [];
  const clean: Float32Array[] = [];
  for (const { picture, faces, request: own } of drafts) {
    const face = faces[index]!;
    const points = await landmarks(bundle.faceLandmarks, picture, face);
    const cut = { cropFactor: own.detailCropFactor, feather: own.detailFeather };
    const region = regionOf(picture, face, points, cut);
    regions.push(region);
    clean.push(await encodePicture(bundle, magnify(picture, region, side)));
  }
  const latents = stack(clean);
  const sources = drafts.map((draft) => streamOf(draft.request.seed, 'detail', index));
  const normals = () => stack(sources.map((source) => source.normals(LATENT_CHANNELS * cells * cells)));
  const noise = normals();
  const scheduler = makeScheduler(request.scheduler, request.detailSteps, {
    prediction: bundle.predictionType,
    spacing: request.spacing,
  });
  const change = stack(
    regions.map((region) => resizePlane(region.change, region.side, region.side, cells, cells)),
  );
  // The composition is there already: the person is in every step.
  const people = drafts.map(({ texts: { identity } }) => identity!);
  const drawn = await denoise(bundle.unet, scheduler, scheduler.addNoise(latents, noise, begin), {
    guidance: guidanceOf(
      request,
      drafts.map((draft) => draft.request.detailGuidanceScale),
    ),
    positive: () => people,
    negative: drafts.map(({ texts: { negative } }) => negative),
    timeIds: timeIds(side, side),
    height: cells,
    width: cells,
    begin,
    keep: { latents, noise, change, thresholds: 'exact' },
    stepNoise: normals,
    signal: options.signal,
    onStep: (_, latents) => options.onStep?.(() => previews(bundle, latents(), cells, cells)),
  });
  const size = drawn.length / drafts.length;
  for (const [n, draft] of drafts.entries()) {
    const face = await decodeLatents(bundle, drawn.subarray(n * size, (n + 1) * size), side, side);
    draft.picture = composite(draft.picture, face, regions[n]!, draft.mask!);
  }
}

/** How alike the picture's largest face and the person are; null: the picture has no face. */
async function likenessOf(
  bundle: PortraitBundle,
  picture: Bitmap,
  identity: FaceIdentity,
): Promise<number | null> {
  const faces = await detectFaces(bundle, picture);
  const size = ({ box }: Face) => (box.right - box.left) * (box.bottom - box.top);
  const [largest] = faces.sort((a, b) => size(b) - size(a));
  return largest
    ? cosine(await embed(bundle.faceRecognizer, picture, largest), meanEmbedding(identity))
    : null;
}
