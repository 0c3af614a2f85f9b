/** Reads who asks, and where, from an interaction. Nothing below `src/services/bot/` and `commands/` knows of interactions. */
import {
  type BaseInteraction,
  ChannelType,
  GuildMember,
  InteractionContextType,
  type NewsChannel,
  PermissionFlagsBits,
  type TextChannel,
} from 'discord.js';
import type { Actor, Origin } from '#src/people/people.ts';
import { type Say, sayIn } from '#src/say.ts';

/** Discord forgets an interaction's token after this. */
const TOKEN_LIFE_MS = 15 * 60_000;

export function originOf(interaction: BaseInteraction): Origin {
  const { id, token, channelId, createdTimestamp } = interaction;
  if (!channelId) throw new Error('An interaction without a channel');
  return {
    actor: actorOf(interaction),
    interactionId: id,
    channelId,
    channelLocale: interaction.guildLocale ?? interaction.locale,
    ageRestricted: isAgeRestricted(interaction),
    say: sayTo(interaction),
    botInside: isBotInside(interaction),
    token,
    tokenExpiresAt: new Date(createdTimestamp + TOKEN_LIFE_MS),
  };
}

/** A thread is as its channel; what the bot can't see counts as open to all. */
function isAgeRestricted({ channel }: BaseInteraction): boolean {
  const place = channel?.isThread() ? channel.parent : channel;
  return place !== null && 'nsfw' in place && place.nsfw === true;
}

/** Says things in the language of the person who typed or pressed. */
export function sayTo({ locale }: BaseInteraction): Say {
  return sayIn(locale);
}

/**
 * Sweeps and face tests open a thread, and a thread can't hold another: asked for in a thread, they go to its channel. In a forum's
 * post they stay: the forum itself takes no messages.
 */
export function outsideThreads(interaction: BaseInteraction, origin: Origin): Origin {
  const parent = threadParent(interaction);
  return parent && origin.botInside ? { ...origin, channelId: parent.id } : origin;
}

/** The channel that a thread was started in, when it takes messages; null outside threads and in posts. */
export function threadParent({ channel }: BaseInteraction): TextChannel | NewsChannel | null {
  const parent = channel?.isThread() ? channel.parent : null;
  return parent?.type === ChannelType.GuildText || parent?.type === ChannelType.GuildAnnouncement
    ? parent
    : null;
}

export function actorOf(interaction: BaseInteraction): Actor {
  const { user, guildId, member, memberPermissions, locale } = interaction;
  const roleIds = member instanceof GuildMember ? [...member.roles.cache.keys()] : (member?.roles ?? []);
  return {
    id: user.id,
    guildId,
    roleIds,
    locale,
    // Counts only where the bot was let in: else anyone could become an operator in a guild made for that.
    managesGuild:
      isBotInside(interaction) && (memberPermissions?.has(PermissionFlagsBits.ManageGuild) ?? false),
  };
}

/**
 * False where the bot is no member: there the app can answer, but post nothing of its own. That a guild has installed the app says
 * nothing of this, as it may have its commands alone; but the gateway told the bot of every guild that it is in.
 */
function isBotInside({ context, guild }: BaseInteraction): boolean {
  return context === InteractionContextType.BotDM || guild !== null;
}
