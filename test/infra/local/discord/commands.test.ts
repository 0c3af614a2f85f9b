/** Registering commands, one rule at a time. */
import { beforeEach, describe, expect, it } from 'vitest';
import { inLanguage, registerCommands } from '#infra/local/discord/commands.ts';
import { State } from '#infra/local/discord/state.ts';
import { faultsOf, type Loose } from './faults-of.ts';

let state: State;
beforeEach(async () => {
  state = await State.open({
    applicationId: '1100000000000000001',
    origin: 'http://127.0.0.1:1',
    signingKey: 'key',
  });
});

const option = (extra: Loose = {}) => ({ type: 3, name: 'prompt', description: 'x', ...extra });
const command = (...options: Loose[]) => ({ name: 'imagine', description: 'x', options });
const subcommand = (name: string, ...options: Loose[]) => ({ type: 1, name, description: 'x', options });
const group = (name: string, ...options: Loose[]) => ({ type: 2, name, description: 'x', options });

const faultsIn = (...commands: Loose[]) =>
  faultsOf(() => registerCommands(state, undefined, commands, true)).map((fault) =>
    fault.replace(/^0\./, ''),
  );

describe('a command', () => {
  it.each<[string, Loose]>([
    ['with options', command(option({ required: true }), option({ name: 'seed', type: 4 }))],
    ['with subcommands and groups of them', command(subcommand('a'), group('b', subcommand('c', option())))],
    ['in a language that has no small letters', { ...command(), name: 'दिखाओ' }],
    [
      'in several languages',
      {
        ...command(option({ name_localizations: { de: 'wunsch', ja: '願い' } })),
        name_localizations: { de: 'male', fr: 'imagine' },
        description_localizations: { 'es-419': 'Dibuja.', he: 'x' },
      },
    ],
    ['from the menu of a message', { type: 3, name: 'More Of This' }],
    ['with numbers within limits', command(option({ type: 10, min_value: -0.5, max_value: 0.5 }))],
    [
      'with a whole number that is exactly its limit',
      command(option({ type: 4, min_value: 1, max_value: 1 })),
    ],
    ['with choices', command(option({ type: 4, choices: [{ name: 'one', value: 1 }] }))],
  ])('%s is taken', (_, given) => {
    expect(faultsIn(given)).toEqual([]);
  });

  const at = 'options.0';
  it.each<[string, Loose, string]>([
    [
      'a subcommand beside a value',
      command(option(), subcommand('add')),
      'options.1 APPLICATION_COMMAND_OPTIONS_TYPE_INVALID',
    ],
    [
      'a value beside a subcommand',
      command(subcommand('add'), option()),
      'options.1 APPLICATION_COMMAND_OPTIONS_TYPE_INVALID',
    ],
    [
      'a subcommand in a subcommand',
      command(subcommand('a', subcommand('b'))),
      `${at}.options.0 APPLICATION_COMMAND_OPTIONS_TYPE_INVALID`,
    ],
    [
      'a group in a group',
      command(group('a', group('b', subcommand('c')))),
      `${at}.options.0 APPLICATION_COMMAND_OPTIONS_TYPE_INVALID`,
    ],
    [
      'a value in a group',
      command(group('a', option())),
      `${at}.options.0 APPLICATION_COMMAND_OPTIONS_TYPE_INVALID`,
    ],
    ['an empty group', command(group('a')), `${at}.options BASE_TYPE_BAD_LENGTH`],
    ['an option of no type', command(option({ type: 12 })), `${at}.type BASE_TYPE_CHOICES`],
    [
      'an option without a description',
      command(option({ description: '' })),
      `${at}.description BASE_TYPE_BAD_LENGTH`,
    ],
    [
      'a least number above the greatest',
      command(option({ type: 4, min_value: 2, max_value: 1 })),
      `${at}.min_value NUMBER_TYPE_MAX`,
    ],
    [
      'half a number as the least whole one',
      command(option({ type: 4, min_value: 0.5 })),
      `${at}.min_value NUMBER_TYPE_COERCE`,
    ],
    [
      'a number that no client can hold',
      command(option({ type: 10, max_value: 2 ** 60 })),
      `${at}.max_value NUMBER_TYPE_MAX`,
    ],
    [
      'more letters at least than at most',
      command(option({ min_length: 3, max_length: 2 })),
      `${at}.min_length NUMBER_TYPE_MAX`,
    ],
    ['no letter at most', command(option({ max_length: 0 })), `${at}.max_length NUMBER_TYPE_MIN`],
    ['6,001 letters at most', command(option({ max_length: 6_001 })), `${at}.max_length NUMBER_TYPE_MAX`],
    [
      'a word among numbers',
      command(option({ type: 4, choices: [{ name: 'one', value: 'one' }] })),
      `${at}.choices.0.value NUMBER_TYPE_COERCE`,
    ],
    [
      'a number among words',
      command(option({ choices: [{ name: 'one', value: 1 }] })),
      `${at}.choices.0.value STRING_TYPE_CONVERT`,
    ],
    [
      'a choice twice',
      command(option({ choices: ['a', 'b'].map((value) => ({ name: 'same', value })) })),
      `${at}.choices.1.name APPLICATION_COMMAND_OPTIONS_CHOICE_NAME_ALREADY_EXISTS`,
    ],
    [
      'an option twice',
      command(option(), option()),
      'options.1.name APPLICATION_COMMAND_OPTIONS_NAME_NOT_UNIQUE',
    ],
    [
      'something required by a word',
      command(option({ required: 'yes' })),
      `${at}.required BOOLEAN_TYPE_CONVERT`,
    ],
    [
      'a kind of channel that is none',
      command(option({ type: 7, channel_types: [99] })),
      `${at}.channel_types.0 BASE_TYPE_CHOICES`,
    ],
    [
      'a menu entry with a description',
      { type: 3, name: 'More', description: 'x' },
      'description APPLICATION_COMMAND_CONTEXT_MENU_DESCRIPTION_NOT_EMPTY',
    ],
    [
      'permissions in words',
      { ...command(), default_member_permissions: 'ADMIN' },
      'default_member_permissions NUMBER_TYPE_COERCE',
    ],
    ['a context that is none', { ...command(), contexts: [3] }, 'contexts.0 BASE_TYPE_CHOICES'],
  ])('with %s is refused', (_, given, fault) => {
    expect(faultsIn(given)).toEqual([fault]);
  });

  it('is as large as its longest language', () => {
    const choices = (length: number) =>
      Array.from({ length: 25 }, (_, i) => ({ name: String(i), value: String(i).padEnd(length, 'x') }));
    const long = (i: number) => option({ name: `o${i}`, description: 'x', choices: choices(100) });
    const three = command(long(1), long(2), long(3));
    expect(faultsIn(three)).toEqual([]);
    const names = { description_localizations: { de: 'x'.repeat(100) } };
    const translated = command(...[1, 2, 3].map((i) => ({ ...long(i), ...names })), option({ ...names }));
    expect(faultsIn(translated)).toEqual(['0 APPLICATION_COMMAND_TOO_LARGE']);
  });
});

