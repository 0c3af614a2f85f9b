/** Where flagged pictures are shown: in private channels alone, and those of no server in the platform's own. */
import { PermissionFlagsBits as P } from 'discord-api-types/v10';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { filesOf, textOf } from '#infra/local/discord/person.ts';
import { STAFF } from '#infra/local/discord/world.ts';
import {
  channelId,
  chooseReview,
  directId,
  drawAll,
  member,
  messagesIn,
  openIn,
  startLocalDiscord,
  until,
} from './local.ts';

// The environment first: `config` reads it when it is imported.
const sandbox = await startLocalDiscord();
const { db } = await import('#src/doors/db.ts');
const { startCourier } = await import('#src/services/courier/courier.ts');
const { actor } = await import('#test/support/requests.ts');

let courier: { close(): Promise<void> };
beforeAll(async () => {
  courier = await startCourier();
});
afterAll(async () => {
  await courier?.close();
  await sandbox.close();
});

const channel = sandbox.state.channels.get(channelId(sandbox, 'review'))!;
const hidden = channel.overwrites ?? [];
const admin = actor({ guildId: STAFF.STAFF_GUILD_ID, managesGuild: true });
const inReview = (text: string) =>
  messagesIn(sandbox, channel.id).filter((message) => textOf(message).includes(text));
const reviewOf = (batchId: string) =>
  db.delivery.findFirstOrThrow({
    where: { kind: 'review', review: { image: { generation: { batchId } } } },
  });

async function flagged(prompt: string, where: Parameters<typeof openIn>[1] = {}): Promise<string> {
  const { batch } = await openIn(sandbox, { prompt, ...where });
  await drawAll(batch.id, { verdict: 'flagged' });
  return batch.id;
}

describe('a review channel that was opened to others', () => {
  it('shows nothing more and says so, and what was flagged meanwhile comes with the next', async () => {
    await chooseReview(sandbox, admin);
    await flagged('while it is private');
    await until(() => inReview('while it is private').length);

    const everyone = { id: admin.guildId!, type: 0, allow: String(P.ViewChannel), deny: '0' };
    sandbox.state.updateChannel(channel, {
      overwrites: [...hidden.filter(({ id }) => id !== admin.guildId), everyone],
    });
    const open = await flagged('while everybody sees it');
    const warning = await until(() => inReview('Not private any more')[0], 'a warning');
    expect(textOf(warning)).toContain('can be seen by @everyone');
    expect(warning.mention_everyone).toBe(false);
    await until(async () => (await reviewOf(open)).lastError === 'no-review-channel');
    await flagged('and another');
    expect(await reviewOf(open)).toMatchObject({ state: 'active', messageId: null });
    expect(await db.guildSettings.findUnique({ where: { id: admin.guildId! } })).toMatchObject({
      reviewChannelId: null,
      reviewSeenBy: [admin.guildId],
    });

    sandbox.state.updateChannel(channel, { overwrites: hidden });
    await chooseReview(sandbox, admin);
    await until(() => inReview('while everybody sees it').length && inReview('and another').length);
    await until(() => inReview('are reviewed in').some(({ id }) => id === warning.id));
    expect(inReview('while everybody sees it')).toHaveLength(1);
    expect(inReview('Not private any more')).toHaveLength(0);
  });

  it('names a role that nobody called moderators', async () => {
    await chooseReview(sandbox, admin);
    const { changeGuild } = await import('#src/guilds.ts');
    await changeGuild(admin, { moderatorRoleIds: [] });
    const batchId = await flagged('seen by strangers');
    const role = sandbox.state.guild(admin.guildId!)!.roles.find(({ name }) => name === 'Moderators')!;
    await until(() => inReview(`can be seen by <@&${role.id}>`).length);
    expect(inReview('seen by strangers')).toHaveLength(0);
    await chooseReview(sandbox, admin);
    await until(() => inReview('seen by strangers').length);
    await until(async () => (await reviewOf(batchId)).channelId === channel.id);
  });
});

describe('a flagged picture of no server', () => {
  it.each([
    ['from a direct message', { channel: 'dm' }],
    ['from where the bot is no member', { channel: 'friends', token: 'a-token-that-is-unknown' }],
  ])(
    '%s comes to the platform’s own review channel, and to its asker once it is approved',
    async (from, where) => {
      await chooseReview(sandbox, admin);
      const batchId = await flagged(`drawn ${from}`, where);
      const posted = await until(() => inReview(`drawn ${from}`)[0]);
      expect(textOf(posted)).toMatch(/in a direct message[\s\S]*Approve\s+Reject/);

      const { decide } = await import('#src/moderation/reviews.ts');
      const { reviewId } = await reviewOf(batchId);
      await decide(admin, reviewId!, 'approved', null);
      const direct = () => messagesIn(sandbox, directId(sandbox, member));
      await until(() =>
        direct().some((m) => textOf(m).includes(`drawn ${from}`) && textOf(m).includes('approved')),
      );
      await until(() => direct().some((m) => textOf(m).includes(`drawn ${from}`) && filesOf(m).length === 1));
    },
  );
});
