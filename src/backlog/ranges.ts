/**
 * How far from what a forecast says batches end: from this to that, in four of five cases. A forecast runs the order forward as if
 * nobody else asked and every picture took what is expected; how wrong that is depends on the tier and on how far off it is, and is
 * learned from what came. The only file that writes Range.
 *
 * Of ln(what it took ÷ what was forecast) two quantiles are followed, each by a step up where a batch ended above it and one down
 * where it ended below, in such proportion that they rest where a tenth ends below the one and a tenth above the other. That holds in
 * the long run whatever comes, also when it changes: adaptive conformal inference (Gibbs, Candès, "Adaptive Conformal Inference Under
 * Distribution Shift", NeurIPS 2021), as quantile tracking (Angelopoulos, Candès, Tibshirani, "Conformal PID Control for Time Series
 * Prediction", NeurIPS 2023), with steps that grow smaller at first (Angelopoulos, Barber, Bates, "Online conformal prediction with
 * decaying step sizes", ICML 2024).
 */
import { db } from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';

/** Part of the batches that end before a range, and part that end after it. */
export const OUTSIDE = 0.1;
/** A step, ln: the first, and what it falls to. */
const STEP = { first: 0.4, last: 0.02, after: 200 };
/** Ends of the distances that are learned apart, ms. */
const HORIZONS_MS = [3_000, 15_000, 60_000, 300_000];
/** What is learned goes to Postgres at most so often. ms */
const KEEP_EVERY_MS = 2_000;
/** How long what was read counts as it is. ms */
const KNOWN_MS = 5_000;

/** ln(what it took ÷ what was forecast) */
export interface Spread {
  /** a tenth of the batches is below */
  readonly low: number;
  /** a tenth is above */
  readonly high: number;
  /** batches that it was learned from */
  readonly count: number;
}

/** Before anything is learned: others will ask, and nobody knows yet how long pictures take. */
export const UNLEARNED: Spread = { low: Math.log(0.8), high: Math.log(3), count: 0 };

export function learned({ low, high, count }: Spread, ratio: number): Spread {
  const step = STEP.last + (STEP.first - STEP.last) / (1 + count / STEP.after) ** 2;
  const at = Math.log(ratio);
  return {
    low: low + step * (OUTSIDE - Number(at < low)),
    high: high + step * (Number(at > high) - OUTSIDE),
    count: count + 1,
  };
}

/** From when to when, ms. */
export interface Range {
  readonly fromMs: number;
  readonly toMs: number;
}

export function rangeOf(readyMs: number, { low, high }: Spread): Range {
  return { fromMs: readyMs * Math.exp(Math.min(low, high)), toMs: readyMs * Math.exp(Math.max(low, high)) };
}

/** What is learned of one tier and distance is learned apart. @param ms what was forecast */
export function horizonOf(ms: number): number {
  const horizon = HORIZONS_MS.findIndex((end) => ms < end);
  return horizon < 0 ? HORIZONS_MS.length : horizon;
}

interface Seen {
  readonly tier: string;
  readonly horizon: number;
  readonly ratio: number;
}

const keyOf = ({ tier, horizon }: Pick<Seen, 'tier' | 'horizon'>) => `${horizon} ${tier}`;

let seen: Seen[] = [];
let keptAt = Number.NEGATIVE_INFINITY;
let known: { readonly at: number; readonly spreads: ReadonlyMap<string, Spread> } | undefined;

/**
 * Learns from a batch that has ended. Nobody waits for it: what a process learned last is lost with it.
 *
 * @param toldMs what it was to take, as people were told first
 * @param ratio what it took, by that
 */
export function learnRange(tier: string, toldMs: number, ratio: number): void {
  if (!(toldMs > 0 && ratio > 0 && Number.isFinite(ratio))) return;
  seen.push({ tier, horizon: horizonOf(toldMs), ratio });
  const now = performance.now();
  if (now - keptAt < KEEP_EVERY_MS) return;
  keptAt = now;
  keepRanges().catch((err: unknown) => log.warn({ err }, 'what was told and what came: not kept'));
}

/** Keeps what this process has learned. As steps, since others learn beside it. */
export async function keepRanges(): Promise<void> {
  const now = seen;
  seen = [];
  if (!now.length) return;
  const before = await readSpreads();
  const steps = [...Map.groupBy(now, keyOf)].map(([key, batches]) => {
    const from = before.get(key) ?? UNLEARNED;
    const to = batches.reduce((spread, { ratio }) => learned(spread, ratio), from);
    const [{ tier, horizon }] = batches as [Seen];
    return {
      tier,
      horizon,
      ...to,
      lower: to.low - from.low,
      higher: to.high - from.high,
      more: batches.length,
    };
  });
  await db.$executeRaw`
    INSERT INTO "Range" AS r (tier, horizon, low, high, count)
    SELECT s.tier, s.horizon, s.low, s.high, s.count FROM jsonb_to_recordset(${JSON.stringify(steps)}::jsonb)
      AS s(tier text, horizon int, low float8, high float8, count int, lower float8, higher float8, more int)
    ORDER BY s.tier, s.horizon
    ON CONFLICT (tier, horizon) DO UPDATE SET
      (low, high, count) = (SELECT r.low + s.lower, r.high + s.higher, r.count + s.more
        FROM jsonb_to_recordset(${JSON.stringify(steps)}::jsonb)
          AS s(tier text, horizon int, lower float8, higher float8, more int)
        WHERE s.tier = r.tier AND s.horizon = r.horizon)`;
  known = undefined;
}

async function readSpreads(): Promise<ReadonlyMap<string, Spread>> {
  const rows = await db.range.findMany();
  return new Map(
    rows.map(({ tier, horizon, low, high, count }) => [keyOf({ tier, horizon }), { low, high, count }]),
  );
}

/** How far off forecasts of a tier are, as was learned lately. */
export async function spreads(): Promise<(tier: string, readyMs: number) => Spread> {
  if (!known || performance.now() > known.at + KNOWN_MS)
    known = { at: performance.now(), spreads: await readSpreads() };
  const { spreads } = known;
  return (tier, readyMs) => spreads.get(keyOf({ tier, horizon: horizonOf(readyMs) })) ?? UNLEARNED;
}
