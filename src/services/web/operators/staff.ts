/** Who is one of the platform's own people: known anew at every request, so that a role taken away counts at once. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { config } from '#config/env.ts';
import { log } from '#src/doors/log.ts';
import { actorAt } from '#src/people/members.ts';
import type { Actor } from '#src/people/people.ts';
import { operatesPlatform } from '#src/people/rights.ts';
import { actorOf, type Visitor } from '#src/people/sessions.ts';
import { html } from '../html.ts';
import { notePage } from '../layout.ts';
import { send } from '../send.ts';

export async function isOperator(visitor: Visitor): Promise<boolean> {
  return operatesPlatform(await actorAtHome(visitor));
}

/** As they are in the platform's own guild. While Discord does not answer they are nobody there. */
export async function actorAtHome(visitor: Visitor): Promise<Actor> {
  const actor = actorOf(visitor);
  try {
    return await actorAt(actor, config.staff.guildId);
  } catch (error) {
    log.warn({ err: error }, 'Discord does not say what roles somebody has');
    return actor;
  }
}

/** What a request is told that may not see a page of theirs. */
export function refuse(request: FastifyRequest, reply: FastifyReply, visitor: Visitor | null) {
  const page = visitor && !visitor.isGuest ? NOT_YOURS : SIGN_IN;
  return send(request, reply.code(403), page(request.url), { own: true });
}

const NOT_YOURS = () =>
  notePage(
    'Not for you',
    'This page is for the people who run this gallery. If you are one of them, have your role looked at in Discord.',
  );
const SIGN_IN = (url: string) =>
  notePage(
    'Sign in first',
    html`This page is for the people who run this gallery. <a href="/sign-in?to=${url}">Sign in</a>`,
  );
