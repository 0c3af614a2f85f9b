/**
 * The worker: takes a generation, draws it, stores the bytes, ends the row. One per GPU, or per machine without one.
 *
 * It may be killed at any moment: the row says who had it, and another worker takes it over (lease.ts). On SIGTERM it takes no more,
 * gives what it draws some time, and hands back what did not end in it.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { config } from '#config/env.ts';
import { tiers } from '#config/tiers.ts';
import {
  type BundleTold,
  isFirst,
  joinFleet,
  leaveFleet,
  tellState,
  type WorkerState,
  workersAlive,
} from '#src/backlog/fleet.ts';
import { forgetFlows, recountFlows } from '#src/backlog/flows.ts';
import { endUnwanted, failUndrawable, handBack } from '#src/batches/ending.ts';
import { listLoras } from '#src/bundles/loras.ts';
import { log, withContext } from '#src/doors/log.ts';
import type { SessionReport } from '#src/doors/onnx.ts';
import { isAway } from '#src/doors/postgres.ts';
import { connectQueues, type Queues, type QueueWorker } from '#src/doors/queue.ts';
import { finishFaceCheck, photoToCheck, removeStalePhotos, requeueWaitingChecks } from '#src/faces.ts';
import { fileCheck } from '#src/file-check.ts';
import { releaseLostTwins, tellNoneYet } from '#src/generations/generations.ts';
import { dropLostPreviews } from '#src/generations/previews.ts';
import { identity } from '#src/marks/installation.ts';
import { keepToRules } from '../rules.ts';
import { endProcess } from '../run.ts';
import { repeat } from '../timers.ts';
import { startArtist } from './artist.ts';
import type { Pace } from './draw.ts';
import { forgetWithdrawn } from './faces-in-memory.ts';
import { holdLease } from './lease.ts';
import { type BundlePlace, mustFit, offeredBundles, placesOf, roomForAll } from './pool/offered.ts';
import { type Offered, Pool } from './pool/pool.ts';
import { watchRoom } from './room.ts';
import { openSpool } from './spool.ts';
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
  /** Where bundles are; what config/bundles.yaml and BUNDLES name when left out. */
  readonly bundles?: ReadonlyMap<string, BundlePlace>;
  /** bytes; WORKER_MEMORY when left out */
  readonly memory?: number;
  /** how long drawing may go on while it stops, ms */
  readonly drainMs?: number;
}

export interface RunningWorker {
  readonly id: string;
  readonly pool: Pool;
  close(): Promise<void>;
}

