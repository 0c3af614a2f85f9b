/** Registering application commands, and turning what a person typed into the options a bot receives. */
import {
  type APIApplicationCommand,
  type APIApplicationCommandBasicOption,
  type APIApplicationCommandOption,
  type APIApplicationCommandOptionChoice,
  ApplicationCommandType,
  ApplicationIntegrationType,
  InteractionContextType,
  ApplicationCommandOptionType as Option,
} from 'discord-api-types/v10';
import { checkCommand, takenNames } from './command-rules.ts';
import { Faults, refusals } from './discord-error.ts';
import { Fields, isObject, type Json } from './fields.ts';
import { snowflake } from './snowflake.ts';
import type { State } from './state.ts';
import { isForum } from './threads.ts';

const MAX_BY_TYPE: Record<number, number> = {
  [ApplicationCommandType.ChatInput]: 100,
  [ApplicationCommandType.User]: 15,
  [ApplicationCommandType.Message]: 15,
  [ApplicationCommandType.PrimaryEntryPoint]: 1,
};
/** POST and PATCH of one, PUT of all. @throws {DiscordError} 50035 */
export function registerCommands(
  state: State,
  guildId: string | undefined,
  inputs: readonly unknown[],
  replaced: boolean,
): APIApplicationCommand[] {
  const faults = new Faults();
  const fields = new Fields(faults);
  const path = (i: number, ...keys: (string | number)[]) => (replaced ? [i, ...keys] : keys);
  const existing = [...state.commands.values()].filter((one) => one.guild_id === guildId);
  const commands = inputs.map((input, i) => {
    const body = isObject(input) ? input : {};
    const type = Number(body.type ?? ApplicationCommandType.ChatInput);
    checkCommand(fields, path(i), body);
    const known = existing.find((one) => one.name === body.name && one.type === type);
    return toCommand(state, guildId, body, type, known?.id ?? snowflake());
  });
  const after = replaced
    ? commands
    : [...existing.filter(({ id }) => !commands.some((one) => one.id === id)), ...commands];
  for (const type of Object.keys(MAX_BY_TYPE)) {
    const alike = after.filter((one) => one.type === Number(type));
    for (const { index, path: at } of takenNames(alike as unknown as Json[])) {
      const sentence = 'Application command names must be unique';
      const i = commands.indexOf(alike[index]!);
      if (i >= 0) faults.add(path(i, ...at), 'APPLICATION_COMMANDS_DUPLICATE_NAME', sentence);
    }
  }
  for (const [type, max] of Object.entries(MAX_BY_TYPE)) {
    if (after.filter((one) => one.type === Number(type)).length > max) {
      faults.add([], 'BASE_TYPE_MAX_LENGTH', `At most ${max} commands of type ${type}.`);
    }
  }
  faults.throwIfAny();
  state.setCommands(guildId, commands, replaced);
  return commands;
}

function toCommand(
  state: State,
  guildId: string | undefined,
  body: Json,
  type: number,
  id: string,
): APIApplicationCommand {
  const { permissions: _, ...given } = body;
  return {
    ...given,
    id,
    application_id: state.world.applicationId,
    version: snowflake(),
    type,
    name: String(body.name),
    description: type === ApplicationCommandType.ChatInput ? String(body.description) : '',
    default_member_permissions:
      body.default_member_permissions == null ? null : String(body.default_member_permissions),
    nsfw: body.nsfw === true,
    ...(guildId
      ? { guild_id: guildId }
      : {
          integration_types: body.integration_types ?? [ApplicationIntegrationType.GuildInstall],
          contexts: body.contexts ?? null,
        }),
  } as unknown as APIApplicationCommand;
}

/** The commands a person is offered in a place: installed there, allowed to them; a guild's own before global ones. */
export function commandsFor(state: State, personId: string, channelId: string): APIApplicationCommand[] {
  const channel = state.channels.get(channelId);
  if (!channel || isForum(channel)) return [];
  const held = state.permissions(channel, personId);
  const context = contextOf(state, channelId);
  return [...state.commands.values()]
    .filter((command) => {
      const { guild_id, contexts, integration_types = [], default_member_permissions: needed } = command;
      if (guild_id) return guild_id === channel.guildId && allowed(needed);
      const install =
        context === InteractionContextType.PrivateChannel
          ? ApplicationIntegrationType.UserInstall
          : ApplicationIntegrationType.GuildInstall;
      if (!integration_types.includes(install)) return false;
      if (contexts ? !contexts.includes(context) : context === InteractionContextType.PrivateChannel)
        return false;
      return !channel.guildId || allowed(needed);
    })
    .sort((a, b) => a.name.localeCompare(b.name));

  function allowed(needed: string | null): boolean {
    // "0" means administrators only, whom this world does not have.
    return needed === null || (needed !== '0' && (held & BigInt(needed)) === BigInt(needed));
  }
}

export function contextOf(state: State, channelId: string): InteractionContextType {
  const channel = state.channels.get(channelId);
  if (!channel) throw refusals.unknownChannel();
  if (channel.guildId) return InteractionContextType.Guild;
  return channel.recipients!.length > 1
    ? InteractionContextType.PrivateChannel
    : InteractionContextType.BotDM;
}

/** What a person typed, before a bot sees it. The sentence is for that person. */
export class TypingError extends Error {
  override readonly name = 'TypingError';
}

