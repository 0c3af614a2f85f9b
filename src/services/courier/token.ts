/** Tells a stray refusal of the bot's token from one that is for good. */
import { type MakeRequest, TokenRefused } from '#src/doors/discord.ts';

/** After a refusal nothing is sent with the token for so long: Discord shuts out whoever goes on. ms */
const PAUSE_MS = 2_000;
const REFUSALS_MAX = 3;

/** @param giveUp called when it was refused three times in a row */
export function watchToken(ask: MakeRequest, giveUp: () => void): MakeRequest {
  let refusals = 0;
  let notBefore = 0;
  return async (url, init) => {
    if (!('Authorization' in (init.headers ?? {}))) return ask(url, init);
    if (Date.now() < notBefore) throw new TokenRefused();
    try {
      const answer = await ask(url, init);
      if (answer.ok) refusals = 0;
      return answer;
    } catch (error) {
      // Of several that were under way together, one counts.
      if (error instanceof TokenRefused && Date.now() >= notBefore) {
        notBefore = Date.now() + PAUSE_MS;
        refusals++;
        if (refusals === REFUSALS_MAX) giveUp();
      }
      throw error;
    }
  };
}
