/** `/set` stores a parameter's value for the person who typed it. */
import { SlashCommandBuilder } from 'discord.js';
import { showValue } from '#src/parameters/definitions.ts';
import { suggestParameters, suggestValues } from '#src/parameters/suggestions.ts';
import { type Changed, setParameter } from '#src/parameters/values.ts';
import { code } from '#src/text.ts';
import type { SlashCommand } from './command.ts';
import { productionHere } from './guild.ts';
import { Context, Install } from './options.ts';
import { outsideThreads, sayTo } from './origin.ts';

/** Characters of a value that an answer shows. */
const VALUE_SHOWN = 800;

export default {
  data: new SlashCommandBuilder()
    .setName('set')
    .setDescription('Set one of your parameters, for all your next pictures.')
    .setContexts(Context.Guild, Context.BotDM, Context.PrivateChannel)
    .setIntegrationTypes(Install.GuildInstall, Install.UserInstall)
    .addStringOption((o) =>
      o.setName('parameter').setDescription('Which one.').setRequired(true).setAutocomplete(true),
    )
    .addStringOption((o) =>
      o
        .setName('value')
        .setDescription('The new value, or `default`.')
        .setRequired(true)
        .setAutocomplete(true),
    ),

  async run(interaction, origin) {
    const { options } = interaction;
    const { actor } = origin;
    const name = options.getString('parameter', true).trim();
    const answer = changeLine(await setParameter(actor, name, options.getString('value', true)));
    return name === 'production_mode'
      ? `${answer}\n${await productionHere(origin.say, outsideThreads(interaction, origin))}`
      : answer;
  },

  async autocomplete(interaction) {
    const { options, user } = interaction;
    const say = sayTo(interaction);
    const { name, value } = options.getFocused(true);
    if (name === 'parameter') return suggestParameters(say, value);
    return suggestValues(say, user.id, options.getString('parameter') ?? '', value);
  },
} satisfies SlashCommand;

/** What was changed, old and new. A negative prompt is a person's own words, so values stay between back ticks. */
export function changeLine({ name, before, after }: Changed): string {
  const shown = (value: Changed['after']) => `**${code(showValue(name, value), VALUE_SHOWN)}**`;
  return `\`${name}\`: ${shown(before)} → ${shown(after)}`;
}
