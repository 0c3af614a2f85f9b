/** What a message costs Postgres: how many statements, and that none of them reads a table from end to end. */
import { afterAll, afterEach, expect, it } from 'vitest';
import { drawAll, openCourier, openIn } from './local.ts';

const courier = await openCourier();
const { sandbox } = courier;
const { db } = await import('#src/doors/db.ts');
const { changed, claimDue, refreshWaiting, wipeTokens } = await import('#src/deliveries.ts');
const { renderCard } = await import('#src/cards/cards.ts');
const { deliver } = await import('#src/services/courier/deliver.ts');
const { makeRest, openDiscord } = await import('#src/services/courier/discord.ts');
const { listen, plannedScans } = await import('#test/support/statements.ts');
const discord = openDiscord(makeRest(() => {}));

afterEach(courier.tidy);
afterAll(courier.close);

const claimOne = async () => {
  const { claimed } = await claimDue(1, [], new Map());
  return claimed[0]!;
};

it('a message costs one statement to take and one to settle, beside what its card reads', async () => {
  const { batch } = await openIn(sandbox, { prompt: 'counted' });
  const heard = listen();
  // What was told and what came is learned beside it, and seldom.
  const count = () => heard.filter(({ text }) => !text.includes('"Range"')).length;
  const counted = async () => {
    heard.length = 0;
    const claimed = await claimOne();
    expect((await deliver(claimed, discord)).caughtUp).toBe(true);
    const all = count();
    heard.length = 0;
    await renderCard(claimed.delivery, claimed.batch);
    return { all, card: count() };
  };
  const post = await counted();
  expect(post.all).toBe(post.card + 2);
  expect(await db.batch.findUnique({ where: { id: batch.id } })).toMatchObject({
    messageId: (await courier.deliveryOf(batch.id)).messageId,
  });

  await drawAll(batch.id);
  const edit = await counted();
  expect(edit.all).toBe(edit.card + 2);
});

it('none of them reads a table from end to end', async () => {
  const { batch } = await openIn(sandbox, { prompt: 'a million pictures later' });
  await openIn(sandbox, { prompt: 'and one that waits' });
  // Messages of years, and what they are of: shown, and not changed any more.
  await db.$executeRaw`
    INSERT INTO "Batch" (id, kind, state, "ownerId", "channelId", tier, title, config, "endedAt")
    SELECT 'b' || n, 'imagine', 'finished', ${batch.ownerId}, 'c' || n % 100, 'fast', '', '{}', now() FROM generate_series(1, 20000) n`;
  await db.$executeRaw`
    INSERT INTO "Generation" (id, "batchId", index, state, "userId", tier, bundle, prompt, parameters, seed, width, height, steps, key, coordinates)
    SELECT 'g' || n, 'b' || n, 0, 'done', ${batch.ownerId}, 'fast', 'reference', '', '{}', 1, 64, 64, 1, 'k' || n, '{}'
    FROM generate_series(1, 20000) n`;
  await db.$executeRaw`
    INSERT INTO "Delivery" (id, kind, "batchId", "userId", "channelId", "messageId", wanted, posted, nonce, "notBefore")
    SELECT 'd' || n, 'card', 'b' || n, ${batch.ownerId}, 'c' || n % 100, 'm' || n, 3, 3, 'n' || n, now() - interval '1 day'
    FROM generate_series(1, 20000) n`;
  await db.$executeRaw`ANALYZE`;

  const heard = listen();
  await deliver(await claimOne(), discord);
  await await changed(db, { batchId: batch.id });
  await deliver(await claimOne(), discord);
  await refreshWaiting(new Date(Date.now() + 60_000));
  await wipeTokens();
  const asked = heard.filter(({ text }) => /"Delivery"/.test(text));
  expect(asked.length).toBeGreaterThanOrEqual(7);

  expect((await plannedScans(asked)).filter((table) => /^(Delivery|Batch|Generation)$/.test(table))).toEqual(
    [],
  );
});
