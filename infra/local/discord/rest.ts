/**
 * REST v10: one table of routes, and around every request the same way in and out:
 *
 *   match ▶ wall ▶ token ▶ rate limit ▶ asked-for trouble ▶ body ▶ (judge) ▶ handler ▶ (judge) ▶ answer
 *
 * Templates are spelled as in Discord's description, so the judge finds them.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Attachments, Upload } from './attachments.ts';
import { DiscordError, invalid, refusals } from './discord-error.ts';
import type { Troubles } from './faults.ts';
import { isObject, type Json } from './fields.ts';
import { type Draft, REQUEST_MAX } from './messages.ts';
import { type Judge, methodsAt, type Violation } from './openapi.ts';
import type { RateLimits } from './rate-limits.ts';
import type { Bearer, Scope } from './scopes.ts';

export interface Call {
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** of whoever asks */
  readonly locale: string;
  /** an array where a route takes one (PUT commands) */
  readonly body: unknown;
  readonly files: Draft['files'];
  /** who let the application see this of him; null: the bot asks */
  readonly bearer: Bearer | null;
}

export interface Answer {
  readonly status: number;
  /** none with 204 */
  readonly body?: unknown;
  /** HTML in place of it, which Discord never answers with */
  readonly page?: string;
}

export interface Route {
  readonly method: string;
  readonly template: string;
  /** false: the path itself carries a token */
  readonly bot: boolean;
  /** what a person's bearer token must be good for to ask this as well */
  readonly scope?: Scope;
  readonly run: (call: Call) => Answer | Promise<Answer>;
}

export interface RestOptions {
  readonly routes: readonly Route[];
  /** without its scheme */
  readonly isToken: (token: string | null) => boolean;
  readonly bearer: (token: string | null) => Bearer | null;
  /** see attachments.ts */
  readonly signing: Attachments['signing'];
  readonly troubles: Troubles;
  readonly limits: RateLimits | null;
  /** opened on first use; null: nothing is judged */
  readonly judge: (() => Promise<Judge>) | null;
  readonly onRequest?: (route: string, body: unknown) => void;
  readonly onViolation: (violation: Violation) => void;
  readonly onLog: (line: string) => void;
}

/** Those that Discord still answers; all are answered as version 10 here. */
const VERSIONS: readonly number[] = [10, 9, 8, 7, 6];

