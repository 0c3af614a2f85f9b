import { expect, it } from 'vitest';
import { tokenGrants } from '#config/tiers.ts';
import { openBatch } from '#src/batches/batches.ts';
import { endBatch } from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import { tokensLeft } from '#src/people/tokens.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';

const balanceAndSum = async (id: string) => {
  const { tokens } = await db.user.findUniqueOrThrow({ where: { id } });
  const { _sum } = await db.tokenEntry.aggregate({ where: { userId: id }, _sum: { amount: true } });
  return [tokens, _sum.amount];
};

it('a balance is the sum of its entries, whatever adds one', async () => {
  const me = actor();
  const start = tokenGrants.welcome + tokenGrants.daily;
  const { batch } = await openBatch(origin({ actor: me }), request([cell({ prompt: 'a sum' })]));
  expect(await balanceAndSum(me.id)).toEqual([start - batch.charged, start - batch.charged]);
  await endBatch(batch.id, 'cancelled');
  expect(await balanceAndSum(me.id)).toEqual([start, start]);
  expect(await tokensLeft(me)).toBe(start);
});

it('two hundred spend of one balance at once: never below 0, none stuck, and as many as it is worth', async () => {
  const me = actor();
  await tokensLeft(me);
  await db.tokenEntry.create({ data: { userId: me.id, amount: -570, reason: 'charge', once: 'spent' } });
  const [left] = await balanceAndSum(me.id);
  expect(left).toBe(30);
  const spent = await Promise.allSettled(
    Array.from({ length: 200 }, (_, seed) =>
      openBatch(origin({ actor: me }), request([cell({ seed, prompt: 'at once' }, { steps: 40 })])),
    ),
  );
  const refused = spent.flatMap((one) => (one.status === 'rejected' ? [one.reason.code] : []));
  expect(new Set(refused)).toEqual(new Set(['tokens_short']));
  const [balance, sum] = await balanceAndSum(me.id);
  expect(balance).toBe(sum);
  const price = (30 - balance!) / (200 - refused.length);
  expect(balance).toBeGreaterThanOrEqual(0);
  expect(balance).toBeLessThan(price);
}, 60_000);

it('Postgres lets no balance fall below 0', async () => {
  const me = actor();
  await tokensLeft(me);
  const entry = { userId: me.id, amount: -1_000_000, reason: 'charge', once: 'too much' } as const;
  await expect(db.tokenEntry.create({ data: entry })).rejects.toThrow(/User_tokens_check/);
});
