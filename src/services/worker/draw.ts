/** One turn, from its rows to their ends: each drawn or copied, judged, stored; or ended without a picture. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { config } from '#config/env.ts';
import { learnCost } from '#src/backlog/costs.ts';
import { cellKey } from '#src/batches/cells.ts';
import {
  abandonGeneration,
  type Drawn,
  failGeneration,
  finishGeneration,
  handBack,
  reuseImage,
} from '#src/batches/ending.ts';
import type { LoraChoice } from '#src/bundles/lora-choice.ts';
import { loraHash, UnknownLoraError } from '#src/bundles/loras.ts';
import { log, withContext } from '#src/doors/log.ts';
import { metrics } from '#src/doors/metrics.ts';
import { isAway } from '#src/doors/postgres.ts';
import { isFull, isStorageAway } from '#src/doors/storage.ts';
import { inTrace, pastSpan, span } from '#src/doors/traces.ts';
import { failureOf, UserError } from '#src/errors.ts';
import { type Face, faceIn } from '#src/faces.ts';
import { type Drawing, MAX_ATTEMPTS, type Report, reportProgress } from '#src/generations/generations.ts';
import { thresholdsIn } from '#src/moderation/guild-thresholds.ts';
import { type Circumstances, circumstancesOf, verdictOf } from '#src/moderation/verdicts.ts';
import type { ResolvedParameters } from '#src/parameters/definitions.ts';
import { everyMs } from '../timers.ts';
import type { Pool, PooledPicture } from './pool/pool.ts';
import type { DrawnTogether } from './protocol.ts';
import { type PortraitTask, portraitTask } from './requests/portrait.ts';
import type { Room } from './room.ts';
import type { Spool } from './spool.ts';

/** How often progress goes to Postgres, and so how soon a cancel is seen. ms */
const PROGRESS_EVERY_MS = 400;
/** A turn that has so long to go is nearly drawn. ms */
const NEARLY_MS = 500;
/** Progress below this says nothing of a turn's speed. */
const TELLING = 0.05;
/** Pause before one is handed back that could not be drawn, times its tries. ms */
const PAUSE_MS = 1_000;
/** Pause before one is handed back whose face can't be read, as storage is away. ms */
const AWAY_PAUSE_MS = 2_000;

export interface Me {
  /** the Worker row's */
  readonly id: string;
  /** the bundle's name */
  readonly bundle: string;
  /** the bundle's */
  readonly dir: string;
  /** the bundle's */
  readonly hash: string;
  readonly pool: Pick<Pool, 'drawTogether'>;
  readonly room: Room;
  readonly spool: Spool;
  readonly pace: Pace;
}

/** How fast it draws. */
export interface Pace {
  /** what a denoising step of a picture took in the last turn; null: nothing was drawn yet */
  msPerStep: number | null;
}

export interface TurnInHand {
  /** the thread is free soon, or already */
  readonly nearlyDrawn: Promise<void>;
  readonly ended: Promise<unknown>;
}

/** There is no room for it, as was seen of others since it was taken. */
class NoRoom extends Error {}

/**
 * @param drawings of one shape and one set of LoRAs
 * @param forced ends what is drawn at its next step, and hands it back
 * @param told `gone`: each that has ended, or is another's by now, but for those that wait for storage, which are the spool's. `asked`:
 *   the pool has been asked for all that is to be drawn
 */
export function drawTurn(
  drawings: readonly Drawing[],
  me: Me,
  forced: AbortSignal,
  told: { gone(generationId: string): void; asked(): void },
): TurnInHand {
  const { promise: nearlyDrawn, resolve: nearly } = Promise.withResolvers<void>();
  const clock: TurnClock = { begun: null, pictures: 1 };
  const pictures = drawings.map((drawing): InHand => {
    const cancelled = new AbortController();
    return { drawing, cancelled, signal: AbortSignal.any([forced, cancelled.signal]), clock };
  });
  metrics.turn({ bundle: me.bundle }, drawings.length);
  /** The work of one, whose failing is its own affair. */
  const each = (picture: InHand, work: () => Promise<void>) =>
    about(picture.drawing, () => work().catch((error: unknown) => endWithout(picture, me, error, forced)));
  const turn = async () => {
    const ready: Ready[] = [];
    await Promise.all(
      pictures.map((picture) =>
        each(picture, async () => {
          const made = await makeReady(picture, me);
          if (made) ready.push(made);
        }),
      ),
    );
    clock.pictures = ready.length;
    const drawn = me.room.isFull
      ? []
      : me.pool.drawTogether(me.bundle, askedOf(ready, me, nearly), ready[0]?.loras ?? []);
    told.asked();
    await Promise.all(
      ready.map((one, i) =>
        each(one, async () => {
          const result = drawn[i];
          if (!result) throw new NoRoom();
          await keep(one, await traced(one, result, me), me);
        }),
      ),
    );
  };
  const ended = turn().finally(() => {
    nearly();
    for (const { id } of drawings) if (!me.spool.holds(id)) told.gone(id);
  });
  return { nearlyDrawn, ended };
}

