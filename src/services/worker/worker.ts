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
import { admit, readmitLost } from '#src/backlog/admission.ts';
import { isFirst, joinFleet, leaveFleet, tellState, type WorkerState } from '#src/backlog/fleet.ts';
import { handBack } from '#src/batches/ending.ts';
import { bundleHash } from '#src/bundles/inspect.ts';
import { listLoras } from '#src/bundles/loras.ts';
import { log, withContext } from '#src/doors/log.ts';
import type { SessionReport } from '#src/doors/onnx.ts';
import { isAway } from '#src/doors/postgres.ts';
import { connectQueues, type Queues } from '#src/doors/queue.ts';
import { finishFaceCheck, photoToCheck, removeStalePhotos, requeueWaitingChecks } from '#src/faces.ts';
import { fileCheck } from '#src/file-check.ts';
import { endProcess } from '../run.ts';
import { repeat } from '../timers.ts';
import { type Artist, startArtist } from './artist.ts';
import { drawOne } from './draw.ts';
import { forgetWithdrawn } from './faces-in-memory.ts';
import { holdLease } from './lease.ts';
import { makePace } from './pace.ts';
import { watchRoom } from './room.ts';

/** A lock not renewed for this long is taken over: this process's event loop may pause for half of it at most. ms */
const LOCK_MS = 15_000;
const ADMIT_EVERY_MS = 250;
const RECONCILE_EVERY_MS = 5_000;
const TELL_EVERY_MS = 5_000;
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
  const pace = makePace();
  const state = async (): Promise<WorkerState> => ({
    sessions: [...sessions.values()],
    loras: await listLoras(dir),
    msPerStep: pace.msPerStep,
    aside: room.isFull ? 'storage_full' : null,
  });
  const enter = async () => joinFleet({ id, bundle, bundleHash: hash }, await state());
  const tell = async () => tellState(id, await state());

  const inHand = new Set<string>();
  const takePictures = () =>
    queues.work(
      'generation',
      async ({ generationId }, context) => {
        inHand.add(generationId);
        try {
          await withContext({ generationId }, () => drawOne(generationId, me, context));
        } finally {
          inHand.delete(generationId);
        }
      },
      { bundle, lockMs: LOCK_MS },
    );
  const room = watchRoom({
    async full() {
      await Promise.all([draw.close(), tell()]);
    },
    async free() {
      draw = takePictures();
      await tell();
    },
  });
  const me = { id, dir, hash, artist, pace, room };

  await untilBack(enter);
  const stopHolding = holdLease(id, inHand, enter);
  let draw = takePictures();
  const faceChecks = queues.work('face-check', ({ photoId }) => checkOne(photoId, artist), {
    lockMs: LOCK_MS,
  });

  const stopping = [
    repeat(ADMIT_EVERY_MS, () => admit(queues, bundle)),
    repeat(TELL_EVERY_MS, tell),
    repeat(FORGET_EVERY_MS, () => forgetWithdrawn(artist)),
    repeat(RECONCILE_EVERY_MS, async () => {
      const lost = await readmitLost(queues, bundle);
      if (lost) log.info({ lost }, 'generations put back that the queue had lost');
      await requeueWaitingChecks(queues);
      await removeStalePhotos();
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
      await Promise.all([room.close(), ...stopping.map((stop) => stop())]);
      const drained = Promise.all([draw.close(), faceChecks.close()]);
      const late = sleep(DRAIN_MS, false, { ref: false });
      if (!(await Promise.race([drained.then(() => true), late]))) {
        for (const generationId of inHand) {
          await handBack(generationId, id, false).catch((error: unknown) =>
            log.warn({ err: error, generationId }, 'not handed back: it will be taken over'),
          );
        }
        await draw.close(true); // ends it at its next step
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
