/** What it means for a wait that workers draw with several bundles: the bundle may have to be loaded, and others take their turns. */
import { config } from '#config/env.ts';
import { ask, Prisma } from '#src/doors/db.ts';
import { canDraw, isAlive } from './fleet.ts';

interface Shared {
  readonly workers: number;
  /** ms until it is in memory somewhere; 0 where it is, or nobody knows */
  readonly loadMs: number;
  /** GPU ms of what waits for other bundles */
  readonly othersMs: number;
}

/**
 * How much later a bundle's pictures are ready than with workers that draw with nothing else: by its loading where no worker has it,
 * and by what others are given meanwhile. As turns go to who has waited longest by their target, that is taken to be as much as the
 * bundle itself is given, or all that waits for them where that is less.
 *
 * @returns ms → ms; nothing is asked where there is one bundle
 */
export async function withOthers(bundle: string): Promise<(readyMs: number) => number> {
  if (config.bundles.length < 2) return (readyMs) => readyMs;
  const [row] = await ask<Shared>(Prisma.sql`
    SELECT count(w.id)::int AS workers,
      coalesce(min(CASE WHEN w.bundles->${bundle}::text->>'state' IN ('cold', 'loading')
        THEN (w.bundles->${bundle}::text->>'loadMs')::float8 ELSE 0 END), 0) AS "loadMs",
      (SELECT coalesce(sum("waitingMs"), 0) FROM "Flow"
        WHERE bundle = ANY(${[...config.bundles]}) AND bundle <> ${bundle} AND waiting > 0) AS "othersMs"
    FROM "Worker" w WHERE ${canDraw(bundle)} AND ${isAlive} AND w.aside IS NULL`);
  const { workers = 0, loadMs = 0, othersMs = 0 } = row ?? {};
  return (readyMs) => readyMs + loadMs + Math.min(readyMs, othersMs / Math.max(1, workers));
}
