/** What the bot reads of a message: without the MESSAGE_CONTENT intent only its own words and what was said to it. */
import { type APIMessage, ChannelType, GatewayIntentBits as Intent } from 'discord-api-types/v10';
import type { State } from './state.ts';
import type { StoredChannel } from './world.ts';

export function asBotReads(
  { world }: State,
  privilegedIntents: number,
  { type }: StoredChannel,
  message: APIMessage,
): APIMessage {
  const botId = world.applicationId;
  const isReadable =
    privilegedIntents & Intent.MessageContent ||
    type === ChannelType.DM ||
    message.author.id === botId ||
    message.mentions.some(({ id }) => id === botId);
  return isReadable ? message : { ...message, content: '', embeds: [], attachments: [], components: [] };
}
