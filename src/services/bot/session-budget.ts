/**
 * How many new sessions (IDENTIFY) are left of a day's thousand. Whoever asks for one more has the token taken away. Discord counts those
 * of all machines, and is asked.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { APIGatewaySessionStartLimit } from 'discord-api-types/v10';
import { log } from '#src/doors/log.ts';
import { metrics } from '#src/doors/metrics.ts';
import { untilDiscordAnswers } from './patience.ts';

/** What starting again by itself leaves of a day's sessions: a person who mends the bot needs some. */
const KEPT_SHARE = 0.1;
/** ms; somebody may have had Discord raise the number */
const LOOK_AGAIN_MS = 60_000;

/**
 * Resolves when so many shards can identify without the day's last sessions being spent.
 *
 * @param again by itself, after a crash or a session that was lost: then a part is kept
 */
export async function untilAffordable(
  shards: number,
  again: boolean,
  askLimit: () => Promise<APIGatewaySessionStartLimit>,
  signal?: AbortSignal,
): Promise<void> {
  for (;;) {
    const { total, remaining, reset_after: resetMs } = await untilDiscordAnswers(askLimit);
    metrics.sessionsLeft([[{}, remaining]]);
    if (remaining - shards >= (again ? total * KEPT_SHARE : 0) || signal?.aborted) return;
    log.error(
      { shards, remaining, total, resetMs },
      'too few of the day’s sessions are left: shards wait until Discord gives new ones',
    );
    await sleep(Math.min(Math.max(resetMs, 1_000), LOOK_AGAIN_MS), undefined, signal && { signal }).catch(
      () => {},
    );
  }
}
