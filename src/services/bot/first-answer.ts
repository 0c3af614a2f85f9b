/**
 * How an interaction is answered first, decided from what the gateway sent of it and from what commands and buttons say of
 * themselves. Nothing of theirs runs for it.
 */
import {
  type APIInteraction,
  type APIInteractionResponse,
  ApplicationCommandType as CommandType,
  MessageFlags,
  InteractionResponseType as Response,
  InteractionType as Type,
} from 'discord-api-types/v10';
import type { MessageCommand, PressHandler, SlashCommand } from '#commands/command.ts';
import { type Action, parseCustomId } from '#src/custom-ids.ts';

/** What can be typed and pressed, as plain data, as it goes to a thread. */
export interface Answers {
  /** slash commands; of those that open a form, the options of which any spares it */
  readonly commands: Readonly<Record<string, readonly string[] | null>>;
  /** entries of a message's Apps menu */
  readonly entries: readonly string[];
  readonly presses: Readonly<Record<Action, PressHandler['answers']>>;
}

export function answersOf(
  commands: ReadonlyMap<string, SlashCommand>,
  entries: ReadonlyMap<string, MessageCommand>,
  presses: Readonly<Record<Action, PressHandler>>,
): Answers {
  const actions = Object.keys(presses) as Action[];
  return {
    commands: Object.fromEntries([...commands].map(([name, { form }]) => [name, form?.unless ?? null])),
    entries: [...entries.keys()],
    presses: Object.fromEntries(
      actions.map((action) => [action, presses[action].answers]),
    ) as Answers['presses'],
  };
}

/** `reply`: "thinking …", seen by the person alone; `update`: the message that was pressed stays as it is, for now. */
export type Deferral = 'reply' | 'update';

/** What came of deferring one. */
export type Deferred =
  | { readonly by: Deferral /** when Discord had it, ms since the epoch */; readonly at: number }
  /** Discord did not take it: too late, or out of reach */
  | { readonly error: Error };

/**
 * null: it can't be deferred. Its first answer is a form, what completes a word, or, to what nobody knows, a sentence; or there
 * is none.
 */
export function deferralOf(interaction: APIInteraction, { commands, presses }: Answers): Deferral | null {
  switch (interaction.type) {
    case Type.ApplicationCommand: {
      const { data } = interaction;
      if (data.type === CommandType.Message) return 'reply';
      if (data.type !== CommandType.ChatInput) return null;
      const spares = own(commands, data.name);
      return !spares || data.options?.some(({ name }) => spares.includes(name)) ? 'reply' : null;
    }
    case Type.MessageComponent:
    case Type.ModalSubmit: {
      const parsed = parseCustomId(interaction.data.custom_id);
      const answers = parsed && presses[parsed.action];
      return answers === 'form' ? null : answers;
    }
    default:
      return null;
  }
}

/** What was typed or pressed, in a word of ours: what is forged, or of another version, is `unknown`. */
export function wordFor(interaction: APIInteraction, { commands, entries }: Answers): string {
  switch (interaction.type) {
    case Type.ApplicationCommand:
    case Type.ApplicationCommandAutocomplete: {
      const { name, type } = interaction.data;
      const isKnown = type === CommandType.Message ? entries.includes(name) : Object.hasOwn(commands, name);
      return isKnown ? name : 'unknown';
    }
    case Type.MessageComponent:
    case Type.ModalSubmit:
      return parseCustomId(interaction.data.custom_id)?.action ?? 'unknown';
    default:
      return 'unknown';
  }
}

export function deferralAs(by: Deferral): APIInteractionResponse {
  return by === 'update'
    ? { type: Response.DeferredMessageUpdate }
    : { type: Response.DeferredChannelMessageWithSource, data: { flags: MessageFlags.Ephemeral } };
}

/** In place of any work: a sentence for the person alone, or no suggestions. */
export function refusalOf({ type }: APIInteraction, sentence: string): APIInteractionResponse {
  return type === Type.ApplicationCommandAutocomplete
    ? { type: Response.ApplicationCommandAutocompleteResult, data: { choices: [] } }
    : { type: Response.ChannelMessageWithSource, data: { content: sentence, flags: MessageFlags.Ephemeral } };
}

function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
