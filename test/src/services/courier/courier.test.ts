import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { MessageFlags } from 'discord-api-types/v10';
import { afterAll, afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { filesOf, textOf } from '#infra/local/discord/person.ts';
import { PEOPLE } from '#infra/local/discord/world.ts';
import {
  channelId,
  chooseReview,
  directId,
  drawAll,
  EDIT_INTERVAL_MS,
  member,
  messagesIn,
  openCourier,
  openIn,
  until,
} from './local.ts';

const courier = await openCourier();
const { sandbox, sent, start, deliveryOf, settled, ours, grant } = courier;
const { db } = await import('#src/doors/db.ts');
const { changed } = await import('#src/deliveries.ts');
const { startCourier } = await import('#src/services/courier/courier.ts');
const { queueBackends } = await import('#test/support/queue-backends.ts');
const { actor, origin } = await import('#test/support/requests.ts');

afterEach(courier.tidy);
afterAll(courier.close);

describe('a card', () => {
  it('is posted at once and edited until it shows the picture with its buttons', async () => {
    await start();
    const { batch, channelId: channel } = await openIn(sandbox, { prompt: 'a woman in a blue coat' });
    const [posted] = await until(() => {
      const found = ours(channel, 'a woman in a blue coat');
      return found.length ? found : null;
    });
    expect(textOf(posted!)).toMatch(/Waiting · next · ready (in|within) [\d–]+ (s|min)/);
    expect(filesOf(posted!)).toHaveLength(0);
    await drawAll(batch.id);
    await settled(batch.id);
    const [shown, ...more] = ours(channel, 'a woman in a blue coat');
    expect(more).toEqual([]);
    expect(shown!.id).toBe(posted!.id);
    expect(filesOf(shown!)).toHaveLength(1);
    expect(textOf(shown!)).toMatch(/Again[\s\S]*Vary[\s\S]*Details[\s\S]*Delete/);
    expect(textOf(shown!)).not.toContain('Publish');
    expect(await db.batch.findUniqueOrThrow({ where: { id: batch.id } })).toMatchObject({
      messageId: posted!.id,
    });
  });

  it('is posted once though the answers to its first tries are lost', async () => {
    sandbox.misbehave({ serverError: { next: 6, when: 'after', route: 'POST /channels' } });
    const { batch, channelId: channel } = await openIn(sandbox, { prompt: 'answers that are lost' });
    await start();
    await settled(batch.id);
    expect(ours(channel, 'answers that are lost')).toHaveLength(1);
  });

  it('is posted once though the courier died between the post and the row, and its nonce is forgotten', async () => {
    await start();
    const { batch, channelId: channel } = await openIn(sandbox, { prompt: 'a courier that died' });
    const row = await settled(batch.id);
    await courier.stop();
    // As the row was before the answer came: claimed, with no message; and a nonce that Discord knows no more.
    sandbox.state.keepNonce(channel, row.nonce, '1');
    await db.delivery.update({
      where: { id: row.id },
      data: { messageId: null, posted: 0, attempts: 1, notBefore: new Date() },
    });
    await start();
    const again = await settled(batch.id);
    expect(again.messageId).toBe(row.messageId);
    expect(ours(channel, 'a courier that died')).toHaveLength(1);
  });

  it('outlasts a rate limit', async () => {
    sandbox.misbehave({ rateLimit: { next: 2, retryAfterS: 0.3, route: 'POST /channels' } });
    const { batch, channelId: channel } = await openIn(sandbox, { prompt: 'limited' });
    await start();
    await settled(batch.id);
    expect(ours(channel, 'limited')).toHaveLength(1);
  });

  it('is edited at most once in an interval, and its last state is shown', async () => {
    await start();
    const { batch } = await openIn(sandbox, { prompt: 'many changes' });
    const { messageId } = await settled(batch.id);
    const edits = () => sent.filter(({ route }) => route.endsWith(messageId!)).map(({ at }) => at);
    while (edits().length < 4) {
      (await changed(db, { batchId: batch.id }))();
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    await drawAll(batch.id);
    await settled(batch.id);
    const times = edits();
    // The last one is the finished picture of /imagine, which does not wait for its turn.
    const pauses = times.slice(1, -1).map((at, i) => at - times[i]!);
    expect(pauses.length).toBeGreaterThan(2);
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(EDIT_INTERVAL_MS - 5);
  });

  it('keeps what it has: an edit sends no picture again, and one that is deleted goes', async () => {
    await start();
    const { batch, actor } = await openIn(sandbox, { prompt: 'kept', cells: [{}, {}] });
    await drawAll(batch.id);
    const { messageId, channelId: channel } = await settled(batch.id);
    const find = () => messagesIn(sandbox, channel!).find(({ id }) => id === messageId)!;
    const before = filesOf(find());
    expect(before).toHaveLength(2);
    const [first] = await db.generation.findMany({ where: { batchId: batch.id }, orderBy: { index: 'asc' } });
    const { deleteImage } = await import('#src/generations/images.ts');
    await deleteImage(actor, first!.id);
    await settled(batch.id);
    expect(filesOf(find()).map(({ id }) => id)).toEqual([before[1]!.id]);
    expect(textOf(find())).toContain('Deleted');
  });

  it.each([
    ['by the courier that sent it', async () => {}],
    [
      'by one that was started since',
      async () => {
        await courier.stop();
        await start();
      },
    ],
  ])('sends each picture once, however often it is edited %s', async (_, between) => {
    await start();
    const { batch } = await openIn(sandbox, { prompt: 'sent once', cells: [{}, {}, {}] });
    const { messageId } = await settled(batch.id);
    const edits = () => sent.filter(({ route }) => route.endsWith(messageId!));
    const drawn: number[] = [];
    for (let picture = 1; picture <= 3; picture++) {
      await drawAll(batch.id, { most: 1 });
      await settled(batch.id);
      await between();
      drawn.push(edits().reduce((sum, { files }) => sum + files, 0));
      // An edit that changes no picture.
      const before = edits().length;
      (await changed(db, { batchId: batch.id }))();
      await settled(batch.id);
      expect(edits().length).toBeGreaterThan(before);
    }
    expect(drawn).toEqual([1, 2, 3]);
    expect(edits().reduce((sum, { files }) => sum + files, 0)).toBe(3);
    const row = await deliveryOf(batch.id, 'card');
    const shown = messagesIn(sandbox, row.channelId!).find(({ id }) => id === messageId)!;
    expect(filesOf(shown)).toHaveLength(3);
    expect(shown.attachments).toEqual([]);
  });

  it('is posted once though the process that posts it is killed in the middle', async () => {
    const { batch, channelId: channel } = await openIn(sandbox, { prompt: 'killed in the middle' });
    sandbox.misbehave({ answerAfterMs: 3_000 });
    const killed = spawn(process.execPath, ['src/main.ts', 'courier'], { env: process.env, stdio: 'ignore' });
    const ended = once(killed, 'exit');
    // The work is done before the answer comes: by then it is dead.
    await until(() => ours(channel, 'killed in the middle').length, 'the post', 20_000);
    killed.kill('SIGKILL');
    await ended;
    expect(await deliveryOf(batch.id, 'card')).toMatchObject({ messageId: null, posted: 0, attempts: 1 });
    sandbox.misbehave({ answerAfterMs: 0 });
    await start();
    const row = await until(
      async () => {
        const found = await deliveryOf(batch.id, 'card');
        return found.messageId ? found : null;
      },
      'another courier',
      25_000,
    );
    const posted = ours(channel, 'killed in the middle');
    expect(posted.map(({ id }) => id)).toEqual([row.messageId]);
  }, 60_000);

  it('tells its place in line anew from time to time', async () => {
    await start();
    const { batch } = await openIn(sandbox, { prompt: 'a long wait' });
    const before = await settled(batch.id);
    const { refreshWaiting } = await import('#src/deliveries.ts');
    await refreshWaiting();
    expect((await deliveryOf(batch.id, 'card')).wanted).toBe(before.wanted);
    await refreshWaiting(new Date(Date.now() + 30_000));
    expect((await deliveryOf(batch.id, 'card')).wanted).toBe(before.wanted + 1);
    await settled(batch.id);
  });

  it('is shown by one of two couriers', async () => {
    await start();
    const second = await startCourier();
    try {
      const { batch, channelId: channel } = await openIn(sandbox, { prompt: 'two couriers' });
      await drawAll(batch.id);
      await settled(batch.id);
      expect(ours(channel, 'two couriers')).toHaveLength(1);
    } finally {
      await second.close();
    }
  });
});

describe('a place that cannot be reached', () => {
  it('is told of in a direct message', async () => {
    await start();
    const { batch } = await openIn(sandbox, { prompt: 'no bots here', channel: 'no-bots' });
    const row = await settled(batch.id);
    const direct = directId(sandbox, member);
    expect(row.channelId).toBe(direct);
    const [message] = ours(direct, 'no bots here');
    expect(textOf(message!)).toContain(`<#${channelId(sandbox, 'no-bots')}>`);
    await drawAll(batch.id);
    await settled(batch.id);
    expect(ours(direct, 'no bots here')).toHaveLength(1);
  });

  it('and a person who takes no messages: undelivered, and posted where they ask for it', async () => {
    sandbox.misbehave({ refuseDms: true });
    await start();
    const { batch } = await openIn(sandbox, { prompt: 'nobody hears', channel: 'no-bots' });
    await until(async () => (await deliveryOf(batch.id, 'card')).state === 'undelivered');
    const row = await deliveryOf(batch.id, 'card');
    expect(row.lastError).toBe('50007');
    const { deliverAgain } = await import('#src/deliveries.ts');
    const channel = channelId(sandbox, 'portraits');
    await deliverAgain(origin({ actor: actor({ id: member }), channelId: channel }), row.id);
    await settled(batch.id);
    expect(ours(channelId(sandbox, 'portraits'), 'nobody hears')).toHaveLength(1);
  });

  it('is a message that was deleted', async () => {
    await start();
    const { batch, channelId: channel } = await openIn(sandbox, { prompt: 'deleted card' });
    const row = await settled(batch.id);
    sandbox.state.deleteMessage(messagesIn(sandbox, channel).find(({ id }) => id === row.messageId)!);
    await drawAll(batch.id);
    const moved = await settled(batch.id);
    expect(moved.channelId).toBe(directId(sandbox, member));
  });
});

describe('a sweep', () => {
  const cells = ['1', '2', '3', '4'].map((steps) => ({ coordinates: { steps } }));

  it('has its thread, with status, pictures and manifest', async () => {
    await start();
    const { batch, channelId: channel } = await openIn(sandbox, { kind: 'sweep', cells, title: 'Steps <b>' });
    await settled(batch.id, 'status');
    await drawAll(batch.id, { fail: (index) => (index === 3 ? 'internal' : null) });
    const manifest = await settled(batch.id, 'manifest');
    const pictures = await settled(batch.id, 'pictures');
    const status = await settled(batch.id, 'status');
    const card = await settled(batch.id);
    const { threadId } = await db.batch.findUniqueOrThrow({ where: { id: batch.id } });
    expect(threadId).toBe(card.messageId);
    expect([status, pictures, manifest].map((row) => row.channelId)).toEqual(Array(3).fill(threadId));
    const order = messagesIn(sandbox, threadId!).map(({ id }) => id);
    expect(order).toEqual([status, pictures, manifest].map(({ messageId }) => messageId));
    expect(messagesIn(sandbox, threadId!).map(textOf).join()).not.toContain('This belongs in');
    const find = (id: string | null) => messagesIn(sandbox, threadId!).find((message) => message.id === id)!;
    expect(textOf(find(status.messageId))).toMatch(/3 done · 1 failed/);
    expect(textOf(find(status.messageId))).not.toContain('Stop');
    expect(filesOf(find(status.messageId))[0]?.filename).toMatch(/^contact-sheet-/);
    expect(filesOf(find(pictures.messageId))).toHaveLength(3);
    expect(filesOf(find(manifest.messageId)).map(({ filename }) => filename.split('.')[1])).toEqual([
      'csv',
      'json',
    ]);
    const shown = messagesIn(sandbox, channel).find(({ id }) => id === card.messageId)!;
    expect(textOf(shown)).toContain(`<#${threadId}>`);
    expect(filesOf(shown)[0]?.filename).toMatch(/^overview-/);
  });

  it('does without a thread where there can be none', async () => {
    await start();
    const { batch } = await openIn(sandbox, { kind: 'sweep', cells, channel: 'no-bots' });
    const status = await settled(batch.id, 'status');
    expect(status.channelId).toBe(directId(sandbox, member));
  });
});

describe('a flagged picture', () => {
  it('is in no message but the review, blurred, and comes when it is approved', async () => {
    await start();
    const { batch, channelId: channel, actor } = await openIn(sandbox, { prompt: 'held back' });
    await drawAll(batch.id, { verdict: 'flagged' });
    const card = await settled(batch.id);
    const find = () => messagesIn(sandbox, channel).find(({ id }) => id === card.messageId)!;
    expect(filesOf(find())).toHaveLength(0);
    expect(textOf(find())).toContain('This server has no channel for reviews yet');

    // Its guild has no review channel yet: it waits.
    const review = await db.delivery.findFirstOrThrow({
      where: { kind: 'review' },
      orderBy: { createdAt: 'desc' },
    });
    await until(async () => (await db.delivery.findUnique({ where: { id: review.id } }))?.lastError);
    await chooseReview(sandbox, actor);
    await until(() => textOf(find()).includes('Held for review by the moderators'));
    const posted = await until(async () => {
      const row = await db.delivery.findUniqueOrThrow({ where: { id: review.id } });
      return row.posted >= row.wanted && row;
    });
    const inReview = () =>
      messagesIn(sandbox, channelId(sandbox, 'review')).find(({ id }) => id === posted.messageId)!;
    expect(textOf(inReview())).toMatch(/Approve\s+Reject/);
    const [blurred] = sandbox.state.filesOf(inReview().id);
    const image = await db.image.findFirstOrThrow({ where: { generation: { batchId: batch.id } } });
    expect(blurred!.size).toBeLessThan(5_000);

    const { decide } = await import('#src/moderation/reviews.ts');
    await decide(
      { ...actor, id: PEOPLE.moderator.id, managesGuild: true },
      review.reviewId!,
      'approved',
      null,
    );
    await settled(batch.id);
    await until(() => filesOf(find()).length === 1);
    expect(filesOf(find())[0]?.filename).toContain(image.sha256.slice(0, 8));
    await until(() => !textOf(inReview()).includes('Reject\n') && textOf(inReview()).includes('Approved by'));
    const notice = await until(() => ours(channel, 'was approved')[0]);
    expect(notice.mentions.map(({ id }) => id)).toEqual([member]);
    expect(notice.message_reference?.message_id).toBe(card.messageId);
    await until(async () => (await deliveryOf(batch.id, 'notice')).state === 'closed');
  });

  it('is never sent to anyone else when the review channel is lost', async () => {
    await start();
    const { batch, actor } = await openIn(sandbox, { prompt: 'channel lost' });
    const channel = sandbox.state.channels.get(await chooseReview(sandbox, actor))!;
    const { overwrites = [] } = channel;
    const withoutBot = overwrites.filter(({ id }) => id !== sandbox.state.world.applicationId);
    sandbox.state.updateChannel(channel, { overwrites: withoutBot });
    onTestFinished(() => sandbox.state.updateChannel(channel, { overwrites }));
    await drawAll(batch.id, { verdict: 'flagged' });
    await settled(batch.id);
    const review = await until(() =>
      db.delivery.findFirst({
        where: { kind: 'review', lastError: { not: null } },
        orderBy: { createdAt: 'desc' },
      }),
    );
    expect(review).toMatchObject({ state: 'active', messageId: null, lastError: '50001' });
    expect(
      messagesIn(sandbox, directId(sandbox, member)).filter((message) =>
        filesOf(message).some(({ filename }) => filename.startsWith('held')),
      ),
    ).toEqual([]);
  });
});

describe('where the bot is no member', () => {
  it('messages go by the token, and by direct message when it has expired', async () => {
    await start();
    const tokenExpiresAt = grant('token-a', 'friends');
    const { batch, channelId: friends } = await openIn(sandbox, {
      channel: 'friends',
      prompt: 'among friends',
      token: 'token-a',
      tokenExpiresAt,
    });
    await settled(batch.id);
    expect(ours(friends, 'among friends')).toHaveLength(1);

    await db.delivery.updateMany({ where: { batchId: batch.id }, data: { tokenExpiresAt: new Date() } });
    await drawAll(batch.id);
    const moved = await settled(batch.id);
    expect(moved).toMatchObject({ channelId: directId(sandbox, member), token: null });
    const [direct] = ours(directId(sandbox, member), 'among friends');
    expect(filesOf(direct!)).toHaveLength(1);
    expect(ours(friends, 'among friends')).toHaveLength(1);
  });

  it('a token that Discord does not know any more is as good as expired', async () => {
    await start();
    const tokenExpiresAt = grant('token-b', 'friends', 0);
    const { batch } = await openIn(sandbox, {
      channel: 'friends',
      prompt: 'too late',
      token: 'token-b',
      tokenExpiresAt: new Date(tokenExpiresAt.getTime() + 60_000),
    });
    const moved = await settled(batch.id);
    expect(moved).toMatchObject({ channelId: directId(sandbox, member), token: null });
  });

  it('a person who takes no messages is undelivered to', async () => {
    sandbox.misbehave({ refuseDms: true });
    await start();
    const { batch } = await openIn(sandbox, {
      channel: 'friends',
      prompt: 'silence',
      token: 'token-c',
      tokenExpiresAt: new Date(),
    });
    const row = await until(async () => {
      const found = await deliveryOf(batch.id, 'card');
      return found.state === 'undelivered' && found;
    });
    expect(row).toMatchObject({ token: null, lastError: '50007' });
  });
});

describe.each(queueBackends)('on $name', ({ options }) => {
  it('a job wakes the courier, and an emptied queue loses nothing', async () => {
    const { connectQueues } = await import('#src/doors/queue.ts');
    const queues = connectQueues(options);
    const own = await startCourier({ queues });
    try {
      const { batch, channelId: channel } = await openIn(sandbox, { prompt: `through ${queues.backend}` });
      const { id } = await deliveryOf(batch.id, 'card');
      await queues.add('delivery', { deliveryId: id }, { id });
      await settled(batch.id);
      expect(ours(channel, `through ${queues.backend}`)).toHaveLength(1);
      // Changed without a job: found by looking.
      await db.delivery.update({ where: { id }, data: { wanted: { increment: 1 } } });
      await settled(batch.id);
    } finally {
      await own.close();
      await queues.close();
    }
  });
});

describe('everything that is sent', () => {
  it('notifies nobody that a prompt names, and shows the prompt as text', async () => {
    await start();
    const prompt = `@everyone <@${member}> **bold** [link](https://example.com) \`code\` ||spoiler||`;
    const { batch, channelId: channel } = await openIn(sandbox, { prompt });
    await drawAll(batch.id);
    const { messageId } = await settled(batch.id);
    const message = messagesIn(sandbox, channel).find(({ id }) => id === messageId)!;
    expect(message.mention_everyone).toBe(false);
    expect(message.mentions).toEqual([]);
    expect(textOf(message)).toContain('\\*\\*bold\\*\\*');
    expect(textOf(message)).not.toContain('@everyone');
  });

  it('had allowed_mentions and the v2 flag, always, and was as Discord describes it', () => {
    const messages = sent.filter(({ route }) => /messages(\/\d+)?$|webhooks\/\d+\/[^/]+$/.test(route));
    expect(messages.length).toBeGreaterThan(30);
    for (const { body } of messages) {
      expect(body.allowed_mentions).toMatchObject({ parse: [], replied_user: false });
      expect(Number(body.flags) & MessageFlags.IsComponentsV2).toBeTruthy();
      expect(body.content).toBeUndefined();
    }
    expect(sandbox.violations).toEqual([]);
  });
});
