/** Which place somebody has, and how long it takes: the order run forward over the rows as they are now, and how far off that is. */
import { config } from '#config/env.ts';
import { tierRules } from '#config/tiers.ts';
import { ask, Prisma } from '#src/doors/db.ts';
import { canDraw, isAlive } from './fleet.ts';
import { correctionsOf } from './flows.ts';
import { forecast, type Place, type Run, type Running } from './forecast.ts';
import { type Clock, type Correction, counted, type Flow, startOfTime } from './order.ts';
import { type Range, rangeOf, spreads } from './ranges.ts';
import { type Reason, reasonOf, type ToldState } from './reasons.ts';
import { withOthers } from './shared-workers.ts';

export type { Place } from './forecast.ts';
export type { Reason } from './reasons.ts';

/** What a batch's people are told. */
export interface Told extends Place {
  /** when it is ready in four of five cases, ms from now */
  readonly range: Range;
  /** why it is later than they were told first; null: it is not, or there is no telling */
  readonly reason: Reason | null;
  /** to be kept with what they are told first */
  readonly told: ToldState;
}

/** A flow of which the pictures are only counted. */
interface FlowCount extends Omit<Flow, 'pictures'> {
  readonly waiting: number;
  /** GPU ms of all of them */
  readonly waitingMs: number;
}

const NOWHERE: Place = { tier: '', ahead: 0, aheadInTier: 0, aheadBy: {}, readyMs: 0 };

/** Where an accepted batch stands. */
export async function placeOf(batchId: string, now?: Date): Promise<Told> {
  const [place] = await placesOf([batchId], now);
  return place!;
}

/** Where several stand, in the order of `batchIds`: the backlog is read once for all of them. */
export async function placesOf(batchIds: readonly string[], now?: Date): Promise<Told[]> {
  if (!batchIds.length) return [];
  const bundles = await bundlesFor(batchIds);
  const each = await Promise.all(bundles.map((bundle) => placesIn(bundle, batchIds, now)));
  // Pictures of one batch may wait for several bundles: it is ready when the last of them is.
  return batchIds.map((_, i) => {
    const all = each.map((own) => own[i]!);
    const there = all.filter(({ isThere }) => isThere).map(({ told }) => told);
    const last = (there.length ? there : all.map(({ told }) => told)).reduce((a, b) =>
      b.readyMs > a.readyMs ? b : a,
    );
    const first = there.reduce((a, b) => (b.ahead < a.ahead ? b : a), last);
    return { ...last, ahead: first.ahead, aheadInTier: first.aheadInTier };
  });
}

/** Those that draw what is still to be drawn, or the default one: what nobody waits for need not be read. */
async function bundlesFor(batchIds: readonly string[]): Promise<readonly string[]> {
  if (config.bundles.length < 2) return config.bundles;
  const going = await ask<{ bundle: string }>(Prisma.sql`
    SELECT DISTINCT bundle FROM "Generation" WHERE "batchId" = ANY(${[...batchIds]}) AND "endedAt" IS NULL`);
  return going.length ? going.map(({ bundle }) => bundle) : [config.bundle];
}

