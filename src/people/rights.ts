/** Who may see and change what a card shows. Custom ids can be forged, so every press asks here, with the row at hand. */
import type { Asking } from '#src/batches/batches.ts';
import type { Batch } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { type Actor, isModerator, isOperator } from './people.ts';

/** Its owner, or who moderates or operates in the guild where it was asked. @throws {UserError} `not_yours` */
export async function mustManage(actor: Actor, batch: Pick<Batch, 'ownerId' | 'guildId'>): Promise<void> {
  if (actor.id === batch.ownerId) return;
  // A moderator of one guild decides nothing in another.
  const here = actor.guildId === batch.guildId;
  if (!here || !((await isModerator(actor)) || (await isOperator(actor))))
    throw new UserError('not_yours', {});
}

/**
 * Who can see the message: those in its channel or thread, its owner anywhere, and the moderators.
 *
 * @throws {UserError} `gone`: somebody else learns not even that it exists
 */
export async function mustSee(
  { actor, channelId }: Asking,
  batch: Pick<Batch, 'ownerId' | 'guildId' | 'channelId' | 'threadId'>,
): Promise<void> {
  if (channelId === batch.channelId || channelId === batch.threadId) return;
  await mustManage(actor, batch).catch((error: unknown) => {
    throw error instanceof UserError ? new UserError('gone', {}) : error;
  });
}
