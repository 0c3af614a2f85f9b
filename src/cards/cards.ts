/**
 * What the courier's messages look like, each kind of delivery drawn from rows as they are now. Components v2.
 *
 * A person's words are shown as they are, never as markdown or mentions (`plain`). A picture is attached only where
 * `mayBeShown` says so; moderators get others blurred (review.ts).
 */
import type { Batch, Delivery } from '#src/doors/db.ts';
import { doneNote } from './done.ts';
import { greetingCard, warningCard } from './guild.ts';
import { imagineCard } from './imagine.ts';
import type { Card } from './parts.ts';
import { galleryNotice, requestCard } from './publishing.ts';
import { manifestCard, picturesCard } from './results.ts';
import { noticeCard, reviewCard } from './review.ts';
import { statusCard, summaryCard } from './sweep.ts';

export type { Card, CardFile } from './parts.ts';

/**
 * @param batch the delivery's
 * @returns null when its subject is gone
 * @throws {NodeJS.ErrnoException} ENOENT when bytes were asked for and moved meanwhile: render again
 */
export async function renderCard(delivery: Delivery, batch: Batch | null): Promise<Card | null> {
  const { kind, reviewId, imageId } = delivery;
  if (kind === 'review') return reviewCard(reviewId ?? '');
  if (kind === 'request') return requestCard(imageId ?? '');
  if (kind === 'notice') {
    if (imageId) return galleryNotice(imageId);
    return reviewId ? noticeCard(reviewId) : batch && doneNote(batch);
  }
  if (kind === 'greeting') return greetingCard(delivery);
  if (kind === 'warning') return warningCard(delivery);

  if (!batch) return null;
  switch (kind) {
    case 'card':
      return batch.kind === 'imagine' ? imagineCard(batch) : summaryCard(batch);
    case 'status':
      return statusCard(batch, delivery.page);
    case 'pictures':
      return picturesCard(batch, delivery.page);
    case 'manifest':
      return manifestCard(batch);
  }
}
