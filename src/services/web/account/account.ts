/**
 * Who somebody is on the web.
 *
 *   /sign-in          to Discord, and from there to
 *   /sign-in/return   a session, and back to where they were
 *   /account          tokens, browsers, sign out here or everywhere
 *   /account/keys     keys of the API: keys.ts
 *
 * OAuth's `state` is the hash of a secret in the browser's cookie, and PKCE's verifier another: so only the browser that began a sign-in
 * can end it, Postgres knows nothing that anybody could use, and a state that was used is gone.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { canSignIn, SignInRefused, signInUrl, whoCame } from '#src/doors/discord-sign-in.ts';
import { log } from '#src/doors/log.ts';
import { isAway } from '#src/doors/postgres.ts';
import { UserError } from '#src/errors.ts';
import {
  actorOf,
  beginSignIn,
  countSessions,
  forgetSessions,
  SIGN_IN_WITHIN_MS,
  signIn,
  signOut,
  signOutEverywhere,
  takeSignIn,
} from '#src/people/sessions.ts';
import { tokenLines, tokensLeft } from '#src/people/tokens.ts';
import type { Area } from '../area.ts';
import { html } from '../html.ts';
import { notePage, urlOf } from '../layout.ts';
import { send } from '../send.ts';
import { guard, often } from './guard.ts';
import { keys } from './keys.ts';
import { accountPage } from './views.ts';
import {
  cookieOf,
  dropCookie,
  dropSession,
  keepSession,
  pageVisitor,
  sessionToken,
  setCookie,
  sha256,
  visitorIn,
} from './visitor.ts';

const RETURN = '/sign-in/return';
const SECRET = 'sign-in';
/** A path of ours: two slashes, or a backslash that browsers take for one, lead to another host. */
const LOCAL = /^\/(?![/\\])[\w\-./?=&%~+]*$/;
const HOME = '/draw';
const LINES = 20;
const FORGET_EVERY_MS = 10 * 60_000;

const Asked = z.object({ to: z.string().max(500).regex(LOCAL).catch(HOME) });
const Back = z.object({ state: z.string().min(1).max(200) });

export const account: Area = async (app) => {
  await app.register(async (area) => {
    await guard(area);
    keys(area);

    area.get('/sign-in', often(30), async (request, reply) => {
      if (!canSignIn()) return send(request, reply.code(503), NOT_SET_UP);
      const { to } = Asked.parse(request.query);
      const secret = randomBytes(32).toString('base64url');
      const state = stateOf(secret);
      await beginSignIn(state, to);
      setCookie(reply, SECRET, secret, SIGN_IN_WITHIN_MS);
      reply.header('cache-control', 'no-store');
      return reply.redirect(
        await signInUrl({ state, verifier: verifierOf(secret), redirectUri: urlOf(RETURN) }),
      );
    });

    area.get(RETURN, often(30), async (request, reply) => {
      const back = Back.safeParse(request.query);
      const secret = cookieOf(request, SECRET);
      const state = back.data?.state;
      if (!state || !secret || !isSame(stateOf(secret), state))
        return send(request, reply.code(400), NOT_BEGUN, { own: true });
      dropCookie(reply, SECRET);
      const to = await takeSignIn(state);
      if (to === null) return send(request, reply.code(400), TOO_LATE, { own: true });
      try {
        const person = await whoCame(new URL(urlOf(request.url)), { state, verifier: verifierOf(secret) });
        keepSession(reply, await signIn(person, sessionToken(request)));
      } catch (error) {
        if (error instanceof SignInRefused) {
          if (!error.denied) log.warn({ err: error.cause }, 'Discord refused a sign-in');
          return send(request, reply.code(400), error.denied ? DENIED : REFUSED, { own: true });
        }
        if (isAway(error) && !isFetch(error)) throw error;
        log.warn({ err: error }, 'Discord does not answer a sign-in');
        return send(request, reply.code(502), NO_ANSWER, { own: true });
      }
      return reply.header('cache-control', 'no-store').redirect(to, 303);
    });

    area.get('/account', async (request, reply) => {
      const visitor = await pageVisitor(request, reply);
      if (!visitor) return reply.header('cache-control', 'no-store').redirect('/sign-in?to=/account', 303);
      const [tokens, lines, sessions] = await Promise.all([
        tokensOf(() => tokensLeft(actorOf(visitor))),
        tokenLines(visitor.userId, LINES),
        countSessions(visitor),
      ]);
      return send(request, reply, accountPage(visitor, { tokens, lines, sessions }), { own: true });
    });

    area.post('/sign-out', often(30), async (request, reply) => {
      const visitor = await visitorIn(request);
      if (visitor) await signOut(visitor);
      dropSession(reply);
      return reply.header('cache-control', 'no-store').redirect('/', 303);
    });

    area.post('/sign-out/everywhere', often(30), async (request, reply) => {
      const visitor = await visitorIn(request);
      if (visitor) await signOutEverywhere(visitor);
      dropSession(reply);
      return reply.header('cache-control', 'no-store').redirect('/', 303);
    });
  });

  let forgetting: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    forgetting = forgetSessions().catch((error: unknown) => log.warn({ err: error }, 'forgetting sessions'));
  }, FORGET_EVERY_MS);
  app.addHook('onClose', async () => {
    clearInterval(timer);
    await forgetting;
  });
};

const stateOf = (secret: string) => sha256(`state ${secret}`);
const verifierOf = (secret: string) => sha256(`verifier ${secret}`);

function isSame(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

/** Whoever is blocked has nothing to spend, and may still sign out. */
export async function tokensOf(ask: () => Promise<number>): Promise<number | null> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

/** An error of `fetch`, as of Discord: its cause may have the same code as one of Postgres. */
function isFetch(error: unknown): boolean {
  return error instanceof TypeError && error.message === 'fetch failed';
}

const again = html`<a href="/sign-in">Sign in</a>`;
const NOT_SET_UP = notePage(
  'Nobody can sign in here',
  'Whoever runs this has not set up sign-in. You can draw a few pictures as a guest.',
);
const NOT_BEGUN = notePage(
  'That sign-in was not begun here',
  html`It came from another browser, or this one keeps no cookies. Nothing was changed. ${again}`,
);
const TOO_LATE = notePage(
  'That sign-in is over',
  html`It was used before, or took longer than ten minutes. Nothing was changed. ${again}`,
);
const DENIED = notePage('You did not sign in', html`You said no, so nothing was changed. ${again}`);
const REFUSED = notePage('Discord did not let you in', html`Nothing was changed. Begin again: ${again}`);
const NO_ANSWER = notePage(
  'Discord does not answer',
  html`Nothing was changed. Try again in a minute: ${again}`,
);
