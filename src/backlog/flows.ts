/**
 * The backlog's rows: what each person waits for, and what the order remembers of what it gave. The only file that writes Flow,
 * Clock and Correction.
 *
 * A flow counts what waits in it, so that choosing looks at an index of flows and never at the backlog. Whoever makes a generation
 * wait, or no longer wait, says so here in the same transaction. Those that wait for an equal picture are in no flow.
 */
import { tierRules, tiers } from '#config/tiers.ts';
import { ask, db, type Generation, Prisma, type Transaction } from '#src/doors/db.ts';
import { measured } from './costs.ts';
import {
  type Clock,
  type Correction,
  counted,
  type Flow,
  LOOK,
  startOfTime,
  TURN_MAX,
  type Turn,
  type Waiting,
  type Warm,
} from './order.ts';

/** Those of which nothing waits are forgotten so long after their last turn: others have been given as much by then. ms */
const FORGET_MS = 60 * 60_000;

type InFlow = Pick<Generation, 'bundle' | 'tier' | 'userId' | 'loras' | 'faceId' | 'costMs'>;

interface Change {
  bundle: string;
  tier: string;
  userId: string;
  loras: string;
  faceId: string;
  count: number;
  ms: number;
}

/** In the order of their keys: two transactions that change the same flows do not wait for each other in a circle. */
function changesOf(generations: readonly InFlow[]): string {
  const changes = new Map<string, Change>();
  for (const { bundle, tier, userId, loras, faceId, costMs } of generations) {
    const key = JSON.stringify([bundle, tier, userId, loras, faceId]);
    const change = changes.get(key) ?? { bundle, tier, userId, loras, faceId: faceId ?? '', count: 0, ms: 0 };
    changes.set(key, change);
    change.count++;
    change.ms += costMs;
  }
  return JSON.stringify([...changes].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, change]) => change));
}

const asRows = (changes: string) => Prisma.sql`jsonb_to_recordset(${changes}::jsonb)
  AS c(bundle text, tier text, "userId" text, loras text, "faceId" text, count int, ms float8)`;

/** They wait from now on, as their rows say now: prisma/functions/a_join_flows.sql. */
export async function joinFlows(tx: Transaction, waiting: readonly Pick<Generation, 'id'>[]): Promise<void> {
  if (!waiting.length) return;
  await tx.$executeRaw`SELECT join_flows(${waiting.map(({ id }) => id)})`;
}

/** They do not wait any more, and nobody was given anything for it. */
export async function leaveFlows(tx: Transaction, generations: readonly InFlow[]): Promise<void> {
  if (!generations.length) return;
  await tx.$executeRaw`
    UPDATE "Flow" f SET waiting = f.waiting - c.count, "waitingMs" = f."waitingMs" - c.ms
    FROM ${asRows(changesOf(generations))}
    WHERE f.bundle = c.bundle AND f.tier = c.tier AND f."userId" = c."userId" AND f.loras = c.loras
      AND f."faceId" = c."faceId"`;
}

export type Charged = Pick<Generation, 'bundle' | 'tier' | 'userId' | 'costMs' | 'progress'>;

/**
 * They take no more of the GPU: what they did take, beside what their people were charged when they were taken, counts from the next
 * turn on. In the transaction that ends them or puts them back.
 *
 * @param gpuMs of each; null where nobody measured it: as far as they had come
 */
export async function correctFlows(
  tx: Transaction,
  taken: readonly Charged[],
  gpuMs: number | null,
): Promise<void> {
  const corrections = taken
    .map(({ bundle, tier, userId, costMs, progress }) => {
      const ms = measured(gpuMs ?? progress * costMs, costMs) - costMs;
      return { bundle, tier, userId, ms };
    })
    .filter(({ ms }) => ms !== 0);
  if (corrections.length) await tx.correction.createMany({ data: corrections });
}

/** Corrections that are counted in with one turn. */
const FOLDED_MAX = 1_000;

