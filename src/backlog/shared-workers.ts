/** What it means for a wait that workers draw with several bundles: the bundle may have to be loaded, and others take their turns. */
import { config } from '#config/env.ts';
import { Prisma } from '#src/doors/db.ts';
import { canDraw, isAlive } from './fleet.ts';

/** Who draws with a bundle, and what they have to do besides. */
export interface Shared {
  /** that take pictures of it */
  readonly workers: number;
  /** ms until it is in memory somewhere; 0 where it is, or nobody knows */
  readonly loadMs: number;
  /** GPU ms of what waits for other bundles */
  readonly othersMs: number;
}

/** The bundle's `Shared`, as JSON. */
export const sharedOf = (bundle: Prisma.Sql) => Prisma.sql`
  (SELECT json_build_object('workers', count(*),
      'loadMs', coalesce(min(CASE WHEN w.bundles->${bundle}->>'state' IN ('cold', 'loading')
        THEN (w.bundles->${bundle}->>'loadMs')::float8 ELSE 0 END), 0),
      'othersMs', (SELECT coalesce(sum(o."waitingMs"), 0) FROM "Flow" o
        WHERE o.bundle = ANY(array_remove(${[...config.bundles]}::text[], ${bundle})) AND o.waiting > 0))
    FROM "Worker" w WHERE ${canDraw(bundle)} AND ${isAlive} AND w.aside IS NULL)`;

/**
 * How much later a bundle's pictures are ready than with workers that draw with nothing else: by its loading where no worker has it,
 * and by what others are given meanwhile. As turns go to who has waited longest by their target, that is taken to be as much as the
 * bundle itself is given, or all that waits for them where that is less.
 *
 * @returns ms
 */
export const laterBy = (readyMs: number, { workers, loadMs, othersMs }: Shared): number =>
  loadMs + Math.min(readyMs, othersMs / Math.max(1, workers));
