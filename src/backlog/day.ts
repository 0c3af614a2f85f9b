/**
 * What was drawn in the last 24 hours, by the hour, read off the rows of what ended: whichever process drew it, and whatever was
 * started anew since. An hour that is over is read once.
 */
import { ask, Prisma } from '#src/doors/db.ts';

const HOUR_MS = 60 * 60_000;
const HOURS = 24;
/** Transactions that were under way when an hour ended are in by then. ms */
const SETTLED_AFTER_MS = 2 * 60_000;

/** Of one hour, by the clock. */
export interface Hour {
  readonly from: Date;
  /** tier → pictures that were drawn, those taken from before among them */
  readonly pictures: ReadonlyMap<string, number>;
  /** ms that half of those that were drawn waited at most; null: none was */
  readonly waitP50: number | null;
  /** ms that nine of ten waited at most */
  readonly waitP90: number | null;
  /** `Failure` of src/errors.ts → how often */
  readonly failures: ReadonlyMap<string, number>;
  /** that what was drawn cost */
  readonly tokens: number;
}

interface Row {
  readonly hour: Date;
  readonly tier: string | null;
  readonly failure: string | null;
  /** 3: of all, 1: of a tier, 2: of a failure; its bits are what is not grouped by */
  readonly grouping: number;
  readonly done: number;
  readonly failed: number;
  readonly tokens: number;
  readonly waits: readonly (number | null)[] | null;
}

/** hour, ms since the epoch → what it was, once nothing of it changes any more */
const settled = new Map<number, Hour>();

/** The last 24 hours, the oldest first, the one that is under way last. By the index of what ended alone. */
export async function lastDay(now = new Date()): Promise<Hour[]> {
  const current = Math.floor(now.getTime() / HOUR_MS) * HOUR_MS;
  const hours = Array.from({ length: HOURS }, (_, i) => current - (HOURS - 1 - i) * HOUR_MS);
  for (const known of settled.keys()) if (known < hours[0]!) settled.delete(known);
  const from = hours.find((hour) => !settled.has(hour)) ?? current;
  const rows = Map.groupBy(await rowsBetween(new Date(from), new Date(current + HOUR_MS)), ({ hour }) =>
    hour.getTime(),
  );
  return hours.map((hour) => {
    const known = settled.get(hour);
    if (known) return known;
    const read = hourOf(new Date(hour), rows.get(hour) ?? []);
    if (hour + HOUR_MS + SETTLED_AFTER_MS < now.getTime()) settled.set(hour, read);
    return read;
  });
}

function rowsBetween(from: Date, to: Date): Promise<Row[]> {
  return ask<Row>(Prisma.sql`
    SELECT date_bin('1 hour', g."endedAt", 'epoch'::timestamptz) AS hour, g.tier, g.failure,
      grouping(g.tier, g.failure)::int AS grouping,
      (count(*) FILTER (WHERE g.state = 'done'))::int AS done,
      (count(*) FILTER (WHERE g.state = 'failed'))::int AS failed,
      coalesce(sum(g.price) FILTER (WHERE g.state = 'done'), 0)::float8 AS tokens,
      percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY extract(epoch FROM g."startedAt" - g."queuedAt")::float8 * 1000)
        FILTER (WHERE g.state = 'done' AND NOT g.reused) AS waits
    FROM "Generation" g
    WHERE g."endedAt" >= ${from} AND g."endedAt" < ${to} AND g.state IN ('done', 'failed')
    GROUP BY GROUPING SETS ((1), (1, g.tier), (1, g.failure))`);
}

function hourOf(from: Date, rows: readonly Row[]): Hour {
  const all = rows.find(({ grouping }) => grouping === 3);
  const [waitP50 = null, waitP90 = null] = all?.waits ?? [];
  const by = (grouping: number, key: 'tier' | 'failure', count: 'done' | 'failed') =>
    new Map(
      rows
        .filter((row) => row.grouping === grouping && row[count] > 0)
        .map((row) => [row[key] ?? 'internal', row[count]]),
    );
  return {
    from,
    pictures: by(1, 'tier', 'done'),
    waitP50,
    waitP90,
    failures: by(2, 'failure', 'failed'),
    tokens: all?.tokens ?? 0,
  };
}
