/** What a command knows of the channel that it was typed in. */
import { type BaseInteraction, ChannelType } from 'discord.js';
import { expect, it } from 'vitest';
import { originOf } from '#commands/origin.ts';

/** As far as it is read. */
function typedIn(channel: unknown): BaseInteraction {
  const interaction = {
    ...{ id: '1', token: 'token', channelId: '2', createdTimestamp: 0, locale: 'en-US', guildLocale: null },
    ...{ user: { id: '3' }, guildId: '4', member: null, memberPermissions: null, guild: null, context: 0 },
    channel,
  };
  return interaction as unknown as BaseInteraction;
}
const text = (nsfw: boolean) => ({ type: ChannelType.GuildText, nsfw, isThread: () => false });
const thread = (parent: unknown) => ({ type: ChannelType.PublicThread, parent, isThread: () => true });
const direct = { type: ChannelType.DM, isThread: () => false };

it.each([
  ['an age-restricted channel', text(true), true],
  ['a thread in one', thread(text(true)), true],
  ['an ordinary channel', text(false), false],
  ['a thread in one', thread(text(false)), false],
  ['a thread whose channel is not known', thread(null), false],
  ['a direct message', direct, false],
  ['a channel that the bot does not see', null, false],
])('only adults see %s: %o', (_, channel, ageRestricted) => {
  expect(originOf(typedIn(channel)).ageRestricted).toBe(ageRestricted);
});
