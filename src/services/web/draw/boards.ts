/** A batch as its page shows it: read in one statement for any number of them, with what cards tell of them. */
import type { Image, Review } from '#src/doors/db.ts';
import { ask, type Batch, type Generation, Prisma } from '#src/doors/db.ts';

/** Of a batch with more, as a sweep of Discord's, the first are shown. */
export const SHOWN_MAX = 60;

/** A picture of a board. */
export type Tile = Pick<
  Generation,
  'id' | 'index' | 'state' | 'progress' | 'steps' | 'stage' | 'failure' | 'width' | 'height' | 'prompt'
> & {
  readonly seed: number;
  /** when its preview was made, ms; null: there is none */
  readonly previewAt: number | null;
  readonly image:
    | (Pick<Image, 'id' | 'verdict' | 'likeness' | 'visibility'> & {
        /** as JSON has a date */
        readonly deletedAt: Date | null;
        readonly review: Pick<Review, 'state'> | null;
      })
    | null;
};

export type Board = Pick<
  Batch,
  | 'id'
  | 'ownerId'
  | 'kind'
  | 'state'
  | 'title'
  | 'tier'
  | 'charged'
  | 'guildId'
  | 'botInside'
  | 'createdAt'
  | 'endedAt'
> & {
  /** in all */
  readonly count: number;
  readonly tiles: readonly Tile[];
};

/** @returns those that there are, in no order */
export async function boardsOf(batchIds: readonly string[]): Promise<Board[]> {
  if (!batchIds.length) return [];
  return ask<Board>(Prisma.sql`
    SELECT b.id, b."ownerId", b.kind, b.state, b.title, b.tier, b.charged, b."guildId", b."botInside", b."createdAt", b."endedAt",
      (SELECT count(*)::int FROM "Generation" g WHERE g."batchId" = b.id) AS count,
      (SELECT coalesce(json_agg(json_build_object('id', g.id, 'index', g.index, 'state', g.state, 'progress', g.progress,
          'steps', g.steps, 'stage', g.stage, 'failure', g.failure, 'width', g.width, 'height', g.height, 'prompt', g.prompt, 'seed', g.seed,
          'previewAt', floor(extract(epoch FROM p.at) * 1000),
          'image', CASE WHEN i.id IS NOT NULL THEN json_build_object('id', i.id, 'verdict', i.verdict, 'likeness', i.likeness, 'visibility', i.visibility,
            'deletedAt', i."deletedAt", 'review', CASE WHEN r.id IS NOT NULL THEN json_build_object('state', r.state) END) END)
          ORDER BY g.index), '[]')
        FROM (SELECT * FROM "Generation" WHERE "batchId" = b.id ORDER BY index LIMIT ${SHOWN_MAX}) g
        LEFT JOIN "Preview" p ON p."generationId" = g.id LEFT JOIN "Image" i ON i."generationId" = g.id
        LEFT JOIN "Review" r ON r."imageId" = i.id) AS tiles
    FROM "Batch" b WHERE b.id = ANY(${[...batchIds]})`);
}

/** A batch's place among somebody's: what comes after it is older. */
export type After = Pick<Board, 'createdAt'> & { readonly id?: string };

/** Somebody's accepted batches, the newest first. @param after those that were asked for earlier */
export async function boardsAfter(
  ownerId: string,
  { createdAt, id = '' }: After,
  take: number,
): Promise<Board[]> {
  const rows = await ask<{ id: string }>(Prisma.sql`
    SELECT id FROM "Batch" WHERE "ownerId" = ${ownerId} AND ("createdAt", id) < (${createdAt}, ${id})
      AND state NOT IN ('planned', 'discarded')
    ORDER BY "createdAt" DESC, id DESC LIMIT ${take}`);
  const boards = new Map((await boardsOf(rows.map(({ id }) => id))).map((board) => [board.id, board]));
  return rows.flatMap(({ id }) => boards.get(id) ?? []);
}
