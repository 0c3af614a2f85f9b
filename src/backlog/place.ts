/** Which place somebody has, and how long it takes: the order run forward over the rows as they are now, and how far off that is. */
import { config } from '#config/env.ts';
import { tierRules } from '#config/tiers.ts';
import { ask, Prisma } from '#src/doors/db.ts';
import { correctionsOf } from './flows.ts';
import { forecast, type Place, type Run, type Running } from './forecast.ts';
import { type Clock, type Correction, counted, type Flow, startOfTime } from './order.ts';
import { type Range, rangeOf, spreads } from './ranges.ts';
import { type Reason, reasonOf, type ToldState } from './reasons.ts';
import { laterBy, type Shared, sharedOf } from './shared-workers.ts';

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

/** Those that are asked for while a look at the backlog is on its way: the next is for all of them. */
let next: { readonly batchIds: Set<string>; readonly told: Promise<ReadonlyMap<string, Told>> } | null = null;
let looking: Promise<unknown> = Promise.resolve();

/** Where an accepted batch stands. Those that are asked for at the same time, as by a courier that draws many cards, cost one look. */
export async function placeOf(batchId: string): Promise<Told> {
  next ??= lookNext();
  next.batchIds.add(batchId);
  const told = await next.told;
  return told.get(batchId)!;
}

function lookNext() {
  const batchIds = new Set<string>();
  const told = looking.then(async () => {
    next = null;
    const ids = [...batchIds];
    const places = await placesOf(ids);
    return new Map(ids.map((id, i) => [id, places[i]!]));
  });
  looking = told.catch(() => {});
  return { batchIds, told };
}