/** @throws {Error} naming what is wrong with the only bundle, or one that never fits into memory */
export async function startWorker(options: WorkerOptions = {}): Promise<RunningWorker> {
  const offered = await offeredBundles(options.bundles ?? placesOf(config));
  tellNoneYet();
  const budget = options.memory ?? config.workerMemory ?? roomForAll(offered);
  mustFit(offered, budget);
  const sessions = new Map<string, SessionReport & { readonly bundle: string }>();
  const faults = new Map<string, unknown>();
  const pool = new Pool(offered, {
    budget,
    async start({ name, dir }, { onKept }) {
      const marks = await untilBack(identity);
      for (const [key, { bundle }] of sessions) if (bundle === name) sessions.delete(key);
      return startArtist(dir, {
        identity: marks,
        threads: config.onnxThreads,
        providers: config.onnxProviders,
        ...(onKept && { onKept }),
        onReport(report) {
          sessions.set(`${name} ${report.network}`, { ...report, bundle: name });
          log.info(
            { ...report, bundle: name },
            report.used.length ? 'a network runs' : 'a network is loaded',
          );
        },
      });
    },
    onFailed(bundle, error) {
      faults.set(bundle, error);
      log.error({ err: error, bundle }, 'a bundle does not load: others are drawn with');
    },
    onBroken(error) {
      // Jobs in hand were rejected and are tried again by others. Without sessions this process is of no use.
      log.error({ err: error }, 'draw thread lost');
      endProcess();
    },
  });
  for (const { name, fault } of offered)
    if (fault) log.error({ err: fault, bundle: name }, 'a bundle cannot be used: others are drawn with');
  await loadFirst(pool, offered, faults);
  const queues = options.queues ?? connectQueues(config);
  const id = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
  const state = async () => ({
    ...(await stateOf(pool, offered, [...sessions.values()], room.isFull ? 'storage_full' : null)),
    msPerStep: pace.msPerStep,
    memoryMib: Math.round(process.memoryUsage.rss() / 2 ** 20),
  });
  const enter = async () => {
    const { pool: told, ...rest } = await state();
    await joinFleet({ id, bundle: told.bundle, bundleHash: told.bundleHash }, { ...rest, pool: told });
  };
  const tell = async () => tellState(id, await state());
  let elsewhere: ReadonlySet<string> = new Set();
  const lookAround = async () => {
    const others = (await workersAlive()).filter((other) => other.id !== id && other.aside === null);
    elsewhere = new Set(others.flatMap(({ warm }) => warm));
  };

  const inHand = new Set<string>();
  let studio: Studio | null = null;
  let wakes: readonly QueueWorker[] = [];
  const takePictures = () => {
    const opened = openStudio(me, inHand, () => elsewhere);
    studio = opened;
    wakes = offered.map(({ name: bundle }) =>
      queues.work('generation', () => opened.drain(), { bundle, lockMs: LOCK_MS }),
    );
  };
  const takeNone = async () => {
    await Promise.all([studio?.close(), ...wakes.map((one) => one.close())]);
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
  await untilBack(enter);
  const gone = (generationId: string) => void inHand.delete(generationId);
  const spool = await openSpool({ dataDir: config.dataDir, workerId: id, room, gone });
  const me = { id, pool, room, spool, pace };
  const stopHolding = holdLease(id, inHand, enter);
  takePictures();
  const faceChecks = queues.work(
    'face-check',
    ({ photoId }) => withContext({ photoId }, () => checkOne(photoId, pool)),
    { lockMs: LOCK_MS },
  );

  const stopping = [
    keepToRules(),
    repeat(LOOK_EVERY_MS, async () => studio?.drain()),
    repeat(TELL_EVERY_MS, async () => {
      await tell();
      if (offered.length > 1) await lookAround();
    }),
    repeat(FORGET_EVERY_MS, () => forgetWithdrawn(pool)),
    repeat(RECONCILE_EVERY_MS, async () => {
      for (const bundle of pool.failed) {
        await tell();
        const failed = await failUndrawable(bundle);
        if (failed)
          log.error({ bundle, failed }, 'no worker can draw with it: what waited for it is given up');
      }
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
  log.info({ workerId: id, bundles: offered.map(({ name }) => name) }, 'worker ready');
  loadWarm(pool, offered).catch((error: unknown) => log.warn({ err: error }, 'not all is warm'));

  return {
    id,
    pool,
    async close() {
      await room.close();
      const drained = Promise.all([takeNone(), faceChecks.close(), ...stopping.map((stop) => stop())]);
      const late = sleep(options.drainMs ?? DRAIN_MS, false, { ref: false });
      if (!(await Promise.race([drained.then(() => true), late]))) {
        for (const generationId of inHand) {
          await handBack(generationId, id).catch((error: unknown) =>
            log.warn({ err: error, generationId }, 'not handed back: it will be taken over'),
          );
        }
        studio?.abort();
        await Promise.all(wakes.map((one) => one.close(true)));
      }
      await drained;
      await spool.close();
      await pool.close();
      await stopHolding();
      // Where Postgres is away the row stays, and counts as gone soon: nobody renews it.
      await leaveFleet(id).catch((error: unknown) => log.warn({ err: error }, 'worker not signed off'));
      if (!options.queues) await queues.close();
    },
  };
}

/** Postgres may be away when we start. */
async function untilBack<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isAway(error)) throw error;
      log.warn({ err: error }, 'Postgres is away: a worker waits for it');
      await sleep(JOIN_AGAIN_MS);
    }
  }
}

async function checkOne(photoId: string, pool: Pool): Promise<void> {
  const photo = await photoToCheck(photoId);
  if (photo) await finishFaceCheck(photoId, await pool.countFaces(photo));
}

/** Those that are pinned, and the first that can be drawn with. @throws {Error} of one that does not load, when there is no other */
async function loadFirst(
  pool: Pool,
  offered: readonly Offered[],
  faults: ReadonlyMap<string, unknown>,
): Promise<void> {
  const wanted = offered.filter(({ fault }) => !fault);
  for (const { name } of wanted.filter(({ level }) => level === 'pinned')) {
    await pool.load(name, 'start');
    await pool.settled(name);
  }
  for (const { name } of wanted) {
    if (pool.current !== null) return;
    await pool.load(name, 'start');
    await pool.settled(name);
  }
  if (pool.current === null) throw [...faults.values()][0] ?? new Error('No bundle loads');
}

/** What is to be warm and fits beside what is there, while pictures are drawn. */
async function loadWarm(pool: Pool, offered: readonly Offered[]): Promise<void> {
  for (const { name, level } of offered) {
    if (level !== 'warm' || pool.stateOf(name) !== 'cold') continue;
    if (!pool.hasRoomFor(name, pool.usable)) continue;
    await pool.load(name, 'start');
    await pool.settled(name);
  }
}

/** What its row says of it. */
async function stateOf(
  pool: Pool,
  offered: readonly Offered[],
  sessions: readonly (SessionReport & { readonly bundle: string })[],
  aside: WorkerState['aside'],
) {
  const reports = pool.reports();
  const bundles: Record<string, BundleTold> = {};
  for (const { name, dir } of offered) {
    const report = reports.get(name);
    if (report) bundles[name] = { ...report, loras: await listLoras(dir) };
  }
  const bundle = pool.current ?? offered[0]?.name ?? '';
  const told = bundles[bundle];
  const { bytes: memory, budget } = pool;
  return {
    // Of what went out of memory there is nothing to say.
    sessions: sessions.filter((one) => bundles[one.bundle]?.state === 'warm'),
    loras: told?.loras ?? [],
    aside,
    pool: {
      bundle,
      bundleHash: told?.hash ?? '',
      bundles,
      memory,
      budget,
    },
  };
}
