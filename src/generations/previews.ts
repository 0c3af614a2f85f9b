/**
 * What is seen of a picture while it is drawn: a small one of its latents, which the image classifier has cleared. A worker keeps it
 * with its report of how far it is, the courier shows it, and it goes with the end of the drawing (`drop_preview` in prisma/functions),
 * so that of a picture that was flagged, cancelled or drawn with a face whose consent is gone nothing is left. The only file that
 * writes Preview.
 */
import { db, Prisma, type Transaction } from '#src/doors/db.ts';

/** A preview as a report has it. null: the classifier would not clear the newest one, so the one before goes as well. */
export type PreviewBytes = Uint8Array | null;

/** Bytes. One takes 0.5 to 3 kB; what takes more is not what we make. */
const BYTES_MAX = 8 * 1024;

/** For SQL: whether pictures of a batch, named b, may be seen while they are drawn. Waits for who is changing that. */
const mayBeSeen = Prisma.sql`coalesce((SELECT s.previews FROM "GuildSettings" s WHERE s.id = b."guildId" FOR SHARE), true)`;

/**
 * For the statement that reports: keeps these previews, of those that are still being drawn.
 *
 * @param told a table with the `id` and `batchId` of those, which the statement has locked
 */
export function keepPreviews(previews: ReadonlyMap<string, PreviewBytes>, told: Prisma.Sql): Prisma.Sql {
  const ids = [...previews.keys()];
  const bytes = [...previews.values()].map((webp) =>
    webp && webp.length <= BYTES_MAX ? Buffer.from(webp) : null,
  );
  const given = Prisma.sql`${told} told JOIN unnest(${ids}::text[], ${bytes}::bytea[]) AS p(id, webp) ON p.id = told.id`;
  return Prisma.sql`
    dropped AS (DELETE FROM "Preview" USING ${given} WHERE p.webp IS NULL AND "generationId" = p.id),
    kept AS (
      INSERT INTO "Preview" ("generationId", webp, at)
      SELECT p.id, p.webp, clock_timestamp() FROM ${given} JOIN "Batch" b ON b.id = told."batchId"
      WHERE p.webp IS NOT NULL AND ${mayBeSeen}
      ON CONFLICT ("generationId") DO UPDATE SET webp = excluded.webp, at = excluded.at)`;
}

/** The newest preview of a picture; null: it has none any more. */
export async function previewBytes(generationId: string): Promise<Buffer | null> {
  const preview = await db.preview.findUnique({ where: { generationId } });
  return preview && Buffer.from(preview.webp);
}

/** Takes away what is seen in a guild that wants no more of it. @returns the batches that it was of */
export async function dropPreviews(tx: Transaction, guildId: string): Promise<string[]> {
  const dropped = await tx.$queryRaw<{ batchId: string }[]>`
    DELETE FROM "Preview" p USING "Generation" g, "Batch" b
    WHERE g.id = p."generationId" AND b.id = g."batchId" AND b."guildId" = ${guildId} RETURNING b.id AS "batchId"`;
  return [...new Set(dropped.map(({ batchId }) => batchId))];
}

/** Takes away those of nothing that is drawn, which should never be. @returns how many */
export async function dropLostPreviews(): Promise<number> {
  return db.$executeRaw`
    DELETE FROM "Preview" p WHERE NOT EXISTS (SELECT 1 FROM "Generation" g WHERE g.id = p."generationId" AND g.state = 'running')`;
}
