/**
 * A worker's hold on what it draws. Every second, in this order:
 *
 *   1. its lease is renewed, before anything is said of others'
 *   2. what rows say that it draws, and it does not, goes back into the backlog
 *   3. so does what lost workers had
 *
 * While Postgres is away, or the whole machine is paused, nobody can renew, and the first to come back would take everybody's pictures
 * from them. So after a gap in our own renewals the others get the time of a whole lease to renew theirs.
 */
import { renewWorker, WORKER_LOST_MS } from '#src/backlog/fleet.ts';
import { putDown, rescueOrphans } from '#src/batches/ending.ts';
import { log } from '#src/doors/log.ts';
import { repeat } from '../timers.ts';

const RENEW_EVERY_MS = 1_000;

/**
 * @param inHand ids of the generations that it draws
 * @param enter makes its row, should there be none any more
 * @returns ends it
 */
export function holdLease(
  workerId: string,
  inHand: ReadonlySet<string>,
  enter: () => Promise<void>,
): () => Promise<void> {
  let renewedAt = Number.NEGATIVE_INFINITY;
  let rescuesFrom = 0;
  return repeat(RENEW_EVERY_MS, async () => {
    if (!(await renewWorker(workerId))) await enter();
    const now = performance.now();
    if (now - renewedAt > WORKER_LOST_MS / 2) rescuesFrom = now + WORKER_LOST_MS;
    renewedAt = now;

    let rescued = await putDown(workerId, inHand);
    if (now >= rescuesFrom) rescued += await rescueOrphans(workerId);
    if (rescued) log.info({ rescued }, 'generations put back');
  });
}
