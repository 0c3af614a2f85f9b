/**
 * The life of one generation, from the backlog to its picture:
 *
 *   queued ──▶ running ──▶ done        an Image row holds the picture, clear or flagged
 *     │ ▲         ├──────▶ failed      refunded
 *     │ └─────────┤ handed back: SIGTERM, a lost worker, another try
 *     └───────────┴──────▶ cancelled   refunded
 *
 * Every change is one conditional update in one function below, so a job delivered again finds nothing to do. A running
 * generation belongs to one Worker row; nobody else's end of it counts. What its end means for tokens, messages and its batch is
 * in `batches/ending.ts`. The only file that writes Generation.
 */
import {
  correctFlows,
  foldCorrections,
  giveFlows,
  joinFlows,
  type Look,
  leaveFlows,
  moveClock,
} from '#src/backlog/flows.ts';
import type { Turn } from '#src/backlog/order.ts';
import { raiseCards, together, type Wake, wakeCourier } from '#src/deliveries.ts';
import { ask, type Batch, db, type Generation, Prisma, type Transaction } from '#src/doors/db.ts';
import { metrics } from '#src/doors/metrics.ts';
import { queues } from '#src/doors/queue.ts';
import { inTrace, pastSpan } from '#src/doors/traces.ts';
import type { Failure } from '#src/errors.ts';
import { keepPreviews, type PreviewBytes } from './previews.ts';

/** How often a generation is tried before it fails as `internal`. */
export const MAX_ATTEMPTS = 3;
/** And how often it is taken, as when workers were lost that had it: of the pictures of a turn, one may have been to blame. */
export const MAX_TAKEN = 6;

/** A generation that a worker has, with what it has to know of its batch. */
export type Drawing = Generation & {
  readonly batch: Pick<Batch, 'guildId' | 'botInside' | 'production' | 'createdAt' | 'traceparent'> & {
    /** whether it may be seen while it is drawn */
    readonly previews: boolean;
  };
};

/** No columns of a generation where none was taken. */
type TakenRow = ((Omit<Generation, 'seed'> & { readonly seed: string }) | { readonly id: null }) &
  Drawing['batch'] & { readonly moved: number; readonly shown: readonly string[] | null };

/** They are in the backlog from now on. */
async function wait(tx: Transaction, waiting: readonly Generation[]): Promise<Wake> {
  await joinFlows(tx, waiting);
  return wakeWorkers(waiting);
}

/** Jobs for one accepted batch, at most: more workers than these are rarely idle at once, and each looks for itself soon. */
const JOBS_MAX = 8;
/** Ids of jobs in a queue, so that no more can be in it, however much is asked for while all workers draw. */
const JOB_IDS = 1_024;

/**
 * Tells workers that something waits; to be called once the transaction is committed. A job names one that waits; which is next is
 * chosen when a worker takes it.
 */
export function wakeWorkers(waiting: readonly Pick<Generation, 'id' | 'bundle'>[]): Wake {
  return () => {
    for (const { id, bundle } of waiting.slice(0, JOBS_MAX)) {
      const slot = Number.parseInt(id.slice(-4), 16) % JOB_IDS;
      queues().wake('generation', { generationId: id }, { id: `turn-${slot}`, bundle });
    }
  };
}

/**
 * Gives a worker its turn: takes its pictures, unless another turn was given since the look, or they ended since.
 *
 * @returns null when another turn was given: look again
 */
