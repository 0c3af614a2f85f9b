/** Who somebody is, and where something was asked from. The only file that writes User. */
import { randomUUID } from 'node:crypto';
import { guests, tokenGrants } from '#config/tiers.ts';
import { db, isDuplicate, type Transaction, type User } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { type Say, sayIn } from '#src/say.ts';

/** Somebody who typed or pressed, as Discord's interaction tells it (`commands/origin.ts`), or whose browser it is (`sessions.ts`). */
export interface Actor {
  readonly id: string;
  readonly guildId: string | null;
  /** ids of their roles in that guild */
  readonly roleIds: readonly string[];
  /** they may Manage Server there */
  readonly managesGuild: boolean;
  /** what their Discord is set to, as `en-US` */
  readonly locale: string;
}

/** Where and by whom something was asked. */
export interface Origin {
  readonly actor: Actor;
  readonly interactionId: string;
  /** null: on the web, where no message shows what becomes of it */
  readonly channelId: string | null;
  /** of what everybody in the channel reads: the guild's, or the person's own where there is none */
  readonly channelLocale: string;
  /** whether it is a channel that Discord lets only adults into */
  readonly ageRestricted: boolean;
  /** answers them in their language */
  readonly say: Say;
  /** false: the app is only user-installed here */
  readonly botInside: boolean;
  /** needed only where the bot is no member */
  readonly token: string;
  readonly tokenExpiresAt: Date;
}

const GUEST = 'guest:';

/** Somebody on the web who has not signed in: no Discord id, so nothing can be sent to them. */
export function isGuest(userId: string): boolean {
  return userId.startsWith(GUEST);
}

/** How somebody is named in a message. */
export function mention(say: Say, userId: string): string {
  return isGuest(userId) ? say('a guest') : `<@${userId}>`;
}

/** What somebody gets without asking. */
export function grantsOf(userId: string): typeof tokenGrants {
  return isGuest(userId) ? { welcome: guests.tokens, daily: 0, max: guests.tokens } : tokenGrants;
}

/** Everybody's first entry. */
export const welcomeOf = (userId: string) =>
  ({ amount: grantsOf(userId).welcome, reason: 'grant', once: 'welcome' }) as const;

/** Their row, made with the welcome tokens when they are first seen; it keeps the language of what is sent to them later. @throws {UserError} `blocked_until` */
export async function admitUser({ id, locale }: Actor): Promise<User> {
  const seen = () =>
    db.user.upsert({ where: { id }, create: { id, locale, entries: { create: welcomeOf(id) } }, update: {} });
  // Two first commands at once both find no row, and one of them comes second: now it finds one.
  const user = await seen().catch((error: unknown) => {
    if (!isDuplicate(error)) throw error;
    return seen();
  });
  if (user.locale !== locale) await db.user.update({ where: { id }, data: { locale } });
  if (user.blockedUntil && user.blockedUntil > new Date()) {
    throw new UserError('blocked_until', { until: user.blockedUntil });
  }
  return user;
}

/** Somebody whom another names, and who may never have asked for anything. Locks their row. */
export async function knowUser(tx: Transaction, id: string): Promise<void> {
  await tx.$executeRaw`INSERT INTO "User" (id) VALUES (${id}) ON CONFLICT (id) DO UPDATE SET id = excluded.id`;
}

/**
 * A new guest, with their few tokens.
 *
 * @param cameFrom a keyed hash of their address
 * @returns their id. @throws {UserError} `guests_many` when as many came from there in a day
 */
export async function admitGuest(cameFrom: string): Promise<string> {
  const id = GUEST + randomUUID();
  await db.$transaction(async (tx) => {
    // Those that come at once take turns: else each would see none of the others.
    await tx.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${`guests:${cameFrom}`}, 0))`;
    const [row] = await tx.$queryRaw<{ count: number }[]>`
      SELECT count(*)::int AS count FROM "User" WHERE "cameFrom" = ${cameFrom} AND "createdAt" > now() - interval '1 day'`;
    if (row && row.count >= guests.perAddress) throw new UserError('guests_many', {});
    await tx.user.create({ data: { id, cameFrom, entries: { create: welcomeOf(id) } } });
  });
  return id;
}

/** Keeps others from changing these people's rows until the transaction ends. In one order, whoever else locks several. */
export async function lockPeople(tx: Transaction, ids: readonly string[]): Promise<void> {
  await tx.$executeRaw`SELECT 1 FROM "User" WHERE id = ANY(${[...ids]}) ORDER BY id FOR NO KEY UPDATE`;
}

/**
 * Notes that a guest is this person, and locks both until the transaction ends. What moderators noted of the guest is the person's
 * from then on.
 *
 * @returns the guest's tokens; null when they are somebody already
 */
export async function markLinked(tx: Transaction, guestId: string, personId: string): Promise<number | null> {
  // In one order, whoever else locks several people.
  const locked = await tx.$queryRaw<Pick<User, 'id' | 'tokens' | 'linkedTo' | 'strikes' | 'blockedUntil'>[]>`
    SELECT id, tokens, "linkedTo", strikes, "blockedUntil" FROM "User" WHERE id IN (${guestId}, ${personId}) ORDER BY id FOR NO KEY UPDATE`;
  const guest = locked.find(({ id }) => id === guestId);
  const person = locked.find(({ id }) => id === personId);
  if (!guest || !person || guest.linkedTo !== null) return null;
  await tx.user.update({ where: { id: guestId }, data: { linkedTo: personId } });
  const { strikes, blockedUntil } = guest;
  const until = blockedUntil && (!person.blockedUntil || blockedUntil > person.blockedUntil);
  if (strikes || until)
    await tx.user.update({
      where: { id: personId },
      data: { strikes: { increment: strikes }, ...(until && { blockedUntil }) },
    });
  return guest.tokens;
}

/** Says things to somebody who reads them later, in the language in which they last asked for something. */
export async function sayToPerson(userId: string): Promise<Say> {
  const user = await db.user.findUnique({ where: { id: userId }, select: { locale: true } });
  return sayIn(user?.locale);
}

/** Counts a strike: a moderator rejected a picture of theirs. */
export async function addStrike(tx: Transaction, userId: string): Promise<void> {
  await tx.user.update({ where: { id: userId }, data: { strikes: { increment: 1 } } });
}
