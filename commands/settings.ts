/**
 * `/settings` shows every parameter with the value that counts now, in groups, and the tokens that are left. A value is changed in
 * a form that is opened from here, or goes back to its default.
 */
import {
  ActionRowBuilder,
  ComponentType,
  LabelBuilder,
  ModalBuilder,
  SlashCommandBuilder,
  StringSelectMenuBuilder,
  TextInputBuilder,
  TextInputStyle,
} from 'discord.js';
import { type ParameterGroup, parameterGroups } from '#config/parameters.ts';
import { tokenGrants } from '#config/tiers.ts';
import { customId } from '#src/custom-ids.ts';
import { UserError } from '#src/errors.ts';
import { definition, descriptionOf, showValue, titleOf } from '#src/parameters/definitions.ts';
import {
  type Changed,
  type Described,
  describeParameters,
  resetParameter,
  setParameter,
} from '#src/parameters/values.ts';
import type { Actor, Origin } from '#src/people/people.ts';
import { tokensLeft } from '#src/people/tokens.ts';
import { message, type Say } from '#src/say.ts';
import { bare, code } from '#src/text.ts';
import type { Answer, Press, SlashCommand } from './command.ts';
import { Context, Install } from './options.ts';
import { outsideThreads } from './origin.ts';
import { changeLine } from './set.ts';

const ALL = 'all';
/** A select takes 25; in the one that resets, one of them is `all`. */
const OPTIONS_MAX = 25;
/** Characters of a value among the others; a negative prompt has up to a thousand. */
const VALUE_SHOWN = 40;
const DESCRIPTION_MAX = 100;
const LABEL_MAX = 45;
const FIELD = 'value';

const groupTitles = {
  picture: message('Picture'),
  drawing: message('Drawing'),
  face: message('Face'),
  queue: message('Queue and gallery'),
} as const satisfies Record<ParameterGroup, string>;

export default {
  data: new SlashCommandBuilder()
    .setName('settings')
    .setDescription('Show your parameters and tokens, and change or reset parameters.')
    .setContexts(Context.Guild, Context.BotDM, Context.PrivateChannel)
    .setIntegrationTypes(Install.GuildInstall, Install.UserInstall),

  async run(interaction, origin) {
    return card(outsideThreads(interaction, origin));
  },

  press: {
    'settings.change': {
      answers: 'form',
      async form({ id, values, interaction, origin }) {
        if (id !== origin.actor.id) throw new UserError('not_yours', {});
        return valueForm(outsideThreads(interaction, origin), values[0] ?? '');
      },
    },
    'settings.changed': {
      answers: 'update',
      async run({ id, argument = '', interaction, origin }) {
        const { actor } = origin;
        if (id !== actor.id) throw new UserError('not_yours', {});
        // Nothing typed: a value that is not set is its default.
        const changed = await setParameter(actor, argument, typedValue(interaction) || 'default');
        return card(outsideThreads(interaction, origin), [changed]);
      },
    },
    'settings.reset': {
      answers: 'update',
      async run({ id, values, interaction, origin }) {
        const { actor } = origin;
        if (id !== actor.id) throw new UserError('not_yours', {});
        const names = values.includes(ALL) ? [ALL] : values;
        const changed = [];
        for (const name of names) changed.push(...(await resetParameter(actor, name)));
        return card(outsideThreads(interaction, origin), changed);
      },
    },
  },
} satisfies SlashCommand;

/** @param changed just now: shown above */
async function card(asked: Origin, changed: readonly Changed[] = []): Promise<Answer> {
  const { actor, say } = asked;
  const described = inGroups(await describeParameters(asked));
  const tokens = await tokensLeft(actor);
  const lines = parameterGroups.flatMap((group) => {
    const shown = described.filter(({ parameter }) => parameter.group === group);
    const message = groupTitles[group];
    return shown.length ? [`**${say(message)}**`, shown.map((one) => entryOf(say, one)).join(' · ')] : [];
  });
  const content = [
    ...changed.map(changeLine),
    say(
      'You have **{tokens, plural, one {# token} other {# tokens}}**; {daily, number} more come every day.',
      { tokens, daily: tokenGrants.daily },
    ),
    ...lines,
    ...(described.some(({ own }) => own)
      ? [`-# ${say('Bold: set by you, with its default in brackets.')}`]
      : []),
  ].join('\n');
  return { content, components: [changeSelect(asked, described), ...resetSelect(asked, described)] };
}

