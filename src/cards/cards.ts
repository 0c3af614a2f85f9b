/**
 * What the courier's messages look like, each kind of delivery drawn from rows as they are now. Components v2.
 *
 * A person's words are shown as they are, never as markdown or mentions (`plain`). A picture is attached only where
 * `mayBeShown` says so; moderators get others blurred (review.ts).
 */
import { type Delivery, db } from '#src/doors/db.ts';
import { imagineCard } from './imagine.ts';
import type { Card } from './parts.ts';
import { manifestCard, picturesCard } from './results.ts';
import { noticeCard, reviewCard } from './review.ts';
import { statusCard, summaryCard } from './sweep.ts';

export type { Card, CardFile } from './parts.ts';

/**
 * @returns null when its subject is gone
 * @throws {NodeJS.ErrnoException} ENOENT when bytes were asked for and moved meanwhile: render again
 */
export async function renderCard(delivery: Delivery): Promise<Card | null> {
  if (delivery.kind === 'review') return reviewCard(delivery.reviewId ?? '');
  if (delivery.kind === 'notice') return noticeCard(delivery.reviewId ?? '');

  const batch = delivery.batchId ? await db.batch.findUnique({ where: { id: delivery.batchId } }) : null;
  if (!batch) return null;
  switch (delivery.kind) {
    case 'card':
      return batch.kind === 'imagine' ? imagineCard(batch) : summaryCard(batch);
    case 'status':
      return statusCard(batch);
    case 'pictures':
      return picturesCard(batch, delivery.page);
    case 'manifest':
      return manifestCard(batch);
  }
}
