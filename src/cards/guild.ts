/** To those who look after a server: a greeting with a way to set it up, and that its review channel can be seen by others. */
import { ButtonStyle } from 'discord-api-types/v10';
import type { Delivery } from '#src/doors/db.ts';
import { guildSettings, sayToGuild } from '#src/guilds.ts';
import { sayRoles } from '#src/moderation/privacy.ts';
import { accents, button, type Card, card, row, text } from './parts.ts';

export async function greetingCard({ guildId }: Delivery): Promise<Card | null> {
  const settings = guildId ? await guildSettings(guildId) : null;
  if (!settings) return null;
  const say = await sayToGuild(settings.id);
  const ready = settings.reviewChannelId !== null;
  return card(say, accents.running, [
    text(
      `### ${say('Hello')}`,
      say('I draw portraits: type `/imagine` and say in a few words what to draw.'),
      ready
        ? null
        : say(
            'Pictures that the safety checks flag are shown to nobody before a moderator has looked, and there is no channel for that yet. Whoever may Manage Server can choose one, and who operates and moderates here.',
          ),
    ),
    ready ? null : row(button('guild.setup', settings.id, say('Set up'), ButtonStyle.Primary)),
  ]);
}

export async function warningCard({ guildId, channelId }: Delivery): Promise<Card | null> {
  const settings = guildId ? await guildSettings(guildId) : null;
  if (!settings) return null;
  const say = await sayToGuild(settings.id);
  const { reviewSeenBy, reviewChannelId } = settings;
  if (reviewChannelId)
    return card(
      say,
      accents.done,
      [text(say('Flagged pictures are reviewed in {channel} now.', { channel: `<#${reviewChannelId}>` }))],
      {
        last: true,
      },
    );
  return card(say, accents.held, [
    text(
      `### ${say('Not private any more')}`,
      say(
        '{channel} can be seen by {roles}, so I show no flagged pictures there. They wait, unseen, and none is lost.',
        { channel: `<#${channelId}>`, roles: sayRoles(settings.id, reviewSeenBy) },
      ),
      say('Hide the channel from them, or choose another, and then say so with `/guild review_channel`.'),
    ),
  ]);
}
