/** `/imagine` asks for a picture. A worker draws it, and the courier posts it where it was asked for. */
import { SlashCommandBuilder } from 'discord.js';
import { placeOf } from '#src/backlog/place.ts';
import { type Opened, openBatch } from '#src/batches/batches.ts';
import { COUNT_MAX, imagineRequest, SEEDS } from '#src/batches/imagine.ts';
import type { ParameterJson } from '#src/parameters/definitions.ts';
import type { Say } from '#src/say.ts';
import type { SlashCommand } from './command.ts';
import { Context, choicesOf, Install, suggestBundles, suggestFolders, tierChoices } from './options.ts';
import { outsideThreads, sayTo } from './origin.ts';
import { mustPost } from './permissions.ts';

export default {
  data: new SlashCommandBuilder()
    .setName('imagine')
    .setDescription('Draw a picture from a description.')
    .setContexts(Context.Guild, Context.BotDM, Context.PrivateChannel)
    .setIntegrationTypes(Install.GuildInstall, Install.UserInstall)
    // No length limit here: Discord would cut the typing off without a word, and we can say what is too long.
    .addStringOption((o) => o.setName('prompt').setDescription('What to draw.').setRequired(true))
    .addStringOption((o) =>
      o
        .setName('face')
        .setDescription('One of your face folders: the picture looks like them.')
        .setAutocomplete(true),
    )
    .addStringOption((o) =>
      o
        .setName('shape')
        .setDescription('Else as you set it.')
        .addChoices(...choicesOf('shape')),
    )
    .addIntegerOption((o) =>
      o
        .setName('seed')
        .setDescription('Same seed, same picture. Random unless you give or set one.')
        .setMinValue(0)
        .setMaxValue(SEEDS - 1),
    )
    .addIntegerOption((o) =>
      o
        .setName('count')
        .setDescription('How many, with the seeds seed, seed + 1 and so on.')
        .setMinValue(1)
        .setMaxValue(COUNT_MAX),
    )
    .addStringOption((o) =>
      o
        .setName('tier')
        .setDescription('How soon, at what price.')
        .addChoices(...tierChoices()),
    )
    .addStringOption((o) =>
      o.setName('bundle').setDescription('The model to draw with. Else as you set it.').setAutocomplete(true),
    ),

  async run(interaction, origin) {
    const { options } = interaction;
    mustPost(interaction, 'imagine', origin.botInside);

    const given: Record<string, ParameterJson> = {};
    for (const name of ['shape', 'seed', 'tier', 'bundle']) {
      const value = options.get(name)?.value;
      if (value !== undefined) given[name] = value;
    }
    const count = options.getInteger('count') ?? 1;
    const wish = {
      prompt: options.getString('prompt', true),
      face: options.getString('face'),
      count,
      given,
    };
    const batch = await openBatch(
      origin,
      await imagineRequest(origin, outsideThreads(interaction, origin), wish),
    );
    return accepted(origin.say, batch, count);
  },

  async autocomplete(interaction) {
    const { name, value } = interaction.options.getFocused(true);
    return name === 'bundle'
      ? suggestBundles(sayTo(interaction), value)
      : suggestFolders(sayTo(interaction), interaction.user.id, value);
  },
} satisfies SlashCommand;

/** Where the bot is no member, it can post for 15 minutes; estimates are not that good. */
const SURELY_IN_TIME_MS = 8 * 60_000;

/** What a person reads once their request can't be lost. Its place and how long it takes are on the card, which is kept up to date. */
export async function accepted(
  say: Say,
  { id, charged, botInside }: Opened,
  pictures: number,
): Promise<string> {
  const isLate = !botInside && (await placeOf(id)).readyMs > SURELY_IN_TIME_MS;
  return [
    charged === 0
      ? say('Accepted for free.')
      : say('Accepted for {charged, plural, one {# token} other {# tokens}}.', { charged }),
    say('{pictures, plural, one {The picture will appear here.} other {The # pictures will appear here.}}', {
      pictures,
    }),
    isLate &&
      say(
        'But I am no member here and can post for 15 minutes only: what takes longer I send to you directly, and what I can’t send waits under `/queue`.',
      ),
  ]
    .filter(Boolean)
    .join(' ');
}
