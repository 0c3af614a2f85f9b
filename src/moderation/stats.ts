/** What became of what the rules refused and flagged. */
import { ask, Prisma } from '#src/doors/db.ts';
import { type Share, shareOf } from '#src/intervals.ts';
import type { OfGuilds } from './reviews.ts';
import { ruleCounts } from './rule-counts.ts';

export interface RuleFacts {
  readonly rule: string;
  /** pictures that it had held back */
  readonly flagged: number;
  /** of those that moderators have decided on, the ones that they let through */
  readonly overturned: Share;
}

/** Of reviews that were opened since then, the most frequent rule first; `report` stands for those that a member asked for. */
export async function flagsByRule(guilds: OfGuilds, since: Date): Promise<RuleFacts[]> {
  const own = guilds !== 'all' && guilds.includes(null) ? Prisma.sql`OR r."guildId" IS NULL` : Prisma.empty;
  const theirs =
    guilds === 'all'
      ? Prisma.sql`true`
      : Prisma.sql`r."guildId" = ANY(${guilds.filter((id) => id !== null)}) ${own}`;
  const rows = await ask<{ rule: string; flagged: number; approved: number; rejected: number }>(Prisma.sql`
    SELECT CASE WHEN r.cause = 'report' THEN 'report' ELSE coalesce(i.rule, r.cause) END AS rule, count(*)::int AS flagged,
      (count(*) FILTER (WHERE r.state = 'approved'))::int AS approved, (count(*) FILTER (WHERE r.state = 'rejected'))::int AS rejected
    FROM "Review" r JOIN "Image" i ON i.id = r."imageId"
    WHERE r."createdAt" >= ${since} AND (${theirs})
    GROUP BY 1 ORDER BY 2 DESC, 1`);
  return rows.map(({ rule, flagged, approved, rejected }) => ({
    rule,
    flagged,
    overturned: shareOf(approved, approved + rejected),
  }));
}

/** Prompts that were refused since a day, by rule, of all that were looked at. */
export async function refusalsByRule(since: Date): Promise<{ rule: string; refused: Share }[]> {
  const counts = await ruleCounts(since);
  const all = counts.reduce((sum, { count }) => sum + count, 0);
  const refused = new Map<string, number>();
  for (const { rule, count } of counts) if (rule) refused.set(rule, (refused.get(rule) ?? 0) + count);
  return [...refused]
    .map(([rule, count]) => ({ rule, refused: shareOf(count, all) }))
    .sort((a, b) => b.refused.share - a.refused.share);
}
