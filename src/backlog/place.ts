/** Which place somebody has, and how long it takes: the order run forward over the rows as they are now. */
import { config } from '#config/env.ts';
import { tierRules } from '#config/tiers.ts';
import { ask, Prisma } from '#src/doors/db.ts';
import { canDraw, isAlive } from './fleet.ts';
import { forecast, type Place, type Run, type Running } from './forecast.ts';
import { type Clock, type Flow, startOfTime } from './order.ts';
import { withOthers } from './shared-workers.ts';

export type { Place } from './forecast.ts';

/** A flow of which the pictures are only counted. */
interface FlowCount extends Omit<Flow, 'pictures'> {
  readonly waiting: number;
  /** GPU ms of all of them */
  readonly waitingMs: number;
}

const NOWHERE: Place = { ahead: 0, readyMs: 0 };

/** Where an accepted batch stands. */
export async function placeOf(batchId: string, now?: Date): Promise<Place> {
  const [place] = await placesOf([batchId], now);
  return place ?? NOWHERE;
}

/** Where several stand, in the order of `batchIds`: the backlog is read once for all of them. */
export async function placesOf(batchIds: readonly string[], now?: Date): Promise<Place[]> {
  if (!batchIds.length) return [];
  const each = await Promise.all(config.bundles.map((bundle) => placesIn(bundle, batchIds, now)));
  // Pictures of one batch may wait for several bundles.
  return batchIds.map((_, i) => {
    const places = each.flatMap((own) => own[i] ?? []);
    if (!places.length) return NOWHERE;
    return {
      ahead: Math.min(...places.map(({ ahead }) => ahead)),
      readyMs: Math.max(...places.map(({ readyMs }) => readyMs)),
    };
  });
}

/** null: nothing of it waits or is drawn there */
async function placesIn(bundle: string, batchIds: readonly string[], now?: Date): Promise<(Place | null)[]> {
  const [state, later] = await Promise.all([stateNow(bundle, batchIds, now), withOthers(bundle)]);
  const runs = runsOf(state.flows, state.own);
  const places = forecast({ ...state, runs }, tierRules, state.now);
  return batchIds.map((id) => {
    const place = places.get(id);
    return place ? { ...place, readyMs: later(place.readyMs) } : null;
  });
}

const PLANNED = 'planned';

/** Where a batch that is only planned would stand. */
export async function forecastOf(
  plan: {
    readonly userId: string;
    readonly tier: string;
    readonly pictures: number;
    readonly costMs: number;
    /** the default one when left out */
    readonly bundle?: string;
  },
  now?: Date,
): Promise<Place> {
  if (!plan.pictures) return NOWHERE;
  const { bundle = config.bundle } = plan;
  const [state, later] = await Promise.all([stateNow(bundle, [], now), withOthers(bundle)]);
  const known = state.flows.find(({ userId, tier }) => userId === plan.userId && tier === plan.tier);
  const { givenMs, since } = known ?? { givenMs: 0, since: state.now };
  const run = { ...plan, loras: '', faceId: null, givenMs, since, batchId: PLANNED };
  const places = forecast({ ...state, runs: [...runsOf(state.flows, []), run] }, tierRules, state.now);
  const place = places.get(PLANNED) ?? NOWHERE;
  return { ...place, readyMs: later(place.readyMs) };
}

type OwnRun = Omit<Run, 'givenMs' | 'since'>;

/** Flows as runs, those of the people in question batch by batch. */
function runsOf(flows: readonly FlowCount[], own: readonly OwnRun[]): Run[] {
  const keyOf = ({ tier, userId, loras, faceId }: OwnRun | FlowCount) =>
    `${tier} ${userId} ${faceId} ${loras}`;
  const byFlow = Map.groupBy(own, keyOf);
  return flows.flatMap((flow): Run[] => {
    const { waiting, waitingMs, ...rest } = flow;
    const { givenMs, since } = flow;
    const runs = byFlow.get(keyOf(flow));
    return runs
      ? runs.map((run) => ({ ...run, givenMs, since }))
      : [{ ...rest, batchId: null, pictures: waiting, costMs: waitingMs }];
  });
}

interface State {
  readonly now: number;
  readonly clock: Clock;
  readonly flows: readonly FlowCount[];
  readonly running: readonly Running[];
  readonly workers: number;
  /** what waits of those who asked for the batches in question, in their order */
  readonly own: readonly OwnRun[];
}

/** In one statement, as accepting waits for it. Times are ms. @param when instead of Postgres' clock */
async function stateNow(bundle: string, batchIds: readonly string[], when?: Date): Promise<State> {
  const ms = (moment: Prisma.Sql) => Prisma.sql`extract(epoch FROM ${moment})::float8 * 1000`;
  const now = when ? Prisma.sql`${when}::timestamptz` : Prisma.sql`now()`;
  const [row] = await ask<Omit<State, 'clock'> & { clock: Clock | null }>(Prisma.sql`
    SELECT ${ms(now)} AS now,
      (SELECT json_build_object('now', c.now, 'largestMs', c."largestMs", 'tiers', c.tiers) FROM "Clock" c
        WHERE c.bundle = ${bundle}) AS clock,
      (SELECT coalesce(json_agg(f), '[]') FROM (SELECT tier, "userId", loras, nullif("faceId", '') AS "faceId", waiting, "waitingMs",
          "givenMs", ${ms(Prisma.sql`since`)} AS since FROM "Flow" WHERE bundle = ${bundle} AND waiting > 0) f) AS flows,
      (SELECT coalesce(json_agg(r), '[]') FROM (SELECT "workerId", "batchId", "costMs", progress,
          greatest(0, ${ms(Prisma.sql`${now} - coalesce("startedAt", ${now})`)}) AS "elapsedMs"
        FROM "Generation" WHERE bundle = ${bundle} AND state = 'running') r) AS running,
      (SELECT count(*)::int FROM "Worker" w WHERE ${canDraw(bundle)} AND ${isAlive} AND w.aside IS NULL) AS workers,
      (SELECT coalesce(json_agg(o), '[]') FROM (
        SELECT g.tier, g."userId", g.loras, g."faceId", g."batchId", count(*)::int AS pictures, sum(g."costMs") AS "costMs"
        FROM (SELECT DISTINCT "ownerId", tier FROM "Batch" WHERE id = ANY(${[...batchIds]})) b
        JOIN "Generation" g ON g.bundle = ${bundle} AND g.tier = b.tier AND g."userId" = b."ownerId" AND g.state = 'queued'
          AND g."twinId" IS NULL
        GROUP BY g.tier, g."userId", g.loras, g."faceId", g."batchId"
        ORDER BY min(g."queuedAt"), g."batchId") o) AS own`);
  return { ...row!, clock: row?.clock ?? startOfTime };
}