/** For SQL: those that wait to be counted in, of each bundle, tier and person: `ms`, and `ids` of their rows. */
export function correctionsOf(bundles: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    SELECT c.bundle, c.tier, c."userId", sum(c.ms) AS ms, array_agg(c.id) AS ids FROM (${bundles}) of (bundle),
      LATERAL (SELECT * FROM "Correction" WHERE bundle = of.bundle ORDER BY id LIMIT ${FOLDED_MAX}) c
    GROUP BY c.bundle, c.tier, c."userId"`;
}

/** What the order is to know for one turn. */
export interface Look {
  /** 0: nothing was given yet */
  readonly version: number;
  /** with the corrections */
  readonly clock: Clock;
  /** those that `LOOK` names, and those of people with corrections; with these */
  readonly flows: readonly Flow[];
  /** not counted in yet: the turn that is chosen by this look counts them in */
  readonly corrections: readonly Correcting[];
  /** ms, by Postgres' clock: those of two workers may be seconds apart, or step back */
  readonly now: number;
}

/** All corrections of one person in one tier, and which rows they are. */
interface Correcting extends Correction {
  readonly ids: readonly number[];
}

interface ClockRow {
  readonly at: Date;
  readonly version: number | null;
  readonly now: number | null;
  readonly largestMs: number | null;
  readonly tiers: Clock['tiers'] | null;
}

function clockOf(row: ClockRow | undefined): Pick<Look, 'version' | 'clock' | 'now'> {
  const { at, version, now, largestMs, tiers: times } = row ?? {};
  return {
    version: version ?? 0,
    clock: version ? { now: now ?? 0, largestMs: largestMs ?? 0, tiers: times ?? {} } : startOfTime,
    now: (at ?? new Date()).getTime(),
  };
}

interface FlowRow extends ClockRow {
  readonly bundle: string;
  readonly tier: string;
  readonly userId: string;
  readonly loras: string;
  readonly faceId: string;
  readonly givenMs: number;
  readonly since: Date;
  readonly pictures: Waiting[];
  /** in a bundle's first row alone */
  readonly corrections: readonly Correcting[] | null;
}

/**
 * One statement, by indexes alone, however much waits.
 *
 * @param warm bundle → what of it is in memory
 * @returns those in which something waits
 */
export async function lookAtBacklogs(warm: ReadonlyMap<string, Warm>): Promise<Map<string, Look>> {
  const names = [...tiers.keys()];
  const sets = [...warm].flatMap(([bundle, { loras }]) => [...loras].map((set) => [bundle, set] as const));
  const inTier = Prisma.sql`f.bundle = b.bundle AND f.tier = t.tier AND f.waiting > 0`;
  const rows = await ask<FlowRow>(Prisma.sql`
    WITH correcting AS MATERIALIZED (
      ${correctionsOf(Prisma.sql`SELECT unnest(${[...warm.keys()]}::text[])`)}),
    looked AS MATERIALIZED (
      SELECT DISTINCT near.* FROM unnest(${[...warm.keys()]}::text[]) b(bundle), unnest(${names}::text[]) t(tier), LATERAL (
        (SELECT f.* FROM "Flow" f WHERE ${inTier} ORDER BY f."givenMs", f.since LIMIT ${LOOK})
        UNION ALL (SELECT f.* FROM "Flow" f WHERE ${inTier} ORDER BY f.since LIMIT 1)
        UNION ALL (SELECT own.* FROM correcting c, LATERAL (
          SELECT f.* FROM "Flow" f WHERE ${inTier} AND f."userId" = c."userId" LIMIT 1) own
          WHERE c.bundle = b.bundle AND c.tier = t.tier)
        UNION ALL (SELECT near.* FROM
          unnest(${sets.map(([bundle]) => bundle)}::text[], ${sets.map(([, set]) => set)}::text[]) w(bundle, loras), LATERAL (
          (SELECT f.* FROM "Flow" f WHERE ${inTier} AND f.loras = w.loras ORDER BY f."givenMs", f.since LIMIT ${LOOK})
          UNION ALL (SELECT f.* FROM "Flow" f WHERE ${inTier} AND f.loras = w.loras ORDER BY f.since LIMIT 1)) near
          WHERE w.bundle = b.bundle)) near)
    SELECT now() AS at, c.version, c.now, c."largestMs", c.tiers, l.bundle, l.tier, l."userId", l.loras, l."faceId", l."givenMs", l.since,
      p.pictures, CASE WHEN row_number() OVER (PARTITION BY l.bundle) = 1
        THEN (SELECT json_agg(c) FROM correcting c WHERE c.bundle = l.bundle) END AS corrections
    FROM looked l LEFT JOIN "Clock" c ON c.bundle = l.bundle, LATERAL (
      SELECT json_agg(json_build_object('id', first.id, 'costMs', first."costMs", 'shape', first.shape)) AS pictures FROM (
        SELECT g.id, g."costMs", g.shape FROM "Generation" g
        WHERE g.bundle = l.bundle AND g.tier = l.tier AND g."userId" = l."userId" AND g.loras = l.loras
          AND coalesce(g."faceId", '') = l."faceId" AND g.state = 'queued' AND g."twinId" IS NULL
        ORDER BY g."queuedAt", g."batchId", g.index LIMIT ${TURN_MAX}) first) p
    WHERE p.pictures IS NOT NULL`);
  const looks = [...Map.groupBy(rows, ({ bundle }) => bundle)].map(([bundle, own]): [string, Look] => {
    const flows = own.map(({ tier, userId, loras, faceId, givenMs, since, pictures }) => ({
      tier,
      userId,
      loras,
      faceId: faceId || null,
      givenMs,
      since: since.getTime(),
      pictures,
    }));
    const corrections = own.flatMap((row) => row.corrections ?? []);
    const { clock, ...look } = clockOf(own[0]);
    return [bundle, { ...look, ...counted(clock, flows, corrections, tierRules), corrections }];
  });
  return new Map(looks);
}

/** What waits in each tier of each bundle, by the index of what waits alone. */
export async function waitingNow(): Promise<
  {
    readonly bundle: string;
    readonly tier: string;
    readonly pictures: number;
    readonly people: number;
    /** since whoever waits longest has waited for a turn */
    readonly seconds: number;
  }[]
> {
  return db.$queryRaw`
    SELECT bundle, tier, sum(waiting)::int AS pictures, count(DISTINCT "userId")::int AS people,
      extract(epoch FROM now() - min(since))::float8 AS seconds
    FROM "Flow" WHERE waiting > 0 GROUP BY bundle, tier ORDER BY bundle, tier`;
}

/** For the statement that gives a turn: returns a row, or none when another turn was given since the look. */
export function moveClock(
  bundle: string,
  version: number,
  { now, largestMs, tiers: times }: Clock,
): Prisma.Sql {
  return Prisma.sql`
    INSERT INTO "Clock" AS c (bundle, version, now, "largestMs", tiers)
    VALUES (${bundle}, 1, ${now}, ${largestMs}, ${JSON.stringify(times)}::jsonb)
    ON CONFLICT (bundle) DO UPDATE SET version = c.version + 1, now = excluded.now, "largestMs" = excluded."largestMs",
      tiers = excluded.tiers
    WHERE c.version = ${version}
    RETURNING c.version`;
}

/**
 * For the statement that gives a turn: what its people were given with it, and what the look corrected.
 *
 * @param clock rows of `moveClock`
 * @param taken the rows of Generation that were taken
 */
export function giveFlows(
  bundle: string,
  given: Turn['given'],
  corrections: Look['corrections'],
  clock: Prisma.Sql,
  taken: Prisma.Sql,
): Prisma.Sql {
  const own = Prisma.sql`FROM ${taken} t
    WHERE t.tier = f.tier AND t."userId" = f."userId" AND t.loras = f.loras AND coalesce(t."faceId", '') = f."faceId"`;
  const isGiven = (one: Correction) =>
    given.some(({ tier, userId }) => one.tier === tier && one.userId === userId);
  const others = corrections.filter((one) => !isGiven(one)).map(({ ids: _, ...one }) => one);
  return Prisma.sql`
    UPDATE "Flow" f SET "givenMs" = coalesce(c."givenMs", greatest(0, f."givenMs" + c.ms)),
      since = CASE WHEN EXISTS (SELECT 1 FROM ${taken} t WHERE t.tier = f.tier AND t."userId" = f."userId") THEN now() ELSE f.since END,
      waiting = f.waiting - (SELECT count(*)::int ${own}),
      "waitingMs" = f."waitingMs" - (SELECT coalesce(sum(t."costMs"), 0) ${own})
    FROM jsonb_to_recordset(${JSON.stringify([...given, ...others])}::jsonb)
      AS c(tier text, "userId" text, "givenMs" float8, ms float8)
    WHERE EXISTS (SELECT 1 FROM ${clock}) AND f.bundle = ${bundle} AND f.tier = c.tier AND f."userId" = c."userId"`;
}

/** For the statement that gives a turn: the corrections that the look had are counted in, and go. */
export function foldCorrections(corrections: Look['corrections'], clock: Prisma.Sql): Prisma.Sql {
  const ids = corrections.flatMap((one) => one.ids);
  return Prisma.sql`DELETE FROM "Correction" WHERE id = ANY(${ids}::bigint[]) AND EXISTS (SELECT 1 FROM ${clock})`;
}

/**
 * Puts flows right that count otherwise than rows: what waits uncounted would wait for ever. It never should find any, and says how
 * many it did.
 */
export async function recountFlows(): Promise<number> {
  return db.$executeRaw`
    INSERT INTO "Flow" AS f (bundle, tier, "userId", loras, "faceId", waiting, "waitingMs", "givenMs", since)
    SELECT bundle, tier, "userId", loras, "faceId", count, ms, 0, since FROM (
      SELECT bundle, tier, "userId", loras, "faceId", coalesce(g.count, 0) - coalesce(c.waiting, 0) AS count,
        coalesce(g.ms, 0) - coalesce(c."waitingMs", 0) AS ms, coalesce(g.since, now()) AS since
      FROM (SELECT bundle, tier, "userId", loras, coalesce("faceId", '') AS "faceId", count(*)::int AS count, sum("costMs") AS ms,
          min("queuedAt") AS since
        FROM "Generation" WHERE state = 'queued' AND "twinId" IS NULL GROUP BY 1, 2, 3, 4, 5) g
      FULL JOIN "Flow" c USING (bundle, tier, "userId", loras, "faceId")) both_counts
    WHERE count <> 0
    ON CONFLICT (bundle, tier, "userId", loras, "faceId") DO UPDATE SET
      waiting = f.waiting + excluded.waiting, "waitingMs" = f."waitingMs" + excluded."waitingMs",
      since = CASE WHEN f.waiting > 0 THEN f.since ELSE excluded.since END`;
}

/** Forgets those who have asked for nothing for long. */
export async function forgetFlows(now = new Date()): Promise<void> {
  await db.flow.deleteMany({
    where: { waiting: { lte: 0 }, since: { lt: new Date(now.getTime() - FORGET_MS) } },
  });
}
