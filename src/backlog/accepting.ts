/** Whether a tier can promise its cap to one more: what waits in it is bounded, so that nobody in it waits too long. */
import { tierRules } from '#config/tiers.ts';
import { db } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { workersAtWork } from './fleet.ts';

/**
 * Part of a tier's cap that a round of turns may take, as long as workers and other tiers stay as they are. The order gives
 * somebody a turn at once after half of the cap; what is between covers that workers leave and that people differ.
 */
const ROUND = 0.3;

/**
 * @param userId who waits in the tier already makes no round longer
 * @throws {UserError} `tier_full`
 */
export async function mustFit(bundle: string, tier: string, userId: string): Promise<void> {
  const rule = tierRules.find(({ name }) => name === tier);
  if (!rule || rule.capMs === null) return;
  const flows = await db.$queryRaw<{ tier: string; people: number; mine: boolean; pictureMs: number }[]>`
    SELECT tier, count(DISTINCT "userId")::int AS people, bool_or("userId" = ${userId}) AS mine,
      sum("waitingMs") / sum(waiting) AS "pictureMs"
    FROM "Flow" WHERE bundle = ${bundle} AND waiting > 0 GROUP BY tier`;
  const own = flows.find((flow) => flow.tier === tier);
  if (!own || own.mine) return;
  const weights = tierRules.filter(({ name }) => flows.some((flow) => flow.tier === name));
  const part = rule.weight / weights.reduce((sum, { weight }) => sum + weight, 0);
  const workers = Math.max(1, (await workersAtWork(bundle)).length);
  const roundMs = ((own.people + 1) * own.pictureMs) / part / workers;
  if (roundMs > ROUND * rule.capMs) throw new UserError('tier_full', { tier, people: own.people });
}
