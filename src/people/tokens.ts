/**
 * The token ledger: append-only entries. A balance is their sum, which Postgres keeps with the person (`User.tokens`) and lets
 * never fall below 0. Every entry has a reason to happen once (`once`), so a job delivered twice refunds once. Tokens are taken by
 * `accept_batch` alone (prisma/functions).
 */
import { audit } from '#src/audit.ts';
import { db, inTransaction, type TokenReason, type Transaction } from '#src/doors/db.ts';
import { metrics } from '#src/doors/metrics.ts';
import { UserError } from '#src/errors.ts';
import { type Actor, admitUser, grantsOf, knowUser, type Origin, welcomeOf } from './people.ts';
import { mustManageTokens } from './rights.ts';

/** What somebody can spend now, with the welcome and today's grant. @throws {UserError} `blocked_until` */
export async function tokensLeft(actor: Actor): Promise<number> {
  await admitUser(actor);
  return db.$transaction((tx) => balanceOf(tx, actor.id));
}

/** A person's tokens. Adds today's grant first: it is given when somebody asks for the balance. */
export async function balanceOf(tx: Transaction, userId: string, now = new Date()): Promise<number> {
  const sum = (await tx.user.findUnique({ where: { id: userId }, select: { tokens: true } }))?.tokens ?? 0;
  const { daily, max } = grantsOf(userId);
  const grant = Math.min(daily, max - sum);
  if (grant <= 0) return sum;
  const { count } = await tx.tokenEntry.createMany({
    data: [{ userId, amount: grant, reason: 'grant', once: `day:${now.toISOString().slice(0, 10)}` }],
    skipDuplicates: true,
  });
  return count ? sum + grant : sum;
}

/** Somebody who may never have asked for anything, with the tokens that everybody has at first. Locks their row. */
export async function welcomeUser(tx: Transaction, userId: string): Promise<void> {
  await knowUser(tx, userId);
  await tx.tokenEntry.createMany({ data: [{ ...welcomeOf(userId), userId }], skipDuplicates: true });
}

/** What a guest has left goes to the person that they turned out to be. Both rows are locked. */
export async function moveTokens(
  tx: Transaction,
  guestId: string,
  personId: string,
  tokens: number,
): Promise<void> {
  if (!tokens) return;
  await tx.tokenEntry.createMany({
    data: [
      { userId: guestId, amount: -tokens, reason: 'grant', once: 'linked' },
      { userId: personId, amount: tokens, reason: 'grant', once: `guest:${guestId}` },
    ],
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

/** Of an operator at once. */
export const GRANT_MAX = 100_000;

/**
 * Gives somebody tokens, or with a negative amount takes some back: once for an interaction, however often it is delivered.
 *
 * @param note why, for the audit log
 * @returns what they have then
 * @throws {UserError} `tokens_managers_only`, `tokens_fewer` when they have less than is to be taken back
 */
export async function grantTokens(
  origin: Origin,
  userId: string,
  amount: number,
  note: string | null,
): Promise<number> {
  const { actor, interactionId } = origin;
  await mustManageTokens(origin);
  return inTransaction(async (tx) => {
    await welcomeUser(tx, userId);
    const { tokens } = await tx.user.findUniqueOrThrow({ where: { id: userId }, select: { tokens: true } });
    const once = `given:${interactionId}`;
    if (await tx.tokenEntry.findUnique({ where: { userId_once: { userId, once } } })) return tokens;
    if (tokens + amount < 0) throw new UserError('tokens_fewer', { balance: tokens, amount: -amount });
    await tx.tokenEntry.create({ data: { userId, amount, reason: 'grant', once } });
    const { id: actorId, guildId } = actor;
    await audit(tx, {
      actorId,
      action: 'tokens.grant',
      subject: `user:${userId}`,
      guildId,
      before: { tokens },
      after: { tokens: tokens + amount, note },
    });
    metrics.tokens({ reason: 'grant' }, Math.max(0, amount));
    return tokens + amount;
  });
}

/** What came and went at once: all that a batch's pictures gave back is one. */
export interface TokenLine {
  readonly amount: number;
  readonly reason: TokenReason;
  /** `welcome`, `day:2026-11-20`, `given:<interaction>` … */
  readonly once: string;
  /** of the batch, where it is still there */
  readonly title: string | null;
  readonly guildId: string | null;
  readonly at: Date;
}

/** Entries that a history is made of: a sweep that was cancelled has some hundreds. */
const ENTRIES_READ = 1_000;

/** Newest first. */
export async function tokenLines(userId: string, max: number): Promise<TokenLine[]> {
  return db.$queryRaw<TokenLine[]>`
    SELECT l.*, b.title, b."guildId" FROM (
      SELECT sum(amount)::int AS amount, reason, "batchId", min(once) AS once, max("createdAt") AS at
      FROM (SELECT * FROM "TokenEntry" WHERE "userId" = ${userId} ORDER BY "createdAt" DESC LIMIT ${ENTRIES_READ}) e
      GROUP BY reason, "batchId", CASE WHEN "batchId" IS NULL THEN id END
      ORDER BY at DESC LIMIT ${max}) l
    LEFT JOIN "Batch" b ON b.id = l."batchId"
    ORDER BY l.at DESC`;
}

/** Somebody else's tokens. @throws {UserError} `tokens_managers_only` */
export async function tokensOf(
  origin: Origin,
  userId: string,
  max: number,
): Promise<{ tokens: number; lines: TokenLine[] }> {
  await mustManageTokens(origin);
  const user = await db.user.findUnique({ where: { id: userId }, select: { tokens: true } });
  return { tokens: user?.tokens ?? 0, lines: await tokenLines(userId, max) };
}