/** The log and the trace say which it is. */
function about<T>({ id, batchId, batch }: Drawing, work: () => T): T {
  return withContext({ batchId, generationId: id }, () => inTrace(batch.traceparent, work));
}

interface InHand {
  readonly drawing: Drawing;
  readonly cancelled: AbortController;
  readonly signal: AbortSignal;
  /** the turn's */
  readonly clock: TurnClock;
}

interface TurnClock {
  /** its first step that was heard of: ms as `performance.now()` has it, and how far that was, 0…1 */
  begun: { readonly at: number; readonly share: number } | null;
  /** that are drawn together */
  pictures: number;
}

/** What one of the turn has taken of the GPU so far, if it is still drawn. ms */
function spentMs({ begun, pictures }: TurnClock): number {
  return begun ? (performance.now() - begun.at) / pictures : 0;
}

/** What is known of it before the thread is asked. */
interface Ready extends InHand, PortraitTask {
  readonly face: Face | null;
  readonly bundleHash: string;
  readonly photoIds: readonly string[];
  /** as they were when it was made ready */
  readonly where: Circumstances;
}

/** null: it has ended, as a copy of a picture that was drawn before; or it was drawn itself, before a restart */
async function makeReady(picture: InHand, me: Me): Promise<Ready | null> {
  const asked = picture.drawing;
  const task = portraitTask(asked);
  const bundleHash = await hashWith(me, task.loras);
  const face = await faceOf(asked);
  const drawing = face ? { ...asked, key: keyWith(face, asked) } : asked;
  const photoIds = face?.photoIds ?? [];
  const where = await circumstancesNow(drawing);
  if (await reused(drawing, me, bundleHash, photoIds, where)) {
    log.info('reused');
    return null;
  }
  const drawn = await me.spool.find(drawing, bundleHash);
  if (!drawn) return { ...picture, ...task, drawing, face, bundleHash, photoIds, where };
  await store(drawing, drawn, me);
  log.info('drawn before: not drawn again');
  return null;
}

/** By what its guild wants now: it may have changed that while the picture was drawn. */
async function circumstancesNow(drawing: Drawing): Promise<Circumstances> {
  return circumstancesOf(drawing, await thresholdsIn(drawing.batch.guildId));
}

/** What can't be read now is drawn again. */
async function reused(
  drawing: Drawing,
  me: Me,
  bundleHash: string,
  photoIds: readonly string[],
  where: Circumstances,
): Promise<boolean> {
  try {
    return await reuseImage(drawing, me.id, bundleHash, photoIds, where);
  } catch (error) {
    if (isStorageAway(error)) return false;
    throw error;
  }
}

/** In storage and as a row, or on this machine until that can be. */
async function store(drawing: Drawing, drawn: Drawn, { id: workerId, spool }: Me): Promise<void> {
  try {
    await finishGeneration(drawing, workerId, drawn);
  } catch (error) {
    if (!isStorageAway(error)) throw error;
    await spool.keep(drawing, drawn);
    return;
  }
  await spool.drop(drawing.id);
}

/** @param nearly told when so little is left of them that the next turn should be taken */
function askedOf(ready: readonly Ready[], me: Me, nearly: () => void): PooledPicture[] {
  const report = reporterOf(ready, me);
  return ready.map(({ request, face, where, signal, clock, drawing: { id, batch, faceId } }) => ({
    generationId: id,
    request,
    where,
    face,
    faceId,
    signal,
    onProgress(share) {
      report(id, { progress: share });
      // Others may be drawn before: their time is not this turn's.
      clock.begun ??= { at: performance.now(), share };
      const done = share - clock.begun.share;
      const leftMs = ((performance.now() - clock.begun.at) / done) * (1 - share);
      if (done > TELLING && leftMs < NEARLY_MS) nearly();
    },
    onStage: (stage) => report(id, { stage }),
    // More often than a message is edited nobody would see it.
    ...(batch.previews && {
      previews: { everyMs: config.editIntervalMs, onPreview: (preview) => report(id, { preview }) },
    }),
  }));
}

