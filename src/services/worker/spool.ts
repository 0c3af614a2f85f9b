/**
 * What was drawn while storage was away. It waits on this machine's disk, under DATA_DIR/spool, and its row stays this worker's:
 *
 *   drawn ──▶ kept here ──storage is back──▶ stored, and only now done
 *                │   └──cancelled, consent withdrawn──▶ dropped, tokens back
 *                └──this worker stops──▶ back into the backlog; whoever takes it here again finds it drawn
 *
 * So no row ever names bytes that are on one machine alone: with the machine lost, others draw the picture again. What is kept is
 * bounded: past that the worker takes nothing until storage takes bytes again.
 */
import { resolve } from 'node:path';
import { z } from 'zod';
import {
  abandonGeneration,
  type Drawn,
  failGeneration,
  finishGeneration,
  handBack,
} from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import { log, withContext } from '#src/doors/log.ts';
import { isMissing, isStorageAway, isTemporary, openStore } from '#src/doors/storage.ts';
import { failureOf, UserError } from '#src/errors.ts';
import { type Drawing, reportProgress } from '#src/generations/generations.ts';
import { Judgement } from '#src/moderation/verdicts.ts';
import { repeat } from '../timers.ts';
import type { Room } from './room.ts';

/** About 500 pictures of 1024². What is in hand when it is reached is kept beyond it. */
const KEPT_MAX_BYTES = 2 ** 30;
const TRY_EVERY_MS = 1_500;
const FOLDER = 'drawn';
/** As cards name it. */
const STAGE = 'storage';

/** The first line of a file; the picture follows. */
const Head = z.object({
  key: z.string(),
  width: z.number(),
  height: z.number(),
  sha256: z.string(),
  thumbhash: z.base64().transform((text) => new Uint8Array(Buffer.from(text, 'base64'))),
  verdict: z.enum(['clear', 'flagged']),
  scores: z.record(z.string(), z.number()),
  rule: z.string().nullable(),
  judged: Judgement,
  likeness: z.number().nullable(),
  bundleHash: z.string(),
  photoIds: z.array(z.string()),
  timings: z.record(z.string(), z.number()),
  gpuMs: z.number(),
});

type Kept = Drawn & { readonly key: string; readonly gpuMs: number };

export interface Spool {
  /** Whether this worker holds it for when storage is back. */
  holds(generationId: string): boolean;
  /** Keeps what was drawn until it can be stored; from now on its end is the spool's affair. */
  keep(drawing: Drawing, drawn: Drawn): Promise<void>;
  /** What was drawn of it before this process, by the same weights; null: nothing */
  find(drawing: Drawing, bundleHash: string): Promise<Drawn | null>;
  /** It has ended otherwise. */
  drop(generationId: string): Promise<void>;
  /** Puts what it holds back into the backlog; the files stay. */
  close(): Promise<void>;
}

export interface SpoolOptions {
  readonly dataDir: string;
  readonly workerId: string;
  readonly room: Pick<Room, 'shut'>;
  /** told of each that it held and holds no more */
  readonly gone: (generationId: string) => void;
  /** bytes */
  readonly most?: number;
}

export async function openSpool({
  dataDir,
  workerId,
  room,
  gone,
  most = KEPT_MAX_BYTES,
}: SpoolOptions): Promise<Spool> {
  const disk = await openStore({ dir: resolve(dataDir, 'spool') });
  const fileOf = (generationId: string) => `${FOLDER}/${generationId}`;
  const held = new Map<string, { readonly drawing: Drawing; readonly bytes: number; isTold: boolean }>();

  /** @throws what `isMissing` knows, and of a file that is none of ours */
  async function read(generationId: string): Promise<Kept> {
    const file = await disk.get(fileOf(generationId));
    const end = file.indexOf('\n');
    return { ...Head.parse(JSON.parse(file.toString('utf8', 0, end))), png: file.subarray(end + 1) };
  }

  async function forget(generationId: string): Promise<void> {
    await disk.remove(fileOf(generationId));
    held.delete(generationId);
    gone(generationId);
  }

  /** Ends those that nobody waits for any more. */
  async function heed(): Promise<void> {
    const reports = [...held.keys()].map((id) => ({ id, progress: 1, stage: STAGE }));
    const { goOn, wake } = await reportProgress(workerId, reports);
    if ([...held.values()].some(({ isTold }) => !isTold)) wake();
    for (const one of held.values()) one.isTold = true;
    for (const { id } of reports) {
      if (goOn.has(id)) continue;
      await abandonGeneration(id, workerId);
      await forget(id);
    }
  }

  async function store(generationId: string, drawing: Drawing): Promise<void> {
    let drawn: Kept;
    try {
      drawn = await read(generationId);
    } catch (error) {
      log.error({ err: error }, 'what was drawn cannot be read: it is drawn again');
      await handBack(generationId, workerId);
      return forget(generationId);
    }
    try {
      await finishGeneration(drawing, workerId, drawn);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      await failGeneration(generationId, workerId, failureOf(error), drawn.gpuMs);
    }
    await forget(generationId);
    log.info('stored what was drawn while storage was away');
  }

  const stop = repeat(TRY_EVERY_MS, async () => {
    if (!held.size) return;
    await heed();
    for (const [id, { drawing }] of [...held]) {
      try {
        await withContext({ generationId: id, batchId: drawing.batchId }, () => store(id, drawing));
      } catch (error) {
        if (isStorageAway(error)) return;
        throw error;
      }
    }
  });

  await dropEnded(disk, fileOf);
  return {
    holds: (id) => held.has(id),
    async keep(drawing, { png, thumbhash, ...rest }) {
      const { id } = drawing;
      const head = {
        gpuMs: 0,
        ...rest,
        key: drawing.key,
        thumbhash: Buffer.from(thumbhash).toString('base64'),
      };
      await disk.put(fileOf(id), Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), png]));
      held.set(id, { drawing, bytes: png.length, isTold: false });
      log.warn({ held: held.size }, 'storage is away: what was drawn is kept here');
      if (held.values().reduce((sum, { bytes }) => sum + bytes, 0) >= most) room.shut();
    },
    async find({ id, key }, bundleHash) {
      try {
        const { key: was, ...drawn } = await read(id);
        if (was === key && drawn.bundleHash === bundleHash) return drawn;
      } catch (error) {
        if (!isMissing(error))
          log.warn({ err: error }, 'what was drawn before cannot be read: it is drawn again');
      }
      return null;
    },
    drop: (id) => disk.remove(fileOf(id)),
    async close() {
      await stop();
      for (const id of held.keys()) {
        await handBack(id, workerId).catch((error: unknown) =>
          log.warn({ err: error, generationId: id }, 'not handed back: it will be taken over'),
        );
        gone(id);
      }
      held.clear();
    },
  };
}

/** Of a process before this one: goes where others drew it since, or nobody wants it. */
async function dropEnded(
  disk: Awaited<ReturnType<typeof openStore>>,
  fileOf: (generationId: string) => string,
): Promise<void> {
  const ids: string[] = [];
  for await (const key of disk.list(FOLDER)) {
    if (!isTemporary(key)) ids.push(key.slice(FOLDER.length + 1));
  }
  if (!ids.length) return;
  const rows = await db.generation.findMany({
    where: { id: { in: ids }, state: { in: ['queued', 'running'] } },
    select: { id: true },
  });
  const awaited = new Set(rows.map(({ id }) => id));
  for (const id of ids) if (!awaited.has(id)) await disk.remove(fileOf(id));
  log.info({ found: ids.length, awaited: awaited.size }, 'pictures that were drawn before and not stored');
}
