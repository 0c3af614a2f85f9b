/**
 * Who somebody is and what they may do. Read again at every press and command: a role taken away counts at once.
 */
import { tokenGrants } from '#config/tiers.ts';
import { db, type GuildSettings, isDuplicate, type User } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';

/** Somebody who typed or pressed, as Discord's interaction tells it. Made in `src/services/bot/`. */
export interface Actor {
  readonly id: string;
  readonly guildId: string | null;
  /** ids of their roles in that guild */
  readonly roleIds: readonly string[];
  /** they may Manage Server there */
  readonly managesGuild: boolean;
  readonly locale: string | null;
}

/** Their row, made at the first sight together with the welcome tokens. @throws {UserError} `blocked_until` */
export async function meet(actor: Actor): Promise<User> {
  const { id, locale } = actor;
  const welcome = { amount: tokenGrants.welcome, reason: 'grant', once: 'welcome' } as const;
  const seen = () =>
    db.user.upsert({
      where: { id },
      create: { id, locale, tokens: { create: welcome } },
      update: { locale },
    });
  // Two first commands at once both find no row, and one of them comes second: now it finds one.
  const user = await seen().catch((error: unknown) => {
    if (!isDuplicate(error)) throw error;
    return seen();
  });
  if (user.blockedUntil && user.blockedUntil > new Date()) {
    throw new UserError('blocked_until', { until: user.blockedUntil });
  }
  return user;
}

export async function guildSettings(guildId: string): Promise<GuildSettings | null> {
  return db.guildSettings.findUnique({ where: { id: guildId } });
}

export async function isOperator(actor: Actor): Promise<boolean> {
  return has(actor, 'operator', (settings) => settings.operatorRoleIds);
}

export async function isModerator(actor: Actor): Promise<boolean> {
  return has(actor, 'moderator', (settings) => settings.moderatorRoleIds);
}

async function has(actor: Actor, role: User['role'], roles: (settings: GuildSettings) => string[]) {
  if (actor.managesGuild) return true;
  const user = await db.user.findUnique({ where: { id: actor.id }, select: { role: true } });
  if (user?.role === role) return true;
  const settings = actor.guildId ? await guildSettings(actor.guildId) : null;
  return settings !== null && roles(settings).some((id) => actor.roleIds.includes(id));
}

/** The same person before what belongs to a guild: what another guild lets them do does not count for it. */
export function actorIn(actor: Actor, guildId: string | null): Actor {
  if (guildId !== null && guildId === actor.guildId) return actor;
  return { ...actor, guildId: null, roleIds: [], managesGuild: false };
}

/** @throws {UserError} `operators_only` */
export async function mustBeOperator(actor: Actor): Promise<void> {
  if (!(await isOperator(actor))) throw new UserError('operators_only', {});
}

/** @throws {UserError} `moderators_only` */
export async function mustBeModerator(actor: Actor): Promise<void> {
  if (!(await isModerator(actor))) throw new UserError('moderators_only', {});
}
