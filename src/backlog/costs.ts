/** What pictures take of a GPU, learned from those that were drawn. The only file that writes Cost. */
import { bundles } from '#config/bundles.ts';
import { type Cost, db } from '#src/doors/db.ts';

/** Steps and pixels of the picture that takes the `seconds` of config/bundles.yaml. */
const USUAL = { steps: 40, pixels: 512 * 640 };
/** What a new measurement counts for, beside all before. */
const NEWEST = 0.1;
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

let known: { readonly bundle: string; readonly at: number; readonly rows: readonly Cost[] } | undefined;

/** GPU ms of one picture of a bundle, as what is like it took lately. */
export async function costs(bundle: string): Promise<(picture: ToDraw) => number> {
  if (!known || known.bundle !== bundle || Date.now() > known.at + KNOWN_MS)
    known = { bundle, at: Date.now(), rows: await db.cost.findMany({ where: { bundle } }) };
  const { rows } = known;
  return (picture) => picture.steps * msPerStep(rows, bundle, picture);
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
  return (seconds * 1_000 * pixels) / (USUAL.steps * USUAL.pixels);
}

/** Keeps what a picture took. @param ms GPU ms; of pictures drawn together, each one's part */
export async function learnCost(bundle: string, picture: ToDraw, ms: number): Promise<void> {
  const { width, height, steps, face, batch = 1 } = picture;
  if (!(steps > 0 && ms > 0)) return;
  await db.$executeRaw`
    INSERT INTO "Cost" AS c (bundle, width, height, face, batch, "msPerStep")
    VALUES (${bundle}, ${width}, ${height}, ${face}, ${batch}, ${ms / steps})
    ON CONFLICT (bundle, width, height, face, batch) DO UPDATE SET
      "msPerStep" = c."msPerStep" * ${1 - NEWEST} + excluded."msPerStep" * ${NEWEST}`;
}
