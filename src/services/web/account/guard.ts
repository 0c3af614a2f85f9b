/** What guards the areas that have forms: how often, how large, and a clear sentence for what is refused. */
import cookie from '@fastify/cookie';
import formbody from '@fastify/formbody';
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import { isStorageAway } from '#src/doors/storage.ts';
import { UserError } from '#src/errors.ts';
import { notePage } from '../layout.ts';
import { send } from '../send.ts';
import { network } from './visitor.ts';
import { said } from './words.ts';

/** Of one network in a minute, in each process. */
export const often = (max: number) => ({ config: { rateLimit: { max, timeWindow: 60_000 } } });

class TooOften extends Error {
  readonly statusCode = 429;
}

const refusals: Readonly<Record<number, readonly [title: string, sentence: string]>> = {
  408: ['That took too long', 'It did not come in within half a minute, so it was not taken. Try again.'],
  413: ['That is too large', 'A form may have 64 KiB, and a photo 10 MiB. Nothing was done.'],
  415: ['That is no form', 'Only what the forms of this page send is taken here.'],
  429: ['Too often', 'That was asked for very often from your network. Wait a minute, then try again.'],
};

/** Adds it to one area, with cookies: to be called before its routes. */
export async function guard(area: FastifyInstance): Promise<void> {
  await area.register(cookie);
  await area.register(formbody, { bodyLimit: 64 * 1024 });
  await area.register(rateLimit, {
    global: false,
    keyGenerator: ({ ip }) => network(ip),
    errorResponseBuilder: () => new TooOften('too often'),
    addHeaders: { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false },
  });
  area.setErrorHandler<Error & { statusCode?: number }>((error, request, reply) => {
    // They went away while they were sending: there is nobody to tell.
    if (request.raw.destroyed && !request.raw.complete) return reply.hijack();
    // Its door has logged it.
    const told = isStorageAway(error) ? new UserError('storage_away', {}) : error;
    if (told instanceof UserError) {
      const page = notePage('That did not work', said(told.userMessage));
      const status = statusOf(told);
      if (status === 503) reply.header('retry-after', '10');
      return send(request, reply.code(status), page, { own: true });
    }
    const [title, sentence] = refusals[error.statusCode ?? 500] ?? [];
    // What is left is for everybody's handler.
    if (!title || !sentence) throw error;
    return send(request, reply.code(error.statusCode ?? 400), notePage(title, sentence), { own: true });
  });
}

/** What a refusal is in HTTP's words. */
export function statusOf({ code }: UserError): number {
  switch (code) {
    case 'gone':
      return 404;
    case 'sign_in_first':
    case 'blocked_until':
    case 'not_yours':
    case 'operators_only':
    case 'moderators_only':
    case 'own_part':
      return 403;
    case 'already_done':
    case 'already_reviewed':
      return 409;
    case 'guests_many':
    case 'turns_taken':
      return 429;
    case 'busy':
    case 'crowded':
    case 'tier_full':
    case 'storage_full':
    case 'storage_away':
    case 'database_away':
      return 503;
    default:
      return 400;
  }
}
