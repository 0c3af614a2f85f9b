/** `/rules`: rules that are to come, beside those that count. For the platform's own people; rights are asked here. */
import { SlashCommandBuilder } from 'discord.js';
import { sayShare } from '#src/intervals.ts';
import { standingNow } from '#src/moderation/follow-rules.ts';
import { type Changed, replay, replayPictures } from '#src/moderation/replay.ts';
import { ruleCounts, writeRuleCounts } from '#src/moderation/rule-counts.ts';
import { nextRules, ownRules } from '#src/moderation/rule-set.ts';
import { decideOnRules } from '#src/moderation/rule-sets.ts';
import { mustOperatePlatform } from '#src/people/rights.ts';
import type { Say } from '#src/say.ts';
import type { SlashCommand } from './command.ts';
import { Context, Install } from './options.ts';

/** Prompts that are looked at again for an answer: it takes a second or two. `npm run rules -- replay` looks at more. */
const LAST = 10_000;
const LINES = 20;
/** Characters of a hash that are shown. */
const SHOWN = 12;

export default {
  data: new SlashCommandBuilder()
    .setName('rules')
    .setDescription('Rules that are to come, beside those that count.')
    .setContexts(Context.Guild)
    .setIntegrationTypes(Install.GuildInstall)
    .addSubcommand((sub) =>
      sub.setName('list').setDescription('Which rules count, which look on, and what those would say.'),
    )
    .addSubcommand((sub) =>
      sub.setName('promote').setDescription('Have the rules that look on count from now on.'),
    )
    .addSubcommand((sub) =>
      sub.setName('drop').setDescription('Have the rules that look on be asked no more.'),
    ),

  async run({ options }, { actor, say }) {
    await mustOperatePlatform(actor);
    switch (options.getSubcommand()) {
      case 'promote': {
        const hash = (await decideOnRules(actor, 'inForce')).slice(0, SHOWN);
        return say(
          'The rules `{hash}` count from now on, everywhere within seconds. Call them safety.yaml with the next deployment.',
          { hash },
        );
      }
      case 'drop': {
        const hash = (await decideOnRules(actor, 'dropped')).slice(0, SHOWN);
        return say('The rules `{hash}` are asked no more.', { hash });
      }
      default:
        return (await list(say)).join('\n');
    }
  },
} satisfies SlashCommand;

async function list(say: Say): Promise<string[]> {
  const standing = await standingNow();
  const own = say('`{hash}` safety.yaml', { hash: ownRules.hash.slice(0, SHOWN) });
  if (!nextRules || standing === null) return [`**${say('These count')}** ${own}`];
  const next = say('`{hash}` safety.next.yaml', { hash: nextRules.hash.slice(0, SHOWN) });
  if (standing === 'inForce') return [`**${say('These count')}** ${next}`, `**${say('Instead of')}** ${own}`];
  if (standing === 'dropped') return [`**${say('These count')}** ${own}`, `**${say('Dropped')}** ${next}`];
  return [
    `**${say('These count')}** ${own}`,
    `**${say('These look on')}** ${next}`,
    ...(await live(say, nextRules.hash)),
    ...(await past(say)),
  ].slice(0, LINES);
}

/** What was counted since they look on, this process's last seconds included. */
async function live(say: Say, shadow: string): Promise<string[]> {
  await writeRuleCounts();
  const counts = await ruleCounts(new Date(0), shadow);
  const sum = (some: typeof counts) => some.reduce((all, { count }) => all + count, 0);
  const [more, fewer] = [
    counts.filter((one) => !one.rule && one.shadowRule),
    counts.filter((one) => one.rule && !one.shadowRule),
  ];
  return [
    say(
      'Of {all, number} prompts since they look on, they would refuse {more, number} more and {fewer, number} fewer.',
      {
        all: sum(counts),
        more: sum(more),
        fewer: sum(fewer),
      },
    ),
  ];
}

/** What they would have said of what was drawn, and whether people agree. */
async function past(say: Say): Promise<string[]> {
  if (!nextRules) return [];
  const { prompts, refused } = await replay(nextRules, LAST);
  const { pictures, held, letThrough } = await replayPictures(nextRules.file.scores, LAST);
  const linesOf = (changed: readonly Changed[]) =>
    changed.map(({ rule, count, rejected }) =>
      rejected.of
        ? say('`{rule}`: {count, number}; of those decided on, rejected: {right}', {
            rule,
            count,
            right: sayShare(rejected),
          })
        : say('`{rule}`: {count, number}; none decided on', { rule, count }),
    );
  return [
    say('Of the last {prompts, number} prompts that were drawn they would have refused:', { prompts }),
    ...(refused.length ? linesOf(refused) : [say('None.')]),
    say('Of the last {pictures, number} pictures they would have held back:', { pictures }),
    ...(held.length ? linesOf(held) : [say('None.')]),
    ...(letThrough.length ? [say('And let through:'), ...linesOf(letThrough)] : []),
  ];
}