export async function takeTurn(
  bundle: string,
  { version, corrections }: Look,
  { pictures, given, clock }: Turn,
  workerId: string,
): Promise<Drawing[] | null> {
  const ids = pictures.map(({ id }) => id);
  const [moved, taken] = [Prisma.sql`clock`, Prisma.sql`taken`];
  const rows = await ask<TakenRow>(Prisma.sql`
    WITH clock AS (${moveClock(bundle, version, clock)}),
    taken AS (
      UPDATE "Generation" SET state = 'running', "workerId" = ${workerId}, "startedAt" = now(), progress = 0, attempts = attempts + 1
      WHERE id = ANY(${ids}) AND state = 'queued' AND "twinId" IS NULL AND EXISTS (SELECT 1 FROM ${moved})
      RETURNING *),
    flows AS (${giveFlows(bundle, given, corrections, moved, taken)}),
    folded AS (${foldCorrections(corrections, moved)}),
    shown AS (${raiseCards(Prisma.sql`SELECT "batchId" FROM taken`)})
    SELECT t.*, b."guildId", b."botInside", b.production, b."createdAt", b.traceparent, coalesce(s.previews, true) AS previews,
      (SELECT count(*)::int FROM ${moved}) AS moved, (SELECT array_agg(id) FROM shown) AS shown
    FROM (SELECT 1) one LEFT JOIN taken t ON true LEFT JOIN "Batch" b ON b.id = t."batchId"
      LEFT JOIN "GuildSettings" s ON s.id = b."guildId"`);
  const [first] = rows;
  if (!first?.moved) return null;
  wakeCourier(first.shown ?? []);
  const drawings = rows.flatMap((row): Drawing[] => {
    const {
      moved: _,
      shown: __,
      guildId,
      botInside,
      production,
      createdAt,
      traceparent,
      previews,
      ...generation
    } = row;
    if (generation.id === null) return [];
    const batch = { guildId, botInside, production, createdAt, traceparent, previews };
    return [{ ...generation, seed: BigInt(generation.seed), batch }];
  });
  for (const drawing of drawings) tellBegun(drawing);
  // Cancelled since the look, and charged with the others.
  const got = new Set(drawings.map(({ id }) => id));
  const without = pictures.filter(({ id }) => !got.has(id));
  const charged = without.map(({ flow, costMs }) => ({ ...flow, bundle, costMs, progress: 0 }));
  await correctFlows(db, charged, 0);
  return drawings.sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id));
}

/** Of one that was handed back it was told before. */
function tellBegun({ id, tier, queuedAt, startedAt, attempts, batch }: Drawing): void {
  if (attempts > 1 || !startedAt) return;
  metrics.waited({ tier }, (startedAt.getTime() - queuedAt.getTime()) / 1_000);
  inTrace(batch.traceparent, () =>
    pastSpan('wait', queuedAt.getTime(), startedAt.getTime(), { generationId: id, tier }),
  );
}

/** What is new of one that is being drawn. */
export interface Report {
  readonly id: string;
  /** 0…1 */
  readonly progress: number;
  /** as the pipeline names it; null: not begun */
  readonly stage: string | null;
  /** left out: the one that is seen is still the newest */
  readonly preview?: PreviewBytes;
}

/**
 * Notes how far they are, and asks which are to go on. One statement for all of a turn, previews included.
 *
 * @returns `goOn`: ids of those that go on; of the others the batch was cancelled, or they are no longer this worker's. `wake`: to be
 *   called as often as a message is edited, and no oftener
 */
export async function reportProgress(
  workerId: string,
  reports: readonly Report[],
): Promise<{ readonly goOn: ReadonlySet<string>; readonly wake: Wake }> {
  const ids = reports.map(({ id }) => id);
  const shares = reports.map(({ progress }) => progress);
  const stages = reports.map(({ stage }) => stage);
  const previews = new Map(
    reports.flatMap(({ id, preview }) => (preview === undefined ? [] : [[id, preview] as const])),
  );
  const told = Prisma.sql`told`;
  const [row] = await ask<{ told: string[] | null; shown: string[] | null }>(Prisma.sql`
    WITH told AS (
      UPDATE "Generation" g SET progress = r.progress, stage = r.stage
      FROM unnest(${ids}::text[], ${shares}::float8[], ${stages}::text[]) AS r(id, progress, stage), "Batch" b
      WHERE g.id = r.id AND g."workerId" = ${workerId} AND g.state = 'running' AND b.id = g."batchId"
        AND b.state IN ('open', 'stopped')
      RETURNING g.id, g."batchId"),
    ${previews.size ? Prisma.sql`${keepPreviews(previews, told)},` : Prisma.empty}
    shown AS (${raiseCards(Prisma.sql`SELECT "batchId" FROM told`)})
    SELECT (SELECT array_agg(id) FROM told) AS told, (SELECT array_agg(id) FROM shown) AS shown`);
  return { goOn: new Set(row?.told), wake: () => wakeCourier(row?.shown ?? []) };
}

