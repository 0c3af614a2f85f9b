/**
 * Who may see a sweep's page and its pictures: whoever asked for it, those who look after the guild where that was, as in Discord, and
 * the platform's own operators. Roles are asked of Discord, so the answer counts for a few seconds: a page has hundreds of pictures.
 */
import type { Batch } from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';
import { keepAnswers } from '#src/known-answers.ts';
import { actorAt } from '#src/people/members.ts';
import type { Actor } from '#src/people/people.ts';
import { isAllowed } from '#src/people/rights.ts';
import { actorOf, type Visitor } from '#src/people/sessions.ts';
import { isOperator } from '../operators/staff.ts';

/** How long an answer counts. ms */
const KNOWN_MS = 5_000;
const ANSWERS_MAX = 2_000;

/** What somebody is to a sweep; null: it does not exist for them. */
export type Sight = 'owner' | 'operator' | 'guild' | null;

export type Seen = Pick<Batch, 'id' | 'ownerId' | 'guildId' | 'botInside'>;

/** As of at most a few seconds ago. */
export const sightOf = keepAnswers(
  {
    forMs: KNOWN_MS,
    most: ANSWERS_MAX,
    keyOf: (visitor: Visitor, { id }: Seen) => `${visitor.userId} ${id}`,
  },
  ask,
);

async function ask(visitor: Visitor, batch: Seen): Promise<Sight> {
  if (visitor.userId === batch.ownerId) return 'owner';
  if (visitor.isGuest) return null;
  if (await isOperator(visitor)) return 'operator';
  return (await isAllowed(await actorThere(visitor, batch), 'see', batch)) ? 'guild' : null;
}

/** As they are in the guild where it was asked for. While Discord does not answer they are nobody there. */
async function actorThere(visitor: Visitor, { guildId, botInside }: Seen): Promise<Actor> {
  const actor = actorOf(visitor);
  if (!botInside) return actor;
  try {
    return await actorAt(actor, guildId);
  } catch (error) {
    log.warn({ err: error }, 'Discord does not say what somebody may do in a guild');
    return actor;
  }
}
