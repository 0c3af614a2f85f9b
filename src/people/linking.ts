/**
 * A guest turns out to be somebody: what is the guest's becomes theirs, once, whatever runs beside it. One transaction: the guest's row
 * says whose it is (`linkedTo`), and whoever comes second finds that and moves nothing.
 *
 * Locks go as they do where a batch is cancelled: batches, pictures, people, flows. Where a picture ends at this very moment, the two may
 * wait for each other; Postgres ends one, and that is done again.
 */
import { audit } from '#src/audit.ts';
import { lockBatches, moveBatches } from '#src/batches/batches.ts';
import { moveDeliveries } from '#src/deliveries.ts';
import { inTransaction } from '#src/doors/db.ts';
import { lockGenerations, moveGenerations } from '#src/generations/generations.ts';
import { isGuest, markLinked } from './people.ts';
import { moveTokens } from './tokens.ts';

/** @returns tokens that moved; null: the guest is somebody already */
export async function linkGuest(guestId: string, personId: string): Promise<number | null> {
  if (!isGuest(guestId) || isGuest(personId))
    throw new Error('Only a guest can be linked, and only to a person');
  return inTransaction(async (tx) => {
    await lockBatches(tx, guestId);
    await lockGenerations(tx, guestId);
    const tokens = await markLinked(tx, guestId, personId);
    if (tokens === null) return null;
    await moveTokens(tx, guestId, personId, tokens);
    await moveBatches(tx, guestId, personId);
    await moveGenerations(tx, guestId, personId);
    await moveDeliveries(tx, guestId, personId);
    await audit(tx, {
      actorId: personId,
      action: 'guest.link',
      subject: `user:${guestId}`,
      after: { tokens },
    });
    return tokens;
  });
}
