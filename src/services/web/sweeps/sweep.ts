/** A sweep as its page shows it: all of its cells in one statement, and what of them is compared as a number. */

import { readable } from '#src/cards/contact-sheet/request.ts';
import { stateOf } from '#src/cards/parts.ts';
import { ask, type Batch, type Generation, type Image, Prisma, type Review } from '#src/doors/db.ts';
import { type Axis, sheetAxes } from '#src/sweeps/sheet-axes.ts';

/** A page shows no more of them; `limits.batch` of config/tiers.yaml is less. */
export const CELLS_MAX = 1_000;
/** Characters of its prompt that a cell has; all of it is told of the one that is open. */
const PROMPT_CHARACTERS = 160;

export type Cell = Pick<
  Generation,
  'id' | 'index' | 'state' | 'progress' | 'steps' | 'stage' | 'failure' | 'width' | 'height' | 'reused'
> & {
  /** axis → label */
  readonly coordinates: Readonly<Record<string, string>>;
  /** whether it is of somebody's face */
  readonly ofFace: boolean;
  /** its beginning */
  readonly prompt: string;
  /** what it took, all stages together; null: it was not drawn */
  readonly tookMs: number | null;
  /** when its preview was made, ms; null: there is none */
  readonly previewAt: number | null;
  readonly image:
    | (Pick<Image, 'id' | 'verdict' | 'likeness' | 'visibility'> & {
        readonly scores: Readonly<Record<string, number>>;
        /** as JSON has a date */
        readonly deletedAt: Date | null;
        readonly review: Pick<Review, 'state'> | null;
      })
    | null;
};

export interface Sweep {
  readonly batch: Pick<
    Batch,
    | 'id'
    | 'ownerId'
    | 'guildId'
    | 'botInside'
    | 'threadId'
    | 'kind'
    | 'state'
    | 'title'
    | 'tier'
    | 'production'
    | 'charged'
    | 'best'
    | 'createdAt'
    | 'endedAt'
  >;
  /** in all */
  readonly count: number;
  /** in the batch's order, the first `CELLS_MAX` */
  readonly cells: readonly Cell[];
  /** those with more than one label, slowest first */
  readonly axes: readonly Axis[];
}

/** @returns null: there is none; one picture that somebody asked for is no sweep */
export async function readSweep(batchId: string): Promise<Sweep | null> {
  const [row] = await ask<Sweep['batch'] & { count: number; cells: Cell[] }>(Prisma.sql`
    SELECT b.id, b."ownerId", b."guildId", b."botInside", b."threadId", b.kind, b.state, b.title, b.tier, b.production, b.charged, b.best,
      b."createdAt", b."endedAt",
      (SELECT count(*)::int FROM "Generation" g WHERE g."batchId" = b.id) AS count,
      (SELECT coalesce(json_agg(json_build_object('id', g.id, 'index', g.index, 'state', g.state, 'progress', g.progress,
          'steps', g.steps, 'stage', g.stage, 'failure', g.failure, 'width', g.width, 'height', g.height, 'reused', g.reused,
          'coordinates', g.coordinates, 'ofFace', g."faceId" IS NOT NULL, 'prompt', left(g.prompt, ${PROMPT_CHARACTERS}),
          'tookMs', (SELECT sum(ms::float8) FROM jsonb_each_text(g.timings) stage(name, ms)),
          'previewAt', floor(extract(epoch FROM p.at) * 1000),
          'image', CASE WHEN i.id IS NOT NULL THEN json_build_object('id', i.id, 'verdict', i.verdict, 'likeness', i.likeness,
            'scores', i.scores, 'visibility', i.visibility, 'deletedAt', i."deletedAt",
            'review', CASE WHEN r.id IS NOT NULL THEN json_build_object('state', r.state) END) END)
          ORDER BY g.index), '[]')
        FROM (SELECT * FROM "Generation" WHERE "batchId" = b.id ORDER BY index LIMIT ${CELLS_MAX}) g
        LEFT JOIN "Preview" p ON p."generationId" = g.id LEFT JOIN "Image" i ON i."generationId" = g.id
        LEFT JOIN "Review" r ON r."imageId" = i.id) AS cells
    FROM "Batch" b WHERE b.id = ${batchId} AND b.kind <> 'imagine'`);
  if (!row) return null;
  const { count, cells, ...batch } = row;
  const { rows, columns } = sheetAxes(cells.map(({ coordinates }) => coordinates));
  return { batch, count, cells, axes: [...rows, ...columns] };
}

/** Something of a picture that is a number: told below it, and what pictures are filtered by. */
export interface Score {
  /** as an address has it */
  readonly name: string;
  readonly title: string;
  /** null: it has none, or may not be seen */
  of(cell: Cell): number | null;
  show(value: number): string;
}

/**
 * Those that pictures of this sweep have, or will have once they are drawn. What the safety checks said is for operators alone: whoever knows how near a limit a picture
 * came could feel the way along it.
 */
export function scoresOf({ cells, batch }: Sweep, { isOperator }: { readonly isOperator: boolean }): Score[] {
  const seen = cells.filter((cell) => stateOf(cell) === 'done');
  const labels = isOperator
    ? [...new Set(seen.flatMap(({ image }) => Object.keys(image?.scores ?? {})))].sort()
    : [];
  // Nothing of the page is to move or change its meaning when the first picture comes.
  const isExpected = (name: string) =>
    batch.endedAt === null &&
    cells.some(({ ofFace }) => name === 'seconds' || (name === 'likeness' && ofFace));
  const all: Score[] = [
    { name: 'likeness', title: 'Likeness', of: ({ image }) => image?.likeness ?? null, show: hundredths },
    {
      name: 'seconds',
      title: 'Seconds to draw',
      // A copy took what the picture took that it is a copy of.
      of: ({ tookMs, reused }) => (tookMs === null || reused ? null : tookMs / 1_000),
      show: (value) => `${value.toFixed(1)} s`,
    },
    ...labels.map((label) => ({
      name: `check:${label}`,
      title: `Safety check: ${readable(label)}`,
      of: ({ image }: Cell) => image?.scores[label] ?? null,
      show: hundredths,
    })),
  ];
  return all
    .map((score) => ({
      ...score,
      of: (cell: Cell) => (stateOf(cell) === 'done' ? score.of(cell) : null),
    }))
    .filter((score) => isExpected(score.name) || seen.some((cell) => score.of(cell) !== null));
}

const hundredths = (value: number) => value.toFixed(2);
