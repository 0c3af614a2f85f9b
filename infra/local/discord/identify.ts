/** What an IDENTIFY must be, how soon the next may come, and how many a day. */
import { GatewayCloseCodes as Close, GatewayIntentBits as Intent } from 'discord-api-types/v10';
import { isObject, type Json } from './fields.ts';

const INTENTS = Object.values(Intent).reduce<number>(
  (all, bit) => (typeof bit === 'number' ? all | bit : all),
  0,
);
const PRIVILEGED = Intent.GuildMembers | Intent.GuildPresences | Intent.MessageContent;

/** A client's clock may run a little ahead of ours. */
const TOLERANCE = 0.9;
const DAY_MS = 86_400_000;

export interface Identity {
  readonly shard: number;
  readonly shards: number;
  readonly intents: number;
  /** whether large payloads are to be compressed */
  readonly compress: boolean;
}

export class CloseError extends Error {
  override readonly name = 'CloseError';
  readonly code: number;

  constructor(code: number, reason: string) {
    super(reason);
    this.code = code;
  }
}

type IsToken = (token: string | null) => boolean;

/**
 * Discord takes the token with or without the scheme that REST wants before it.
 *
 * @throws {CloseError} 4004
 */
export function authenticate({ token }: Json, isToken: IsToken): void {
  if (typeof token === 'string' && isToken(token.replace(/^Bot /, ''))) return;
  throw new CloseError(Close.AuthenticationFailed, 'Authentication failed.');
}

/**
 * @param granted bits of the privileged intents that the app was granted
 * @throws {CloseError} with the code that Discord closes with
 */
export function readIdentify(data: Json, isToken: IsToken, granted: number): Identity {
  if (typeof data.token !== 'string' || !isObject(data.properties)) {
    throw new CloseError(Close.DecodeError, 'Error while decoding payload.');
  }
  authenticate(data, isToken);
  const [shard, shards, ...more] = Array.isArray(data.shard) ? (data.shard as unknown[]) : [0, 1];
  if (!isCount(shard) || !isCount(shards) || shard >= shards || more.length) {
    throw new CloseError(Close.InvalidShard, 'Invalid shard.');
  }
  const { intents } = data;
  if (!isCount(intents) || intents > INTENTS || intents & ~INTENTS) {
    throw new CloseError(Close.InvalidIntents, 'Invalid intent(s).');
  }
  if (intents & PRIVILEGED & ~granted) {
    throw new CloseError(Close.DisallowedIntents, 'Disallowed intent(s).');
  }
  return { shard, shards, intents, compress: data.compress === true };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export interface SessionLimits {
  /** shards that may identify at once */
  readonly maxConcurrency: number;
  /** between two IDENTIFYs of one key; 5,000 at Discord */
  readonly identifyPauseMs: number;
  /** 1,000 at Discord */
  readonly identifiesPerDay: number;
}

/** Counts IDENTIFYs as Discord does: by `shard % max_concurrency`, and all of them in 24 hours. */
export class IdentifyBudget {
  readonly limits: SessionLimits;
  /** by key, when its last one was taken */
  readonly #last = new Map<number, number>();
  #day = { endsAt: 0, taken: 0 };

  constructor(limits: SessionLimits) {
    this.limits = limits;
  }

  take(shard: number, nowMs = Date.now()): 'taken' | 'too soon' | 'spent' {
    const { maxConcurrency, identifyPauseMs, identifiesPerDay } = this.limits;
    const key = shard % maxConcurrency;
    if (nowMs - (this.#last.get(key) ?? 0) < identifyPauseMs * TOLERANCE) return 'too soon';
    if (nowMs >= this.#day.endsAt) this.#day = { endsAt: nowMs + DAY_MS, taken: 0 };
    if (this.#day.taken >= identifiesPerDay) return 'spent';
    this.#day.taken++;
    this.#last.set(key, nowMs);
    return 'taken';
  }

  /** `session_start_limit` of `GET /gateway/bot`. */
  left(nowMs = Date.now()): {
    total: number;
    remaining: number;
    reset_after: number;
    max_concurrency: number;
  } {
    const { identifiesPerDay: total, maxConcurrency: max_concurrency } = this.limits;
    const { endsAt, taken } = this.#day;
    const running = endsAt > nowMs;
    return {
      total,
      remaining: running ? total - taken : total,
      reset_after: running ? endsAt - nowMs : DAY_MS,
      max_concurrency,
    };
  }
}
