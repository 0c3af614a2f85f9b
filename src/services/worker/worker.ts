/**
 * The worker: takes a generation, draws it, stores the bytes, ends the row. One per GPU, or per machine without one.
 *
 * It may be killed at any moment: the row says who had it, and another worker takes it over (lease.ts). On SIGTERM it takes no more,
 * gives what it draws some time, and hands back what did not end in it.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundles } from '#config/bundles.ts';
import { config } from '#config/env.ts';
import { tiers } from '#config/tiers.ts';
import { isFirst, joinFleet, leaveFleet, tellState, type WorkerState } from '#src/backlog/fleet.ts';
import { forgetFlows, recountFlows } from '#src/backlog/flows.ts';
import { endUnwanted, handBack } from '#src/batches/ending.ts';
import { bundleHash } from '#src/bundles/inspect.ts';
import { listLoras } from '#src/bundles/loras.ts';
import { log, withContext } from '#src/doors/log.ts';
import type { SessionReport } from '#src/doors/onnx.ts';
import { isAway } from '#src/doors/postgres.ts';
import { connectQueues, type Queues, type QueueWorker } from '#src/doors/queue.ts';
import { finishFaceCheck, photoToCheck, removeStalePhotos, requeueWaitingChecks } from '#src/faces.ts';
import { fileCheck } from '#src/file-check.ts';
import { releaseLostTwins } from '#src/generations/generations.ts';
import { dropLostPreviews } from '#src/generations/previews.ts';
import { endProcess } from '../run.ts';
import { repeat } from '../timers.ts';
import { type Artist, startArtist } from './artist.ts';
import type { Pace } from './draw.ts';
import { forgetWithdrawn } from './faces-in-memory.ts';
import { holdLease } from './lease.ts';
import { watchRoom } from './room.ts';
import { openStudio, type Studio } from './studio.ts';

/** A lock not renewed for this long is taken over: this process's event loop may pause for half of it at most. ms */
const LOCK_MS = 15_000;
/** Whoever makes something wait wakes workers; a wake that was lost costs this. ms */
const LOOK_EVERY_MS = 1_000;
const RECONCILE_EVERY_MS = 5_000;
const TELL_EVERY_MS = 5_000;
const TIDY_EVERY_MS = 60_000;
/** ms; a page of files each time */
const CHECK_FILES_EVERY_MS = 1_000;
/** How long drawing may go on while we stop. What is left of a stopping machine's time is for handing back. ms */
const DRAIN_MS = 18_000;
/** Pause before Postgres is asked again that was away when we started. ms */
const JOIN_AGAIN_MS = 1_000;
/** A face is gone from memory within 5 s of its withdrawal. A step of drawing and a Postgres that hangs take their part of it. ms */
const FORGET_EVERY_MS = 1_500;

export interface WorkerOptions {
  readonly queues?: Queues;
  /** Bundle folder; the one that config/bundles.yaml names when left out. */
  readonly dir?: string;
}

