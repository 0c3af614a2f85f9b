/** A moderator's decision on a flagged picture, and what came of all of them. The card itself is the courier's, and changes once it is decided. */
import {
  LabelBuilder,
  ModalBuilder,
  SlashCommandBuilder,
  TextInputBuilder,
  TextInputStyle,
} from 'discord.js';
import { customId } from '#src/custom-ids.ts';
import { UserError } from '#src/errors.ts';
import type { Share } from '#src/intervals.ts';
import { decide, type OfGuilds, reviewFor } from '#src/moderation/reviews.ts';
import { flagsByRule, refusalsByRule } from '#src/moderation/stats.ts';
import type { Actor } from '#src/people/people.ts';
import { decidesOnReviews } from '#src/people/rights.ts';
import type { Say } from '#src/say.ts';
import type { Presses, SlashCommand } from './command.ts';
import { Context, Install } from './options.ts';

const REASON = 'reason';
const REASON_MAX = 500;
const DAYS = 30;
const DAYS_MAX = 365;
const DAY_MS = 24 * 60 * 60_000;
/** Lines of an answer; there are as many rules, about. */
const LINES = 25;

/** `/review stats`. Discord shows it to everybody; rights are asked here. */
export default {
  data: new SlashCommandBuilder()
    .setName('review')
    .setDescription('What the rules refused and held back, and what moderators decided.')
    .setContexts(Context.Guild)
    .setIntegrationTypes(Install.GuildInstall)
    .addSubcommand((sub) =>
      sub
        .setName('stats')
        .setDescription(
          'Pictures held back, decisions that went the other way, and prompts refused, by rule.',
        )
        .addIntegerOption((o) =>
          o
            .setName('days')
            .setDescription('Of how many days; 30 unless you say so.')
            .setMinValue(1)
            .setMaxValue(DAYS_MAX),
        ),
    ),

  async run({ options }, { actor, say }) {
    const days = options.getInteger('days') ?? DAYS;
    const guilds = await guildsOf(actor);
    const since = new Date(Date.now() - days * DAY_MS);
    const flags = await flagsByRule(guilds, since);
    const lines = flags.map(({ rule, flagged, overturned }) =>
      overturned.of
        ? say('`{rule}`: {flagged, number} held back, {overturned} of those decided on were let through', {
            rule,
            flagged,
            overturned: percentOf(say, overturned),
          })
        : say('`{rule}`: {flagged, number} held back, none decided on yet', { rule, flagged }),
    );
    // Prompts are refused before anybody knows in which server.
    const refusals = guilds === 'all' ? await refusalsByRule(since) : [];
    const refused = refusals.map(({ rule, refused }) =>
      say('`{rule}`: {share} of all prompts', { rule, share: percentOf(say, refused) }),
    );
    return [
      say('**Pictures held back** in {days, plural, one {# day} other {# days}}', { days }),
      ...(lines.length ? lines : [say('None.')]),
      ...(refused.length ? [say('**Prompts refused**'), ...refused] : []),
    ]
      .slice(0, LINES)
      .join('\n');
  },
} satisfies SlashCommand;

/** Of which guilds somebody is told: the platform's staff of all, moderators of their own. @throws {UserError} `moderators_only` */
async function guildsOf(actor: Actor): Promise<OfGuilds> {
  if (await decidesOnReviews(actor, null)) return 'all';
  if (actor.guildId !== null && (await decidesOnReviews(actor, actor.guildId))) return [actor.guildId];
  throw new UserError('moderators_only', {});
}

/** With what it may be in truth, at 95 %: of ten decisions nobody can tell much. */
function percentOf(say: Say, { share, low, high, of }: Share): string {
  const percent = (part: number) => (100 * part).toFixed(part > 0 && part < 0.01 ? 2 : 0);
  return say('{share} % ({low}–{high} %) of {of, number}', {
    share: percent(share),
    low: percent(low),
    high: percent(high),
    of,
  });
}

export const reviewPresses = {
  'review.approve': {
    answers: 'reply',
    async run({ id, origin: { actor, say } }) {
      await decide(actor, id, 'approved', null);
      return say('Approved: the picture is delivered to the person who asked for it.');
    },
  },
  'review.reject': {
    answers: 'form',
    async form({ id, origin: { actor, say } }) {
      await reviewFor(actor, id);
      const reason = new TextInputBuilder()
        .setCustomId(REASON)
        .setStyle(TextInputStyle.Paragraph)
        .setMaxLength(REASON_MAX)
        .setRequired(false);
      return new ModalBuilder()
        .setCustomId(customId('review.rejected', id))
        .setTitle(say('Reject the picture'))
        .addLabelComponents(
          new LabelBuilder()
            .setLabel(say('Reason'))
            .setDescription(say('Kept with the decision, and told to the person who asked.'))
            .setTextInputComponent(reason),
        );
    },
  },
  'review.rejected': {
    answers: 'reply',
    async run({ id, interaction, origin: { actor, say } }) {
      const reason = interaction.isModalSubmit() ? interaction.fields.getTextInputValue(REASON).trim() : '';
      await decide(actor, id, 'rejected', reason || null);
      return say('Rejected: the picture is deleted, and the person who asked for it has a strike.');
    },
  },
} satisfies Presses;
