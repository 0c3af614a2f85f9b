/**
 * What is refused, and what broke, as RFC 9457 has it: `application/problem+json`. What people may be told is a `UserError`, whose code
 * and sentence a problem has; what only programs ask is told here.
 */
import { randomUUID } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { log } from '#src/doors/log.ts';
import { isAway, isNoText } from '#src/doors/postgres.ts';
import { isFull, isStorageAway } from '#src/doors/storage.ts';
import { UserError } from '#src/errors.ts';
import { statusOf } from '../account/guard.ts';
import { plain } from '../account/words.ts';
import { Foreign } from '../area.ts';

export const Problem = z
  .object({
    type: z.string().describe('Address of what the documentation says of it.'),
    title: z.string().describe('What kind of refusal it is, by its status.'),
    status: z.int().min(400).max(599),
    detail: z.string().describe('One sentence for a person.'),
    code: z.string().describe('For programs: it stays as it is when the sentence changes.'),
    faults: z
      .array(z.object({ at: z.string().describe('JSON Pointer (RFC 6901)'), detail: z.string() }))
      .optional()
      .describe('Of a body or a query: what is wrong where.'),
    errorId: z.string().optional().describe('Of a fault of ours: quote it to whoever runs this.'),
  })
  .meta({ id: 'Problem', description: 'Why it was not done (RFC 9457).' });

/** For the responses of every operation. */
export const refusals = {
  description: 'Refused, or failed: nothing was done',
  content: { 'application/problem+json': { schema: Problem } },
} as const;

/** Code → status and sentence, of what the API itself refuses. */
const problems = {
  body_invalid: [400, 'The request is not as the description of this operation has it.'],
  not_json: [400, 'The body is no JSON.'],
  address_invalid: [400, 'The address of the request cannot be read.'],
  key_unknown: [401, 'That is no key, or it was revoked. Send one as `Authorization: Bearer atelier_…`.'],
  sign_in_needed: [401, 'This needs a key, or a session.'],
  key_scope: [403, 'The scopes of this key do not go so far. Make another on the account page.'],
  foreign_origin: [403, 'Another site sent this with a session’s cookie. From other sites, use a key.'],
  no_such_address: [404, 'There is nothing at this address.'],
  too_slow: [408, 'The request did not come in within half a minute.'],
  idempotency_busy: [
    409,
    'The first request with this Idempotency-Key is still at work. Ask again in a moment.',
  ],
  consent_version: [409, 'The text of the consent has changed. Read the folder again, and consent to that.'],
  body_large: [413, 'The body is too large.'],
  media_type: [415, 'Send `application/json`, and photos as `multipart/form-data`.'],
  idempotency_other: [422, 'This Idempotency-Key was used for another request. Take a new one.'],
  pose_unavailable: [
    422,
    'The pipeline `posed`, which a pose image is for, is not there yet. Leave `pose` out and take `portrait`.',
  ],
  too_often: [429, 'That was asked for very often. Wait as long as Retry-After says.'],
  streams_many: [503, 'Too many look on at once. Ask for the batch itself, or try again.'],
} as const satisfies Record<string, readonly [status: number, sentence: string]>;

export type ProblemCode = keyof typeof problems | 'internal';

/** Every code of `problems` with its sentence, for the documentation. */
export const problemList = Object.entries(problems).map(([code, [status, detail]]) => ({
  code,
  status,
  detail,
}));

export class ApiProblem extends Error {
  readonly code: keyof typeof problems;
  /** s; null: no matter when */
  readonly retryAfter: number | null;

  constructor(code: keyof typeof problems, retryAfter: number | null = null) {
    super(code);
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not found',
  408: 'Too slow',
  409: 'Conflict',
  413: 'Too large',
  415: 'Another media type is needed',
  422: 'Not possible',
  429: 'Too often',
  500: 'A fault of ours',
  503: 'Not now',
};

/** What Fastify and its plugins refuse, by status. */
const BY_STATUS: Readonly<Record<number, keyof typeof problems>> = {
  400: 'not_json',
  404: 'no_such_address',
  406: 'media_type',
  408: 'too_slow',
  413: 'body_large',
  415: 'media_type',
  429: 'too_often',
};

type Told = Omit<z.output<typeof Problem>, 'type' | 'title'>;

/** @param retryAfter s */
export function sendProblem(reply: FastifyReply, told: Told, retryAfter: number | null = null): FastifyReply {
  if (retryAfter !== null) reply.header('retry-after', String(retryAfter));
  if (told.status === 401) reply.header('www-authenticate', 'Bearer realm="Atelier"');
  const title = TITLES[told.status] ?? (told.status < 500 ? 'Bad request' : 'A fault of ours');
  return reply
    .code(told.status)
    .headers({ 'cache-control': 'no-store' })
    .type('application/problem+json')
    .send({ type: `/api#${told.code}`, title, ...told });
}

/** @param retryAfter s */
export const refused = (
  reply: FastifyReply,
  code: keyof typeof problems,
  retryAfter: number | null = null,
) => {
  const [status, detail] = problems[code];
  return sendProblem(reply, { status, detail, code }, retryAfter);
};

export const notFound = (_: FastifyRequest, reply: FastifyReply) => refused(reply, 'no_such_address');

/** The API's error handler. */
export function answerProblem(
  error: Error & { statusCode?: number },
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  // They went away while they were sending: there is nobody to tell.
  if (request.raw.destroyed && !request.raw.complete) return reply.hijack();
  if (error instanceof ApiProblem) return refused(reply, error.code, error.retryAfter);
  if (error instanceof Foreign) return refused(reply, 'foreign_origin');
  if (error instanceof UserError) {
    const status = statusOf(error);
    const told = { status, detail: plain(error.userMessage), code: error.code };
    return sendProblem(reply, told, status === 503 || status === 429 ? 10 : null);
  }
  if (hasZodFastifySchemaValidationErrors(error)) {
    const [status, detail] = problems.body_invalid;
    const faults = error.validation.map(({ instancePath, message = '' }) => ({
      at: instancePath === '/' ? '' : instancePath,
      detail: message,
    }));
    return sendProblem(reply, { status, detail, code: 'body_invalid', faults });
  }
  const away = awayOf(error);
  if (away) {
    log.warn({ err: error }, away.code);
    return sendProblem(reply, { status: 503, detail: plain(away.userMessage), code: away.code }, 10);
  }
  if (isNoText(error)) return refused(reply, 'body_invalid');
  const { statusCode = 500 } = error;
  const known = BY_STATUS[statusCode];
  if (known) return refused(reply, known);
  if (statusCode < 500) return refused(reply, 'body_invalid');
  const errorId = randomUUID().slice(0, 8);
  log.error({ err: error, errorId }, 'unexpected error');
  const detail = `Something broke on our side. If it goes on, quote ${errorId}.`;
  return sendProblem(reply, { status: 500, detail, code: 'internal', errorId });
}

/** What of ours cannot be reached, or is full: the same for everybody. */
function awayOf(error: unknown): UserError | null {
  if (isAway(error)) return new UserError('database_away', {});
  if (isFull(error)) return new UserError('storage_full', {});
  return isStorageAway(error) ? new UserError('storage_away', {}) : null;
}
