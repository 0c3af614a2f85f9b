/** How long a delivery waits until it is looked at again. */
import type { Delivery } from '#src/doors/db.ts';

/** For the card, or the command's own answer. ms */
export const NOT_READY_MS = 1_000;
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MOST_MS = 5 * 60_000;
/** At first, and then less and less; `/guild` wakes a review at once. ms */
const NO_CHANNEL_MS = 5_000;

/** Doubles with every attempt. */
export function backoffMs({ attempts }: Delivery): number {
  return Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempts - 1, 20));
}

/** Of a review without a channel: the longer it has waited, the less often it is looked at. */
export function reviewPauseMs({ createdAt }: Delivery): number {
  return Math.min(BACKOFF_MOST_MS, Math.max(NO_CHANNEL_MS, (Date.now() - createdAt.getTime()) / 4));
}
