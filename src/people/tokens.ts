/**
 * The token ledger: append-only entries, a balance is their sum. Every entry has a reason to happen once (`once`), so a
 * job delivered twice refunds once.
 */
import { tokenGrants } from '#config/tiers.ts';
import { db, type Transaction } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { type Actor, admitUser } from './people.ts';

/** What somebody can spend now, with the welcome and today's grant. @throws {UserError} `blocked_until` */
export async function tokensLeft(actor: Actor): Promise<number> {
  await admitUser(actor);
  return db.$transaction((tx) => balanceOf(tx, actor.id));
}

/** A person's tokens. Adds today's grant first: it is given when somebody asks for the balance. */
export async function balanceOf(tx: Transaction, userId: string, now = new Date()): Promise<number> {
  const sum = await sumOf(tx, userId);
  const grant = Math.min(tokenGrants.daily, tokenGrants.max - sum);
  if (grant <= 0) return sum;
  const { count } = await tx.tokenEntry.createMany({
    data: [{ userId, amount: grant, reason: 'grant', once: `day:${now.toISOString().slice(0, 10)}` }],
    skipDuplicates: true,
  });
  return count ? sum + grant : sum;
}

/**
 * Takes tokens, or nothing. The person's ledger is locked until the transaction ends, so that two commands at once
 * cannot both spend the last token.
 *
 * @throws {UserError} `tokens_short`
 */
export async function charge(tx: Transaction, userId: string, batchId: string, price: number): Promise<void> {
  await tx.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${`tokens:${userId}`}, 0))`;
  const balance = await balanceOf(tx, userId);
  if (balance < price) throw new UserError('tokens_short', { price, balance });
  if (price === 0) return;
  await tx.tokenEntry.create({
    data: { userId, batchId, amount: -price, reason: 'charge', once: `charge:${batchId}` },
  });
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

async function sumOf(tx: Transaction, userId: string): Promise<number> {
  const { _sum } = await tx.tokenEntry.aggregate({ where: { userId }, _sum: { amount: true } });
  return _sum.amount ?? 0;
}
