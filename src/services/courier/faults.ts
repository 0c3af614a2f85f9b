/** What an error of a call to Discord means for the message that was to be shown. */
import { DiscordAPIError, HTTPError, RateLimitError } from '@discordjs/rest';
import { RESTJSONErrorCodes as Refusal } from 'discord-api-types/v10';
import { NotDiscord, TokenRefused } from '#src/doors/discord.ts';

/**
 * - `unreachable`: the place or the message is not there, or not for us
 * - `expired`: the interaction's token is of no use any more
 * - `archived`: in this thread nothing is changed until it is opened again
 * - `large`: no request of that size is taken
 * - `refused`: Discord understood and will not; trying again changes nothing
 * - `unknown`: nobody knows whether it was done, or Discord was not asked at all
 */
export interface Fault {
  readonly kind: 'unreachable' | 'expired' | 'archived' | 'large' | 'refused' | 'unknown';
  /** Discord's own code, or a word */
  readonly code: string;
  /** ms before which it is of no use to try again */
  readonly retryAfterMs?: number;
}

const KINDS: ReadonlyMap<string | number, Fault['kind']> = new Map<string | number, Fault['kind']>([
  [Refusal.UnknownChannel, 'unreachable'],
  [Refusal.UnknownGuild, 'unreachable'],
  [Refusal.UnknownMessage, 'unreachable'],
  [Refusal.MissingAccess, 'unreachable'],
  [Refusal.MissingPermissions, 'unreachable'],
  [Refusal.CannotSendMessagesToThisUser, 'unreachable'],
  [Refusal.CannotSendMessagesInNonTextChannel, 'unreachable'],
  [Refusal.ThreadLocked, 'unreachable'],
  [Refusal.CannotEditMessageAuthoredByAnotherUser, 'unreachable'],
  [Refusal.CannotSendMessagesToThisUserDueToHavingNoMutualGuilds, 'unreachable'],
  [Refusal.UnknownWebhook, 'expired'],
  [Refusal.UnknownInteraction, 'expired'],
  [Refusal.InvalidWebhookToken, 'expired'],
  [Refusal.ThisInteractionHasHitTheMaximumNumberOfFollowUpMessages, 'expired'],
  [Refusal.InvalidActionOnArchivedThread, 'archived'],
  [Refusal.RequestEntityTooLarge, 'large'],
  [Refusal.CloudflareIsBlockingYourRequest, 'unknown'],
  [Refusal.APIResourceOverloaded, 'unknown'],
]);

/** There is no way to the place where it is meant for; a direct message is what is left. */
export class Unreachable extends Error {}

export function faultOf(error: unknown): Fault {
  if (error instanceof Unreachable) return { kind: 'unreachable', code: error.message };
  if (error instanceof DiscordAPIError) {
    const { code, status } = error;
    const passes = status === 429 || status >= 500;
    // Without a code of Discord's it is not Discord that refuses.
    const kind = passes || typeof code !== 'number' ? 'unknown' : (KINDS.get(code) ?? 'refused');
    return { kind: status === 413 ? 'large' : kind, code: String(code ?? `http-${status}`) };
  }
  if (error instanceof NotDiscord) {
    const { status, retryAfterMs } = error;
    return { kind: status === 413 ? 'large' : 'unknown', code: `http-${status}`, retryAfterMs };
  }
  if (error instanceof RateLimitError)
    return { kind: 'unknown', code: 'rate-limited', retryAfterMs: error.retryAfter };
  if (error instanceof HTTPError) return { kind: 'unknown', code: `http-${error.status}` };
  // The operator's to mend, and nothing about this message.
  if (error instanceof TokenRefused) return { kind: 'unknown', code: 'token-refused' };
  if (!(error instanceof Error)) return { kind: 'unknown', code: 'error' };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return { kind: 'unknown', code };
}
