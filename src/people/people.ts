/** Who somebody is, and where something was asked from. The only file that writes User. */
import { tokenGrants } from '#config/tiers.ts';
import { db, isDuplicate, type Transaction, type User } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { type Say, sayIn } from '#src/say.ts';

/** Somebody who typed or pressed, as Discord's interaction tells it. Made in `commands/origin.ts`. */
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
  readonly channelId: string;
  /** of what everybody in the channel reads: the guild's, or the person's own where there is none */
  readonly channelLocale: string;
  /** answers them in their language */
  readonly say: Say;
  /** false: the app is only user-installed here */
  readonly botInside: boolean;
  /** needed only where the bot is no member */
  readonly token: string;
  readonly tokenExpiresAt: Date;
}

/** Everybody's first entry. */
export const welcome = { amount: tokenGrants.welcome, reason: 'grant', once: 'welcome' } as const;

/** Their row, made with the welcome tokens when they are first seen; it keeps the language of what is sent to them later. @throws {UserError} `blocked_until` */
export async function admitUser({ id, locale }: Actor): Promise<User> {
  const seen = () =>
    db.user.upsert({ where: { id }, create: { id, locale, entries: { create: welcome } }, update: {} });
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

/** Says things to somebody who reads them later, in the language in which they last asked for something. */
export async function sayToPerson(userId: string): Promise<Say> {
  const user = await db.user.findUnique({ where: { id: userId }, select: { locale: true } });
  return sayIn(user?.locale);
}

/** Counts a strike: a moderator rejected a picture of theirs. */
export async function addStrike(tx: Transaction, userId: string): Promise<void> {
  await tx.user.update({ where: { id: userId }, data: { strikes: { increment: 1 } } });
}
