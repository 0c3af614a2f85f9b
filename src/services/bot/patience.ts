/** Discord away at our start: we wait for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { TokenRefused } from '#src/doors/discord.ts';
import { log } from '#src/doors/log.ts';
import { FIRST_PAUSE_MS, LONGEST_PAUSE_MS } from '../restarts.ts';

/**
 * What @discordjs/rest throws of an answer, told by its shape: discord.js brings a build of that library of its own, whose errors are of
 * other classes. Of those that are Discord's own it has the code.
 */
const Answer = z.object({
  name: z.string().regex(/^(DiscordAPIError|HTTPError)/),
  status: z.number(),
  code: z.union([z.number(), z.string()]).optional(),
});

/**
 * @param isOurs what is no fault of Discord's or the network's
 * @throws what `ask` does, when it is ours, or Discord itself says what is wrong, so that asking again would give the same
 */
export async function untilDiscordAnswers<T>(
  ask: () => Promise<T>,
  isOurs: (error: unknown) => boolean = () => false,
): Promise<T> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await ask();
    } catch (error) {
      const { data: answer } = Answer.safeParse(error);
      // A code of Discord's own. A proxy before it refuses without one, and its errors pass.
      if (error instanceof TokenRefused || isOurs(error) || Number(answer?.code) > 0) throw error;
      if (answer) log.warn({ status: answer.status, pauseMs: pause }, 'Discord does not answer yet');
      else log.warn({ err: error, pauseMs: pause }, 'Discord is out of reach');
      await sleep(pause);
    }
  }
}
