/** How pages go out: with their policy, compressed, and as 304 to who has them. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { brotliCompress, gzip, constants as zlib } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { config } from '#config/env.ts';
import type { Page } from './layout.ts';

const isHttps = config.web.publicUrl?.startsWith('https:') ?? false;

/** On every answer. */
export const HEADERS: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'x-frame-options': 'DENY',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), browsing-topics=()',
  ...(isHttps && { 'strict-transport-security': 'max-age=31536000' }),
};

/** The same as they go out by hand: name, value, name, value … What is public may stand in others' pages, as in a feed's reader. */
export const PUBLIC_HEADERS: readonly string[] = Object.entries({
  ...HEADERS,
  'cross-origin-resource-policy': 'cross-origin',
}).flat();

export type Coding = 'br' | 'gzip' | 'identity';

const brotli = promisify(brotliCompress);
const zip = promisify(gzip);

export const codings: Readonly<Record<Coding, (text: string) => Promise<Buffer>>> = {
  br: (text) => brotli(text, { params: { [zlib.BROTLI_PARAM_QUALITY]: 5 } }),
  gzip: (text) => zip(text, { level: 6 }),
  identity: async (text) => Buffer.from(text),
};

/** What somebody takes, by `accept-encoding`; `br;q=0` is a no. */
export function codingFor(accepted: string | undefined): Coding {
  if (!accepted) return 'identity';
  if (/\bbr\b(?!\s*;\s*q=0(?:\.0*)?(?:,|\s|$))/.test(accepted)) return 'br';
  return /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?(?:,|\s|$))/.test(accepted) ? 'gzip' : 'identity';
}

/** Of a text in one coding: two that are equal are one everywhere. */
export function tagOf(text: string, coding: Coding): string {
  const hash = createHash('sha256').update(text).digest('base64url').slice(0, 22);
  return `"${hash}${coding === 'identity' ? '' : `-${coding}`}"`;
}

/** Whether `if-none-match` names this tag. */
export function hasTag(known: string | undefined, etag: string): boolean {
  if (!known) return false;
  if (known === etag || known === '*') return true;
  return known.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}

/**
 * Answers with a page, its status as the reply has it. `own: true` is for what only this person may see: nobody keeps it.
 */
export async function send(
  request: FastifyRequest,
  reply: FastifyReply,
  page: Page,
  { own = false }: { own?: boolean } = {},
): Promise<FastifyReply> {
  const coding = codingFor(request.headers['accept-encoding']);
  const keeps = reply.statusCode === 200 && !own;
  reply.headers({
    'content-security-policy': page.policy,
    'cache-control': keeps ? 'no-cache' : 'no-store',
    vary: 'accept-encoding',
  });
  if (keeps) {
    const etag = tagOf(page.html, coding);
    reply.header('etag', etag);
    if (hasTag(request.headers['if-none-match'], etag)) return reply.code(304).send();
  }
  reply.type('text/html; charset=utf-8');
  if (coding !== 'identity') reply.header('content-encoding', coding);
  return reply.send(await codings[coding](page.html));
}