describe('translations', () => {
  it.each<[string, Loose, string]>([
    [
      'in no language of Discord’s',
      { name_localizations: { en: 'imagine' } },
      'name_localizations.en BASE_TYPE_CHOICES',
    ],
    [
      'with a capital letter',
      { name_localizations: { de: 'Male' } },
      'name_localizations.de APPLICATION_COMMAND_INVALID_NAME',
    ],
    [
      'with a space',
      { name_localizations: { fr: 'une image' } },
      'name_localizations.fr APPLICATION_COMMAND_INVALID_NAME',
    ],
    [
      'that are too long',
      { description_localizations: { ja: '絵'.repeat(101) } },
      'description_localizations.ja BASE_TYPE_BAD_LENGTH',
    ],
    [
      'that say nothing',
      { description_localizations: { ja: '' } },
      'description_localizations.ja BASE_TYPE_BAD_LENGTH',
    ],
    [
      'that are no text',
      { description_localizations: { ja: null } },
      'description_localizations.ja STRING_TYPE_CONVERT',
    ],
  ])('%s are refused, of commands and of options', (_, extra, fault) => {
    expect(faultsIn({ ...command(), ...extra })).toEqual([fault]);
    expect(faultsIn(command(option(extra)))).toEqual([`options.0.${fault}`]);
  });

  it('of choices are held to their length', () => {
    const choices = [{ name: 'a', value: 'a', name_localizations: { de: 'x'.repeat(101) } }];
    expect(faultsIn(command(option({ choices })))).toEqual([
      'options.0.choices.0.name_localizations.de BASE_TYPE_BAD_LENGTH',
    ]);
  });

  it('are names of their own in their language', () => {
    const de = (name: string, text: string) => option({ name, name_localizations: { de: text } });
    const taken = 'APPLICATION_COMMAND_OPTIONS_NAME_NOT_UNIQUE';
    expect(faultsIn(command(de('a', 'x'), de('b', 'x')))).toEqual([
      `options.1.name_localizations.de ${taken}`,
    ]);
    expect(faultsIn(command(option({ name: 'a' }), de('b', 'a')))).toEqual([
      `options.1.name_localizations.de ${taken}`,
    ]);
    const one = { ...command(), name_localizations: { de: 'male' } };
    expect(faultsIn(one, { ...command(), name: 'draw', name_localizations: { de: 'male' } })).toEqual([
      '1.name_localizations.de APPLICATION_COMMANDS_DUPLICATE_NAME',
    ]);
  });

  it('are left out of the list of all, but for the language of whoever asks', () => {
    const choices = [{ name: 'a', value: 'a', name_localizations: { de: 'ä' } }];
    const [made] = registerCommands(
      state,
      undefined,
      [
        {
          ...command(option({ choices, description_localizations: { fr: 'y' } })),
          name_localizations: { de: 'male' },
        },
      ],
      true,
    );
    expect(made).toMatchObject({ name_localizations: { de: 'male' } });
    expect(inLanguage([made], 'de')).toMatchObject([
      {
        name: 'imagine',
        name_localized: 'male',
        options: [{ choices: [{ name: 'a', name_localized: 'ä' }] }],
      },
    ]);
    expect(JSON.stringify(inLanguage([made], 'de'))).not.toContain('localizations');
    expect(JSON.stringify(inLanguage([made], 'en-US'))).not.toContain('local');
  });
});
