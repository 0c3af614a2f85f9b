/** `/balance`: what somebody has to spend, what it buys, and where it came from and went. */
import { SlashCommandBuilder } from 'discord.js';
import { tokenGrants } from '#config/tiers.ts';
import { pricesOf } from '#src/batches/cells.ts';
import { resolveParameters } from '#src/parameters/values.ts';
import { type TokenLine, tokenLines, tokensLeft } from '#src/people/tokens.ts';
import { message, type Say } from '#src/say.ts';
import { code, quote, relative } from '#src/text.ts';
import type { SlashCommand } from './command.ts';
import { Context, Install } from './options.ts';
import { outsideThreads } from './origin.ts';

const LINES = 10;
const DAY_MS = 24 * 60 * 60_000;

const words = {
  welcome: message('Welcome'),
  day: message('Daily allowance'),
  given: message('By an operator'),
  guest: message('As a guest on the web'),
} as const;

export default {
  data: new SlashCommandBuilder()
    .setName('balance')
    .setDescription('Show your tokens: how many, what they buy, and where they went.')
    .setContexts(Context.Guild, Context.BotDM, Context.PrivateChannel)
    .setIntegrationTypes(Install.GuildInstall, Install.UserInstall),

  async run(interaction, origin) {
    const { actor, say } = origin;
    const tokens = await tokensLeft(actor);
    const lines = await tokenLines(actor.id, LINES);
    const own = await pricesOf(await resolveParameters(outsideThreads(interaction, origin)));
    const prices = [...own].map(([tier, price]) => `${code(tier, 32)} ${price}`).join(' · ');
    return [
      say('You have **{tokens, plural, one {# token} other {# tokens}}**.', { tokens }),
      nextGrant(say, tokens, new Date()),
      say('A picture with your settings: {prices}. What takes more of a GPU costs more.', { prices }),
      ...linesOf(say, lines),
    ].join('\n');
  },
} satisfies SlashCommand;

/** Days begin at midnight UTC, as `accept_batch` counts them. */
function nextGrant(say: Say, tokens: number, now: Date): string {
  const { daily, max } = tokenGrants;
  if (tokens >= max) return say('More come every day once you have fewer than {max, number}.', { max });
  const when = relative(new Date((Math.floor(now.getTime() / DAY_MS) + 1) * DAY_MS));
  return say('Up to {daily, number} more come {when}, until you have {max, number}.', { daily, when, max });
}

/** @param guildId names are told only of what was asked for in that guild; left out: of all */
export function linesOf(say: Say, lines: readonly TokenLine[], guildId?: string | null): string[] {
  return lines.map((line) => {
    const amount = `${line.amount < 0 ? '−' : '+'}${Math.abs(line.amount).toLocaleString(say.language)}`;
    const isNamed = guildId === undefined || line.guildId === guildId;
    return `- **${amount}** ${whatFor(say, line, isNamed)}, ${relative(line.at)}`;
  });
}

function whatFor(say: Say, { reason, once, title }: TokenLine, isNamed: boolean): string {
  const name = title !== null && isNamed ? quote(title) : null;
  switch (reason) {
    case 'charge':
      return name ?? say('Pictures');
    case 'refund':
      return name ? say('Not drawn, given back: {name}', { name }) : say('Not drawn, given back');
    default: {
      const message = words[once.split(':')[0] as keyof typeof words] ?? words.given;
      return say(message);
    }
  }
}
