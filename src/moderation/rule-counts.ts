/** How often the rules refused, by rule and day, and what a set that only looks on would have said. The only file that writes RuleCount. */
import { ask, db, Prisma } from '#src/doors/db.ts';
import { countSaid, type Said, takeCounts } from './said.ts';

/** Writes what was counted in this process. @throws what the database does; what was not written is kept for the next time */
export async function writeRuleCounts(): Promise<void> {
  const writing = takeCounts();
  if (!writing.size) return;
  const rows = [...writing.values()].map(({ said, count }) => ({ ...said, count }));
  try {
    await ask(Prisma.sql`
      INSERT INTO "RuleCount" (day, hash, rule, shadow, "shadowRule", count)
      SELECT (now() AT TIME ZONE 'UTC')::date, hash, rule, shadow, "shadowRule", count
      FROM json_to_recordset(${JSON.stringify(rows)}::json)
        AS said(hash text, rule text, shadow text, "shadowRule" text, count int)
      ORDER BY hash, rule, shadow, "shadowRule"
      ON CONFLICT (day, hash, rule, shadow, "shadowRule") DO UPDATE SET count = "RuleCount".count + EXCLUDED.count`);
  } catch (error) {
    for (const { said, count } of writing.values()) countSaid(said, count);
    throw error;
  }
}

/** Sums since a day, the most frequent first. @param shadow only beside this set */
export async function ruleCounts(
  since: Date,
  shadow?: string,
): Promise<(Said & { readonly count: number })[]> {
  const rows = await db.ruleCount.groupBy({
    by: ['hash', 'rule', 'shadow', 'shadowRule'],
    where: { day: { gte: since }, ...(shadow !== undefined && { shadow }) },
    _sum: { count: true },
    orderBy: { _sum: { count: 'desc' } },
  });
  return rows.map(({ _sum, ...said }) => ({ ...said, count: _sum.count ?? 0 }));
}
