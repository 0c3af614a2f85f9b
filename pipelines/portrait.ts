/**
 * A portrait in two stages.
 *
 *   1 base     text-only SDXL: prompt → latents → picture
 *   2 detail   each face is cropped, magnified and drawn again as the person of the reference photos, under a mask that lets
 *              the face change and keeps the rest; pixels outside the mask are the base's own, exactly
 *
 * Then the classifiers look at the result. Same bundle, same request, same bytes: nothing here reads a clock, a file or
 * a setting.
 */
import { type Bitmap, resize } from './bitmap.ts';
import type { GenderChoice } from './choices.ts';
import { composite, magnify, type Region, regionOf } from './detail.ts';
import { cosine, detectInTurn, embed, type Face, type Gender, genderAge, landmarks } from './faces/faces.ts';
import { generator } from './noise.ts';
import {
  encodeWithIdentity,
  type FaceIdentity,
  type IdEncoder,
  identityOf,
  textOnlyPrompt,
} from './photomaker/photomaker.ts';
import { type Classifier, classifyAll, type Scores } from './safety/classify.ts';
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
import { beginOf, type DenoiseOptions, denoise, type Guidance, type Noisy } from './sdxl/denoise.ts';
import { previewOf } from './sdxl/preview.ts';
import { CONTEXT_LENGTH } from './sdxl/tokenizer.ts';
import { CELL, decodeLatents, encodePicture, LATENT_CHANNELS } from './sdxl/vae.ts';
import type { Session } from './session.ts';
import { combine, resizePlane, stack } from './tensor.ts';

export type { Bitmap } from './bitmap.ts';
export type { Face } from './faces/faces.ts';
export type { FaceIdentity } from './photomaker/photomaker.ts';
export type { Scores } from './safety/classify.ts';
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
  /** years that it reads too many, of all but 5 in 100 faces; null: nobody knows */
  readonly ageError: number | null;
  /** PhotoMaker's */
  readonly idEncoder: IdEncoder;
  /** [1, 3, H, W] to [1, 3, s·H, s·W], both 0…1 */
  readonly upscaler: Session | null;
  /** what the UNet's answer means */
  readonly predictionType: 'epsilon' | 'v_prediction';
  /** latents are the VAE's own × this */
  readonly vaeScalingFactor: number;
  /** Each looks at every picture. At least one. */
  readonly classifiers: readonly Classifier[];
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

/** What is told of a portrait on the way, and what ends it. */
export interface PortraitOptions {
  /**
   * Told which part of its work begins: conditioning, base, decode, detail, likeness, safety; `others` while it waits for those
   * that are drawn with it.
   */
  readonly onStage?: (stage: string) => void;
  /**
   * Told after each denoising step, of either stage; the next one waits for what it returns. `preview` gives what the portrait
   * is on the way to, an eighth of the size; no classifier has seen it, so it is not for posting.
   */
  readonly onStep?: (preview: () => Promise<Bitmap>) => void | Promise<void>;
  /** Whether it matters, after these scores, who is in the picture. Where it does not, or is not said, nobody is looked for. */
  readonly facesMatter?: (scores: Scores) => boolean;
  /** ends it before its next step, with its reason */
  readonly signal?: AbortSignal;
}

/** One of the portraits that are drawn together. */
export interface Sitting extends PortraitOptions {
  readonly request: PortraitRequest;
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
  readonly scores: Scores;
  readonly ages: Ages;
}

/**
 * Years that each face in a picture has at least: what the age network says, less what it reads too many. null in it: of this one nobody
 * knows. null: nobody was looked for, or the detector failed, so anybody may be in it.
 */
export type Ages = readonly (number | null)[] | null;

/** A generation draws several streams of noise, each from a seed of its own. */
const streams = { base: 0, detail: 1 } as const;
const streamOf = (seed: number, stream: keyof typeof streams, index = 0) =>
  generator((BigInt(seed) ^ (BigInt(streams[stream]) * 0x9e37_79b9n)) + BigInt(index));

/** px, of the shorter side. A smaller face is a speck: nobody is known by it, and drawing it again gains nothing. */
const SMALLEST_FACE = 10;

/** The faces in a photo or a drawn picture, best score first. */
export async function detectFaces(
  bundle: Pick<PortraitBundle, 'detector' | 'faceDetector'>,
  picture: Bitmap,
): Promise<Face[]> {
  const { size, threshold } = bundle.detector;
  return detectInTurn(bundle.faceDetector, picture, size, { threshold, smallest: SMALLEST_FACE });
}

