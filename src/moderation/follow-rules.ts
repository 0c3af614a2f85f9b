import { db } from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';
import { writeRuleCounts } from './rule-counts.ts';
import { nextRules, ownRules, rulesInForce } from './rule-set.ts';
import { type Standing, setStanding } from './standing.ts';

/** What staff said of the candidates, now; null: there are none, or they are what counts anyhow. */
export async function standingNow(): Promise<Standing | null> {
  if (!nextRules || nextRules.hash === ownRules.hash) return null;
  const row = await db.ruleSet.findUnique({ where: { hash: nextRules.hash } });
  return row?.state ?? 'shadow';
}

/** Has this process go by what staff said (rule-sets.ts), and writes what was counted. For a service to do every few seconds. */
export async function followRules(): Promise<void> {
  const before = rulesInForce().hash;
  setStanding((await standingNow()) ?? 'dropped');
  const { hash } = rulesInForce();
  if (hash !== before) log.info({ rules: hash, before }, 'other rules are in force');
  await writeRuleCounts();
}
