/** What a message says of the interaction that it answers. */
import {
  type APIInteraction,
  type APIMessage,
  type APIUser,
  ApplicationCommandType,
  MessageFlags as Flag,
  InteractionType,
  MessageType,
} from 'discord-api-types/v10';
import type { Asked } from './asked.ts';
import { replyTo } from './messages.ts';
import type { StoredChannel } from './world.ts';

interface Answered extends Pick<Asked, 'source' | 'used'> {
  readonly payload: APIInteraction;
  readonly channel: StoredChannel;
}

/** @param user who asked */
export function signatureOf(
  { payload, channel, source, used }: Answered,
  user: APIUser,
): Partial<APIMessage> {
  const { id, type, application_id, authorizing_integration_owners } = payload;
  const slash = used?.type === ApplicationCommandType.ChatInput;
  const command = { id, type: InteractionType.ApplicationCommand, user, authorizing_integration_owners };
  return {
    ...(source && !((source.flags ?? 0) & Flag.Ephemeral) && replyTo(channel, source.id, source)),
    ...(used && {
      type: slash ? MessageType.ChatInputCommand : MessageType.ContextMenuCommand,
      interaction: { id, type, name: used.name, user } as NonNullable<APIMessage['interaction']>,
    }),
    application_id,
    webhook_id: application_id,
    interaction_metadata: {
      id,
      type,
      user,
      authorizing_integration_owners,
      ...(used && { name: used.name, command_type: used.type }),
      ...(type === InteractionType.MessageComponent && { interacted_message_id: source!.id }),
      ...(type === InteractionType.ModalSubmit && { triggering_interaction_metadata: command }),
    } as unknown as NonNullable<APIMessage['interaction_metadata']>,
  };
}