/** By its box; undefined where there is none. */
export function largestOf(faces: readonly Face[]): Face | undefined {
  const size = ({ box }: Face) => (box.right - box.left) * (box.bottom - box.top);
  return faces.toSorted((a, b) => size(b) - size(a))[0];
}

/** How old those in a picture are at least. Never rejects: what fails is null. */
export async function agesIn(bundle: PortraitBundle, picture: Bitmap): Promise<Ages> {
  const faces = await detectFaces(bundle, picture).catch(() => null);
  if (!faces) return null;
  const ages: (number | null)[] = [];
  for (const face of faces) {
    const read = await genderAge(bundle.faceGenderAge, picture, face).catch(() => null);
    ages.push(
      read && Number.isFinite(read.age) && bundle.ageError !== null ? read.age - bundle.ageError : null,
    );
  }
  return ages;
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

/**
 * Draws several at once, all of them or none.
 *
 * @throws {RangeError} when there is none, when they do not fit together, naming in what, or when a side is no multiple of 8
 */
export async function drawPortraits(
  bundle: PortraitBundle,
  requests: readonly PortraitRequest[],
  options: PortraitOptions = {},
): Promise<Portrait[]> {
  const drawn = await Promise.allSettled(
    drawTogether(
      bundle,
      requests.map((request) => ({ request, ...options })),
    ),
  );
  return drawn.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
}

/**
 * What the requests of one batch must have in common, and nothing else: the networks see them as one tensor, at the same timesteps. The
 * weights are the bundle's: so LoRAs are one set too. Some have a face and some have none, as they come; prompts of more than 75
 * tokens are drawn in the same call, and not in the same batch as others.
 */
export const SHARED = [
  'width',
  'height',
  'scheduler',
  'spacing',
  'steps',
  'detailSteps',
  'detailStrength',
  'detailSide',
] as const satisfies readonly (keyof PortraitRequest)[];

/**
 * Draws several at once: prompts, seeds, guidance and faces may differ. Each ends by itself, as soon as it is ready: one that
 * fails does so alone, one that is told to end leaves at its next step, and each is to the bit what it is alone, where the
 * networks give a picture the same numbers in any batch (onnxruntime does on the CPU).
 *
 * @returns a promise for each
 * @throws {RangeError} when there is none, when they do not fit together, naming in what, or when a side is no multiple of 8
 */
export function drawTogether(bundle: PortraitBundle, sittings: readonly Sitting[]): Promise<Portrait>[] {
  requireFitting(sittings.map(({ request }) => request));
  const seats = sittings.map((sitting) => ({ ...sitting, ...Promise.withResolvers<Portrait>() }));
  drawAll(bundle, seats).catch((error: unknown) => {
    for (const { reject } of seats) reject(error);
  });
  return seats.map(({ promise }) => promise);
}

function requireFitting(requests: readonly PortraitRequest[]): void {
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
}

/** Who waits for a portrait. What is told after the first time counts nothing, as with any promise. */
interface Seat extends Sitting {
  readonly resolve: (portrait: Portrait) => void;
  readonly reject: (reason: unknown) => void;
}

interface Seated {
  readonly seat: Seat;
}

/** A portrait between its stages. */
interface Draft extends Seated {
  readonly texts: Texts;
  readonly base: Bitmap;
  readonly picture: Bitmap;
  readonly faces: readonly Face[];
  /** [height, width] */
  readonly mask: Float32Array | null;
}

async function drawAll(bundle: PortraitBundle, seats: readonly Seat[]): Promise<void> {
  const seated = seats.map((seat) => ({ seat }));
  const worded = await each(seated, 'conditioning', async ({ seat }) => ({
    seat,
    texts: await textsOf(bundle, seat.request),
  }));
  // One tensor holds prompts of one length. Longer by somebody else's prompt, a picture would be another one than alone.
  const byLength = Map.groupBy(worded, ({ texts }) => texts.positive.tokens);
  for (const group of byLength.values()) await drawGroup(bundle, group);
}

async function drawGroup(
  bundle: PortraitBundle,
  worded: readonly (Seated & { readonly texts: Texts })[],
): Promise<void> {
  const noisy = await drawBase(bundle, worded);
  const drafts = await each(noisy, 'decode', async ({ seat, texts, latents }): Promise<Draft> => {
    const { width, height } = seat.request;
    const base = await decodeLatents(bundle, latents, height, width);
    return { seat, texts, base, picture: base, faces: [], mask: null };
  });
  const hasDetail = ({ seat, texts }: Draft) => texts.identity !== null && seat.request.detailStrength > 0;
  // First those that are ready: they are not to wait for others' faces.
  await finish(
    bundle,
    drafts.filter((draft) => !hasDetail(draft)),
  );
  await finish(bundle, await drawDetail(bundle, drafts.filter(hasDetail)));
}

/** How alike it is, what the classifiers say, and, where that matters, who is in it. */
async function finish(bundle: PortraitBundle, drafts: readonly Draft[]): Promise<void> {
  await each(drafts, 'likeness', async ({ seat, base, picture, mask, faces }) => {
    const { face } = seat.request;
    const wasFaceless = mask && !faces.length; // it was looked at in every size, and is as it was
    const likeness = face && !wasFaceless ? await likenessOf(bundle, picture, face) : null;
    seat.onStage?.('safety');
    const scores = await classifyAll(bundle.classifiers, picture);
    const ages = seat.facesMatter?.(scores) ? await agesIn(bundle, picture) : null;
    seat.resolve({ picture, base, mask, faces: faces.length, likeness, scores, ages });
  });
}

/**
 * Does a part of the work for one portrait after the other. One that fails there, or was told to end, does so alone.
 *
 * @returns what became of the others
 */
async function each<T extends Seated, U>(
  all: readonly T[],
  stage: string,
  work: (one: T) => Promise<U>,
): Promise<U[]> {
  const done: U[] = [];
  for (const one of all) {
    const { signal, onStage, reject } = one.seat;
    try {
      signal?.throwIfAborted();
      onStage?.(stage);
      done.push(await work(one));
    } catch (error) {
      reject(error);
    }
    if (all.length > 1) onStage?.('others');
  }
  return done;
}

/** Denoises portraits together. @returns those that did not leave; none when the network failed: nobody knows because of which */
async function denoiseAll<T extends Seated>(
  bundle: PortraitBundle,
  all: readonly T[],
  stage: string,
  noisyOf: (one: T) => Omit<Noisy, 'signal' | 'onStep'>,
  previewOf: (one: T, clean: Float32Array) => Promise<Bitmap>,
  options: DenoiseOptions,
): Promise<(T & { readonly latents: Float32Array })[]> {
  for (const { seat } of all) seat.onStage?.(stage);
  try {
    const pictures = all.map((one) => ({
      ...noisyOf(one),
      signal: one.seat.signal,
      onStep: (_: number, clean: () => Float32Array) => one.seat.onStep?.(() => previewOf(one, clean())),
    }));
    const clean = await denoise(bundle.unet, pictures, options);
    return all.flatMap((one, n) => {
      const latents = clean[n];
      if (latents) return [{ ...one, latents }];
      one.seat.reject(one.seat.signal?.reason);
      return [];
    });
  } catch (error) {
    for (const { seat } of all) seat.reject(error);
    return [];
  }
}

interface Texts {
  readonly positive: TextConditioning;
  readonly negative: TextConditioning;
  /** the prompt with the person in it; null without a face */
  readonly identity: TextConditioning | null;
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

/** A request's texts, brought to one length: the network takes them together. */
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
  const negative = negativePrompt === null ? zerosLike(plain) : await encodePrompt(bundle, negativePrompt);
  const all = [positive, negative, identity ?? positive];
  const isEven = all.every(({ tokens }) => tokens === positive.tokens);
  const even = fitting(bundle, isEven ? all : evened(all, await encodePrompt(bundle, '')));
  return { positive: even[0]!, negative: even[1]!, identity: identity && even[2]! };
}

/** Stage 1. */
async function drawBase<T extends Seated & { readonly texts: Texts }>(
  bundle: PortraitBundle,
  worded: readonly T[],
): Promise<(T & { readonly latents: Float32Array })[]> {
  const { request: first } = worded[0]!.seat;
  const [height, width] = [first.height / CELL, first.width / CELL];
  return denoiseAll(
    bundle,
    worded,
    'base',
    ({ seat: { request }, texts }) => {
      const noise = streamOf(request.seed, 'base');
      const normals = () => noise.normals(LATENT_CHANNELS * height * width);
      const scheduler = makeScheduler(request.scheduler, request.steps, {
        prediction: bundle.predictionType,
        spacing: request.spacing,
      });
      return {
        x: combine([scheduler.initNoiseSigma, normals()]),
        scheduler,
        guidance: guidanceOf(request, request.guidanceScale),
        positive: (step) =>
          texts.identity && step > request.startMergeStep ? texts.identity : texts.positive,
        negative: texts.negative,
        stepNoise: normals,
      };
    },
    async (_, clean) => (await previewOf(bundle))(clean, height, width),
    { timeIds: timeIds(first.height, first.width), height, width },
  );
}

function guidanceOf({ guidanceRescale, guidanceCutoff }: PortraitRequest, scale: number): Guidance {
  return { scale, rescale: guidanceRescale, cutoff: guidanceCutoff };
}

/** Stage 2: each draft's faces in turn, those of all drafts at once. */
async function drawDetail(bundle: PortraitBundle, drafts: readonly Draft[]): Promise<Draft[]> {
  let going = await each(drafts, 'detail', async (draft) => ({
    ...draft,
    faces: await detectFaces(bundle, draft.base),
    mask: new Float32Array(draft.base.width * draft.base.height),
  }));
  const most = Math.max(0, ...going.map(({ faces }) => faces.length));
  for (let index = 0; index < most; index++) {
    // One face of a picture at a time: where two overlap, the second is drawn on what the first became.
    const now = going.filter(({ faces }) => index < faces.length);
    const rest = going.filter(({ faces }) => index >= faces.length);
    going = [...rest, ...(await redraw(bundle, now, index))];
  }
  return going;
}

/** Draws the face of that index anew in each draft, and notes in its mask where. */
async function redraw<T extends Draft & { readonly mask: Float32Array }>(
  bundle: PortraitBundle,
  drafts: readonly T[],
  index: number,
): Promise<T[]> {
  const first = drafts[0]?.seat.request;
  const begin = first ? beginOf(first.detailSteps, first.detailStrength) : 0;
  if (!first || begin >= first.detailSteps) return [...drafts];
  const side = first.detailSide ?? bundle.detailSide;
  const cells = side / CELL;

  const cut = await each(drafts, 'detail', async (draft) => {
    const { request } = draft.seat;
    const face = draft.faces[index]!;
    const points = await landmarks(bundle.faceLandmarks, draft.picture, face);
    const region = regionOf(draft.picture, face, points, {
      cropFactor: request.detailCropFactor,
      feather: request.detailFeather,
    });
    const clean = await encodePicture(bundle, magnify(draft.picture, region, side));
    return { seat: draft.seat, draft, region, clean };
  });
  const drawn = await denoiseAll(
    bundle,
    cut,
    'detail',
    ({ seat: { request }, draft: { texts }, region, clean }) => {
      const source = streamOf(request.seed, 'detail', index);
      const normals = () => source.normals(LATENT_CHANNELS * cells * cells);
      const noise = normals();
      const scheduler = makeScheduler(request.scheduler, request.detailSteps, {
        prediction: bundle.predictionType,
        spacing: request.spacing,
      });
      const change = resizePlane(region.change, region.side, region.side, cells, cells);
      return {
        x: scheduler.addNoise(clean, noise, begin),
        scheduler,
        guidance: guidanceOf(request, request.detailGuidanceScale),
        // The composition is there already: the person is in every step.
        positive: () => texts.identity!,
        negative: texts.negative,
        keep: { latents: clean, noise, change, thresholds: 'exact' },
        stepNoise: normals,
      };
    },
    ({ draft: { picture }, region }, clean) => detailPreview(bundle, picture, region, clean, cells),
    { timeIds: timeIds(side, side), height: cells, width: cells, begin },
  );
  return each(drawn, 'detail', async ({ draft, region, latents }) => {
    const face = await decodeLatents(bundle, latents, side, side);
    return { ...draft, picture: composite(draft.picture, face, region, draft.mask) };
  });
}

/** The picture with the face that is being drawn in it, an eighth of the size. @param clean [4, cells, cells] of the face's square */
async function detailPreview(
  bundle: PortraitBundle,
  picture: Bitmap,
  region: Region,
  clean: Float32Array,
  cells: number,
): Promise<Bitmap> {
  const small = resize(picture, picture.width / CELL, picture.height / CELL, 'bilinear');
  const [left, top, side] = [region.left, region.top, region.side].map((px) => Math.round(px / CELL)) as [
    number,
    number,
    number,
  ];
  const change = resizePlane(region.change, region.side, region.side, side, side);
  const face = (await previewOf(bundle))(clean, cells, cells);
  return composite(small, face, { left, top, side, change }, new Float32Array(small.width * small.height));
}

/** How alike the picture's largest face and the person are; null: the picture has no face. */
async function likenessOf(
  bundle: PortraitBundle,
  picture: Bitmap,
  identity: FaceIdentity,
): Promise<number | null> {
  const faces = await detectFaces(bundle, picture);
  const largest = largestOf(faces);
  return largest
    ? cosine(await embed(bundle.faceRecognizer, picture, largest), meanEmbedding(identity))
    : null;
}
