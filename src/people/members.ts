/**
 * Who somebody is in a guild, for whoever is not there by an interaction: in Discord that brings along their roles and whether they
 * may Manage Server; here the same is worked out from what Discord says when it is asked.
 *
 * A person is asked for each time. What a guild's roles allow and who owns it counts for a few seconds, a name for minutes.
 */
import { PermissionFlagsBits as P } from 'discord-api-types/v10';
import { config } from '#config/env.ts';
import { askGuild, askMember, askPerson } from '#src/doors/discord-members.ts';
import { keepAnswers } from '#src/known-answers.ts';
import { type Actor, isGuest } from './people.ts';

const GUILD_KNOWN_MS = 3_000;
const NAME_KNOWN_MS = 5 * 60_000;
/** Guilds and names that are kept, each as many. */
const KEPT = 1_000;

/**
 * The same person with what they may do in a guild, as an interaction there would tell it: nothing where they or the bot are no
 * members, nor while they are timed out, as then they can press nothing. The platform's staff are not asked for: theirs counts everywhere.
 *
 * @throws what Discord's door throws
 */
export async function actorAt(actor: Actor, guildId: string | null): Promise<Actor> {
  const nobody = { ...actor, guildId, roleIds: [], managesGuild: false };
  if (guildId === null || isGuest(actor.id) || config.staff.ids.includes(actor.id)) return nobody;
  const member = await askMember(guildId, actor.id);
  const guild = member && (await guildOf(guildId));
  if (!guild) return nobody;
  const { roleIds, timedOutUntil } = member;
  const held = guild.roles
    .filter(({ id }) => id === guildId || roleIds.includes(id))
    .reduce((all, { permissions }) => all | permissions, 0n);
  const isAbove = guild.ownerId === actor.id || (held & P.Administrator) !== 0n;
  if (!isAbove && timedOutUntil && timedOutUntil > new Date()) return nobody;
  return { ...nobody, roleIds, managesGuild: isAbove || (held & P.ManageGuild) !== 0n };
}

/** What a guild is called; null where the bot is no member. @throws what Discord's door throws */
export async function guildName(id: string): Promise<string | null> {
  return (await guildOf(id))?.name ?? null;
}

/** What somebody is called in Discord; null: nobody has this id. @throws what Discord's door throws */
export async function personName(id: string): Promise<string | null> {
  return (await personOf(id))?.name ?? null;
}

const keyOf = (id: string) => id;
const guildOf = keepAnswers({ forMs: GUILD_KNOWN_MS, most: KEPT, keyOf }, askGuild);
const personOf = keepAnswers({ forMs: NAME_KNOWN_MS, most: KEPT, keyOf }, askPerson);
