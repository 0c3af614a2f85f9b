/**
 * What the draw thread does: batches of pictures, one after the other without a gap. The photos of those that wait are opened
 * meanwhile; no network is run for them, as it would be run in the time of those that are drawn.
 *
 * Each picture ends by itself: drawn, failed or cancelled. Where a batch is too much for the machine's memory, its halves are drawn
 * one after the other, and no larger batch of that size is begun again.
 */
import sharp from 'sharp';
import { resize } from '#pipelines/bitmap.ts';
import {
  type Bitmap,
  drawTogether,
  encodeFace,
  type FaceIdentity,
  type PortraitBundle,
} from '#pipelines/portrait.ts';
import { classifyAll } from '#pipelines/safety/classify.ts';
import type { ConceptsIn } from '#src/bundles/concepts.ts';
import type { LoraChoice } from '#src/bundles/lora-choice.ts';
import { log, messageOf } from '#src/doors/log.ts';
import { metrics } from '#src/doors/metrics.ts';
import { isOutOfMemory } from '#src/doors/onnx.ts';
import {
  type Circumstances,
  type Concepts,
  facesMatter,
  mayBeGlimpsed,
  ruleOfConcepts,
} from '#src/moderation/verdicts.ts';
import { BATCH_MAX, type DrawnFacts, type FacePhotos, faceKey, type PictureAsk, sizeOf } from './protocol.ts';

/** px, longer side of a preview */
const PREVIEW_SIDE = 96;
/** Of the time that a picture is drawn in, previews take this share at most, however slow the classifiers are, where not each step is one. */
const PREVIEW_SHARE = 0.05;

export interface Easel {
  /** Draws them after all that came before. They are of one shape, see `drawTogether`. */
  draw(pictures: readonly PictureAsk[], loras: readonly LoraChoice[]): void;
  /** Ends a picture: at its next step, or now where it waits. Whoever ends the thread once all have ended does so between two runs. */
  cancel(id: number): void;
  /** Ids of the photos of all faces in memory. */
  photoIds(): readonly string[];
  /** Forgets every face that has one of these photos; what waits to be drawn with one fails. */
  forget(photoIds: ReadonlySet<string>): void;
  /** Lets faces go, by their keys: they are read from their photos again. What is remembered stays until then. */
  drop(faces: readonly string[]): void;
  /** Resolves when all that was to be drawn by now has left the networks. */
  rest(): Promise<void>;
}

/** Who hears of what becomes of pictures. */
export interface Told {
  /** 0…1, rising */
  progress(id: number, share: number): void;
  /** which part of its work begins, as the pipeline names it */
  stage(id: number, stage: string): void;
  /** a picture that was cleared, at most 96 px a side; null, after one: the newest was not */
  preview(id: number, picture: Bitmap | null): void;
  drawn(id: number, picture: Bitmap, facts: DrawnFacts): void;
  failed(id: number, error: Error): void;
  /** from now on no more than `most` pictures of that size are drawn together */
  batchMax(size: string, most: number): void;
  /** a face that is drawn with is remembered */
  remembered(face: string, bytes: number): void;
}

/** A picture that has not ended. */
interface Sitting extends PictureAsk {
  readonly abort: AbortController;
  readonly watch: ReturnType<typeof stopwatch>;
  /** whether its batch has begun */
  begun: boolean;
  /** of its face, until they are an identity */
  photos: Promise<Bitmap[]> | null;
  /** denoising steps that are done */
  steps: number;
  /** 0…1, told last */
  progress: number;
  /** when the next may be made: ms, as `performance.now()` has it */
  previewAfter: number;
  /** whether a preview was told, and not taken back */
  isSeen: boolean;
  /** that its prompt comes near to; null until they are asked about, and where they can't be */
  concepts: Concepts;
}

/**
 * @param plain      encodes faces, and tells concepts: no LoRA changes how
 * @param bundleWith the bundle with LoRAs in it
 */
