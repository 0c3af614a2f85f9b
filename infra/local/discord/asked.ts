/** What a person does with an app, as the interaction that the bot will get; checked as Discord's client checks it. */
import {
  type APIMessage,
  type APIModalInteractionResponseCallbackData,
  ApplicationCommandType,
  ComponentType as C,
  InteractionType,
  PermissionFlagsBits as P,
} from 'discord-api-types/v10';
import { commandsFor, TypingError, typedOptions } from './commands.ts';
import { walk } from './components.ts';
import type { Json } from './fields.ts';
import { has } from './permissions.ts';
import type { Ask, FieldValue } from './protocol.ts';
import {
  checkChosen,
  filled,
  type Ids,
  idsOfOptions,
  idsOfValues,
  join,
  type Place,
  resolve,
} from './resolve.ts';

export interface Asked {
  readonly type: InteractionType;
  readonly data: Json;
  /** whose component was pressed, or that led to the modal */
  readonly source?: APIMessage | undefined;
  /** the name of a command, for "used /imagine" */
  readonly used?: { readonly name: string; readonly type: ApplicationCommandType } | undefined;
}

/** @throws {TypingError} as all here: when the client itself would not have sent it */
export function askedCommand(place: Place, ask: Extract<Ask, { kind: 'command' | 'autocomplete' }>): Asked {
  const { state, channel, personId } = place;
  if (!has(state.permissions(channel, personId), P.UseApplicationCommands)) {
    throw new TypingError('You may not use commands here.');
  }
  const command = commandsFor(state, personId, channel.id).find(({ id }) => id === ask.command);
  if (!command) throw new TypingError('That command is not there for you.');
  const { id, name, type, guild_id } = command;
  const { path = [] } = ask;
  const data: Json = { id, name, type, ...(guild_id && { guild_id }) };
  if (ask.kind === 'autocomplete') {
    const options = typedOptions(command, path, ask.options, ask.focused);
    return { type: InteractionType.ApplicationCommandAutocomplete, data: { ...data, options } };
  }

  const used = { name: [name, ...path].join(' '), type };
  if (type !== ApplicationCommandType.ChatInput) {
    const target = ask.target ?? '';
    const ids = type === ApplicationCommandType.Message ? { messages: [target] } : { users: [target] };
    const aimed = { ...data, target_id: target, ...resolve(place, ids) };
    return { type: InteractionType.ApplicationCommand, data: aimed, used };
  }
  const options = typedOptions(command, path, ask.options ?? {});
  const resolved = resolve(place, idsOfOptions(place, options));
  const filledIn = { ...data, ...(options.length && { options }), ...resolved };
  return { type: InteractionType.ApplicationCommand, data: filledIn, used };
}

export function askedComponent(place: Place, ask: Extract<Ask, { kind: 'component' }>): Asked {
  const { state, channel, personId } = place;
  const source = state.message(channel.id, ask.message, personId);
  if (!source) throw new TypingError('That message is gone.');
  const component = [...walk(source.components ?? [])].find(({ custom_id }) => custom_id === ask.customId);
  if (!component) throw new TypingError(`The message has no component “${ask.customId}”.`);
  if (component.disabled === true) throw new TypingError('That is disabled.');
  const type = InteractionType.MessageComponent;
  const data: Json = { custom_id: ask.customId, component_type: component.type, id: component.id };
  if (component.type === C.Button) return { type, data, source };

  const { values = [] } = ask;
  const { min_values: min, max_values: max } = component as { min_values: number; max_values: number };
  if (values.length < min || values.length > max) throw new TypingError(`Choose ${min} to ${max}.`);
  checkChosen(component, values);
  const resolved = resolve(place, idsOfValues(place, component.type as number, values));
  return { type, data: { ...data, values, ...resolved }, source };
}

export function askedModal(
  place: Place,
  modal: APIModalInteractionResponseCallbackData,
  fields: Readonly<Record<string, FieldValue>>,
): Asked {
  const named: Ids[] = [];
  const answer = (field: Json): Json => {
    const { type, id, custom_id } = field as { type: number; id: number; custom_id: string };
    const value = filled(field, fields[custom_id]);
    if (typeof value !== 'object') return { type, id, custom_id, value };
    named.push(idsOfValues(place, type, value));
    return { type, id, custom_id, values: value };
  };
  const components = (modal.components as unknown as Json[]).map(
    ({ type, id, component, components: row }) => {
      if (type === C.Label) return { type, id, component: answer(component as Json) };
      if (type === C.ActionRow) return { type, id, components: (row as Json[]).map(answer) };
      return { type, id };
    },
  );
  const data = { custom_id: modal.custom_id, components, ...resolve(place, join(...named)) };
  return { type: InteractionType.ModalSubmit, data };
}
