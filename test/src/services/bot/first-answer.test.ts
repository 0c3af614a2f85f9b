import { type APIInteraction, ApplicationCommandType, InteractionType } from 'discord-api-types/v10';
import { describe, expect, it } from 'vitest';
import { messageCommands, presses, slashCommands } from '#commands/index.ts';
import { type Action, customId } from '#src/custom-ids.ts';
import { answersOf, deferralOf, refusalOf, wordFor } from '#src/services/bot/first-answer.ts';

const answers = answersOf(slashCommands, messageCommands, presses);
/** As it goes to the thread. */
const sent = structuredClone(answers);
const how = (interaction: object) => deferralOf(interaction as APIInteraction, sent);
const command = (
  name: string,
  options?: readonly { name: string }[],
  type = ApplicationCommandType.ChatInput,
) => how({ type: InteractionType.ApplicationCommand, data: { name, type, ...(options && { options }) } });
const pressed = (custom_id: string, type = InteractionType.MessageComponent) =>
  how({ type, data: { custom_id } });

const ID = '1'.repeat(18);
const actions = Object.keys(presses) as Action[];

describe('the first answer to a command', () => {
  it.each([...slashCommands].filter(([, { form }]) => !form).map(([name]) => name))(
    '/%s is a deferral',
    (name) => {
      expect(command(name)).toBe('reply');
    },
  );

  it('is its form where it opens one, and a deferral where an option spares it', () => {
    const forms = [...slashCommands].flatMap(([name, { data, form }]) =>
      form ? [{ name, data, form }] : [],
    );
    expect(forms.map(({ name }) => name)).toEqual(['sweep']);
    for (const { name, data, form } of forms) {
      expect(command(name)).toBeNull();
      expect(command(name, [{ name: 'another' }])).toBeNull();
      expect(form.unless.length).toBeGreaterThan(0);
      const options = data.toJSON().options?.map((option) => option.name);
      for (const option of form.unless) {
        expect(options).toContain(option);
        expect(command(name, [{ name: 'another' }, { name: option }])).toBe('reply');
      }
    }
  });

  it.each(['imagined', '__proto__', 'constructor', 'toString', ''])(
    'that nobody knows, %j, is a deferral: a sentence follows',
    (name) => {
      expect(command(name)).toBe('reply');
    },
  );

  it('of the menu of a message is a deferral; of a person’s there are none', () => {
    expect(command('Details', undefined, ApplicationCommandType.Message)).toBe('reply');
    expect(command('Details', undefined, ApplicationCommandType.User)).toBeNull();
  });
});

describe('the first answer to what is pressed', () => {
  it.each(actions)('%s is what its handler says', (action) => {
    const { answers: said } = presses[action];
    expect(pressed(customId(action, ID))).toBe(said === 'form' ? null : said);
    expect(pressed(customId(action, ID, 'argument'), InteractionType.ModalSubmit)).toBe(
      said === 'form' ? null : said,
    );
  });

  it.each([
    '',
    'v1',
    'v1:nothing:1',
    `v2:plan.run:${ID}`,
    `v1:__proto__:${ID}`,
    `v1:constructor:${ID}`,
    'x'.repeat(100),
  ])('that nobody knows, %j, is no deferral', (custom_id) => {
    expect(pressed(custom_id)).toBeNull();
  });
});

it('what completes a word is not deferred', () => {
  const data = { name: 'imagine', type: ApplicationCommandType.ChatInput, options: [] };
  expect(how({ type: InteractionType.ApplicationCommandAutocomplete, data })).toBeNull();
  expect(how({ type: InteractionType.Ping })).toBeNull();
});

describe('the word for an interaction', () => {
  const word = (type: InteractionType, data: object) => wordFor({ type, data } as APIInteraction, sent);
  const { ApplicationCommand, ApplicationCommandAutocomplete, MessageComponent, ModalSubmit, Ping } =
    InteractionType;
  const { ChatInput, Message } = ApplicationCommandType;
  it.each([
    [ApplicationCommand, { name: 'imagine', type: ChatInput }, 'imagine'],
    [ApplicationCommandAutocomplete, { name: 'set', type: ChatInput }, 'set'],
    [ApplicationCommand, { name: 'Rerun', type: Message }, 'Rerun'],
    [ApplicationCommand, { name: 'imagine', type: Message }, 'unknown'],
    [ApplicationCommand, { name: 'constructor', type: ChatInput }, 'unknown'],
    [MessageComponent, { custom_id: customId('plan.run', ID) }, 'plan.run'],
    [ModalSubmit, { custom_id: customId('plan.edited', ID) }, 'plan.edited'],
    [MessageComponent, { custom_id: 'v1:forged.7:1' }, 'unknown'],
    [Ping, {}, 'unknown'],
  ])('of type %i, %j, is %s', (type, data, expected) => {
    expect(word(type, data)).toBe(expected);
  });
});

it('a refusal is a sentence for the person alone; of what completes a word, nothing to choose from', () => {
  const refusal = (type: InteractionType) => refusalOf({ type } as APIInteraction, 'No.');
  for (const type of [
    InteractionType.ApplicationCommand,
    InteractionType.MessageComponent,
    InteractionType.ModalSubmit,
  ])
    expect(refusal(type)).toEqual({ type: 4, data: { content: 'No.', flags: 64 } });
  expect(refusal(InteractionType.ApplicationCommandAutocomplete)).toEqual({ type: 8, data: { choices: [] } });
});