export interface Finish {
  readonly bundleHash: string;
  /** stage → ms */
  readonly timings: Record<string, number>;
  /** copied from a picture that was drawn before */
  readonly reused: boolean;
}

/**
 * @param gpuMs that it took; null: nobody measured it
 * @returns null when it was no longer this worker's
 */
export async function markDone(
  tx: Transaction,
  id: string,
  workerId: string,
  finish: Finish,
  gpuMs: number | null,
): Promise<Wake | null> {
  const done = await tx.generation.updateManyAndReturn({
    where: { id, state: 'running', workerId },
    data: { ...finish, state: 'done', endedAt: new Date(), progress: 1 },
  });
  await correctFlows(tx, done, gpuMs);
  return done.length ? releaseTwins(tx, done) : null;
}

export type EndWithout =
  | { readonly state: 'failed'; readonly failure: Failure }
  | { readonly state: 'cancelled' };

/**
 * Ends without a picture those that `where` matches.
 *
 * @param gpuMs that each of those took that were being drawn; null: nobody measured it
 * @returns them
 */
export async function markEnded(
  tx: Transaction,
  where: Prisma.GenerationWhereInput,
  end: EndWithout,
  gpuMs: number | null = null,
): Promise<{ readonly ended: readonly Generation[]; readonly wake: Wake }> {
  const ended = await tx.generation.updateManyAndReturn({ where, data: { ...end, endedAt: new Date() } });
  await leaveFlows(
    tx,
    ended.filter(({ workerId, twinId }) => workerId === null && twinId === null),
  );
  await correctFlows(
    tx,
    ended.filter(({ workerId }) => workerId !== null),
    gpuMs,
  );
  return { ended, wake: together(await releaseTwins(tx, ended), () => tellEnded(ended, end)) };
}

function tellEnded(ended: readonly Generation[], end: EndWithout): void {
  for (const { tier } of ended) {
    metrics.ended({ tier, outcome: end.state });
    if (end.state === 'failed') metrics.failed({ cause: end.failure });
  }
}

/** Those that waited for one of these to end are in the backlog from now on. */
async function releaseTwins(tx: Transaction, ended: readonly Pick<Generation, 'id'>[]): Promise<Wake> {
  const released = await tx.generation.updateManyAndReturn({
    where: { twinId: { in: ended.map(({ id }) => id) }, state: 'queued' },
    data: { twinId: null },
  });
  return wait(tx, released);
}

/** Lets go those whose twin has ended without them, which should never be. @returns how many */
export async function releaseLostTwins(): Promise<number> {
  return db.$executeRaw`
    UPDATE "Generation" g SET "twinId" = NULL WHERE g."twinId" IS NOT NULL AND g.state = 'queued'
      AND NOT EXISTS (SELECT 1 FROM "Generation" twin WHERE twin.id = g."twinId" AND twin."endedAt" IS NULL)`;
}

/**
 * Puts it back into the backlog. It is charged again when it is taken again.
 *
 * @param gpuMs that it took; null: nobody measured it
 * @returns null when it was no longer this worker's
 */
export async function markQueued(
  tx: Transaction,
  id: string,
  workerId: string,
  gpuMs: number | null,
): Promise<{ readonly given: Generation; readonly wake: Wake } | null> {
  const before = await tx.generation.findUnique({ where: { id }, select: { progress: true } });
  const [given] = await tx.generation.updateManyAndReturn({
    where: { id, state: 'running', workerId },
    data: { state: 'queued', workerId: null, progress: 0 },
  });
  if (!given) return null;
  await correctFlows(tx, [{ ...given, progress: before?.progress ?? 0 }], gpuMs);
  return { given, wake: await wait(tx, [given]) };
}
