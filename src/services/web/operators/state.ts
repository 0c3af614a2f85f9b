/** How the whole of Atelier does, read off rows and storage in a few statements, and for everybody who looks at once. */
import { type Hour, lastDay } from '#src/backlog/day.ts';
import { waitingNow } from '#src/backlog/flows.ts';
import { type Busy, fleetNow } from '#src/backlog/overview.ts';
import { dueNow } from '#src/deliveries.ts';
import { type StorageState, storageState } from '#src/doors/storage.ts';
import { countMissing } from '#src/generations/images.ts';
import { keepAnswers } from '#src/known-answers.ts';
import { openReviewsNow } from '#src/moderation/reviews.ts';

/** How long what was read counts as it is. ms */
const KNOWN_MS = 4_000;

export interface SystemState {
  readonly readAt: Date;
  readonly waiting: Awaited<ReturnType<typeof waitingNow>>;
  readonly workers: readonly Busy[];
  /** the last 24, the oldest first */
  readonly hours: readonly Hour[];
  readonly due: Awaited<ReturnType<typeof dueNow>>;
  readonly reviews: number;
  readonly storage: StorageState;
  /** pictures of which storage did not have the bytes */
  readonly missing: number;
}

/** As of at most a few seconds ago. */
export const systemState = keepAnswers({ forMs: KNOWN_MS, most: 1, keyOf: () => 'all' }, read);

async function read(): Promise<SystemState> {
  const [waiting, workers, hours, due, reviews, storage, missing] = await Promise.all([
    waitingNow(),
    fleetNow(),
    lastDay(),
    dueNow(),
    openReviewsNow(),
    storageState(),
    countMissing(),
  ]);
  return { readAt: new Date(), waiting, workers, hours, due, reviews: reviews.count, storage, missing };
}
