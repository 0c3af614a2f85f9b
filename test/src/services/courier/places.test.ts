/** Where messages go: posts of forums, and servers that have the app without its bot. */
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { connectPerson, filesOf, textOf } from '#infra/local/discord/person.ts';
import { PEOPLE } from '#infra/local/discord/world.ts';
import { directId, drawAll, member, messagesIn, openCourier, openIn } from './local.ts';

const courier = await openCourier();
const { sandbox, start, deliveryOf, settled, ours, grant } = courier;
const { db } = await import('#src/doors/db.ts');
const { deliverAgain } = await import('#src/deliveries.ts');
const { actor, origin } = await import('#test/support/requests.ts');

afterEach(courier.tidy);
afterAll(courier.close);

const cells = ['1', '2'].map((steps) => ({ coordinates: { steps } }));

describe.each(['forum', 'media'])('in a post of a %s channel', (forum) => {
  async function begin(title: string): Promise<string> {
    const person = await connectPerson(sandbox.pageUrl, { person: 'member', channel: forum });
    const { channel_id } = await person.say(title);
    person.close();
    return channel_id;
  }

  it('a picture is shown in the post itself', async () => {
    const title = `A picture, in ${forum}`;
    const post = await begin(title);
    await start();
    const { batch } = await openIn(sandbox, { channel: title, prompt: 'in a post' });
    await drawAll(batch.id);
    expect((await settled(batch.id)).channelId).toBe(post);
    expect(filesOf(ours(post, 'in a post')[0]!)).toHaveLength(1);
  });

  it('a sweep is shown in the post too: it holds no other thread', async () => {
    const title = `A sweep, in ${forum}`;
    const post = await begin(title);
    await start();
    const { batch } = await openIn(sandbox, { channel: title, kind: 'sweep', cells });
    await drawAll(batch.id);
    for (const kind of ['card', 'status', 'pictures', 'manifest'] as const) {
      expect((await settled(batch.id, kind)).channelId).toBe(post);
    }
    const shown = messagesIn(sandbox, post).flatMap(filesOf);
    expect(shown.filter(({ filename }) => filename.startsWith('picture-'))).toHaveLength(2);
    expect(messagesIn(sandbox, post).map(textOf).join()).not.toContain('This belongs in');
  });
});

it('what was meant for a forum itself, and not for a post of it, comes as a direct message and soon', async () => {
  await start();
  const { batch, channelId: forum } = await openIn(sandbox, { channel: 'forum', prompt: 'for the forum' });
  await drawAll(batch.id);
  const { channelId } = await settled(batch.id);
  expect(channelId).toBe(directId(sandbox, member));
  const [direct] = ours(channelId!, 'for the forum');
  expect(filesOf(direct!)).toHaveLength(1);
  expect(textOf(direct!)).toContain(`This belongs in <#${forum}>`);
});

describe('in a server that has the app without its bot', () => {
  it('a picture is shown by the interaction’s own token', async () => {
    await start();
    const { batch, channelId: lounge } = await openIn(sandbox, {
      channel: 'lounge',
      prompt: 'without the bot',
      token: 'annex-a',
      tokenExpiresAt: grant('annex-a', 'lounge'),
    });
    await drawAll(batch.id);
    await settled(batch.id);
    const [shown, ...more] = ours(lounge, 'without the bot');
    expect(more).toEqual([]);
    expect(filesOf(shown!)).toHaveLength(1);
  });

  it('one that took longer than the token comes as a direct message', async () => {
    await start();
    const { batch, channelId: lounge } = await openIn(sandbox, {
      channel: 'lounge',
      prompt: 'after a quarter of an hour',
      token: 'annex-b',
      tokenExpiresAt: grant('annex-b', 'lounge'),
    });
    await settled(batch.id);
    await db.delivery.updateMany({ where: { batchId: batch.id }, data: { tokenExpiresAt: new Date() } });
    await drawAll(batch.id);
    const { channelId } = await settled(batch.id);
    expect(channelId).toBe(directId(sandbox, member));
    const [direct] = ours(channelId!, 'after a quarter of an hour');
    expect(filesOf(direct!)).toHaveLength(1);
    expect(textOf(direct!)).toContain(`This belongs in <#${lounge}>`);
  });

  it('a sweep is shown so too, all of it in the channel', async () => {
    await start();
    const { batch, channelId: lounge } = await openIn(sandbox, {
      channel: 'lounge',
      kind: 'sweep',
      cells,
      token: 'annex-e',
      tokenExpiresAt: grant('annex-e', 'lounge'),
    });
    await drawAll(batch.id);
    for (const kind of ['card', 'status', 'pictures', 'manifest'] as const) {
      expect((await settled(batch.id, kind)).channelId).toBe(lounge);
    }
    const { messageId } = await deliveryOf(batch.id, 'pictures');
    const pictures = messagesIn(sandbox, lounge).find(({ id }) => id === messageId);
    expect(filesOf(pictures!)).toHaveLength(2);
  });

  it('one that could not be sent at all is posted by the token of who asks for it again', async () => {
    sandbox.misbehave({ refuseDms: true });
    await start();
    const { batch, channelId: lounge } = await openIn(sandbox, {
      channel: 'lounge',
      prompt: 'asked for again',
      token: 'annex-c',
      tokenExpiresAt: new Date(),
    });
    await drawAll(batch.id);
    await expect
      .poll(async () => (await deliveryOf(batch.id)).state, { timeout: 10_000 })
      .toBe('undelivered');
    const { id } = await deliveryOf(batch.id);
    const again = origin({
      actor: actor({ id: PEOPLE.member.id }),
      channelId: lounge,
      botInside: false,
      token: 'annex-d',
      tokenExpiresAt: grant('annex-d', 'lounge'),
    });
    await deliverAgain(again, id);
    await settled(batch.id);
    expect(filesOf(ours(lounge, 'asked for again')[0]!)).toHaveLength(1);
  });
});