/** Where several stand, in the order of `batchIds`: the backlog is read once for all of them. */
export async function placesOf(batchIds: readonly string[], now?: Date): Promise<Told[]> {
  if (!batchIds.length) return [];
  const [states, spreadOf] = await Promise.all([statesNow(bundlesOf(batchIds), batchIds, now), spreads()]);
  const each = states.map((state) => placesIn(state, batchIds, spreadOf));
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
function bundlesOf(batchIds: readonly string[]): Prisma.Sql {
  const { bundle, bundles } = config;
  if (bundles.length < 2) return Prisma.sql`SELECT ${bundle}::text`;
  return Prisma.sql`
    SELECT DISTINCT bundle FROM "Generation" WHERE "batchId" = ANY(${[...batchIds]}) AND "endedAt" IS NULL
    UNION ALL SELECT ${bundle}::text
      WHERE NOT EXISTS (SELECT 1 FROM "Generation" WHERE "batchId" = ANY(${[...batchIds]}) AND "endedAt" IS NULL)`;
}

type SpreadOf = Awaited<ReturnType<typeof spreads>>;

/** Of one bundle. `isThere`: whether something of the batch waits or is drawn there. */
function placesIn(
  state: State,
  batchIds: readonly string[],
  spreadOf: SpreadOf,
): { readonly isThere: boolean; readonly told: Told }[] {
  const { bundle, now: at, shared } = state;
  const { workers } = shared;
  const runs = runsOf(state.flows, state.own);
  const places = forecast({ ...state, workers, runs }, tierRules, at);
  const begun = Object.fromEntries(tierRules.map(({ name }) => [name, state.clock.tiers[name]?.begun ?? 0]));
  return batchIds.map((id) => {
    const known = places.get(id);
    const place = known ? ranged(known, shared, spreadOf) : { ...NOWHERE, range: { fromMs: 0, toMs: 0 } };
    const told = { bundle, toAt: at + place.range.toMs, aheadBy: place.aheadBy, begun, workers };
    const before = state.told?.[id];
    const reason = before ? reasonOf(before, { ...told, at, place }) : null;
    return { isThere: known !== undefined, told: { ...place, told, reason } };
  });
}

/** With what workers do besides, and how far off such a forecast is. */
function ranged(place: Place, shared: Shared, spreadOf: SpreadOf): Place & { readonly range: Range } {
  const readyMs = place.readyMs + laterBy(place.readyMs, shared);
  return { ...place, readyMs, range: rangeOf(readyMs, spreadOf(place.tier, readyMs)) };
}

const PLANNED = 'planned';

/**
 * Where a batch that is only planned would stand where it ends last, and when it would be ready in four of five cases, ms from now.
 *
 * @param plan `parts`: what each bundle is to draw; one at least
 */
export async function forecastOf(
  plan: {
    readonly userId: string;
    readonly tier: string;
    readonly parts: readonly {
      readonly bundle: string;
      readonly pictures: number;
      readonly costMs: number;
    }[];
  },
  now?: Date,
): Promise<Place & { readonly range: Range }> {
  const { userId, tier, parts } = plan;
  const bundles = Prisma.sql`SELECT unnest(${parts.map(({ bundle }) => bundle)}::text[])`;
  const [states, spreadOf] = await Promise.all([statesNow(bundles, [], now), spreads()]);
  const places = states.map((state) => {
    const { pictures, costMs } = parts.find(({ bundle }) => bundle === state.bundle)!;
    const known = state.flows.find((flow) => flow.userId === userId && flow.tier === tier);
    const { givenMs, since } = known ?? { givenMs: 0, since: state.now };
    const run = { userId, tier, pictures, costMs, loras: '', faceId: null, givenMs, since, batchId: PLANNED };
    const runs = [...runsOf(state.flows, []), run];
    const place = forecast({ ...state, workers: state.shared.workers, runs }, tierRules, state.now).get(
      PLANNED,
    );
    return ranged(place ?? NOWHERE, state.shared, spreadOf);
  });
  return places.reduce((a, b) => (b.readyMs > a.readyMs ? b : a));
}

/** Pictures in question that stand together in their flow. */
interface OwnRun extends Omit<Run, 'givenMs' | 'since'> {
  /** pictures of the flow that stand before them */
  readonly before: number;
  /** GPU ms of those */
  readonly beforeMs: number;
}

/** Flows as runs: what is in question apart from what stands before and after it. */
function runsOf(flows: readonly FlowCount[], own: readonly OwnRun[]): Run[] {
  const keyOf = ({ tier, userId, loras, faceId }: OwnRun | FlowCount) =>
    `${tier} ${userId} ${faceId} ${loras}`;
  const byFlow = Map.groupBy(own, keyOf);
  return flows.flatMap((flow): Run[] => {
    const { waiting, waitingMs, ...rest } = flow;
    const { givenMs, since } = flow;
    const others = (pictures: number, costMs: number): Run[] =>
      pictures > 0 ? [{ ...rest, batchId: null, pictures, costMs }] : [];
    let [seen, seenMs] = [0, 0];
    const runs: Run[] = [];
    for (const { before, beforeMs, ...run } of (byFlow.get(keyOf(flow)) ?? []).sort(
      (a, c) => a.before - c.before,
    )) {
      runs.push(...others(before - seen, beforeMs - seenMs), { ...run, givenMs, since });
      [seen, seenMs] = [before + run.pictures, beforeMs + run.costMs];
    }
    return [...runs, ...others(waiting - seen, waitingMs - seenMs)];
  });
}

/** Of one bundle. */
interface State {
  readonly bundle: string;
  readonly now: number;
  readonly clock: Clock;
  readonly flows: readonly FlowCount[];
  readonly running: readonly Running[];
  readonly shared: Shared;
  /** what waits of the batches in question, and what these wait for */
  readonly own: readonly OwnRun[];
  /** batch → what its people were told first, of those of which nothing was begun */
  readonly told: Readonly<Record<string, ToldState>> | null;
}

/**
 * In one statement, as accepting waits for it. Times are ms.
 *
 * @param bundles a query for their names
 * @param when instead of Postgres' clock
 */
async function statesNow(
  bundles: Prisma.Sql,
  batchIds: readonly string[],
  when?: Date,
): Promise<readonly State[]> {
  const ms = (moment: Prisma.Sql) => Prisma.sql`extract(epoch FROM ${moment})::float8 * 1000`;
  const now = when ? Prisma.sql`${when}::timestamptz` : Prisma.sql`now()`;
  const ids = [...batchIds];
  const rows = await ask<
    Omit<State, 'clock'> & { clock: Clock | null; corrections: readonly Correction[] }
  >(Prisma.sql`
    WITH b (bundle) AS MATERIALIZED (${bundles}),
    correction AS MATERIALIZED (${correctionsOf(Prisma.sql`SELECT bundle FROM b`)}),
    -- Pictures that some of the batches wait for, to copy them: as if they were theirs.
    twin AS MATERIALIZED (
      SELECT "twinId" AS id, array_agg(DISTINCT "batchId") AS twins FROM "Generation"
      WHERE "batchId" = ANY(${ids}) AND state = 'queued' AND "twinId" IS NOT NULL GROUP BY "twinId")
    SELECT b.bundle, ${ms(now)} AS now,
      (SELECT json_build_object('now', c.now, 'largestMs', c."largestMs", 'tiers', c.tiers) FROM "Clock" c
        WHERE c.bundle = b.bundle) AS clock,
      (SELECT coalesce(json_agg(c), '[]') FROM correction c WHERE c.bundle = b.bundle) AS corrections,
      (SELECT coalesce(json_agg(f), '[]') FROM (SELECT tier, "userId", loras, nullif("faceId", '') AS "faceId", waiting, "waitingMs",
          "givenMs", ${ms(Prisma.sql`since`)} AS since FROM "Flow" o WHERE o.bundle = b.bundle AND waiting > 0) f) AS flows,
      (SELECT coalesce(json_agg(r), '[]') FROM (SELECT "workerId", "batchId", tier, loras, "costMs", progress, coalesce(twins, '{}') AS twins,
          greatest(0, ${ms(Prisma.sql`${now} - coalesce("startedAt", ${now})`)}) AS "elapsedMs"
        FROM "Generation" g LEFT JOIN twin USING (id) WHERE g.bundle = b.bundle AND state = 'running') r) AS running,
      ${sharedOf(Prisma.sql`b.bundle`)} AS shared,
      -- Of what else their people wait for it is only counted what comes before.
      (SELECT coalesce(json_agg(o), '[]') FROM (
        SELECT tier, "userId", loras, "faceId", batch AS "batchId", pictures, "costMs", twins, before.*
        FROM (
          SELECT tier, "userId", loras, "faceId", "queuedAt", "batchId", batch, min(index) AS index, count(*)::int AS pictures,
            sum("costMs") AS "costMs", coalesce(max(twins), '{}') AS twins
          FROM (
            SELECT g.*, twin.twins, CASE WHEN g."batchId" = ANY(${ids}) THEN g."batchId" END AS batch,
              -- A run ends with a picture that is waited for.
              count(twin.id) OVER (PARTITION BY g.tier, g."userId", g.loras, g."faceId", g."queuedAt", g."batchId" ORDER BY g.index
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS part
            FROM (SELECT id FROM "Generation" WHERE "batchId" = ANY(${ids}) UNION SELECT id FROM twin) of JOIN "Generation" g USING (id)
              LEFT JOIN twin USING (id)
            WHERE g.bundle = b.bundle AND g.state = 'queued' AND g."twinId" IS NULL) g
          GROUP BY tier, "userId", loras, "faceId", "queuedAt", "batchId", batch, part) run,
        LATERAL (SELECT count(*)::int AS before, coalesce(sum(w."costMs"), 0) AS "beforeMs" FROM "Generation" w
          WHERE w.bundle = b.bundle AND w.tier = run.tier AND w."userId" = run."userId" AND w.loras = run.loras
            AND w."faceId" IS NOT DISTINCT FROM run."faceId" AND w.state = 'queued' AND w."twinId" IS NULL
            AND (w."queuedAt", w."batchId", w.index) < (run."queuedAt", run."batchId", run.index)) before) o) AS own,
      (SELECT json_object_agg(b.id, b.told) FROM "Batch" b WHERE b.id = ANY(${ids}) AND b.told IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM "Generation" g WHERE g."batchId" = b.id AND (g.state <> 'queued' OR g.attempts > 0))) AS told
    FROM b`);
  return rows.map(({ corrections, ...state }) => ({
    ...state,
    ...counted(state.clock ?? startOfTime, state.flows, corrections, tierRules),
  }));
}
