/**
 * The token ledger: append-only entries. A balance is their sum, which Postgres keeps with the person (`User.tokens`) and lets
 * never fall below 0. Every entry has a reason to happen once (`once`), so a job delivered twice refunds once. Tokens are taken by
 * `accept_batch` alone (prisma/functions).
 */
import { tokenGrants } from '#config/tiers.ts';
import { db, type Transaction } from '#src/doors/db.ts';
import { type Actor, admitUser } from './people.ts';

/** What somebody can spend now, with the welcome and today's grant. @throws {UserError} `blocked_until` */
export async function tokensLeft(actor: Actor): Promise<number> {
  await admitUser(actor);
  return db.$transaction((tx) => balanceOf(tx, actor.id));
}

/** A person's tokens. Adds today's grant first: it is given when somebody asks for the balance. */
export async function balanceOf(tx: Transaction, userId: string, now = new Date()): Promise<number> {
  const sum = (await tx.user.findUnique({ where: { id: userId }, select: { tokens: true } }))?.tokens ?? 0;
  const grant = Math.min(tokenGrants.daily, tokenGrants.max - sum);
  if (grant <= 0) return sum;
  const { count } = await tx.tokenEntry.createMany({
    data: [{ userId, amount: grant, reason: 'grant', once: `day:${now.toISOString().slice(0, 10)}` }],
    skipDuplicates: true,
  });
  return count ? sum + grant : sum;
}

/** Gives back what generations that ended without a picture cost. */
export async function refund(
  tx: Transaction,
  generations: readonly { id: string; userId: string; batchId: string; price: number }[],
): Promise<void> {
  await tx.tokenEntry.createMany({
    data: generations
      .filter(({ price }) => price > 0)
      .map(({ id, userId, batchId, price }) => ({
        userId,
        batchId,
        generationId: id,
        amount: price,
        reason: 'refund' as const,
        once: `refund:${id}`,
      })),
    skipDuplicates: true,
  });
}