export function openEasel(
  plain: PortraitBundle & { readonly conceptsIn: ConceptsIn },
  bundleWith: (loras: readonly LoraChoice[]) => Promise<PortraitBundle>,
  told: Told,
): Easel {
  const here = new Map<number, Sitting>();
  const identities = new Map<
    string,
    { readonly photoIds: readonly string[]; readonly identity: FaceIdentity }
  >();
  /** size → pictures, where memory was too small for more */
  const most = new Map<string, number>();
  let last = Promise.resolve();

  function fail({ id }: Sitting, reason: unknown): void {
    if (here.delete(id)) told.failed(id, reason instanceof Error ? reason : new Error(String(reason)));
  }

  /** @param isWork whether there is anything to do in it */
  function begin({ id, watch }: Sitting, stage: string, isWork = stage !== 'others'): void {
    watch.begin(stage);
    if (isWork && here.has(id)) told.stage(id, stage);
  }

  async function drawBatch(ids: readonly number[], loras: readonly LoraChoice[]): Promise<void> {
    const sittings = ids.flatMap((id) => here.get(id) ?? []);
    if (!sittings.length) return;
    for (const sitting of sittings) {
      sitting.begun = true;
      begin(sitting, 'lora', loras.length > 0);
    }
    try {
      const bundle = await bundleWith(loras);
      for (const sitting of sittings) begin(sitting, 'conditioning', false);
      const concepts = await plain.conceptsIn(sittings.map(({ request }) => request.prompt));
      for (const [n, sitting] of sittings.entries()) sitting.concepts = concepts[n] ?? null;
      // Only now, as the LoRAs may take minutes: a face is held for no longer than it takes to draw it.
      const ready: (Sitting & { identity: FaceIdentity | null })[] = [];
      for (const sitting of sittings) {
        begin(sitting, 'face', sitting.face !== null);
        try {
          sitting.abort.signal.throwIfAborted();
          const identity = sitting.face && (await identityOf(sitting, sitting.face));
          ready.push(Object.assign(sitting, { identity }));
        } catch (error) {
          fail(sitting, error);
        }
        sitting.watch.begin('others');
      }
      await drawAll(bundle, ready);
    } catch (error) {
      for (const sitting of sittings) fail(sitting, error);
    }
  }

  /** Draws as many at once as memory has room for. */
  async function drawAll(
    bundle: PortraitBundle,
    ready: readonly (Sitting & { readonly identity: FaceIdentity | null })[],
  ): Promise<void> {
    let waiting = [...ready];
    for (;;) {
      waiting = waiting.filter(({ id }) => here.has(id));
      const [first] = waiting;
      if (!first) return;
      const size = sizeOf(first.request);
      const now = waiting.splice(0, most.get(size) ?? BATCH_MAX);
      const tooMany: typeof now = [];
      await Promise.all(
        drawTogether(
          bundle,
          now.map((sitting) => {
            sitting.steps = 0;
            sitting.previewAfter = performance.now() + (sitting.previewEveryMs ?? 0);
            return {
              request: { ...sitting.request, face: sitting.identity },
              signal: sitting.abort.signal,
              onStage: (stage) => begin(sitting, stage),
              onStep: (preview) => stepped(bundle, sitting, preview),
              facesMatter: (scores) => facesMatter(scores, sitting.where),
            };
          }),
        ).map(async (portrait, n) => {
          const sitting = now[n]!;
          try {
            const { picture, scores, ages, likeness } = await portrait;
            const timings = sitting.watch.end();
            const { concepts } = sitting;
            if (here.delete(sitting.id))
              told.drawn(sitting.id, picture, {
                ...{ scores, ages, concepts, likeness, timings },
                batch: now.length,
              });
          } catch (error) {
            if (!isOutOfMemory(error)) fail(sitting, error);
            else if (now.length > 1) tooMany.push(sitting);
            else fail(sitting, tooLarge(size, error));
          }
        }),
      );
      if (!tooMany.length) continue;
      const half = Math.ceil(now.length / 2);
      log.warn({ size, pictures: now.length, half }, 'too little memory for so many pictures at once');
      most.set(size, half);
      told.batchMax(size, half);
      waiting.unshift(...tooMany);
    }
  }

  /** After each denoising step; the next one waits for it. */
  async function stepped(
    bundle: PortraitBundle,
    sitting: Sitting,
    preview: () => Promise<Bitmap>,
  ): Promise<void> {
    const { id, request, face, where, previewEveryMs } = sitting;
    sitting.steps++;
    const share = Math.min(0.99, sitting.steps / (request.steps + (face ? request.detailSteps : 0)));
    if (share > sitting.progress && here.has(id)) {
      sitting.progress = share;
      told.progress(id, share);
    }
    const startedAt = performance.now();
    if (previewEveryMs === null || startedAt < sitting.previewAfter) return;
    // It is held, whatever is in it.
    if (ruleOfConcepts(sitting.concepts) !== null) return;
    const small = await cleared(bundle, preview, where).catch((error: unknown) => {
      log.warn({ err: error }, 'no preview');
      return null;
    });
    if (here.has(id) && (small || sitting.isSeen)) told.preview(id, small);
    sitting.isSeen = small !== null;
    const endedAt = performance.now();
    const pause = (endedAt - startedAt) / PREVIEW_SHARE;
    sitting.previewAfter = endedAt + (previewEveryMs && Math.max(previewEveryMs, pause));
  }

  /** Nobody sees what the classifiers have not cleared: the same that look at pictures. */
  async function cleared(
    bundle: PortraitBundle,
    preview: () => Promise<Bitmap>,
    where: Circumstances,
  ): Promise<Bitmap | null> {
    const small = shrunk(await preview());
    return mayBeGlimpsed(await classifyAll(bundle.classifiers, small), where) ? small : null;
  }

  async function identityOf(sitting: Sitting, face: FacePhotos): Promise<FaceIdentity> {
    const key = faceKey(face);
    let known = identities.get(key);
    metrics.warm({ what: 'face', result: known ? 'hit' : 'miss' });
    if (!known) {
      const identity = await encodeFace(plain, await (sitting.photos ?? openPhotos(face)));
      known = { photoIds: face.photoIds, identity };
      identities.set(key, known);
    }
    told.remembered(key, bytesOf(known.identity));
    sitting.photos = null;
    return known.identity;
  }

  /** sharp has threads of its own: it costs those who are drawn nothing. Null: there is nothing to open. */
  function photosOf(face: FacePhotos | null): Promise<Bitmap[]> | null {
    if (!face || identities.has(faceKey(face))) return null;
    for (const other of here.values())
      if (other.photos && other.face && faceKey(other.face) === faceKey(face)) return other.photos;
    const photos = openPhotos(face);
    photos.catch(() => {}); // who draws with them hears of it
    return photos;
  }

  return {
    draw(pictures, loras) {
      for (const ask of pictures) {
        here.set(ask.id, {
          ...ask,
          abort: new AbortController(),
          watch: stopwatch(),
          begun: false,
          photos: photosOf(ask.face),
          steps: 0,
          progress: 0,
          previewAfter: 0,
          isSeen: false,
          concepts: null,
        });
      }
      // By their ids: what ends before its turn leaves nothing behind, photos least of all.
      const ids = pictures.map(({ id }) => id);
      last = last.then(() => drawBatch(ids, loras));
    },
    cancel(id) {
      const sitting = here.get(id);
      if (!sitting) return;
      const reason = new Error('cancelled');
      sitting.abort.abort(reason);
      if (!sitting.begun) fail(sitting, reason);
    },
    photoIds() {
      const waiting = [...here.values()].filter(({ begun }) => !begun);
      const faces = [...identities.values(), ...waiting.flatMap(({ face }) => face ?? [])];
      return [...new Set(faces.flatMap(({ photoIds }) => photoIds))];
    },
    forget(photoIds) {
      const isOf = (face: { readonly photoIds: readonly string[] } | null) =>
        face?.photoIds.some((id) => photoIds.has(id)) ?? false;
      for (const [key, known] of identities) if (isOf(known)) identities.delete(key);
      // One that is being drawn has ended already: its row says so, and it hears of it at its next step.
      for (const sitting of [...here.values()])
        if (!sitting.begun && isOf(sitting.face))
          fail(sitting, new Error('A photo of its face was forgotten'));
    },
    drop(faces) {
      for (const key of faces) identities.delete(key);
    },
    rest: () => last,
  };
}

