/** What pictures take of a GPU, learned from those that were drawn. The only file that writes Cost. */
import { bundles } from '#config/bundles.ts';
import { config } from '#config/env.ts';
import { type Cost, db } from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';

/** The picture that takes the `seconds` of config/bundles.yaml, and costs the `tokens` of config/tiers.yaml. */
const USUAL: ToDraw = { width: 512, height: 640, steps: 40, face: false };
/** What a new measurement counts for, beside all before. */
const NEWEST = 0.1;
/** Pictures that were measured before prices go by it: the first ones also load what others find loaded. */
const SURE = 8;
/** A price follows what is measured once that is so many times more, or less. */
const STEADY = 1.25;
/** A picture that took so many times what was expected was measured wrongly, whatever the worker says. */
const WRONG_FROM = 16;
/** How long what was read counts as it is. ms */
const KNOWN_MS = 5_000;

export interface ToDraw {
  /** px */
  readonly width: number;
  /** px */
  readonly height: number;
  /** of both stages */
  readonly steps: number;
  /** whether a face is drawn */
  readonly face: boolean;
  /** pictures drawn together; 1 when left out */
  readonly batch?: number;
}

/** bundle → its rows */
const known = new Map<string, { readonly at: number; readonly rows: readonly Cost[] }>();

async function rowsOf(bundle: string): Promise<readonly Cost[]> {
  const had = known.get(bundle);
  if (had && Date.now() <= had.at + KNOWN_MS) return had.rows;
  const rows = await db.cost.findMany({ where: { bundle } });
  known.set(bundle, { at: Date.now(), rows });
  return rows;
}

/** GPU ms of one picture of a bundle, as what is like it took lately. */
export async function costs(bundle: string): Promise<(picture: ToDraw) => number> {
  const rows = await rowsOf(bundle);
  return (picture) => picture.steps * msPerStep(rows, bundle, picture);
}

/**
 * How many usual pictures of the default bundle one takes as much of a GPU as: what its price is in proportion to. By what is known
 * for sure alone, so that a price that was shown is still the price a while later.
 */
export async function worths(bundle: string): Promise<(picture: ToDraw) => number> {
  const [rows, usual] = await Promise.all([steadyRowsOf(bundle), steadyRowsOf(config.bundle)]);
  const usualMs = USUAL.steps * msPerStep(usual, config.bundle, USUAL);
  return (picture) => (picture.steps * msPerStep(rows, bundle, picture)) / usualMs;
}

async function steadyRowsOf(bundle: string): Promise<readonly Cost[]> {
  return (await rowsOf(bundle)).flatMap((row) =>
    row.steadyMsPerStep === null ? [] : { ...row, msPerStep: row.steadyMsPerStep },
  );
}

/** Of the same kind if there is one, else of the nearest size, in proportion to its pixels. */
function msPerStep(rows: readonly Cost[], bundle: string, picture: ToDraw): number {
  const { width, height, face, batch = 1 } = picture;
  const pixels = width * height;
  const unlike = (row: Cost) =>
    Math.abs(Math.log((row.width * row.height) / pixels)) +
    (row.width !== width ? 0.01 : 0) +
    (row.face !== face ? 1 : 0) +
    Math.abs(row.batch - batch);
  const [nearest] = [...rows].sort((a, b) => unlike(a) - unlike(b));
  if (nearest) return (nearest.msPerStep * pixels) / (nearest.width * nearest.height);
  const seconds = bundles.get(bundle)?.seconds ?? 10;
  return (seconds * 1_000 * pixels) / (USUAL.steps * USUAL.width * USUAL.height);
}

let told = false;

/**
 * What a picture can have taken: a worker whose clock is wrong must not keep its people from their turns, nor give them others'.
 *
 * @param ms GPU ms as a worker has it
 * @param expectedMs GPU ms
 */
export function measured(ms: number, expectedMs: number): number {
  const most = WRONG_FROM * expectedMs;
  if (ms >= 0 && ms <= most) return ms;
  if (!told)
    log.warn({ ms, expectedMs }, 'a worker says that a picture took what it cannot have taken: not believed');
  told = true;
  return ms > most ? most : 0;
}

/** Keeps what a picture took. @param ms GPU ms; of pictures drawn together, each one's part */
export async function learnCost(bundle: string, picture: ToDraw, ms: number): Promise<void> {
  const { width, height, steps, face, batch = 1 } = picture;
  if (!(steps > 0 && ms > 0 && Number.isFinite(ms))) return;
  await db.$executeRaw`
    INSERT INTO "Cost" AS c (bundle, width, height, face, batch, pictures, "msPerStep")
    VALUES (${bundle}, ${width}, ${height}, ${face}, ${batch}, 1, ${ms / steps})
    ON CONFLICT (bundle, width, height, face, batch) DO UPDATE SET
      pictures = c.pictures + 1,
      "msPerStep" = c."msPerStep" * ${1 - NEWEST} + ${NEWEST} *
        least(greatest(excluded."msPerStep", c."msPerStep" / ${WRONG_FROM}), c."msPerStep" * ${WRONG_FROM}),
      "steadyMsPerStep" = CASE WHEN c.pictures < ${SURE} THEN NULL
        WHEN c."steadyMsPerStep" BETWEEN c."msPerStep" / ${STEADY} AND c."msPerStep" * ${STEADY} THEN c."steadyMsPerStep"
        ELSE c."msPerStep" END`;
}