function inGroups(described: readonly Described[]): Described[] {
  const rank = ({ parameter }: Described) => parameterGroups.indexOf(parameter.group);
  return described.toSorted((a, b) => rank(a) - rank(b));
}

function entryOf(say: Say, { parameter, value, own, by, default: byDefault }: Described): string {
  const title = titleOf(say, parameter);
  const now = code(value, VALUE_SHOWN);
  if (by === 'channel') return say('**{title} {now}** (this channel’s)', { title, now });
  if (by === 'server') return say('**{title} {now}** (this server’s)', { title, now });
  return own ? `**${title} ${now}** (${code(byDefault, VALUE_SHOWN)})` : `${title} ${now}`;
}

function changeSelect({ actor, say }: Origin, described: readonly Described[]) {
  const options = described
    .filter(({ settable }) => settable)
    .slice(0, OPTIONS_MAX)
    .map(({ name, parameter, value }) => ({
      label: titleOf(say, parameter),
      value: name,
      description: bare(`${value} · ${descriptionOf(say, parameter)}`, DESCRIPTION_MAX),
    }));
  return selectOf('settings.change', actor, say('Change…'), options);
}

/** None when nothing is their own. */
function resetSelect({ actor, say }: Origin, described: readonly Described[]) {
  const own = described.filter((parameter) => parameter.own).slice(0, OPTIONS_MAX - 1);
  if (!own.length) return [];
  const options = [
    { label: say('All'), value: ALL, description: say('Every parameter that you set') },
    ...own.map(({ name, parameter, default: byDefault }) => ({
      label: titleOf(say, parameter),
      value: name,
      description: bare(byDefault, DESCRIPTION_MAX),
    })),
  ];
  return [selectOf('settings.reset', actor, say('Back to the default…'), options, options.length)];
}

function selectOf(
  action: 'settings.change' | 'settings.reset',
  { id }: Actor,
  placeholder: string,
  options: readonly { label: string; value: string; description: string }[],
  max = 1,
): ActionRowBuilder<StringSelectMenuBuilder> {
  return new ActionRowBuilder<StringSelectMenuBuilder>().addComponents(
    new StringSelectMenuBuilder()
      .setCustomId(customId(action, id))
      .setPlaceholder(placeholder)
      .setMinValues(1)
      .setMaxValues(max)
      .addOptions(...options),
  );
}

/** The form with a parameter's value in it. @throws {UserError} `parameter_unknown` */
async function valueForm(asked: Origin, name: string): Promise<ModalBuilder> {
  const { say } = asked;
  const parameter = definition(name);
  const title = titleOf(say, parameter);
  const { value = '' } = (await describeParameters(asked)).find((one) => one.name === name) ?? {};
  const numeric = parameter.type === 'number' || parameter.type === 'integer';
  const named = numeric
    ? say('{title}: {min} to {max}', { title, min: parameter.min, max: parameter.max })
    : title;
  const label = new LabelBuilder()
    .setLabel(named.slice(0, LABEL_MAX))
    .setDescription(descriptionOf(say, parameter).slice(0, DESCRIPTION_MAX));

  const choices =
    parameter.type === 'boolean' ? ['on', 'off'] : parameter.type === 'choice' ? parameter.choices : null;
  if (choices)
    label.setStringSelectMenuComponent(
      new StringSelectMenuBuilder()
        .setCustomId(FIELD)
        .addOptions(
          choices.slice(0, OPTIONS_MAX).map((one) => ({ label: one, value: one, default: one === value })),
        ),
    );
  else {
    const input = new TextInputBuilder()
      .setCustomId(FIELD)
      .setStyle(parameter.type === 'text' ? TextInputStyle.Paragraph : TextInputStyle.Short)
      .setRequired(false)
      .setPlaceholder(
        parameter.default === null
          ? say('Empty: not set')
          : say('Empty: the default, {value}', { value: String(parameter.default) }),
      );
    if (parameter.type === 'text') input.setMaxLength(parameter.maxLength);
    if (value !== showValue(name, null)) input.setValue(value);
    label.setTextInputComponent(input);
  }
  return new ModalBuilder()
    .setCustomId(customId('settings.changed', asked.actor.id, name))
    .setTitle(title.slice(0, LABEL_MAX))
    .addLabelComponents(label);
}

function typedValue(interaction: Press['interaction']): string {
  if (!interaction.isModalSubmit()) return '';
  const field = interaction.fields.getField(FIELD);
  if (field.type === ComponentType.StringSelect) return field.values[0] ?? '';
  return field.type === ComponentType.TextInput ? field.value.trim() : '';
}
