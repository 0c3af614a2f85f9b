/** Discord away at our start: we wait for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DiscordAPIError, DiscordjsError, HTTPError } from 'discord.js';
import { TokenRefused } from '#src/doors/discord.ts';
import { log } from '#src/doors/log.ts';
import { FIRST_PAUSE_MS, LONGEST_PAUSE_MS } from '../restarts.ts';

/** @throws what `ask` does, when Discord itself says what is wrong, so that asking again would give the same */
export async function untilDiscordAnswers<T>(ask: () => Promise<T>): Promise<T> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await ask();
    } catch (error) {
      if (isFinal(error)) throw error;
      if (error instanceof DiscordAPIError || error instanceof HTTPError) {
        log.warn({ status: error.status, pauseMs: pause }, 'Discord does not answer yet');
      } else log.warn({ err: error, pauseMs: pause }, 'Discord is out of reach');
      await sleep(pause);
    }
  }
}

/** A refused token, or a code of Discord's own. A proxy before it refuses without one, and its errors pass. */
function isFinal(error: unknown): boolean {
  if (error instanceof DiscordjsError || error instanceof TokenRefused) return true;
  return error instanceof DiscordAPIError && Number(error.code) > 0;
}