const bytesOf = ({ embeddings, idTokens, pixels }: FaceIdentity) =>
  [embeddings, idTokens, pixels].reduce((sum, numbers) => sum + (numbers?.byteLength ?? 0), 0);

const openPhotos = ({ photos }: FacePhotos) => Promise.all(photos.map(openPhoto));

/** Stored photos were decoded with limits when they were uploaded; the limits hold here too. */
export async function openPhoto(bytes: Uint8Array): Promise<Bitmap> {
  const { data, info } = await sharp(bytes, { limitInputPixels: 40_000_000 })
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { rgb: new Uint8Array(data), width: info.width, height: info.height };
}

const tooLarge = (size: string, cause: unknown) =>
  new Error(`This machine has too little memory for one picture of ${size}: ${messageOf(cause)}`, { cause });

function shrunk(picture: Bitmap): Bitmap {
  const scale = PREVIEW_SIDE / Math.max(picture.width, picture.height);
  if (scale >= 1) return picture;
  const side = (px: number) => Math.max(1, Math.round(px * scale));
  return resize(picture, side(picture.width), side(picture.height), 'bilinear');
}

/** What goes by in each stage, ms. */
function stopwatch() {
  const spent: Record<string, number> = {};
  let stage: string | null = null;
  let since = 0;
  const close = () => {
    const now = performance.now();
    if (stage !== null) spent[stage] = (spent[stage] ?? 0) + now - since;
    since = now;
  };
  return {
    begin(next: string): void {
      close();
      stage = next;
    },
    end(): Record<string, number> {
      close();
      stage = null;
      const rounded = Object.entries(spent).map(([name, ms]) => [name, Math.round(ms)] as const);
      // Alone there are no others.
      return Object.fromEntries(rounded.filter(([name, ms]) => name !== 'others' || ms > 0));
    },
  };
}