/** Answers everything under `/api`. */
export function createRest(
  options: RestOptions,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const { troubles, limits, isToken, onLog } = options;
  const routes = options.routes.map((route) => ({ ...route, segments: route.template.split('/').slice(1) }));

  return async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const [, version = String(VERSIONS[0]), rest = ''] = /^\/api(?:\/v(\d+))?(.*)$/.exec(url.pathname) ?? [];
    const path = rest.split('/').slice(1).map(decoded);
    const method = request.method ?? 'GET';
    const startedAt = performance.now();
    const headers: Record<string, string> = {};
    let route: string = `${method} /${path.join('/')}`;
    let answer: Answer;
    try {
      if (!VERSIONS.includes(Number(version))) throw refusals.invalidVersion();
      const found = match(method, path);
      if (!found) {
        if (options.judge) violate(route, 'request', ['the local Discord has no such route']);
        const methods = await methodsAt(path);
        throw methods.length && !methods.includes(method) ? refusals.methodNotAllowed() : refusals.notFound();
      }
      route = `${method} ${found.route.template}`;
      answer = await handle(found.route, found.params, url.searchParams, request, headers);
    } catch (error) {
      if (!(error instanceof DiscordError))
        onLog(`${route} broke: ${error instanceof Error ? error.stack : error}`);
      answer =
        error instanceof DiscordError
          ? { status: error.status, body: error.body }
          : { status: 500, body: { message: '500: Internal Server Error', code: 0 } };
    }
    if (!request.complete) request.resume();
    if (troubles.answerAfterMs) await sleep(troubles.answerAfterMs);
    if (answer.status === 429 && !answer.page) headers['retry-after'] ??= '1';
    const text =
      answer.body === undefined ? (answer.page ?? '') : JSON.stringify(answer.body, options.signing);
    // An empty answer must not claim to be JSON: clients would try to parse it.
    if (text) headers['content-type'] = answer.page ? 'text/html; charset=UTF-8' : 'application/json';
    response.writeHead(answer.status, headers).end(text);
    onLog(`${route} ${answer.status} ${Math.round(performance.now() - startedAt)} ms`);
  };

  function match(method: string, path: readonly string[]) {
    for (const route of routes) {
      if (route.method !== method || route.segments.length !== path.length) continue;
      const params: Record<string, string> = {};
      const fits = route.segments.every((segment, i) => {
        const name = /^\{(\w+)\}$/.exec(segment)?.[1];
        if (!name) return segment === path[i];
        params[name] = path[i]!;
        return path[i] !== '';
      });
      if (fits) return { route, params };
    }
    return null;
  }

  async function handle(
    route: Route,
    params: Call['params'],
    query: URLSearchParams,
    request: IncomingMessage,
    headers: Record<string, string>,
  ): Promise<Answer> {
    const { method, template } = route;
    const name = `${method} ${template}`;
    const wall = troubles.take('wall', name);
    if (wall) {
      if (wall.retryAfterS) headers['retry-after'] = String(wall.retryAfterS);
      return { status: wall.status, page: `<!DOCTYPE html><title>${wall.status}</title><h1>Error</h1>` };
    }
    const [scheme, token = null] = (request.headers.authorization ?? '').split(' ');
    const bearer = scheme === 'Bearer' && route.scope ? options.bearer(token) : null;
    const isBot = scheme === 'Bot' && isToken(token);
    if (route.bot && ((!isBot && !bearer) || troubles.take('refuseToken', name)))
      throw refusals.unauthorized();
    if (bearer && route.scope && !bearer.scopes.includes(route.scope)) throw refusals.unauthorized();

    for (const [key, value] of Object.entries(params)) {
      if (!key.endsWith('_id') || /^\d{1,20}$/.test(value)) continue;
      throw invalid([key], 'NUMBER_TYPE_COERCE', `Value "${value}" is not snowflake.`);
    }
    const limit = limits?.take(name, params);
    if (limit) Object.assign(headers, limit.headers);
    const asked = troubles.take('rateLimit', name);
    const retryAfterS = (asked && (asked.retryAfterS ?? 1)) ?? limit?.retryAfterS ?? null;
    if (retryAfterS !== null) {
      const global = asked?.global ?? limit?.global ?? false;
      headers['retry-after'] = String(Math.ceil(retryAfterS));
      headers['x-ratelimit-scope'] = global ? 'global' : 'user';
      if (global) headers['x-ratelimit-global'] = 'true';
      else {
        headers['x-ratelimit-remaining'] = '0';
        headers['x-ratelimit-reset-after'] = String(retryAfterS);
      }
      const message = global ? 'You are being rate limited globally.' : 'You are being rate limited.';
      return { status: 429, body: { message, retry_after: retryAfterS, global } };
    }

    const broken = troubles.takeServerError(name, 'before');
    if (broken)
      return { status: broken, body: { message: `${broken}: asked for, before the work`, code: 0 } };

    const slow = isForm(request) && troubles.take('slowUpload', name);
    if (slow) await sleep(slow.ms);
    const { body, files } = await readBody(request);
    options.onRequest?.(name, body);
    const judge = await options.judge?.();
    const faults = judge?.request(method, template, body) ?? [];
    if (faults.length) violate(name, 'request', faults);

    const { 'x-discord-locale': wanted, 'accept-language': accepted } = request.headers;
    const locale = String(wanted ?? accepted ?? 'en-US').split(/[,;]/)[0]!;
    const answer = await run(route, { params, query, locale, body, files, bearer });
    if (faults.length && answer.status < 400) {
      return {
        status: 400,
        body: {
          message: 'Invalid Form Body',
          code: 50035,
          errors: { _errors: faults.map((message) => ({ code: 'OPENAPI', message })) },
        },
      };
    }
    const wrong = judge?.response(method, template, answer.status, answer.body) ?? [];
    if (wrong.length) violate(name, 'response', wrong, answer.status);

    const lost = troubles.takeServerError(name, 'after');
    if (lost) return { status: lost, body: { message: `${lost}: asked for, after the work`, code: 0 } };
    return answer;
  }

  async function run(route: Route, call: Call): Promise<Answer> {
    try {
      return await route.run(call);
    } catch (error) {
      if (error instanceof DiscordError) return { status: error.status, body: error.body };
      throw error;
    }
  }

  function violate(route: string, side: Violation['side'], faults: readonly string[], status?: number): void {
    options.onViolation({ route, side, faults, ...(status !== undefined && { status }) });
  }
}

