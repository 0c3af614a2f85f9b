/** Who may do what where: Discord's order of roles and overwrites. */
import { OverwriteType, PermissionFlagsBits as P } from 'discord-api-types/v10';
import type { Guild, StoredChannel } from './world.ts';

const ALL = Object.values(P).reduce((all, bit) => all | bit, 0n);

/** In a direct message everybody has what a text channel's members usually have. */
const DIRECT =
  P.ViewChannel |
  P.SendMessages |
  P.EmbedLinks |
  P.AttachFiles |
  P.AddReactions |
  P.ReadMessageHistory |
  P.UseApplicationCommands |
  P.UseExternalEmojis |
  P.MentionEveryone;

/** What is left to somebody who is timed out. */
const SILENT = P.ViewChannel | P.ReadMessageHistory;

/**
 * A member's permissions in a channel, in this order: owner and administrators all; else @everyone and roles added up; then
 * the overwrites of @everyone, of roles (all denials before all grants), and of the member. Who is timed out may see and read alone.
 *
 * @param channel a thread's parent stands in for the thread: threads have no overwrites of their own
 */
export function permissionsIn(
  guild: Guild | undefined,
  channel: StoredChannel | undefined,
  userId: string,
): bigint {
  if (!guild) return DIRECT;
  const roleIds = guild.members.get(userId);
  if (!roleIds) return 0n;
  if (guild.ownerId === userId) return ALL;

  let held = 0n;
  for (const role of guild.roles) {
    if (role.id === guild.id || roleIds.includes(role.id)) held |= BigInt(role.permissions);
  }
  if (held & P.Administrator) return ALL;

  const overwrites = channel?.overwrites ?? [];
  const apply = (chosen: typeof overwrites) => {
    for (const { deny } of chosen) held &= ~BigInt(deny);
    for (const { allow } of chosen) held |= BigInt(allow);
  };
  apply(overwrites.filter(({ id }) => id === guild.id));
  apply(
    overwrites.filter(
      ({ id, type }) => type === OverwriteType.Role && id !== guild.id && roleIds.includes(id),
    ),
  );
  apply(overwrites.filter(({ id, type }) => type === OverwriteType.Member && id === userId));
  if (!(held & P.ViewChannel)) return 0n;
  const timedOutUntil = guild.timeouts.get(userId);
  return timedOutUntil && timedOutUntil > new Date() ? held & SILENT : held;
}

export function has(held: bigint, ...wanted: bigint[]): boolean {
  return wanted.every((bit) => (held & bit) === bit);
}
