import { openBatch } from '#src/batches/batches.ts';
import { type Batch, db } from '#src/doors/db.ts';

/** Accepts a batch. @returns its row */
export async function openedBatch(...asked: Parameters<typeof openBatch>): Promise<Batch> {
  const { id } = await openBatch(...asked);
  return db.batch.findUniqueOrThrow({ where: { id } });
}