export type OptionValue = string | number | boolean;

/** The option list at the end of a path of subcommand names. */
export function optionsAt(
  command: APIApplicationCommand,
  path: readonly string[],
): readonly APIApplicationCommandBasicOption[] {
  let options: readonly APIApplicationCommandOption[] = command.options ?? [];
  for (const name of path) {
    const sub = options.find((one) => one.name === name);
    if (sub?.type !== Option.Subcommand && sub?.type !== Option.SubcommandGroup) {
      throw new TypingError(`/${command.name} has no “${name}”.`);
    }
    options = sub.options ?? [];
  }
  if (options.some(({ type }) => type === Option.Subcommand || type === Option.SubcommandGroup)) {
    throw new TypingError(
      `/${[command.name, ...path].join(' ')} needs one of: ${options.map(({ name }) => name).join(', ')}`,
    );
  }
  return options as readonly APIApplicationCommandBasicOption[];
}

/**
 * Options as they are sent, checked as Discord's client checks them before sending.
 *
 * @param focused the option being completed: then nothing is required and half-typed values are passed on as text
 * @throws {TypingError} what the person has to mend
 */
export function typedOptions(
  command: APIApplicationCommand,
  path: readonly string[],
  values: Readonly<Record<string, OptionValue>>,
  focused?: string,
): Json[] {
  const known = optionsAt(command, path);
  const unknown = Object.keys(values).find((name) => !known.some((option) => option.name === name));
  if (unknown) throw new TypingError(`/${[command.name, ...path].join(' ')} has no option “${unknown}”.`);
  const given = known.flatMap((option): Json[] => {
    const { name, type } = option;
    const value = values[name];
    if (name === focused) return [{ name, type, value: String(value ?? ''), focused: true }];
    if (value === undefined || value === '') {
      if (option.required && focused === undefined) throw new TypingError(`“${name}” is required.`);
      return [];
    }
    return [{ name, type, value: focused === undefined ? checked(option, value) : value }];
  });
  // Innermost first: /faces add → [{ add, options }], /a b c → [{ b, options: [{ c, options }] }].
  return path
    .toReversed()
    .reduce<Json[]>(
      (options, name, i) => [{ name, type: i === 0 ? Option.Subcommand : Option.SubcommandGroup, options }],
      given,
    );
}

function checked(option: APIApplicationCommandBasicOption, value: OptionValue): OptionValue {
  const { name } = option;
  switch (option.type) {
    case Option.Boolean:
      if (value !== true && value !== false) throw new TypingError(`“${name}” is true or false.`);
      return value;
    case Option.Integer:
    case Option.Number: {
      const number = Number(value);
      const whole = option.type === Option.Integer;
      if (!Number.isFinite(number) || (whole && !Number.isSafeInteger(number))) {
        throw new TypingError(`“${name}” must be a ${whole ? 'whole ' : ''}number.`);
      }
      choice(option.choices, number);
      if ('min_value' in option && number < (option.min_value ?? number)) {
        throw new TypingError(`“${name}” must be at least ${option.min_value}.`);
      }
      if ('max_value' in option && number > (option.max_value ?? number)) {
        throw new TypingError(`“${name}” must be at most ${option.max_value}.`);
      }
      return number;
    }
    case Option.String: {
      const text = String(value);
      choice(option.choices, text);
      const { min_length = 0, max_length = 6000 } = option as { min_length?: number; max_length?: number };
      if (text.length < min_length || text.length > max_length) {
        throw new TypingError(
          `“${name}” must have ${min_length} to ${max_length} characters; it has ${text.length}.`,
        );
      }
      return text;
    }
    default:
      return String(value);
  }

  function choice(choices: readonly { value: string | number }[] | undefined, chosen: string | number): void {
    if (choices?.length && !choices.some((one) => one.value === chosen)) {
      throw new TypingError(`“${name}” must be one of its choices.`);
    }
  }
}

/** What a bot offers while something is typed. @throws {DiscordError} 50035 */
export function readChoices(input: unknown): APIApplicationCommandOptionChoice<string | number>[] {
  const faults = new Faults();
  const fields = new Fields(faults);
  const choices = fields.list(['data', 'choices'], input, 0, 25);
  for (const [i, choice] of choices.entries()) {
    const { name, value } = isObject(choice) ? choice : {};
    fields.text1(['data', 'choices', i, 'name'], name, 100);
    fields.text0(['data', 'choices', i, 'value'], value, 100);
    if (value === undefined || value === null) {
      faults.add(['data', 'choices', i, 'value'], 'BASE_TYPE_REQUIRED', 'This field is required');
    }
  }
  faults.throwIfAny();
  return choices as APIApplicationCommandOptionChoice<string | number>[];
}

/** A command as the list of all shows it: in one language, where it has that, and without its dictionaries. */
export function inLanguage(value: unknown, locale: string): unknown {
  if (Array.isArray(value)) return value.map((one) => inLanguage(one, locale));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => {
      const field = /^(name|description)_localizations$/.exec(key)?.[1];
      if (!field) return [[key, inLanguage(inner, locale)]];
      const text = isObject(inner) ? inner[locale] : undefined;
      return text === undefined ? [] : [[`${field}_localized`, text]];
    }),
  );
}