/** A segment of a path; as it stands where it is badly encoded. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** All of a request, at most `max` bytes. @throws {DiscordError} 40005 */
export async function readBytes(request: IncomingMessage, max = REQUEST_MAX): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Read on to the end, so that the refusal reaches a client that is still sending.
    if (size <= max) chunks.push(chunk);
  }
  if (size > max) throw refusals.tooLarge();
  return Buffer.concat(chunks);
}

function isForm({ headers }: IncomingMessage): boolean {
  return headers['content-type']?.startsWith('multipart/form-data') ?? false;
}

async function readBody(request: IncomingMessage): Promise<{ body: unknown; files: Map<number, Upload> }> {
  const files = new Map<number, Upload>();
  const bytes = await readBytes(request);
  if (!bytes.length) return { body: {}, files };
  const type = request.headers['content-type'] ?? '';
  if (!isForm(request)) {
    if (type.startsWith('application/json')) return { body: parse(bytes.toString()), files };
    const sentence =
      "Expected \"Content-Type\" header to be one of {'application/json', 'multipart/form-data'}.";
    throw invalid([], 'CONTENT_TYPE_INVALID', sentence);
  }

  const form = await new Response(new Uint8Array(bytes), { headers: { 'content-type': type } })
    .formData()
    .catch(() => {
      throw refusals.badJson();
    });
  let body: unknown = {};
  for (const [key, value] of form) {
    if (typeof value === 'string') {
      if (key === 'payload_json') body = parse(value);
      continue;
    }
    const n = Number(/^files?\[(\d+)\]$/.exec(key)?.[1] ?? files.size);
    const known = value.type && value.type !== 'application/octet-stream';
    files.set(n, {
      filename: value.name,
      contentType: known ? value.type : contentTypeOf(value.name),
      data: Buffer.from(await value.arrayBuffer()),
    });
  }
  return { body, files };
}

/** With whole numbers that are too large for JavaScript as text: they are ids, which Discord takes as numbers too. */
function parse(text: string): unknown {
  const exact = (_: string, value: unknown, context?: { readonly source?: string }) =>
    Number.isInteger(value) && !Number.isSafeInteger(value) ? (context?.source ?? value) : value;
  try {
    return JSON.parse(text, exact) as unknown;
  } catch {
    throw refusals.badJson();
  }
}

/** A route's body where it must be an object. */
export function objectBody({ body }: Call): Json {
  if (!isObject(body)) throw refusals.badJson();
  return body;
}

const TYPES: Record<string, string> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  webp: 'image/webp',
  gif: 'image/gif',
  avif: 'image/avif',
  txt: 'text/plain; charset=utf-8',
  json: 'application/json',
  csv: 'text/csv',
  yaml: 'text/yaml',
  zip: 'application/zip',
  pdf: 'application/pdf',
};

/** By the name's ending, for files that came without a type. */
export function contentTypeOf(filename: string): string {
  return TYPES[filename.split('.').at(-1)?.toLowerCase() ?? ''] ?? 'application/octet-stream';
}
