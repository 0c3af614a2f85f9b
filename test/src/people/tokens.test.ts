import { describe, expect, it } from 'vitest';
import { tokenGrants } from '#config/tiers.ts';
import { endBatch } from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import { grantTokens, tokenLines, tokensLeft, tokensOf } from '#src/people/tokens.ts';
import { openedBatch } from '#test/support/opened.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { STAFF_GUILD_ID, STAFF_ID, TRUSTED_GUILD } from '#test/support/staff.ts';

const balanceAndSum = async (id: string) => {
  const { tokens } = await db.user.findUniqueOrThrow({ where: { id } });
  const { _sum } = await db.tokenEntry.aggregate({ where: { userId: id }, _sum: { amount: true } });
  return [tokens, _sum.amount];
};

it('a balance is the sum of its entries, whatever adds one', async () => {
  const me = actor();
  const start = tokenGrants.welcome + tokenGrants.daily;
  const batch = await openedBatch(origin({ actor: me }), request([cell({ prompt: 'a sum' })]));
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
      openedBatch(origin({ actor: me }), request([cell({ seed, prompt: 'at once' }, { steps: 40 })])),
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

describe('tokens of others', () => {
  const manager = () => origin({ actor: actor({ guildId: TRUSTED_GUILD, managesGuild: true }) });
  const entries = (userId: string) =>
    db.tokenEntry.findMany({
      where: { userId },
      orderBy: { createdAt: 'asc' },
      select: { amount: true, once: true },
    });

  it('are given once for an interaction, to somebody who was never seen as well, and it is in the audit log', async () => {
    const [asked, who] = [manager(), actor().id];
    expect(await grantTokens(asked, who, 30, 'won a contest')).toBe(tokenGrants.welcome + 30);
    expect(await grantTokens(asked, who, 30, 'won a contest')).toBe(tokenGrants.welcome + 30);
    expect(await entries(who)).toEqual([
      { amount: tokenGrants.welcome, once: 'welcome' },
      { amount: 30, once: `given:${asked.interactionId}` },
    ]);
    expect(await db.auditEvent.findMany({ where: { subject: `user:${who}` } })).toMatchObject([
      {
        actorId: asked.actor.id,
        action: 'tokens.grant',
        before: { tokens: tokenGrants.welcome },
        after: { tokens: tokenGrants.welcome + 30, note: 'won a contest' },
      },
    ]);
  });

  it('are taken back down to none, and no further', async () => {
    const who = actor().id;
    await grantTokens(manager(), who, 1, null);
    const all = tokenGrants.welcome + 1;
    await expect(grantTokens(manager(), who, -all - 1, null)).rejects.toMatchObject({ code: 'tokens_fewer' });
    expect(await grantTokens(manager(), who, -all, null)).toBe(0);
    expect(await balanceAndSum(who)).toEqual([0, 0]);
  });

  it('given and taken back while they are spent, add up', async () => {
    const me = actor();
    await tokensLeft(me);
    const start = (await balanceAndSum(me.id))[0]!;
    const spent = Array.from({ length: 20 }, (_, seed) =>
      openedBatch(origin({ actor: me }), request([cell({ seed, prompt: 'beside grants' })])),
    );
    const given = Array.from({ length: 20 }, (_, i) => grantTokens(manager(), me.id, i % 2 ? 10 : -10, null));
    const charged = (await Promise.all(spent)).reduce((sum, { charged }) => sum + charged, 0);
    await Promise.all(given);
    expect(await balanceAndSum(me.id)).toEqual([start - charged, start - charged]);
  });

  it('are for staff, and for operators of guilds that the platform trusts: not for whoever runs a server', async () => {
    const who = actor().id;
    const refused = expect.objectContaining({ code: 'tokens_managers_only' });
    for (const one of [
      origin({ actor: actor({ managesGuild: true }) }),
      origin({ actor: actor({ guildId: TRUSTED_GUILD }) }),
      origin({ actor: actor({ guildId: TRUSTED_GUILD, managesGuild: true }), botInside: false }),
      origin({ actor: actor({ guildId: null, managesGuild: true }) }),
    ]) {
      await expect(grantTokens(one, who, 5, null)).rejects.toEqual(refused);
      await expect(tokensOf(one, who, 5)).rejects.toEqual(refused);
    }
    expect(await entries(who)).toEqual([]);
    const ours = origin({ actor: actor({ guildId: STAFF_GUILD_ID, managesGuild: true }) });
    expect(await grantTokens(ours, actor().id, 5, null)).toBe(tokenGrants.welcome + 5);
    expect(await tokensOf(origin({ actor: actor({ id: STAFF_ID }) }), who, 5)).toEqual({
      tokens: 0,
      lines: [],
    });
  });
});

it('what a batch gave back is one line of the history, newest first', async () => {
  const me = actor();
  const cells = [1, 2, 3].map((seed) => cell({ seed, prompt: 'a history' }));
  const batch = await openedBatch(origin({ actor: me }), request(cells));
  await endBatch(batch.id, 'cancelled');
  const lines = await tokenLines(me.id, 10);
  expect(lines.slice(0, 2).map(({ amount, reason, title }) => [amount, reason, title])).toEqual([
    [batch.charged, 'refund', batch.title],
    [-batch.charged, 'charge', batch.title],
  ]);
  // Given in one statement, and so at one moment.
  expect(new Set(lines.slice(2).map(({ amount }) => amount))).toEqual(
    new Set([tokenGrants.daily, tokenGrants.welcome]),
  );
  expect(await tokenLines(me.id, 1)).toEqual(lines.slice(0, 1));
});
