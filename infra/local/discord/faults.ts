/** Misbehaviour that is in force, and the rate limits that always are. */
import { createHash } from 'node:crypto';
import type { Misbehaviour } from './protocol.ts';

export class Troubles {
  answerAfterMs = 0;
  deliverAfterMs = 0;
  refuseDms = false;
  #rateLimit: { next: number; retryAfterS: number; global: boolean; route: string } | null = null;
  #serverError: { next: number; when: 'before' | 'after'; status: number; route: string } | null = null;

  set({ answerAfterMs, deliverAfterMs, refuseDms, rateLimit, serverError }: Misbehaviour): void {
    this.answerAfterMs = answerAfterMs ?? this.answerAfterMs;
    this.deliverAfterMs = deliverAfterMs ?? this.deliverAfterMs;
    this.refuseDms = refuseDms ?? this.refuseDms;
    if (rateLimit !== undefined) {
      this.#rateLimit = rateLimit && { retryAfterS: 1, global: false, route: '', ...rateLimit };
    }
    if (serverError !== undefined)
      this.#serverError = serverError && { status: 500, route: '', ...serverError };
  }

  get inForce(): Misbehaviour {
    const { answerAfterMs, deliverAfterMs, refuseDms } = this;
    return {
      answerAfterMs,
      deliverAfterMs,
      refuseDms,
      rateLimit: this.#rateLimit,
      serverError: this.#serverError as NonNullable<Misbehaviour['serverError']> | null,
    };
  }

  /** The 429 that this request meets, if one was asked for. */
  takeRateLimit(route: string): { retryAfterS: number; global: boolean } | null {
    const limit = this.#rateLimit;
    if (!limit || limit.next <= 0 || !route.includes(limit.route)) return null;
    limit.next--;
    return limit;
  }

  /** The status that this request meets, if a server error of this kind was asked for. */
  takeServerError(route: string, when: 'before' | 'after'): number | null {
    const fault = this.#serverError;
    if (!fault || fault.when !== when || fault.next <= 0 || !route.includes(fault.route)) return null;
    fault.next--;
    return fault.status;
  }
}

/** Requests and the seconds they are counted over, near what Discord was seen to send. */
const LIMITS: readonly [route: RegExp, requests: number, perS: number][] = [
  [/^(POST|PATCH) \/channels\/\{channel_id\}\/messages/, 5, 5],
  [/^DELETE \/channels\/\{channel_id\}\/messages/, 5, 1],
  [/^GET \/channels\/\{channel_id\}\/messages/, 5, 5],
  [/^POST \/channels\/.*threads$/, 50, 300],
  [/reactions/, 1, 0.25],
  [/^\w+ \/webhooks\//, 5, 2],
  [/^\w+ \/applications\/.*commands/, 5, 20],
  [/^POST \/users\/@me\/channels/, 10, 10],
];
const OTHERS: readonly [requests: number, perS: number] = [50, 1];
const GLOBAL_PER_S = 50;

export interface RateLimit {
  readonly headers: Record<string, string>;
  /** seconds to wait, when the request is one too many */
  readonly retryAfterS: number | null;
  readonly global: boolean;
}

/** Discord's buckets: a route's kind and its channel, guild or webhook token are counted together. */
export class RateLimits {
  readonly #windows = new Map<string, { count: number; endsAt: number }>();

  take(route: string, majorParameter: string, nowMs = Date.now()): RateLimit {
    const rule = LIMITS.find(([pattern]) => pattern.test(route));
    const [limit, perS] = rule ? [rule[1], rule[2]] : OTHERS;
    const bucket = createHash('sha256').update(route).digest('hex').slice(0, 32);
    const window = this.#window(`${bucket}:${majorParameter}`, perS * 1000, nowMs);
    const overall = this.#window('global', 1000, nowMs);
    const outside = route.startsWith('POST /interactions/') || route.includes(' /webhooks/');
    if (!outside) overall.count++;
    window.count++;
    const resetAfterS = Math.max(0, (window.endsAt - nowMs) / 1000);
    const global = !outside && overall.count > GLOBAL_PER_S;
    const retryAfterS = global
      ? (overall.endsAt - nowMs) / 1000
      : !outside || route.includes(' /webhooks/')
        ? window.count > limit
          ? resetAfterS
          : null
        : null;
    return {
      headers: {
        'x-ratelimit-limit': String(limit),
        'x-ratelimit-remaining': String(Math.max(0, limit - window.count)),
        'x-ratelimit-reset': (window.endsAt / 1000).toFixed(3),
        'x-ratelimit-reset-after': resetAfterS.toFixed(3),
        'x-ratelimit-bucket': bucket,
      },
      retryAfterS,
      global,
    };
  }

  #window(key: string, lengthMs: number, nowMs: number) {
    const known = this.#windows.get(key);
    if (known && known.endsAt > nowMs) return known;
    if (this.#windows.size > 10_000) this.#windows.clear();
    const fresh = { count: 0, endsAt: nowMs + lengthMs };
    this.#windows.set(key, fresh);
    return fresh;
  }
}
