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
import { definition, showValue } from '#src/parameters/definitions.ts';
import {
  type Changed,
  type Described,
  describeParameters,
  resetParameter,
  setParameter,
} from '#src/parameters/values.ts';
import type { Actor, Origin } from '#src/people/people.ts';
import { tokensLeft } from '#src/people/tokens.ts';
import { bare, code, counted } from '#src/text.ts';
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

const groupTitles: Readonly<Record<ParameterGroup, string>> = {
  picture: 'Picture',
  drawing: 'Drawing',
  face: 'Face',
  queue: 'Queue and gallery',
};

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
  const { actor } = asked;
  const described = inGroups(await describeParameters(asked));
  const tokens = await tokensLeft(actor);
  const lines = parameterGroups.flatMap((group) => {
    const shown = described.filter(({ parameter }) => parameter.group === group).map(entryOf);
    return shown.length ? [`**${groupTitles[group]}**`, shown.join(' · ')] : [];
  });
  const content = [
    ...changed.map(changeLine),
    `You have **${counted(tokens, 'token')}**; ${tokenGrants.daily} more come every day.`,
    ...lines,
    ...(described.some(({ own }) => own) ? ['-# Bold: set by you, with its default in brackets.'] : []),
  ].join('\n');
  return { content, components: [changeSelect(actor, described), ...resetSelect(actor, described)] };
}

function inGroups(described: readonly Described[]): Described[] {
  const rank = ({ parameter }: Described) => parameterGroups.indexOf(parameter.group);
  return described.toSorted((a, b) => rank(a) - rank(b));
}

function entryOf({ parameter: { title }, value, own, by, default: byDefault }: Described): string {
  const now = code(value, VALUE_SHOWN);
  if (by) return `**${title} ${now}** (this ${by}’s)`;
  return own ? `**${title} ${now}** (${code(byDefault, VALUE_SHOWN)})` : `${title} ${now}`;
}

function changeSelect(actor: Actor, described: readonly Described[]) {
  const options = described
    .filter(({ settable }) => settable)
    .slice(0, OPTIONS_MAX)
    .map(({ name, parameter, value }) => ({
      label: parameter.title,
      value: name,
      description: bare(`${value} · ${parameter.description}`, DESCRIPTION_MAX),
    }));
  return selectOf('settings.change', actor, 'Change…', options);
}

/** None when nothing is their own. */
function resetSelect(actor: Actor, described: readonly Described[]) {
  const own = described.filter((parameter) => parameter.own).slice(0, OPTIONS_MAX - 1);
  if (!own.length) return [];
  const options = [
    { label: 'All', value: ALL, description: 'Every parameter that you set' },
    ...own.map(({ name, parameter, default: byDefault }) => ({
      label: parameter.title,
      value: name,
      description: bare(byDefault, DESCRIPTION_MAX),
    })),
  ];
  return [selectOf('settings.reset', actor, 'Back to the default…', options, options.length)];
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
  const parameter = definition(name);
  const { value = '' } = (await describeParameters(asked)).find((one) => one.name === name) ?? {};
  const numeric = parameter.type === 'number' || parameter.type === 'integer';
  const range = numeric ? `: ${parameter.min} to ${parameter.max}` : '';
  const label = new LabelBuilder()
    .setLabel(`${parameter.title}${range}`.slice(0, LABEL_MAX))
    .setDescription(parameter.description);

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
        parameter.default === null ? 'Empty: not set' : `Empty: the default, ${parameter.default}`,
      );
    if (parameter.type === 'text') input.setMaxLength(parameter.maxLength);
    if (value !== showValue(name, null)) input.setValue(value);
    label.setTextInputComponent(input);
  }
  return new ModalBuilder()
    .setCustomId(customId('settings.changed', asked.actor.id, name))
    .setTitle(parameter.title)
    .addLabelComponents(label);
}

function typedValue(interaction: Press['interaction']): string {
  if (!interaction.isModalSubmit()) return '';
  const field = interaction.fields.getField(FIELD);
  if (field.type === ComponentType.StringSelect) return field.values[0] ?? '';
  return field.type === ComponentType.TextInput ? field.value.trim() : '';
}