export async function startWorker(
  options: WorkerOptions = {},
): Promise<{ id: string; artist: Artist; close(): Promise<void> }> {
  const bundle = config.bundle;
  const entry = bundles.get(bundle);
  if (!entry)
    throw new Error(`BUNDLE names no entry of config/bundles.yaml; it has ${[...bundles.keys()].join(', ')}`);
  const dir = options.dir ?? join(config.dataDir, entry.path);
  const sessions = new Map<string, SessionReport>();
  const artist = await startArtist(dir, {
    threads: config.onnxThreads,
    providers: config.onnxProviders,
    onReport(report) {
      sessions.set(report.network, report);
      log.info(report, report.used.length ? 'a network runs' : 'a network is loaded');
    },
  });
  // Last, as it reads every byte: a bundle that can't be used is to be told at once.
  const hash = await bundleHash(dir, artist.files);
  const queues = options.queues ?? connectQueues(config);
  const id = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
  const state = async (): Promise<WorkerState> => ({
    sessions: [...sessions.values()],
    loras: await listLoras(dir),
    aside: room.isFull ? 'storage_full' : null,
    msPerStep: pace.msPerStep,
    memoryMib: Math.round(process.memoryUsage.rss() / 2 ** 20),
  });
  const enter = async () => joinFleet({ id, bundle, bundleHash: hash }, await state());
  const tell = async () => tellState(id, await state());

  const inHand = new Set<string>();
  const warm = { loras: new Set(['']), faceIds: new Set<string>() };
  let studio: Studio | null = null;
  let wakes: QueueWorker | null = null;
  const takePictures = () => {
    const opened = openStudio(me, () => warm, inHand);
    studio = opened;
    wakes = queues.work('generation', () => opened.drain(), { bundle, lockMs: LOCK_MS });
  };
  const takeNone = async () => {
    await Promise.all([studio?.close(), wakes?.close()]);
  };
  const room = watchRoom({
    async full() {
      await Promise.all([takeNone(), tell()]);
    },
    async free() {
      takePictures();
      await tell();
    },
  });
  const pace: Pace = { msPerStep: null };
  const me = { id, bundle, dir, hash, artist, room, pace };

  await untilBack(enter);
  const stopHolding = holdLease(id, inHand, enter);
  takePictures();
  const faceChecks = queues.work(
    'face-check',
    ({ photoId }) => withContext({ photoId }, () => checkOne(photoId, artist)),
    { lockMs: LOCK_MS },
  );

  const stopping = [
    repeat(LOOK_EVERY_MS, async () => studio?.drain()),
    repeat(TELL_EVERY_MS, tell),
    repeat(FORGET_EVERY_MS, () => forgetWithdrawn(artist)),
    repeat(RECONCILE_EVERY_MS, async () => {
      await requeueWaitingChecks(queues);
      await removeStalePhotos();
    }),
    repeat(TIDY_EVERY_MS, async () => {
      if (!(await isFirst(id))) return;
      await forgetFlows();
      const unwanted = await endUnwanted([...tiers.keys()]);
      if (unwanted)
        log.warn({ unwanted }, 'ended what waited in a tier that is gone, or of somebody blocked');
      const twins = await releaseLostTwins();
      const counted = await recountFlows();
      if (twins || counted) log.error({ twins, counted }, 'what waits was counted wrongly: put right');
      const previews = await dropLostPreviews();
      if (previews) log.error({ previews }, 'previews of what is not drawn: taken away');
    }),
    repeat(
      CHECK_FILES_EVERY_MS,
      fileCheck(() => isFirst(id)),
    ),
  ];
  artist.broken.catch((error: unknown) => {
    // Jobs in hand were rejected and are tried again by others. Without sessions this process is of no use.
    log.error({ err: error }, 'draw thread lost');
    endProcess();
  });
  log.info({ workerId: id, bundle }, 'worker ready');

  return {
    id,
    artist,
    async close() {
      await room.close();
      const drained = Promise.all([takeNone(), faceChecks.close(), ...stopping.map((stop) => stop())]);
      const late = sleep(DRAIN_MS, false, { ref: false });
      if (!(await Promise.race([drained.then(() => true), late]))) {
        for (const generationId of inHand) {
          await handBack(generationId, id).catch((error: unknown) =>
            log.warn({ err: error, generationId }, 'not handed back: it will be taken over'),
          );
        }
        studio?.abort();
        await wakes?.close(true);
      }
      await drained;
      await artist.close();
      await stopHolding();
      // Where Postgres is away the row stays, and counts as gone soon: nobody renews it.
      await leaveFleet(id).catch((error: unknown) => log.warn({ err: error }, 'worker not signed off'));
      if (!options.queues) await queues.close();
    },
  };
}

/** Postgres may be away when we start. */
async function untilBack(enter: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await enter();
    } catch (error) {
      if (!isAway(error)) throw error;
      log.warn({ err: error }, 'Postgres is away: a worker waits for it');
      await sleep(JOIN_AGAIN_MS);
    }
  }
}

async function checkOne(photoId: string, artist: Artist): Promise<void> {
  const photo = await photoToCheck(photoId);
  if (photo) await finishFaceCheck(photoId, await artist.countFaces(photo));
}
