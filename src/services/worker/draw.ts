/** One turn, from its rows to their ends: each drawn or copied, judged, stored; or ended without a picture. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { learnCost } from '#src/backlog/costs.ts';
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
import { log, withContext } from '#src/doors/log.ts';
import { isAway } from '#src/doors/postgres.ts';
import { isFull } from '#src/doors/storage.ts';
import { failureOf, UserError } from '#src/errors.ts';
import { type Face, faceIn } from '#src/faces.ts';
import { type Drawing, MAX_ATTEMPTS, reportProgress } from '#src/generations/generations.ts';
import { verdictOf } from '#src/moderation/verdicts.ts';
import type { ResolvedParameters } from '#src/parameters/definitions.ts';
import { everyMs } from '../timers.ts';
import type { Artist } from './artist.ts';
import type { DrawResult } from './protocol.ts';
import { type PortraitTask, portraitTask } from './requests/portrait.ts';
import type { Room } from './room.ts';

/** How often progress goes to Postgres, and so how soon a cancel is seen. ms */
const PROGRESS_EVERY_MS = 400;
/** A turn that has so long to go is nearly drawn. ms */
const NEARLY_MS = 500;
/** Progress below this says nothing of a turn's speed. */
const TELLING = 0.05;
/** Pause before one is handed back that could not be drawn, times its tries. ms */
const PAUSE_MS = 1_000;

export interface Me {
  /** the Worker row's */
  readonly id: string;
  /** the bundle's name */
  readonly bundle: string;
  /** the bundle's */
  readonly dir: string;
  /** the bundle's */
  readonly hash: string;
  readonly artist: Artist;
  readonly room: Room;
}

export interface TurnInHand {
  /** the thread is free soon, or already */
  readonly nearlyDrawn: Promise<void>;
  readonly ended: Promise<unknown>;
}

/** There is no room for it, as was seen of others since it was taken. */
class NoRoom extends Error {}

/** What is drawn, one after another. */
let thread: Promise<unknown> = Promise.resolve();

/**
 * @param forced ends what is drawn at its next step, and hands it back
 * @param gone told of each that has ended, or is another's by now
 */
export function drawTurn(
  drawings: readonly Drawing[],
  me: Me,
  forced: AbortSignal,
  gone: (generationId: string) => void,
): TurnInHand {
  const { promise: nearlyDrawn, resolve: nearly } = Promise.withResolvers<void>();
  const all = drawings.map((drawing) =>
    withContext({ generationId: drawing.id }, () =>
      drawOne(drawing, me, forced, nearly).finally(() => gone(drawing.id)),
    ),
  );
  return { nearlyDrawn, ended: Promise.all(all).finally(nearly) };
}

async function drawOne(drawing: Drawing, me: Me, forced: AbortSignal, nearly: () => void): Promise<void> {
  const cancelled = new AbortController();
  try {
    await drawAndKeep(drawing, me, AbortSignal.any([forced, cancelled.signal]), cancelled, nearly);
    me.room.kept();
  } catch (error) {
    // Postgres may be away while it ends: what the row says then is put right by the lease.
    await endWithout(drawing, me, error, cancelled.signal.aborted, forced).catch((err: unknown) =>
      log.warn({ err }, 'not ended: its row is put right later'),
    );
  }
}

async function endWithout(
  { id, attempts }: Drawing,
  me: Me,
  error: unknown,
  isCancelled: boolean,
  forced: AbortSignal,
): Promise<unknown> {
  if (isCancelled) return abandonGeneration(id, me.id);
  // No fault of the picture's, and nothing can be written: the lease puts it back.
  if (isAway(error)) throw error;
  if (error instanceof NoRoom) return handBack(id, me.id);
  if (error instanceof UserError) return failGeneration(id, me.id, failureOf(error));
  if (isFull(error)) {
    me.room.notKept();
    return failGeneration(id, me.id, failureOf(error));
  }
  if (attempts >= MAX_ATTEMPTS && !forced.aborted) {
    log.error({ err: error }, 'not drawn');
    return failGeneration(id, me.id, failureOf(error));
  }
  log.warn({ err: error }, 'not drawn this time');
  await sleep(PAUSE_MS * attempts, undefined, { signal: forced }).catch(() => {});
  return handBack(id, me.id);
}

/** What is known of it before the thread is asked. */
interface Ready extends PortraitTask {
  readonly drawing: Drawing;
  readonly face: Face | null;
  readonly bundleHash: string;
  readonly photoIds: readonly string[];
}

async function makeReady(asked: Drawing, me: Me): Promise<Ready> {
  const task = portraitTask(asked);
  const bundleHash = await hashWith(me, task.loras);
  const face = await faceOf(asked);
  const drawing = face ? { ...asked, key: keyWith(face, asked) } : asked;
  return { ...task, drawing, face, bundleHash, photoIds: face?.photoIds ?? [] };
}

async function drawAndKeep(
  asked: Drawing,
  me: Me,
  signal: AbortSignal,
  cancelled: AbortController,
  nearly: () => void,
): Promise<void> {
  const ready = await makeReady(asked, me);
  const { drawing, bundleHash, photoIds } = ready;
  if (await reuseImage(drawing, me.id, bundleHash, photoIds)) return log.info('reused');

  const turn = thread.then(() => drawIn(ready, me, signal, cancelled, nearly));
  thread = turn.catch(() => {});
  const result = await turn;
  const png = Buffer.from(result.png.buffer);
  await finishGeneration(drawing, me.id, {
    ...result,
    ...verdictOf(result.scores),
    png,
    sha256: createHash('sha256').update(png).digest('hex'),
    bundleHash,
    photoIds,
  });
  log.info({ timings: result.timings }, 'drawn');
  const { bundle, width, height, steps } = drawing;
  const gpuMs = Object.values(result.timings).reduce((sum, ms) => sum + ms, 0);
  await learnCost(bundle, { width, height, steps, face: ready.face !== null }, gpuMs);
}

async function drawIn(
  { request, face, loras, drawing }: Ready,
  me: Me,
  signal: AbortSignal,
  cancelled: AbortController,
  nearly: () => void,
): Promise<DrawResult> {
  if (me.room.isFull) throw new NoRoom();
  const begunAt = performance.now();
  const report = everyMs<number>(PROGRESS_EVERY_MS, async (progress) => {
    if (!(await reportProgress(drawing.id, me.id, progress))) cancelled.abort(new Error('cancelled'));
  });
  return me.artist.draw(request, face, loras, {
    signal,
    onProgress(progress) {
      report(progress);
      const leftMs = ((performance.now() - begunAt) / progress) * (1 - progress);
      if (progress > TELLING && leftMs < NEARLY_MS) nearly();
    },
  });
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
