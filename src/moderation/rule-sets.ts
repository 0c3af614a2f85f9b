/**
 * Which rules count, of two: those of config/safety.yaml, and candidates beside them, config/safety.next.yaml.
 *
 *   shadow ──▶ inForce   staff promote them: they count in every process within seconds
 *      └─────▶ dropped   staff don't want them: nobody asks them any more
 *
 * While they are in shadow every prompt is put to both, and what they say differently is counted; nothing comes of it. Those in force are
 * to be called safety.yaml with the next deployment: that has the same hash then, so nothing changes. Only the hash is kept here, as
 * rules are as long as a book, and belong with the code that reads them. The only file that writes RuleSet.
 */
import { audit } from '#src/audit.ts';
import { inTransaction } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import type { Actor } from '#src/people/people.ts';
import { mustOperatePlatform } from '#src/people/rights.ts';
import { standingNow } from './follow-rules.ts';
import { nextRules, ownRules } from './rule-set.ts';
import { type Standing, setStanding } from './standing.ts';

/**
 * Has the candidates count, or be asked no more. Here they do at once, elsewhere within seconds.
 *
 * @throws {UserError} `platform_only`, `rules_none`
 */
export async function decideOnRules(actor: Actor, state: Exclude<Standing, 'shadow'>): Promise<string> {
  await mustOperatePlatform(actor);
  const before = await standingNow();
  if (!nextRules || before === null || before === state) throw new UserError('rules_none', {});
  const { hash } = nextRules;
  const decided = { state, decidedBy: actor.id, changedAt: new Date() };
  await inTransaction(async (tx) => {
    await tx.ruleSet.upsert({ where: { hash }, create: { hash, ...decided }, update: decided });
    await audit(tx, {
      actorId: actor.id,
      action: state === 'inForce' ? 'rules.promote' : 'rules.drop',
      subject: `rules:${hash}`,
      before: { state: before },
      after: { state, instead: ownRules.hash },
    });
  });
  setStanding(state);
  return hash;
}
