/**
 * The worker: takes a generation, draws it, stores the bytes, ends the row. One per GPU, or per machine without one.
 *
 * It may be killed at any moment: the row says who had it, and another worker takes it over. On SIGTERM it takes no more,
 * gives what it draws the time it needs, and hands back what did not end in time.
 */
import { createHash, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { bundles } from '#config/bundles.ts';
import { config } from '#config/env.ts';
import type { PortraitRequest } from '#pipelines/portrait.ts';
import { admit, readmitLost } from '#src/backlog/admission.ts';
import { WORKER_LOST_MS } from '#src/batches/batches.ts';
import { bundleHash as hashOfBundle } from '#src/bundles/inspect.ts';
import { type LoraChoice, parseLoras } from '#src/bundles/lora-choice.ts';
import { listLoras, loraHash, UnknownLoraError } from '#src/bundles/loras.ts';
import { db } from '#src/doors/db.ts';
import { log, withContext } from '#src/doors/log.ts';
import type { SessionReport } from '#src/doors/onnx.ts';
import { connectQueues, type JobContext, type Queues } from '#src/doors/queue.ts';
import { UserError } from '#src/errors.ts';
import { finishFaceCheck, folderHash, folderPhotos, photoToCheck, removeStalePhotos } from '#src/faces.ts';
import {
  abandonGeneration,
  type Drawing,
  failGeneration,
  finishGeneration,
  handBack,
  reportProgress,
  rescueOrphans,
  reuseImage,
  startGeneration,
} from '#src/generations/generations.ts';
import { verdictOf } from '#src/moderation/moderation.ts';
import { type Artist, startArtist } from './artist.ts';
import type { FacePhotos } from './protocol.ts';

/** A lock not renewed for so long is taken over: half of it is the longest pause of this process's event loop. ms */
const LOCK_MS = 15_000;
const ADMIT_EVERY_MS = 250;
const RECONCILE_EVERY_MS = 5_000;
/** How far it is goes to Postgres this often; it is also how soon a cancel is seen. ms */
const PROGRESS_EVERY_MS = 400;
/** Of the 100 s that a stopping machine gives. ms */
const DRAIN_MS = 90_000;

/**
 * What the pipeline takes of a generation's parameters. More may be in the row; it is for others. A row that waited while Atelier
 * was updated lacks what is new: defaults are what it was asked with.
 */
const PortraitParameters = z.object({
  guidance_scale: z.number(),
  guidance_rescale: z.number().default(0),
  guidance_cutoff: z.enum(['conditional', 'unconditional', 'none']).default('conditional'),
  steps: z.number().int(),
  weight: z.number(),
  negative_prompt: z.string().nullable(),
  lora: z.string().nullable().default(null),
  scheduler: z.enum(['ddim', 'euler', 'euler_a', 'dpmpp_2m', 'dpmpp_2m_karras', 'unipc', 'lcm']),
  timestep_spacing: z.enum(['ays', 'leading', 'trailing', 'linspace']).default('ays'),
  detail_guidance_scale: z.number(),
  detail_steps: z.number().int(),
  detail_strength: z.number(),
  detail_crop_factor: z.number().default(2),
  detail_size: z.number().nullable().default(null),
  detail_feather: z.number().default(0.14),
  // It was a share once, 0…2.
  face_id_weight: z.number().transform((count) => Math.max(1, Math.round(count))),
  start_merge_step: z.number().int(),
});

export interface WorkerOptions {
  readonly queues?: Queues;
  /** Bundle folder; the one that config/bundles.yaml names when left out. */
  readonly dir?: string;
}

export async function startWorker(
  options: WorkerOptions = {},
): Promise<{ id: string; close(): Promise<void> }> {
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
  // Last, as it reads every byte, and a bundle that can't be used is told at once.
  const hash = await hashOfBundle(dir);
  const queues = options.queues ?? connectQueues(config);
  const id = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
  const state = async () => ({ sessions: [...sessions.values()], loras: await listLoras(dir) });
  await db.worker.create({ data: { id, bundle, bundleHash: hash, ...(await state()) } });

  const inHand = new Set<string>();
  const draw = queues.work(
    'generation',
    async ({ generationId }, context) => {
      inHand.add(generationId);
      try {
        await withContext({ generationId }, () => drawOne(generationId, { id, dir, hash, artist }, context));
      } finally {
        inHand.delete(generationId);
      }
    },
    { bundle, lockMs: LOCK_MS },
  );
  const faceChecks = queues.work('face-check', ({ photoId }) => checkOne(photoId, artist), {
    lockMs: LOCK_MS,
  });

  const stopAdmitting = repeat(ADMIT_EVERY_MS, () => admit(queues, bundle));
  const stopRenewing = repeat(WORKER_LOST_MS / 3, async () =>
    db.worker.update({ where: { id }, data: { seenAt: new Date(), ...(await state()) } }),
  );
  const stopReconciling = repeat(RECONCILE_EVERY_MS, async () => {
    const rescued = (await rescueOrphans()) + (await readmitLost(queues, bundle));
    if (rescued) log.info({ rescued }, 'generations put back');
    await removeStalePhotos();
  });
  artist.broken.catch((error: unknown) => {
    // Jobs in hand were rejected and are tried again by others. Without sessions this process is of no use.
    log.error({ err: error }, 'draw thread lost');
    process.exitCode = 1;
    process.kill(process.pid, 'SIGTERM');
  });
  log.info({ workerId: id, bundle }, 'worker ready');

  return {
    id,
    async close() {
      await stopAdmitting();
      await stopReconciling();
      const drained = Promise.all([draw.close(), faceChecks.close()]);
      const inTime = await Promise.race([drained.then(() => true), sleep(DRAIN_MS).then(() => false)]);
      if (!inTime) {
        for (const generationId of inHand) await handBack(generationId, id, false);
        await draw.close(true);
      }
      await stopRenewing();
      await artist.close();
      await db.worker.delete({ where: { id } });
      if (!options.queues) await queues.close();
    },
  };
}

interface Me {
  readonly id: string;
  /** of the bundle */
  readonly dir: string;
  readonly hash: string;
  readonly artist: Artist;
}

async function drawOne(generationId: string, me: Me, { signal, lastAttempt }: JobContext): Promise<void> {
  const drawing = await startGeneration(generationId, me.id);
  if (!drawing) return;

  const cancelled = new AbortController();
  try {
    const { request, loras } = requestOf(drawing);
    const bundleHash = await hashWith(me, loras);
    if (await reuseImage(drawing, me.id, bundleHash)) return log.info('reused');
    const result = await me.artist.draw(request, await faceOf(drawing), loras, {
      signal: AbortSignal.any([signal, cancelled.signal]),
      onProgress: everyMs(PROGRESS_EVERY_MS, async (progress) => {
        if (!(await reportProgress(generationId, me.id, progress))) cancelled.abort(new Error('cancelled'));
      }),
    });
    const png = Buffer.from(result.png.buffer);
    await finishGeneration(drawing, me.id, {
      ...result,
      ...verdictOf(result.scores),
      png,
      sha256: createHash('sha256').update(png).digest('hex'),
      bundleHash,
    });
    log.info({ timings: result.timings }, 'drawn');
  } catch (error) {
    if (cancelled.signal.aborted) {
      await abandonGeneration(generationId, me.id);
    } else if (error instanceof UserError) {
      await failGeneration(generationId, me.id, error.code);
    } else if (lastAttempt) {
      log.error({ err: error }, 'not drawn');
      await failGeneration(generationId, me.id, 'internal');
    } else {
      await handBack(generationId, me.id, true);
      throw error; // BullMQ tries again
    }
  }
}

/**
 * Of all weights that draw a picture. @throws {UserError} `lora_unknown` when one was removed after it was asked for
 */
async function hashWith({ dir, hash }: Me, loras: readonly LoraChoice[]): Promise<string> {
  if (!loras.length) return hash;
  const added = await loraHash(dir, loras).catch((error: unknown) => {
    if (!(error instanceof UnknownLoraError)) throw error;
    throw new UserError('lora_unknown', { name: error.lora, known: error.known });
  });
  return createHash('sha256').update(hash).update(added).digest('hex');
}

function requestOf(drawing: Drawing): {
  request: Omit<PortraitRequest, 'face'>;
  loras: readonly LoraChoice[];
} {
  const values = PortraitParameters.parse(drawing.parameters);
  const request = {
    prompt: drawing.prompt,
    negativePrompt: values.negative_prompt,
    width: drawing.width,
    height: drawing.height,
    seed: Number(drawing.seed),
    scheduler: values.scheduler,
    spacing: values.timestep_spacing,
    steps: values.steps,
    guidanceScale: values.guidance_scale,
    guidanceRescale: values.guidance_rescale,
    guidanceCutoff: values.guidance_cutoff,
    weight: values.weight,
    detailSteps: values.detail_steps,
    detailGuidanceScale: values.detail_guidance_scale,
    detailStrength: values.detail_strength,
    detailCropFactor: values.detail_crop_factor,
    detailSide: values.detail_size,
    detailFeather: values.detail_feather,
    faceIdWeight: values.face_id_weight,
    startMergeStep: values.start_merge_step,
  };
  return { request, loras: parseLoras(values.lora ?? '') };
}

/** @throws {UserError} `folder_empty` when its consent was withdrawn, or it was removed, after it was asked */
async function faceOf({ faceFolderId, coordinates }: Drawing): Promise<FacePhotos | null> {
  if (!faceFolderId) {
    if (coordinates && typeof coordinates === 'object' && 'face' in coordinates)
      throw new UserError('gone', {});
    return null;
  }
  return { hash: await folderHash(faceFolderId), photos: await folderPhotos(faceFolderId) };
}

async function checkOne(photoId: string, artist: Artist): Promise<void> {
  const photo = await photoToCheck(photoId);
  if (photo) await finishFaceCheck(photoId, await artist.countFaces(photo));
}

/** Runs `work` again and again, `ms` after it ended. The returned function ends it and waits for the run in hand. */
function repeat(ms: number, work: () => Promise<unknown>): () => Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  const turn = () => {
    running = work()
      .then(() => {})
      .catch((error: unknown) => log.warn({ err: error }, 'will be tried again'))
      .finally(() => {
        if (!stopped) timer = setTimeout(turn, ms);
      });
  };
  turn();
  return () => {
    stopped = true;
    clearTimeout(timer);
    return running;
  };
}

/** Calls `work` with the newest value at most every `ms`, one call at a time. */
function everyMs<T>(ms: number, work: (value: T) => Promise<void>): (value: T) => void {
  let after = 0;
  let busy = false;
  return (value) => {
    if (busy || Date.now() < after) return;
    busy = true;
    work(value)
      .catch((error: unknown) => log.warn({ err: error }, 'progress not written'))
      .finally(() => {
        busy = false;
        after = Date.now() + ms;
      });
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