/** Of one bundle. `isThere`: whether something of the batch waits or is drawn there. */
async function placesIn(
  bundle: string,
  batchIds: readonly string[],
  now?: Date,
): Promise<{ readonly isThere: boolean; readonly told: Told }[]> {
  const [state, later, spreadOf] = await Promise.all([
    stateNow(bundle, batchIds, now),
    withOthers(bundle),
    spreads(),
  ]);
  const runs = runsOf(state.flows, state.own);
  const places = forecast({ ...state, runs }, tierRules, state.now);
  const begun = Object.fromEntries(tierRules.map(({ name }) => [name, state.clock.tiers[name]?.begun ?? 0]));
  return batchIds.map((id) => {
    const known = places.get(id);
    const place = known ? { ...known, readyMs: later(known.readyMs) } : NOWHERE;
    const range = rangeOf(place.readyMs, spreadOf(place.tier, place.readyMs));
    const { now: at, workers } = state;
    const told = { toAt: at + range.toMs, aheadBy: place.aheadBy, begun, workers };
    const before = state.told?.[id];
    const reason = before ? reasonOf(before, { ...told, at, place }) : null;
    return { isThere: known !== undefined, told: { ...place, range, told, reason } };
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
  /** what waits of those who asked for the batches in question, or for what these wait for, in their order */
  readonly own: readonly OwnRun[];
  /** batch → what its people were told first, of those of which nothing was begun */
  readonly told: Readonly<Record<string, ToldState>> | null;
}

/** In one statement, as accepting waits for it. Times are ms. @param when instead of Postgres' clock */
async function stateNow(bundle: string, batchIds: readonly string[], when?: Date): Promise<State> {
  const ms = (moment: Prisma.Sql) => Prisma.sql`extract(epoch FROM ${moment})::float8 * 1000`;
  const now = when ? Prisma.sql`${when}::timestamptz` : Prisma.sql`now()`;
  const ids = [...batchIds];
  const [row] = await ask<
    Omit<State, 'clock'> & { clock: Clock | null; corrections: readonly Correction[] }
  >(Prisma.sql`
    -- Pictures that some of the batches wait for, to copy them: as if they were theirs.
    WITH twin AS MATERIALIZED (
      SELECT "twinId" AS id, array_agg(DISTINCT "batchId") AS twins FROM "Generation"
      WHERE "batchId" = ANY(${ids}) AND state = 'queued' AND "twinId" IS NOT NULL GROUP BY "twinId"),
    asker AS (
      SELECT "ownerId" AS "userId", tier FROM "Batch" WHERE id = ANY(${ids})
      UNION SELECT g."userId", g.tier FROM twin JOIN "Generation" g USING (id))
    SELECT ${ms(now)} AS now,
      (SELECT json_build_object('now', c.now, 'largestMs', c."largestMs", 'tiers', c.tiers) FROM "Clock" c
        WHERE c.bundle = ${bundle}) AS clock,
      (SELECT coalesce(json_agg(c), '[]') FROM (${correctionsOf([bundle])}) c) AS corrections,
      (SELECT coalesce(json_agg(f), '[]') FROM (SELECT tier, "userId", loras, nullif("faceId", '') AS "faceId", waiting, "waitingMs",
          "givenMs", ${ms(Prisma.sql`since`)} AS since FROM "Flow" WHERE bundle = ${bundle} AND waiting > 0) f) AS flows,
      (SELECT coalesce(json_agg(r), '[]') FROM (SELECT "workerId", "batchId", tier, loras, "costMs", progress, coalesce(twins, '{}') AS twins,
          greatest(0, ${ms(Prisma.sql`${now} - coalesce("startedAt", ${now})`)}) AS "elapsedMs"
        FROM "Generation" g LEFT JOIN twin USING (id) WHERE bundle = ${bundle} AND state = 'running') r) AS running,
      (SELECT count(*)::int FROM "Worker" w WHERE ${canDraw(bundle)} AND ${isAlive} AND w.aside IS NULL) AS workers,
      -- What they wait for besides stands together, however much it is.
      (SELECT coalesce(json_agg(o), '[]') FROM (
        SELECT tier, "userId", loras, "faceId", batch AS "batchId", count(*)::int AS pictures, sum("costMs") AS "costMs",
          coalesce(max(twins), '{}') AS twins
        FROM (
          SELECT r.*, sum(CASE WHEN begins THEN 1 ELSE 0 END) OVER (PARTITION BY tier, "userId", loras, "faceId"
            ORDER BY "queuedAt", "batchId", index) AS part
          FROM (
            SELECT g.tier, g."userId", g.loras, g."faceId", g."costMs", g."queuedAt", g."batchId", g.index, of.batch, twin.twins,
              of.batch IS DISTINCT FROM lag(of.batch) OVER own OR lag(twin.id) OVER own IS NOT NULL AS begins
            FROM asker JOIN "Generation" g ON g.bundle = ${bundle} AND g.tier = asker.tier AND g."userId" = asker."userId"
              AND g.state = 'queued' AND g."twinId" IS NULL
            LEFT JOIN twin USING (id),
            LATERAL (SELECT CASE WHEN g."batchId" = ANY(${ids}) THEN g."batchId" END AS batch) of
            WINDOW own AS (PARTITION BY g.tier, g."userId", g.loras, g."faceId" ORDER BY g."queuedAt", g."batchId", g.index)) r) g
        GROUP BY tier, "userId", loras, "faceId", batch, part
        ORDER BY part) o) AS own,
      (SELECT json_object_agg(b.id, b.told) FROM "Batch" b WHERE b.id = ANY(${ids}) AND b.told IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM "Generation" g WHERE g."batchId" = b.id AND (g.state <> 'queued' OR g.attempts > 0))) AS told`);
  const { corrections, ...state } = row!;
  return { ...state, ...counted(state.clock ?? startOfTime, state.flows, corrections, tierRules) };
}
