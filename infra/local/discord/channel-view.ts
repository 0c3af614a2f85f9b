/** A channel as REST and the gateway show it: each kind with the fields that Discord gives it. */
import { type APIChannel, type APIUser, ChannelType, ForumLayoutType } from 'discord-api-types/v10';
import { snowflakeTime } from './snowflake.ts';
import type { StoredChannel } from './world.ts';

/**
 * @param recipients of a private channel, the bot left out
 * @param messageIds oldest first
 */
export function channelAsShown(
  channel: StoredChannel,
  recipients: APIUser[],
  messageIds: readonly string[],
): APIChannel {
  const { id, type, guildId, name = '', parentId = null, thread } = channel;
  const base = { id, last_message_id: messageIds.at(-1) ?? null, flags: 0 };
  if (type === ChannelType.DM || type === ChannelType.GroupDM) {
    if (type === ChannelType.DM) return { ...base, type, name: null, recipients };
    return { ...base, type, name, recipients, icon: null, owner_id: recipients[0]!.id };
  }
  const inGuild = {
    guild_id: guildId!,
    name,
    parent_id: parentId,
    position: channel.position ?? 0,
    permission_overwrites: channel.overwrites ?? [],
    topic: channel.topic ?? null,
    nsfw: false,
    rate_limit_per_user: 0,
  };
  if (type === ChannelType.GuildText || type === ChannelType.GuildAnnouncement)
    return { ...base, ...inGuild, type };
  if (type === ChannelType.GuildForum || type === ChannelType.GuildMedia) {
    const forum = { available_tags: [], default_reaction_emoji: null, default_sort_order: null };
    const layout = { default_forum_layout: ForumLayoutType.NotSet };
    return type === ChannelType.GuildForum
      ? { ...base, ...inGuild, ...forum, ...layout, type }
      : { ...base, ...inGuild, ...forum, type };
  }
  const count = messageIds.length;
  return {
    ...base,
    type,
    guild_id: guildId!,
    name,
    parent_id: parentId!,
    owner_id: thread!.ownerId,
    rate_limit_per_user: 0,
    message_count: count,
    total_message_sent: count,
    member_count: thread!.members.length,
    applied_tags: [],
    thread_metadata: {
      archived: thread!.archived,
      locked: thread!.locked,
      auto_archive_duration: thread!.autoArchiveMinutes,
      archive_timestamp: new Date(snowflakeTime(id)).toISOString(),
      create_timestamp: new Date(snowflakeTime(id)).toISOString(),
    },
  };
}
