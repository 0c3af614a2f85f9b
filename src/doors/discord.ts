/**
 * The door to Discord's REST: how one request goes out, and which answers are Discord's at all. Every REST client of ours, the
 * bot's and the courier's, has `askDiscord` as its `makeRequest`.
 */
import type { RESTOptions } from '@discordjs/rest';
import { makeRequest } from '@discordjs/rest/undiciRequest';
import { metrics } from './metrics.ts';

export type MakeRequest = RESTOptions['makeRequest'];

/** Something before Discord answered, a proxy or a wall: what Discord would have said is not known. */
export class NotDiscord extends Error {
  override readonly name = 'NotDiscord';
  readonly status: number;
  /** it asked not to be asked again before; ms */
  readonly retryAfterMs: number;

  constructor(status: number, retryAfterMs: number) {
    super(`HTTP ${status}, and not from Discord`);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Discord refused the bot's token. The library would forget the token at that, and fail at every call from then on. */
export class TokenRefused extends Error {
  override readonly name = 'TokenRefused';
  /** as discord.js looks for it */
  readonly status = 401;

  constructor() {
    super('Discord refused the bot token: check DISCORD_TOKEN.');
  }
}

/** For one request, and longer by what it carries: 25 MiB may take four and a half minutes. */
const ANSWER_WITHIN_MS = 15_000;
const SLOWEST_BYTES_PER_MS = 100;
/** For the library, whose own limit is one for all. */
export const LONGEST_REQUEST_MS = 300_000;
/** ms until a wall that does not say when it opens is asked again */
const WALL_PAUSE_MS = 10_000;
/** ms; a wall that says "in a year" is asked before */
const RETRY_AFTER_MAX_MS = 3_600_000;

/** until when a wall before Discord lets nobody through */
let walledUntil = 0;

const SCOPES: ReadonlySet<string | null> = new Set(['user', 'shared', 'global']);

/** @throws {NotDiscord | TokenRefused} and what the connection throws */
export const askDiscord: MakeRequest = async (url, init) => {
  const waitMs = walledUntil - Date.now();
  if (waitMs > 0) throw new NotDiscord(429, waitMs);

  const askedAt = performance.now();
  let status: number | 'none' = 'none';
  try {
    const answer = await ask(url, init);
    ({ status } = answer);
    const scope = answer.headers.get('x-ratelimit-scope');
    if (status === 429) metrics.limited({ scope: scope && SCOPES.has(scope) ? scope : 'other' });
    return answer;
  } catch (error) {
    if (error instanceof NotDiscord || error instanceof TokenRefused) ({ status } = error);
    if (status === 429) metrics.limited({ scope: 'wall' });
    throw error;
  } finally {
    const method = init.method ?? 'GET';
    metrics.request({ method, route: routeOf(url), status }, (performance.now() - askedAt) / 1_000);
  }
};

/** `/channels/:id/messages/:id`: ids and tokens are no one's business, and there are too many. */
export function routeOf(url: string): string {
  const parts = new URL(url).pathname
    .replace(/^.*?\/v\d+\//, '')
    .replaceAll('%40', '@')
    .split('/');
  const isToken = (i: number) => i === 2 && (parts[0] === 'webhooks' || parts[0] === 'interactions');
  const named = parts.map((part, i) => {
    if (/^\d+$/.test(part)) return ':id';
    return isToken(i) ? ':token' : /^[a-z@_-]{1,20}$/.test(part) ? part : ':other';
  });
  return `/${named.join('/')}`;
}

const ask: MakeRequest = async (url, init) => {
  const { body, headers, bytes } = await inOnePiece(init);
  const late = AbortSignal.timeout(ANSWER_WITHIN_MS + Math.ceil(bytes / SLOWEST_BYTES_PER_MS));
  const signal = AbortSignal.any(init.signal ? [init.signal, late] : [late]);
  const answer = await makeRequest(url, { ...init, body, headers, signal });
  // All of it, also where the library looks at the status alone: what is left unread keeps its connection.
  const content = await answer.arrayBuffer();

  const { status } = answer;
  const isJson = answer.headers.get('content-type')?.startsWith('application/json') ?? false;
  const isDiscord = isJson || (answer.ok && !content.byteLength);
  const retryAfter = answer.headers.get('retry-after');
  // The library tries again at once after a 5xx, whoever it is from.
  if (!isDiscord && (status < 500 || retryAfter)) {
    const retryAfterMs = Math.min(RETRY_AFTER_MAX_MS, (Number(retryAfter) || 0) * 1_000);
    // Cloudflare's 1015 is for all of this address, and whoever asks on makes it last.
    if (status === 429) walledUntil = Date.now() + (retryAfterMs || WALL_PAUSE_MS);
    throw new NotDiscord(status, retryAfterMs);
  }
  if (status === 401 && 'Authorization' in headers) throw new TokenRefused();
  const { statusText, headers: told } = answer;
  return new Response(content.byteLength ? content : null, { status, statusText, headers: [...told] });
};

/**
 * The body as one buffer. Sent as the library gives it, a form part by part, an answer that comes before all of it was read ends
 * the process: Node writes on to a stream that is closed.
 */
async function inOnePiece({ body, headers }: Parameters<MakeRequest>[1]) {
  if (!(body instanceof FormData)) return { body: body ?? null, headers: { ...headers }, bytes: 0 };
  const form = new Response(body);
  const whole = new Uint8Array(await form.arrayBuffer());
  const type = form.headers.get('content-type') ?? '';
  return { body: whole, headers: { ...headers, 'Content-Type': type }, bytes: whole.length };
}
