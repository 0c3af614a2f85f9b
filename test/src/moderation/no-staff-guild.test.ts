/** With no server of the platform's own: what was flagged is kept, and everybody concerned is told how it is. */
import { expect, it, vi } from 'vitest';
import { finishGeneration } from '#src/batches/ending.ts';
import { renderCard } from '#src/cards/cards.ts';
import { db } from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';
import { hasFile } from '#src/doors/storage.ts';
import { decide } from '#src/moderation/reviews.ts';
import { drawn } from '#test/support/drawn.ts';
import { openedBatch } from '#test/support/opened.ts';
import { actor, origin, request } from '#test/support/requests.ts';
import { STAFF_ID } from '#test/support/staff.ts';
import { startGeneration } from '#test/support/taking.ts';

// Before `config` reads it: imports come after this.
vi.hoisted(() => {
  process.env.STAFF_GUILD_ID = '';
  process.env.DISCORD_APPLICATION_ID = '1100000000000000001';
});

it.each([
  ['from a direct message', null, true, 'direct messages'],
  ['from where the bot is no member', '1100000000000000009', false, 'servers that I am no member of'],
])(
  'a flagged picture %s stays in quarantine; its asker and the operator read so',
  async (_, guildId, botInside, where) => {
    const warn = vi.spyOn(log, 'warn');
    const person = actor({ guildId });
    const batch = await openedBatch(origin({ actor: person, botInside }), request());
    const { id } = await db.generation.findFirstOrThrow({ where: { batchId: batch.id } });
    await finishGeneration((await startGeneration(id, 'w'))!, 'w', drawn({ verdict: 'flagged' }));

    const image = await db.image.findUniqueOrThrow({
      where: { generationId: id },
      include: { review: true },
    });
    expect(image.storageKey).toMatch(/^quarantine\//);
    expect(await hasFile(image.storageKey)).toBe(true);
    const unseen = 'a flagged picture waits unseen: STAFF_GUILD_ID is not set';
    expect(warn.mock.calls).toContainEqual([{ reviewId: image.review?.id }, unseen]);
    const delivery = await db.delivery.findFirstOrThrow({ where: { batchId: batch.id, kind: 'card' } });
    const card = JSON.stringify(await renderCard(delivery, batch));
    expect(card).toContain(`Nobody reviews pictures from ${where} yet, so nobody sees it.`);
    expect(card).not.toContain('You will be told');

    const moderator = actor({ guildId, managesGuild: true });
    await expect(decide(moderator, image.review!.id, 'approved', null)).rejects.toMatchObject({
      code: 'moderators_only',
    });
    await decide(actor({ id: STAFF_ID }), image.review!.id, 'approved', null);
    warn.mockRestore();
  },
);

it('the courier says at its start that such pictures will wait', async () => {
  const warn = vi.spyOn(log, 'warn');
  const { REST } = await import('@discordjs/rest');
  const { startCourier } = await import('#src/services/courier/courier.ts');
  const courier = await startCourier({ rest: new REST({ version: '10', api: 'http://127.0.0.1:9/api' }) });
  await courier.close();
  expect(warn.mock.calls).toContainEqual([expect.stringMatching(/^STAFF_GUILD_ID is not set: /)]);
});
