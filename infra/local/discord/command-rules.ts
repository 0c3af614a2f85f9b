/** What a command may be: names, descriptions and their translations, how options nest, and what an option allows. */
import {
  ApplicationCommandType,
  ApplicationIntegrationType,
  ChannelType,
  InteractionContextType,
  Locale,
  ApplicationCommandOptionType as Option,
} from 'discord-api-types/v10';
import { type Fields, isObject, type Json, type Path } from './fields.ts';

const NAME = /^[-_'\p{L}\p{N}\p{sc=Deva}\p{sc=Thai}]{1,32}$/u;
/** Discord's description lists two more than the libraries' types. */
const LOCALES: readonly string[] = [...Object.values(Locale), 'ar', 'he'];
/** Names, descriptions and choices' values of one command together, each in its longest language. */
const COMMAND_TEXT_MAX = 8_000;
/** A number on either side of 0 that a client can hold exactly. */
const NUMBER_MAX = Number.MAX_SAFE_INTEGER;

const NESTING: readonly unknown[] = [Option.Subcommand, Option.SubcommandGroup];
const WITH_CHOICES: readonly unknown[] = [Option.String, Option.Integer, Option.Number];
const enumerated = (values: object) => Object.values(values).filter((one) => typeof one === 'number');

/** Whatever is wrong with a command as a bot sent it becomes a fault at its field. */
export function checkCommand(fields: Fields, path: Path, command: Json): void {
  const type = command.type ?? ApplicationCommandType.ChatInput;
  fields.choice([...path, 'type'], type, enumerated(ApplicationCommandType));
  const rules = new CommandRules(fields);
  const slash = type === ApplicationCommandType.ChatInput;
  rules.name(path, command, slash);
  if (slash) {
    rules.description(path, command);
    rules.options([...path, 'options'], command.options, 'command');
  } else {
    for (const key of ['description', 'options'] as const) {
      const value = command[key];
      if (!(Array.isArray(value) ? value.length : value)) continue;
      const code = `APPLICATION_COMMAND_CONTEXT_MENU_${key.toUpperCase()}_NOT_EMPTY`;
      fields.faults.add([...path, key], code, `Context menu commands cannot have ${key}`);
    }
  }
  const { default_member_permissions: permissions = null } = command;
  if (permissions !== null && !/^\d+$/.test(String(permissions))) {
    const sentence = `Value "${String(permissions)}" is not int.`;
    fields.faults.add([...path, 'default_member_permissions'], 'NUMBER_TYPE_COERCE', sentence);
  }
  for (const [key, values] of [
    ['contexts', InteractionContextType],
    ['integration_types', ApplicationIntegrationType],
  ] as const) {
    const list = command[key];
    if (!Array.isArray(list)) continue;
    for (const [i, one] of list.entries()) fields.choice([...path, key, i], one, enumerated(values));
  }
  if (rules.text > COMMAND_TEXT_MAX) {
    const sentence = `Command exceeds maximum size (${COMMAND_TEXT_MAX})`;
    fields.faults.add(path, 'APPLICATION_COMMAND_TOO_LARGE', sentence);
  }
}

/**
 * The fields whose names another has too. A translated name must differ from every other's own name, and from every
 * other's in that language.
 */
export function takenNames(named: readonly Json[]): { readonly index: number; readonly path: Path }[] {
  const translations = named.map(({ name_localizations: names }) => (isObject(names) ? names : {}));
  return named.flatMap(({ name }, index) => {
    const others = named.map((_, i) => i).filter((i) => i !== index);
    // Of two with one name the later is at fault.
    const own = others.some((i) => i < index && named[i]!.name === name) ? [['name']] : [];
    const translated = Object.entries(translations[index]!)
      .filter(([locale, text]) =>
        others.some((i) => named[i]!.name === text || (i < index && translations[i]![locale] === text)),
      )
      .map(([locale]) => ['name_localizations', locale]);
    return [...own, ...translated].map((path) => ({ index, path }));
  });
}

class CommandRules {
  /** characters of all that counts */
  text = 0;
  readonly #fields: Fields;

  constructor(fields: Fields) {
    this.#fields = fields;
  }

  name(path: Path, one: Json, slash: boolean): void {
    this.#translated(path, one, 'name', (at, value) => {
      const fits = slash
        ? NAME.test(value) && value === value.toLowerCase()
        : value.length >= 1 && value.length <= 32;
      if (!fits) this.#fields.faults.add(at, 'APPLICATION_COMMAND_INVALID_NAME', 'Command name is invalid');
    });
  }

  description(path: Path, one: Json): void {
    this.#translated(path, one, 'description', (at, value) => this.#length(at, value, 100));
  }

  options(path: Path, list: unknown, parent: 'command' | 'group' | 'subcommand'): void {
    const { faults } = this.#fields;
    const options = this.#fields.list(path, list ?? [], parent === 'group' ? 1 : 0, 25);
    const known = options.map((one) => (isObject(one) ? one : {}));
    for (const { index, path: at } of takenNames(known)) {
      const code = 'APPLICATION_COMMAND_OPTIONS_NAME_NOT_UNIQUE';
      faults.add([...path, index, ...at], code, 'Option names must be unique');
    }
    let optionalSeen = false;
    for (const [i, option] of known.entries()) {
      const { type, required } = option;
      const at = [...path, i];
      this.name(at, option, true);
      this.description(at, option);
      this.#fields.choice([...at, 'type'], type, enumerated(Option));
      if (!mayStand(type, parent, known[0]?.type)) {
        const sentence =
          'Sub-command and sub-command group option types are mutually exclusive to all other types';
        faults.add(at, 'APPLICATION_COMMAND_OPTIONS_TYPE_INVALID', sentence);
      }
      this.#fields.flag([...at, 'required'], required);
      if (required === true && optionalSeen) {
        const sentence = 'Required options must be placed before non-required options';
        faults.add(at, 'APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID', sentence);
      }
      if (required !== true) optionalSeen = true;
      if (NESTING.includes(type)) {
        this.options([...at, 'options'], option.options, type === Option.Subcommand ? 'subcommand' : 'group');
      } else this.#values(at, option);
    }
  }

  /** What a person may give: limits, choices, kinds of channels. */
  #values(path: Path, option: Json): void {
    const at = (key: string) => [...path, key];
    const { type } = option;
    if (type === Option.String) {
      const most = this.#fields.integer(at('max_length'), option.max_length, { min: 1, max: 6000 }) ?? 6000;
      this.#fields.integer(at('min_length'), option.min_length, { min: 0, max: Math.min(most, 6000) });
    }
    if (type === Option.Integer || type === Option.Number) {
      const whole = type === Option.Integer;
      const range = { min: -NUMBER_MAX, max: NUMBER_MAX, whole };
      const most = this.#fields.number(at('max_value'), option.max_value, range) ?? NUMBER_MAX;
      this.#fields.number(at('min_value'), option.min_value, { ...range, max: most });
    }
    if (type === Option.Channel && Array.isArray(option.channel_types)) {
      for (const [i, one] of option.channel_types.entries()) {
        this.#fields.choice([...at('channel_types'), i], one, enumerated(ChannelType));
      }
    }
    if (WITH_CHOICES.includes(type)) this.#choices(path, option);
  }

  #choices(path: Path, { type, choices, autocomplete }: Json): void {
    const { faults } = this.#fields;
    const list = this.#fields.list([...path, 'choices'], choices ?? [], 0, 25);
    if (list.length && autocomplete === true) {
      const sentence = 'Autocomplete cannot be used with choices';
      faults.add([...path, 'autocomplete'], 'APPLICATION_COMMAND_AUTOCOMPLETE_WITH_CHOICES', sentence);
    }
    const names = new Set<unknown>();
    for (const [i, one] of list.entries()) {
      const choice = isObject(one) ? one : {};
      const at = [...path, 'choices', i];
      this.#translated(at, choice, 'name', (where, value) => this.#length(where, value, 100));
      const { name, value } = choice;
      if (names.has(name)) {
        const sentence = 'Option choice name already exists';
        faults.add([...at, 'name'], 'APPLICATION_COMMAND_OPTIONS_CHOICE_NAME_ALREADY_EXISTS', sentence);
      }
      names.add(name);
      this.text += String(value).length;
      if (type !== Option.String) {
        const whole = type === Option.Integer;
        const range = { min: -NUMBER_MAX, max: NUMBER_MAX, whole };
        this.#fields.number([...at, 'value'], value ?? Number.NaN, range);
      } else if (typeof value === 'string') this.#length([...at, 'value'], value, 100);
      else faults.add([...at, 'value'], 'STRING_TYPE_CONVERT', 'Could not interpret as string.');
    }
  }

  /** A text and its translations; the longest of them counts. */
  #translated(
    path: Path,
    one: Json,
    key: 'name' | 'description',
    check: (at: Path, value: string) => void,
  ): void {
    const { [key]: text = '', [`${key}_localizations`]: translations } = one;
    const given = isObject(translations) ? Object.entries(translations) : [];
    const texts = [
      [[...path, key], text] as const,
      ...given.map(([locale, value]) => [[...path, `${key}_localizations`, locale], value] as const),
    ];
    for (const [at, value] of texts) {
      if (typeof value === 'string') check(at, value);
      else this.#fields.faults.add(at, 'STRING_TYPE_CONVERT', 'Could not interpret as string.');
    }
    for (const [locale] of given) {
      this.#fields.choice([...path, `${key}_localizations`, locale], locale, LOCALES);
    }
    this.text += Math.max(...texts.map(([, value]) => String(value).length));
  }

  #length(path: Path, value: string, max: number): void {
    if (value.length >= 1 && value.length <= max) return;
    const sentence = `Must be between 1 and ${max} in length.`;
    this.#fields.faults.add(path, 'BASE_TYPE_BAD_LENGTH', sentence);
  }
}

/** A command has either subcommands and groups or values, a group only subcommands, a subcommand only values. */
function mayStand(type: unknown, parent: 'command' | 'group' | 'subcommand', first: unknown): boolean {
  const nests = NESTING.includes(type);
  if (parent === 'command') return nests === NESTING.includes(first);
  return parent === 'group' ? type === Option.Subcommand : !nests;
}
