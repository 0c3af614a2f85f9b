/**
 * Who calls: whoever has a key, or whoever's browser it is. A request with a key is judged by the key alone, whatever cookies come with it,
 * so other sites' pages may send one (CORS); one with a cookie is taken from our own pages alone, as forms are (web.ts).
 */
import type {} from '@fastify/swagger';
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify';
import { UserError } from '#src/errors.ts';
import { type Holder, holderOf } from '#src/people/keys.ts';
import type { Actor } from '#src/people/people.ts';
import { actorOf, type Visitor } from '#src/people/sessions.ts';
import { network, visitorIn } from '../account/visitor.ts';
import { ApiProblem } from './problem.ts';

/** Below it is the API. */
export const BASE = '/api/v1';
/** Requests a minute, in each process: of one key, of one person with all their keys and browsers, and of one network. */
export const LIMITS = { key: 120, person: 240, network: 600 } as const;
const MINUTE_MS = 60_000;

/** Whether it is to be judged by its key. */
export function hasKey({ url, headers }: Pick<FastifyRequest, 'url' | 'headers'>): boolean {
  return headers.authorization !== undefined && url.startsWith(`${BASE}/`);
}

export interface Caller {
  /** null: somebody new, who may become a guest */
  readonly visitor: Visitor | null;
  /** null: it came with a cookie, or with nothing */
  readonly key: Holder | null;
}

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | null;
  }
}

const BEARER = /^Bearer +(\S+)$/i;

/** @throws {ApiProblem} `key_unknown` */
async function callerOf(request: FastifyRequest): Promise<Caller> {
  if (!hasKey(request)) return { visitor: await visitorIn(request), key: null };
  const [, text] = BEARER.exec(request.headers.authorization ?? '') ?? [];
  const key = text === undefined ? null : await holderOf(text);
  if (!key) throw new ApiProblem('key_unknown');
  return { visitor: key.visitor, key };
}

/** Has each request say who calls, within limits; to be called before routes are added. */
export function knowCallers(area: FastifyInstance): void {
  const limit = (max: number, keyGenerator: (request: FastifyRequest) => string) => {
    const count = area.createRateLimit({ max, timeWindow: MINUTE_MS, keyGenerator });
    return async (request: FastifyRequest) => {
      const now = await count(request);
      if (!now.isAllowed && now.isExceeded) throw new ApiProblem('too_often', now.ttlInSeconds);
    };
  };
  const ofNetwork = limit(LIMITS.network, ({ ip }) => network(ip));
  const ofKey = limit(LIMITS.key, ({ caller }) => caller?.key?.keyId ?? '');
  const ofPerson = limit(LIMITS.person, ({ caller }) => caller?.visitor?.userId ?? '');
  area.decorateRequest('caller', null);
  area.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store');
    if (hasKey(request)) allowOthers(reply);
    await ofNetwork(request);
    const caller = await callerOf(request);
    request.caller = caller;
    if (caller.key) await ofKey(request);
    if (caller.visitor) await ofPerson(request);
    mustBeLet(caller, request.routeOptions.schema?.security ?? []);
  });
}

/** Any site's page may read this answer: no cookie had a part in it. */
export function allowOthers(reply: FastifyReply): void {
  reply.headers({
    'access-control-allow-origin': '*',
    'access-control-expose-headers': 'location, retry-after, idempotent-replayed',
    'cross-origin-resource-policy': 'cross-origin',
  });
}

/**
 * What the description of the operation says of who may call it, asked before anything else is looked at.
 *
 * @throws {ApiProblem} `sign_in_needed`, `key_scope`; a session has all scopes
 */
function mustBeLet({ visitor, key }: Caller, security: NonNullable<FastifySchema['security']>): void {
  const isOpen = security.some((way) => Object.keys(way).length === 0);
  if (!visitor && !isOpen) throw new ApiProblem('sign_in_needed');
  const needed = security.flatMap((way) => way.key ?? []);
  if (key && !needed.every((scope) => key.scopes.some((one) => one === scope)))
    throw new ApiProblem('key_scope');
}

export function callerFor({ caller }: FastifyRequest): Caller {
  return caller ?? { visitor: null, key: null };
}

/** Somebody who is known already. @throws {ApiProblem} `sign_in_needed` */
export function visitorFor(request: FastifyRequest): Visitor {
  const { visitor } = callerFor(request);
  if (!visitor) throw new ApiProblem('sign_in_needed');
  return visitor;
}

/** A person, as a consent is somebody's. @throws {UserError} `sign_in_first` and as `visitorFor` */
export function personFor(request: FastifyRequest): Actor {
  const visitor = visitorFor(request);
  if (visitor.isGuest) throw new UserError('sign_in_first', {});
  return actorOf(visitor);
}
