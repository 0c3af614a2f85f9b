/** `/settings` shows every parameter with the value that counts now, and resets values that the person set. */
import { ActionRowBuilder, SlashCommandBuilder, StringSelectMenuBuilder } from 'discord.js';
import { customId } from '#src/custom-ids.ts';
import { UserError } from '#src/errors.ts';
import { describeParameters, resetParameter } from '#src/parameters/values.ts';
import type { Origin } from '#src/people/people.ts';
import type { Answer, SlashCommand } from './command.ts';
import { Context, Install } from './options.ts';
import { outsideThreads } from './origin.ts';
import { shown } from './set.ts';

const ALL = 'all';
/** A select takes 25; one of them is `all`. */
const OPTIONS_MAX = 25;

export default {
  data: new SlashCommandBuilder()
    .setName('settings')
    .setDescription('Show your parameters and their defaults, and reset them.')
    .setContexts(Context.Guild, Context.BotDM, Context.PrivateChannel)
    .setIntegrationTypes(Install.GuildInstall, Install.UserInstall),

  async run(interaction, origin) {
    return card(outsideThreads(interaction, origin));
  },

  press: {
    'settings.reset': {
      answers: 'update',
      async run({ id, values, interaction, origin }) {
        const { actor } = origin;
        if (id !== actor.id) throw new UserError('not_yours', {});
        const names = values.includes(ALL) ? [ALL] : values;
        const changed = [];
        for (const name of names) changed.push(...(await resetParameter(actor, name)));
        const lines = changed.map(
          ({ name, before, after }) => `\`${name}\`: ${shown(name, before)} → ${shown(name, after)}`,
        );
        return card(
          outsideThreads(interaction, origin),
          changed.length ? ['Reset:', ...lines, ''] : ['These have their defaults already.', ''],
        );
      },
    },
  },
} satisfies SlashCommand;

async function card(asked: Origin, above: readonly string[] = []): Promise<Answer> {
  const { actor } = asked;
  const described = await describeParameters(asked);
  const lines = described.map(({ name, value, own, by, default: byDefault }) => {
    const short = value.length > 60 ? `${value.slice(0, 59)}…` : value;
    if (by) return `**${name}** ${shown(name, short)} (this ${by}’s; default \`${byDefault}\`)`;
    return own
      ? `**${name}** ${shown(name, short)} (yours; default \`${byDefault}\`)`
      : `${name} \`${byDefault}\``;
  });
  const own = described.filter((parameter) => parameter.own).slice(0, OPTIONS_MAX - 1);
  const content = [...above, ...lines, '', 'Change one with `/set`.'].join('\n');
  if (!own.length) return content;

  const select = new StringSelectMenuBuilder()
    .setCustomId(customId('settings.reset', actor.id))
    .setPlaceholder('Back to the default …')
    .setMinValues(1)
    .setMaxValues(own.length + 1)
    .addOptions(
      { label: 'All', value: ALL, description: 'Every parameter that you set' },
      ...own.map(({ name, parameter }) => ({ label: name, value: name, description: parameter.description })),
    );
  return { content, components: [new ActionRowBuilder<StringSelectMenuBuilder>().addComponents(select)] };
}
