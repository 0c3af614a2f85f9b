/** Whose browser sends a request, by its cookie. */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import type {} from '@fastify/cookie';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { config } from '#config/env.ts';
import { openGuest, renew, SESSION_LIFE_MS, type Visitor, visitorOf } from '#src/people/sessions.ts';
import { site } from '../layout.ts';

const SESSION = 'session';

/** By https the browser itself sees to it that no other host, path or plain connection has set or gets it. */
function nameOf(name: string): string {
  return site.origin.startsWith('https:') ? `__Host-${name}` : name;
}

export function setCookie(reply: FastifyReply, name: string, value: string, lifeMs: number): void {
  reply.setCookie(nameOf(name), value, {
    httpOnly: true,
    sameSite: 'lax',
    secure: site.origin.startsWith('https:'),
    path: '/',
    maxAge: Math.floor(lifeMs / 1_000),
  });
}

export const dropCookie = (reply: FastifyReply, name: string) => setCookie(reply, name, '', 0);

export function cookieOf({ cookies }: FastifyRequest, name: string): string | undefined {
  return cookies[nameOf(name)];
}

export const sessionToken = (request: FastifyRequest) => cookieOf(request, SESSION);

export const keepSession = (reply: FastifyReply, token: string) =>
  setCookie(reply, SESSION, token, SESSION_LIFE_MS);

export const dropSession = (reply: FastifyReply) => dropCookie(reply, SESSION);

/** Whoever asks for a page; once a day their browser gets a new token with it. */
export async function pageVisitor(request: FastifyRequest, reply: FastifyReply): Promise<Visitor | null> {
  const token = sessionToken(request);
  const visitor = await visitorOf(token);
  const next = visitor?.isDue && token ? await renew(token) : null;
  if (next) keepSession(reply, next);
  return visitor;
}

/** Whoever asks for what is no page. */
export function visitorIn(request: FastifyRequest): Promise<Visitor | null> {
  return visitorOf(sessionToken(request));
}

/** Whoever has no session yet. Nothing is stored under this id. */
export const NOBODY: Visitor = {
  sessionId: '',
  userId: 'guest:nobody',
  isGuest: true,
  name: null,
  locale: 'en-US',
  isDue: false,
};

/** Somebody without a session asks for a picture: they are a guest from now on. @throws {UserError} `guests_many` */
export async function newGuest(request: FastifyRequest, reply: FastifyReply): Promise<Visitor> {
  const token = await openGuest(networkOf(request));
  keepSession(reply, token);
  return (await visitorOf(token)) ?? NOBODY;
}

const key = config.web.secret ?? randomBytes(32).toString('hex');

/** Stands for the network that somebody comes from: a household or a company, as a whole IPv6 /64 is one. */
export function networkOf({ ip }: FastifyRequest): string {
  return createHmac('sha256', key).update(network(ip)).digest('base64url');
}

/** An IPv4 address; of an IPv6 one the first 64 bits. */
export function network(ip: string): string {
  const [, v4] = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)$/i.exec(ip) ?? [];
  if (v4) return v4;
  const [head = '', tail] = ip.toLowerCase().split('%')[0]!.split('::');
  const left = head ? head.split(':') : [];
  const right = tail ? tail.split(':') : [];
  const missing = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  return [...left, ...Array<string>(missing).fill('0'), ...right]
    .slice(0, 4)
    .map((group) => Number.parseInt(group || '0', 16).toString(16))
    .join(':');
}

/** base64url of SHA-256: 43 characters */
export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
