/**
 * Whose browser it is. A session's cookie has a random token; Postgres has its hash alone.
 *
 *   sign in, or a guest's first picture ──▶ a session ──▶ a new token every day ──▶ gone: signed out, or a week without a visit
 *
 * A token that was changed is taken for a minute more, as requests were under way with it; whoever comes with it later has no session.
 * The only file that writes Session and SignIn.
 */
import { createHash, randomBytes } from 'node:crypto';
import { db, type Session, type Transaction } from '#src/doors/db.ts';
import { sayIn } from '#src/say.ts';
import { linkGuest } from './linking.ts';
import { type Actor, admitGuest, isGuest, type Origin } from './people.ts';
import { welcomeUser } from './tokens.ts';

const HOUR_MS = 60 * 60_000;
const ROTATED_AFTER_MS = 24 * HOUR_MS;
export const SESSION_LIFE_MS = 7 * 24 * HOUR_MS;
const FORMER_FOR_MS = 60_000;
/** For whoever was sent to Discord to come back. */
export const SIGN_IN_WITHIN_MS = 10 * 60_000;
const TOKEN = /^[\w-]{43}$/;

const newToken = () => randomBytes(32).toString('base64url');
const hashOf = (token: string) => createHash('sha256').update(token).digest('hex');
const expiry = (now: Date) => new Date(now.getTime() + SESSION_LIFE_MS);

/** Whoever is behind a session. */
export interface Visitor {
  readonly sessionId: string;
  /** a person's Discord id, or a guest's */
  readonly userId: string;
  readonly isGuest: boolean;
  /** null: a guest */
  readonly name: string | null;
  /** as their Discord is set */
  readonly locale: string;
  /** whether its token is due to be changed: `renew` */
  readonly isDue: boolean;
}

/** null: no session has this token, or not any more */
export async function visitorOf(token: string | undefined, now = new Date()): Promise<Visitor | null> {
  if (!token || !TOKEN.test(token)) return null;
  const hash = hashOf(token);
  const formerSince = new Date(now.getTime() - FORMER_FOR_MS);
  const session = await db.session.findFirst({
    where: {
      OR: [{ tokenHash: hash }, { formerHash: hash, rotatedAt: { gt: formerSince } }],
      expiresAt: { gt: now },
    },
    include: { user: { select: { locale: true } } },
  });
  if (!session) return null;
  const { id, userId, name, tokenHash, rotatedAt, user } = session;
  return {
    sessionId: id,
    userId,
    isGuest: isGuest(userId),
    name,
    locale: user.locale,
    isDue: tokenHash === hash && now.getTime() - rotatedAt.getTime() > ROTATED_AFTER_MS,
  };
}

/** Changes the token of a session, which lives another week by that. null: another request was first, and has told the browser */
export async function renew(token: string, now = new Date()): Promise<string | null> {
  const [tokenHash, next] = [hashOf(token), newToken()];
  const { count } = await db.session.updateMany({
    where: {
      tokenHash,
      expiresAt: { gt: now },
      rotatedAt: { lt: new Date(now.getTime() - ROTATED_AFTER_MS) },
    },
    data: { tokenHash: hashOf(next), formerHash: tokenHash, rotatedAt: now, expiresAt: expiry(now) },
  });
  return count ? next : null;
}

async function open(tx: Transaction, session: Pick<Session, 'userId' | 'name'>): Promise<string> {
  const token = newToken();
  const now = new Date();
  await tx.session.create({
    data: { ...session, tokenHash: hashOf(token), rotatedAt: now, expiresAt: expiry(now) },
  });
  return token;
}

/** A guest's first picture. @returns the new session's token. @throws {UserError} `guests_many` */
export async function openGuest(cameFrom: string): Promise<string> {
  return open(db, { userId: await admitGuest(cameFrom), name: null });
}

/** A person, as Discord tells who they are. */
export interface SignedIn {
  readonly id: string;
  readonly name: string;
  readonly locale: string;
}

/**
 * They came back from Discord: a session with a new token, whatever the browser had before, so that nobody can know it beforehand.
 * What was a guest's in this browser is theirs.
 *
 * @param token that the browser had
 */
export async function signIn(person: SignedIn, token: string | undefined): Promise<string> {
  const before = await visitorOf(token);
  const opened = await db.$transaction(async (tx) => {
    await welcomeUser(tx, person.id);
    return open(tx, { userId: person.id, name: person.name });
  });
  if (before?.isGuest) await linkGuest(before.userId, person.id);
  if (before)
    await db.session.deleteMany({
      where: before.isGuest ? { userId: before.userId } : { id: before.sessionId },
    });
  return opened;
}

export async function signOut({ sessionId }: Visitor): Promise<void> {
  await db.session.deleteMany({ where: { id: sessionId } });
}

/** Of all their browsers. @returns how many */
export async function signOutEverywhere({ userId }: Visitor): Promise<number> {
  const { count } = await db.session.deleteMany({ where: { userId } });
  return count;
}

/** Browsers in which somebody is signed in, this one among them. */
export async function countSessions({ userId }: Visitor): Promise<number> {
  return db.session.count({ where: { userId, expiresAt: { gt: new Date() } } });
}

/** Somebody is sent to Discord. @param state of which the browser has what it is the hash of. @param returnTo a path of ours */
export async function beginSignIn(state: string, returnTo: string): Promise<void> {
  await db.signIn.create({ data: { state, returnTo } });
}

/** They are back: each state is good once. @returns where they were; null: it was used, is too old, or never was */
export async function takeSignIn(state: string, now = new Date()): Promise<string | null> {
  const found = await db.$queryRaw<{ returnTo: string; createdAt: Date }[]>`
    DELETE FROM "SignIn" WHERE state = ${state} RETURNING "returnTo", "createdAt"`;
  const [taken] = found;
  return taken && now.getTime() - taken.createdAt.getTime() < SIGN_IN_WITHIN_MS ? taken.returnTo : null;
}

/** Deletes what is no good any more. */
export async function forgetSessions(now = new Date()): Promise<void> {
  await db.session.deleteMany({ where: { expiresAt: { lt: now } } });
  await db.signIn.deleteMany({ where: { createdAt: { lt: new Date(now.getTime() - SIGN_IN_WITHIN_MS) } } });
}

/** As rights and batches know them. On the web nobody has a role of a server. */
export function actorOf({ userId, locale }: Visitor): Actor {
  return { id: userId, guildId: null, roleIds: [], managesGuild: false, locale };
}

/** @param form what makes this request one: sent twice, it is accepted once. Theirs alone: another's form of the same name is another */
export function originOf(visitor: Visitor, form: string): Origin {
  return {
    actor: actorOf(visitor),
    interactionId: `web:${visitor.userId}:${form}`,
    channelId: null,
    channelLocale: visitor.locale,
    ageRestricted: false,
    say: sayIn('en'),
    botInside: true,
    token: '',
    tokenExpiresAt: new Date(0),
  };
}
