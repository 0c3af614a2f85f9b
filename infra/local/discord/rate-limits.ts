/**
 * Discord's rate limits: requests are counted by route and by what the route is about (a channel, a guild, an
 * interaction's token), in windows that begin with their first request; and all of a bot's together.
 *
 * The numbers are those that Discord has been seen to send; it documents only the global one, and may change any of them.
 */
import { createHash } from 'node:crypto';
import { snowflakeTime } from './snowflake.ts';

interface Rule {
  readonly route: RegExp;
  /** told apart by `X-RateLimit-Bucket`; several routes can have one, and each is counted for itself all the same */
  readonly bucket: string;
  readonly requests: number;
  readonly perS: number;
  /** of the message in the path, in seconds */
  readonly olderThanS?: number;
}

const DELETION = /^DELETE .*\/messages\/\{message_id\}$/;
const RULES: readonly Rule[] = [
  { route: /^(POST|PATCH) .*\/messages(\/\{message_id\})?$/, bucket: 'write', requests: 5, perS: 5 },
  { route: /^GET .*\/messages/, bucket: 'read', requests: 5, perS: 5 },
  { route: DELETION, bucket: 'old', requests: 30, perS: 4, olderThanS: 14 * 86_400 },
  { route: DELETION, bucket: 'not new', requests: 3, perS: 1 / 3, olderThanS: 10 },
  { route: DELETION, bucket: 'new', requests: 5, perS: 1 },
  { route: /bulk-delete$/, bucket: 'bulk', requests: 1, perS: 1 },
  { route: /crosspost$/, bucket: 'crosspost', requests: 10, perS: 3_600 },
  { route: /reactions/, bucket: 'react', requests: 1, perS: 0.25 },
  { route: /typing$/, bucket: 'typing', requests: 5, perS: 5 },
  { route: /^POST .*\/threads$/, bucket: 'thread', requests: 50, perS: 300 },
  { route: /^PATCH \/channels\/\{channel_id\}$/, bucket: 'channel', requests: 10, perS: 15 },
  { route: /^POST \/users\/@me\/channels$/, bucket: 'direct', requests: 10, perS: 10 },
  { route: /^\w+ \/applications\/.*\/commands/, bucket: 'commands', requests: 5, perS: 20 },
];
/** Answers to interactions, by their token. */
const BY_TOKEN: Rule = { route: /^\w+ \/webhooks\//, bucket: 'webhook', requests: 5, perS: 2 };
const OTHERS: Omit<Rule, 'route'> = { bucket: 'other', requests: 50, perS: 1 };
const GLOBAL_PER_S = 50;

export interface RateLimit {
  readonly headers: Record<string, string>;
  /** seconds to wait, when the request is one too many */
  readonly retryAfterS: number | null;
  readonly global: boolean;
}

export class RateLimits {
  readonly #windows = new Map<string, { count: number; endsAt: number }>();

  /**
   * @param route `POST /channels/{channel_id}/messages`
   * @param params of its path
   */
  take(route: string, params: Readonly<Record<string, string>>, nowMs = Date.now()): RateLimit {
    // The first answer to an interaction is neither counted nor told about; later ones are not counted globally.
    if (route.startsWith('POST /interactions/')) return { headers: {}, retryAfterS: null, global: false };
    const byToken = BY_TOKEN.route.test(route);
    const overall = this.#window('global', 1, nowMs);
    if (!byToken && ++overall.count > GLOBAL_PER_S) {
      return { headers: {}, retryAfterS: (overall.endsAt - nowMs) / 1000, global: true };
    }
    const { bucket, requests, perS } = byToken ? BY_TOKEN : ruleOf(route, params, nowMs);
    const { channel_id, guild_id, webhook_token } = params;
    const about = channel_id ?? guild_id ?? webhook_token ?? '';
    const window = this.#window(`${byToken ? bucket : route} ${bucket} ${about}`, perS, nowMs);
    window.count++;
    const resetAfterS = (window.endsAt - nowMs) / 1000;
    return {
      headers: {
        'x-ratelimit-limit': String(requests),
        'x-ratelimit-remaining': String(Math.max(0, requests - window.count)),
        'x-ratelimit-reset': (window.endsAt / 1000).toFixed(3),
        'x-ratelimit-reset-after': resetAfterS.toFixed(3),
        'x-ratelimit-bucket': createHash('sha256').update(bucket).digest('hex').slice(0, 32),
      },
      retryAfterS: window.count > requests ? resetAfterS : null,
      global: false,
    };
  }

  #window(key: string, lengthS: number, nowMs: number) {
    const known = this.#windows.get(key);
    if (known && known.endsAt > nowMs) return known;
    if (this.#windows.size > 10_000) this.#windows.clear();
    const fresh = { count: 0, endsAt: nowMs + lengthS * 1000 };
    this.#windows.set(key, fresh);
    return fresh;
  }
}

function ruleOf(
  route: string,
  { message_id }: Readonly<Record<string, string>>,
  nowMs: number,
): Omit<Rule, 'route'> {
  const ageS = message_id ? (nowMs - snowflakeTime(message_id)) / 1000 : 0;
  return RULES.find((rule) => rule.route.test(route) && ageS >= (rule.olderThanS ?? 0)) ?? OTHERS;
}
