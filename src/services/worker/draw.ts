/** One generation, from its job to its end: taken, drawn or copied, judged, stored; or ended without a picture. */
import { createHash } from 'node:crypto';
import { cellKey } from '#src/batches/cells.ts';
import {
  abandonGeneration,
  failGeneration,
  finishGeneration,
  handBack,
  reuseImage,
} from '#src/batches/ending.ts';
import type { LoraChoice } from '#src/bundles/lora-choice.ts';
import { loraHash, UnknownLoraError } from '#src/bundles/loras.ts';
import { log } from '#src/doors/log.ts';
import type { JobContext } from '#src/doors/queue.ts';
import { isFull } from '#src/doors/storage.ts';
import { failureOf, UserError } from '#src/errors.ts';
import { type Face, faceIn } from '#src/faces.ts';
import { type Drawing, reportProgress, startGeneration } from '#src/generations/generations.ts';
import { verdictOf } from '#src/moderation/verdicts.ts';
import type { ResolvedParameters } from '#src/parameters/definitions.ts';
import { everyMs } from '../timers.ts';
import type { Artist } from './artist.ts';
import { measurePicture, type Pace } from './pace.ts';
import { portraitTask } from './requests/portrait.ts';
import type { Room } from './room.ts';

/** How often progress goes to Postgres, and so how soon a cancel is seen. ms */
const PROGRESS_EVERY_MS = 400;

export interface Me {
  /** the Worker row's */
  readonly id: string;
  /** the bundle's */
  readonly dir: string;
  /** the bundle's */
  readonly hash: string;
  readonly artist: Artist;
  readonly pace: Pace;
  readonly room: Room;
}

/** Does nothing where the generation has ended, or is another's. @throws what BullMQ is to try again */
export async function drawOne(generationId: string, me: Me, context: JobContext): Promise<void> {
  const drawing = await startGeneration(generationId, me.id);
  if (!drawing) return;

  const cancelled = new AbortController();
  try {
    await draw(drawing, me, AbortSignal.any([context.signal, cancelled.signal]), cancelled);
    me.room.kept();
  } catch (error) {
    if (cancelled.signal.aborted) {
      await abandonGeneration(generationId, me.id);
    } else if (error instanceof UserError) {
      await failGeneration(generationId, me.id, failureOf(error));
    } else if (isFull(error)) {
      me.room.notKept();
      await failGeneration(generationId, me.id, failureOf(error));
    } else if (context.lastAttempt) {
      log.error({ err: error }, 'not drawn');
      await failGeneration(generationId, me.id, failureOf(error));
    } else {
      log.warn({ err: error }, 'not drawn this time');
      await handBack(generationId, me.id, true);
      throw error; // BullMQ tries again
    }
  }
}

async function draw(asked: Drawing, me: Me, signal: AbortSignal, cancelled: AbortController): Promise<void> {
  const { request, loras } = portraitTask(asked);
  const bundleHash = await hashWith(me, loras);
  const face = await faceOf(asked);
  const photoIds = face?.photoIds ?? [];
  const drawing = face ? { ...asked, key: keyWith(face, asked) } : asked;
  if (await reuseImage(drawing, me.id, bundleHash, photoIds)) return log.info('reused');

  const measure = measurePicture(me.pace, drawing.steps);
  const report = everyMs<number>(PROGRESS_EVERY_MS, async (progress) => {
    if (!(await reportProgress(drawing.id, me.id, progress))) cancelled.abort(new Error('cancelled'));
  });
  const result = await me.artist.draw(request, face, loras, {
    signal,
    onProgress(progress) {
      measure(progress);
      report(progress);
    },
  });
  const png = Buffer.from(result.png.buffer);
  await finishGeneration(drawing, me.id, {
    ...result,
    ...verdictOf(result.scores),
    png,
    sha256: createHash('sha256').update(png).digest('hex'),
    bundleHash,
    photoIds,
  });
  measure(1);
  log.info({ timings: result.timings }, 'drawn');
}

/**
 * Hash of all weights that draw a picture. @throws {UserError} `lora_unknown` when one was removed after it was asked for
 */
async function hashWith({ dir, hash }: Me, loras: readonly LoraChoice[]): Promise<string> {
  if (!loras.length) return hash;
  const added = await loraHash(dir, loras).catch((error: unknown) => {
    if (!(error instanceof UnknownLoraError)) throw error;
    throw new UserError('lora_unknown', { name: error.lora, known: error.known });
  });
  return createHash('sha256').update(hash).update(added).digest('hex');
}

/** @throws {UserError} `folder_empty`, `gone` when consent was withdrawn or the folder removed after it was asked for */
async function faceOf({ faceId, faceFolderId }: Drawing): Promise<Face | null> {
  if (faceId === null) return null;
  if (faceFolderId === null) throw new UserError('gone', {});
  return faceIn(faceFolderId);
}

/** What the picture is known by: drawn with the photos that the folder has now, it must not pass for one of those that it had. */
function keyWith({ hash }: Face, { prompt, seed, parameters, bundle }: Drawing): string {
  return cellKey({ prompt, seed: Number(seed), parameters: parameters as ResolvedParameters }, hash, bundle);
}
