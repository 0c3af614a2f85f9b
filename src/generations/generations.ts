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

import { tiers } from '#config/tiers.ts';
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
import { type Failure, isOurFault } from '#src/errors.ts';
import { lockPeople } from '#src/people/people.ts';
import { keepPreviews, type PreviewBytes } from './previews.ts';

/** How often a generation is tried before it fails as `internal`. */
export const MAX_ATTEMPTS = 3;
/** And how often it is taken, as when workers were lost that had it: of the pictures of a turn, one may have been to blame. */
export const MAX_TAKEN = 6;

/** A generation that a worker has, with what it has to know of its batch. */
export type Drawing = Generation & {
  readonly batch: Pick<
    Batch,
    'guildId' | 'botInside' | 'production' | 'ageRestricted' | 'createdAt' | 'traceparent'
  > & {
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

/** Ids of jobs in a queue, so that no more can be in it, however much is asked for while all workers draw. */
const JOB_IDS = 1_024;

/**
 * Wakes a worker for each bundle that something waits for; to be called once the transaction is committed. A job names one that waits;
 * which is next is chosen when a worker takes it. A worker that takes its turn and leaves something wakes another in the same way, so
 * one job is enough for any number of pictures.
 */
export function wakeWorkers(waiting: readonly Pick<Generation, 'id' | 'bundle'>[]): Wake {
  const firsts = new Map(waiting.map((one) => [one.bundle, one]));
  return () => {
    for (const { id, bundle } of firsts.values()) {
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
    SELECT t.*, b."guildId", b."botInside", b.production, b."ageRestricted", b."createdAt", b.traceparent,
      coalesce(s.previews, true) AS previews,
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
      ageRestricted,
      createdAt,
      traceparent,
      previews,
      ...generation
    } = row;
    if (generation.id === null) return [];
    const batch = { guildId, botInside, production, ageRestricted, createdAt, traceparent, previews };
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
  // Their tokens come back later in the transaction, and accepting locks a person before flows: somebody who cancelled much while asking
  // for more found both waiting for each other.
  await lockPeople(tx, [...new Set(ended.map(({ userId }) => userId))]);
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
  for (const one of ended) {
    const { tier } = one;
    metrics.ended({ tier, outcome: end.state });
    if (end.state !== 'failed') continue;
    metrics.failed({ cause: end.failure });
    if (one.index === 0) metrics.requested({ tier, outcome: isOurFault(end.failure) ? 'failed' : 'refused' });
  }
}

const OUTCOMES = ['soon', 'late', 'failed', 'refused'] as const;

/** Before the first: to Prometheus a counter that begins with 1 never rose. */
export function tellNoneYet(): void {
  for (const tier of tiers.keys()) for (const outcome of OUTCOMES) metrics.requested({ tier, outcome }, 0);
}

/**
 * Its picture is stored. What a request was promised is held against its first picture: the others of it take their turns with what
 * other people asked for, as they shall.
 */
export function tellAnswered({ index, tier, queuedAt }: Generation): void {
  if (index !== 0) return;
  const seconds = (Date.now() - queuedAt.getTime()) / 1_000;
  const { within } = tiers.get(tier) ?? {};
  metrics.answered({ tier }, seconds);
  // A tier that is not there any more promised something that nobody knows now.
  if (within !== undefined) metrics.requested({ tier, outcome: seconds <= within ? 'soon' : 'late' });
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

/** What a guest asked for is this person's from now on, in the backlog as well: it takes its turns among theirs. */
export async function moveGenerations(tx: Transaction, guestId: string, personId: string): Promise<void> {
  const moved = await tx.generation.updateManyAndReturn({
    where: { userId: guestId },
    data: { userId: personId },
  });
  const waiting = moved.filter(({ state, twinId }) => state === 'queued' && twinId === null);
  await leaveFlows(
    tx,
    waiting.map((one) => ({ ...one, userId: guestId })),
  );
  await joinFlows(tx, waiting);
}

/** Locks what a guest asked for and has not ended, before anybody's row: as those do that end it. */
export async function lockGenerations(tx: Transaction, userId: string): Promise<void> {
  await tx.$executeRaw`
    SELECT 1 FROM "Generation" WHERE "userId" = ${userId} AND "endedAt" IS NULL ORDER BY id FOR UPDATE`;
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