/** Tells Postgres what is new of a turn's pictures, all of it together, and ends those that are not to go on. */
function reporterOf(pictures: readonly Ready[], me: Me): (id: string, news: Partial<Report>) => void {
  const known = new Map<string, Report>();
  const fresh = new Set<string>();
  let seenAt = performance.now();
  const tell = everyMs<void>(PROGRESS_EVERY_MS, async () => {
    const reports = [...fresh].flatMap((id) => known.get(id) ?? []);
    fresh.clear();
    for (const { preview: _, ...told } of reports) known.set(told.id, told);
    const { goOn, wake } = await reportProgress(me.id, reports);
    if (performance.now() - seenAt >= config.editIntervalMs) {
      seenAt = performance.now();
      wake();
    }
    for (const { drawing, cancelled } of pictures) {
      const isTold = reports.some(({ id }) => id === drawing.id);
      if (isTold && !goOn.has(drawing.id)) cancelled.abort(new Error('cancelled'));
    }
  });
  return (id, news) => {
    known.set(id, { progress: 0, stage: null, ...known.get(id), ...news, id });
    fresh.add(id);
    tell();
  };
}

/** Its time in the thread, with what it waited there for the batch before. */
function traced(
  { drawing: { id: generationId } }: Ready,
  result: Promise<DrawnTogether>,
  { id: workerId, bundle }: Me,
): Promise<DrawnTogether> {
  return span('draw', { generationId, workerId }, async () => {
    const { timings } = await result;
    // The thread says how long each stage took: as spans they are one after the other, up to now.
    let at = Object.values(timings).reduce((from, ms) => from - ms, Date.now());
    for (const [stage, ms] of Object.entries(timings)) {
      metrics.stage({ bundle, stage }, ms / 1_000);
      pastSpan(stage, at, at + ms);
      at += ms;
    }
    return result;
  });
}

async function keep(
  { drawing, bundleHash, photoIds, face }: Ready,
  { batch, scores, ages, concepts, ...result }: DrawnTogether,
  me: Me,
): Promise<void> {
  const { bundle, width, height, steps } = drawing;
  // Encoding is not the thread's.
  const { encode: _, ...stages } = result.timings;
  const gpuMs = Object.values(stages).reduce((sum, one) => sum + one, 0) / batch;
  const verdict = verdictOf({ scores, ages, concepts }, await circumstancesNow(drawing));
  await span('store', { generationId: drawing.id, bytes: result.png.length }, () =>
    store(
      drawing,
      {
        ...result,
        ...verdict,
        png: Buffer.from(result.png.buffer),
        bundleHash,
        photoIds,
        gpuMs,
      },
      me,
    ),
  );
  me.room.kept();
  log.info({ timings: result.timings, batch }, 'drawn');
  me.pace.msPerStep = gpuMs / steps;
  await learnCost(bundle, { width, height, steps, face: face !== null, batch }, gpuMs);
}

/** Of a Postgres that is away while it ends nothing is heard: the lease puts right what the row says then. */
async function endWithout(picture: InHand, me: Me, error: unknown, forced: AbortSignal): Promise<void> {
  try {
    await endFor(picture, me, error, forced);
  } catch (err) {
    log.warn({ err }, 'not ended: its row is put right later');
  }
}

async function endFor(
  { drawing: { id, attempts }, cancelled, clock }: InHand,
  me: Me,
  error: unknown,
  forced: AbortSignal,
): Promise<unknown> {
  const gpuMs = spentMs(clock);
  if (cancelled.signal.aborted) return abandonGeneration(id, me.id, gpuMs);
  // No fault of the picture's, and nothing can be written.
  if (isAway(error)) throw error;
  if (isStorageAway(error)) {
    // Its face's photos can't be read. No fault of its own, however often.
    await sleep(AWAY_PAUSE_MS, undefined, { signal: forced }).catch(() => {});
    return handBack(id, me.id, gpuMs);
  }
  if (error instanceof NoRoom) return handBack(id, me.id, gpuMs);
  if (error instanceof UserError) return failGeneration(id, me.id, failureOf(error), gpuMs);
  if (isFull(error)) {
    // The rest of what was in hand when it was seen waits for room, or for another worker.
    if (me.room.isFull) return handBack(id, me.id, gpuMs);
    me.room.notKept();
    return failGeneration(id, me.id, failureOf(error), gpuMs);
  }
  if (attempts >= MAX_ATTEMPTS && !forced.aborted) {
    log.error({ err: error }, 'not drawn');
    return failGeneration(id, me.id, failureOf(error), gpuMs);
  }
  log.warn({ err: error }, 'not drawn this time');
  await sleep(PAUSE_MS * attempts, undefined, { signal: forced }).catch(() => {});
  return handBack(id, me.id, gpuMs);
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
