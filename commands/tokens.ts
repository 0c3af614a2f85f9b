/** `/tokens`: other people's, for those who look after the platform's. Discord shows it to everybody; rights are asked here. */
import { SlashCommandBuilder, type User } from 'discord.js';
import { UserError } from '#src/errors.ts';
import { GRANT_MAX, grantTokens, tokensOf } from '#src/people/tokens.ts';
import { linesOf } from './balance.ts';
import type { SlashCommand } from './command.ts';
import { Context, Install } from './options.ts';

const LINES = 20;
const NOTE_MAX = 200;

export default {
  data: new SlashCommandBuilder()
    .setName('tokens')
    .setDescription('Give tokens, and see where somebody’s went.')
    .setContexts(Context.Guild)
    .setIntegrationTypes(Install.GuildInstall)
    .addSubcommand((sub) =>
      sub
        .setName('grant')
        .setDescription('Give somebody tokens.')
        .addUserOption((o) => o.setName('person').setDescription('Who gets them.').setRequired(true))
        .addIntegerOption((o) =>
          o
            .setName('amount')
            .setDescription('Below 0: taken back.')
            .setMinValue(-GRANT_MAX)
            .setMaxValue(GRANT_MAX)
            .setRequired(true),
        )
        .addStringOption((o) =>
          o.setName('note').setDescription('Why, for the audit log.').setMaxLength(NOTE_MAX),
        ),
    )
    .addSubcommand((sub) =>
      sub
        .setName('history')
        .setDescription('Where somebody’s tokens came from and went.')
        .addUserOption((o) => o.setName('person').setDescription('Whose.').setRequired(true)),
    ),

  async run({ options }, origin) {
    const { actor, say } = origin;
    const person = personIn(options.getUser('person', true));
    if (options.getSubcommand() === 'grant') {
      const amount = options.getInteger('amount', true);
      if (amount === 0 || Math.abs(amount) > GRANT_MAX)
        throw new UserError('parameter_range', {
          name: 'amount',
          min: -GRANT_MAX,
          max: GRANT_MAX,
          got: amount,
        });
      const tokens = await grantTokens(origin, person.id, amount, options.getString('note'));
      const who = `<@${person.id}>`;
      return amount > 0
        ? say('{who} got {amount, plural, one {# token} other {# tokens}} and has {tokens, number} now.', {
            who,
            amount,
            tokens,
          })
        : say(
            '{amount, plural, one {# token was} other {# tokens were}} taken back: {who} has {tokens, number} now.',
            {
              who,
              amount: -amount,
              tokens,
            },
          );
    }
    const { tokens, lines } = await tokensOf(origin, person.id, LINES);
    return [
      say('{who} has **{tokens, plural, one {# token} other {# tokens}}**.', {
        who: `<@${person.id}>`,
        tokens,
      }),
      // What somebody did in another guild is for that guild alone.
      ...linesOf(say, lines, actor.guildId),
    ].join('\n');
  },
} satisfies SlashCommand;

function personIn(user: User): User {
  if (user.bot) throw new UserError('tokens_app', {});
  return user;
}
