/** `/imagine` asks for a picture. A worker draws it, and the courier posts it where it was asked for. */
import { SlashCommandBuilder } from 'discord.js';
import { type Opened, openBatch } from '#src/batches/batches.ts';
import { type Cell, randomSeed } from '#src/batches/cells.ts';
import { UserError } from '#src/errors.ts';
import { usableFolder } from '#src/faces.ts';
import { checkPrompt } from '#src/moderation/words.ts';
import { parseParameter, type ResolvedParameters } from '#src/parameters/definitions.ts';
import { resolveParameters } from '#src/parameters/values.ts';
import type { Origin } from '#src/people/people.ts';
import { type Say, sayIn } from '#src/say.ts';
import type { SlashCommand } from './command.ts';
import { Context, choicesOf, Install, suggestBundles, suggestFolders, tierChoices } from './options.ts';
import { outsideThreads, sayTo } from './origin.ts';
import { mustPost } from './permissions.ts';

const COUNT_MAX = 4;
const SEEDS = 2 ** 32;

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
    const { actor, botInside } = origin;
    const { options } = interaction;
    mustPost(interaction, 'imagine', botInside);

    const prompt = checkPrompt(options.getString('prompt', true).trim());
    const face = options.getString('face');
    const folder = face === null ? null : await usableFolder(actor.id, face);
    const count = options.getInteger('count') ?? 1;
    if (count < 1 || count > COUNT_MAX)
      throw new UserError('parameter_range', { name: 'count', min: 1, max: COUNT_MAX, got: count });

    const given: ResolvedParameters = {};
    for (const name of ['shape', 'seed', 'tier', 'bundle']) {
      const value = options.get(name)?.value;
      if (value !== undefined) given[name] = parseParameter(name, value);
    }
    const parameters = await resolveParameters(outsideThreads(interaction, origin), given);
    const first = typeof parameters.seed === 'number' ? parameters.seed : randomSeed();
    const cells = Array.from({ length: count }, (_, i): Cell => {
      const seed = (first + i) % SEEDS;
      return { prompt, parameters, seed, faceFolderId: folder?.id ?? null, ideaId: null, coordinates: {} };
    });

    const opened = await openBatch(origin, {
      kind: 'imagine',
      title: picturesTitle(origin, count),
      asked: { prompt, face, ...given, count },
      cells,
      tier: String(parameters.tier),
      production: parameters.production_mode === true,
    });
    return accepted(origin.say, opened, count);
  },

  async autocomplete(interaction) {
    const { name, value } = interaction.options.getFocused(true);
    return name === 'bundle'
      ? suggestBundles(sayTo(interaction), value)
      : suggestFolders(sayTo(interaction), interaction.user.id, value);
  },
} satisfies SlashCommand;

/** A batch's title, which everybody in the channel reads. */
export function picturesTitle({ channelLocale }: Origin, count: number): string {
  const say = sayIn(channelLocale);
  return say('{count, plural, one {# picture} other {# pictures}}', { count });
}

/** Where the bot is no member, it can post for 15 minutes; estimates are not that good. */
const SURELY_IN_TIME_MS = 8 * 60_000;

/** What a person reads once their request can't be lost. How long it takes is only on the card, which is kept up to date. */
export function accepted(say: Say, { batch, place: { ahead, readyMs } }: Opened, pictures: number): string {
  const { charged, botInside } = batch;
  return [
    charged === 0
      ? say('Accepted for free.')
      : say('Accepted for {charged, plural, one {# token} other {# tokens}}.', { charged }),
    ahead === 0
      ? say('You are next.')
      : say(
          '{ahead, plural, one {# picture will be drawn before.} other {# pictures will be drawn before.}}',
          { ahead },
        ),
    say('{pictures, plural, one {The picture will appear here.} other {The # pictures will appear here.}}', {
      pictures,
    }),
    !botInside &&
      readyMs > SURELY_IN_TIME_MS &&
      say(
        'But I am no member here and can post for 15 minutes only: what takes longer I send to you directly, and what I can’t send waits under `/queue`.',
      ),
  ]
    .filter(Boolean)
    .join(' ');
}
