/** Whether a channel is private: which roles see it that are not to see flagged pictures. Pure. */
import { PermissionFlagsBits as P } from 'discord-api-types/v10';

/** A guild's channel, as far as this goes: from the gateway's cache or by REST. */
export interface ChannelView {
  readonly guildId: string;
  /** all of the guild's, @everyone among them, whose id is the guild's */
  readonly roles: readonly { readonly id: string; readonly permissions: bigint; readonly bot: boolean }[];
  readonly overwrites: readonly { readonly id: string; readonly allow: bigint; readonly deny: bigint }[];
}

/** Roles that a guild named as looking after things. */
export interface Keepers {
  readonly operatorRoleIds: readonly string[];
  readonly moderatorRoleIds: readonly string[];
}

/**
 * Ids of the roles that see the channel although they neither operate nor moderate; of @everyone alone where everybody sees it.
 * Bots' own roles, and those that may Manage Server, are no strangers. A single member who was let in by name is none either:
 * somebody chose him.
 */
export function strangersIn({ guildId, roles, overwrites }: ChannelView, keepers: Keepers | null): string[] {
  const permissionsOf = (id: string) => roles.find((role) => role.id === id)?.permissions ?? 0n;
  const overwriteOf = (id: string) => overwrites.find((one) => one.id === id) ?? { allow: 0n, deny: 0n };
  const everyone = overwriteOf(guildId);

  /** As Discord adds it up for somebody with this role alone. */
  const sees = (id: string): boolean => {
    const held = permissionsOf(guildId) | permissionsOf(id);
    if (held & P.Administrator) return true;
    const own = id === guildId ? { allow: 0n, deny: 0n } : overwriteOf(id);
    const here = (((held & ~everyone.deny) | everyone.allow) & ~own.deny) | own.allow;
    return (here & P.ViewChannel) !== 0n;
  };
  if (sees(guildId)) return [guildId];
  const known = [...(keepers?.operatorRoleIds ?? []), ...(keepers?.moderatorRoleIds ?? [])];
  return roles
    .filter(({ id, bot, permissions }) => {
      const manages = (permissions & (P.ManageGuild | P.Administrator)) !== 0n;
      return !bot && !manages && !known.includes(id) && sees(id);
    })
    .map(({ id }) => id);
}

/** Roles in a sentence; nobody is notified by it. */
export function sayRoles(guildId: string, roleIds: readonly string[]): string {
  return roleIds.map((id) => (id === guildId ? '@everyone' : `<@&${id}>`)).join(', ');
}
