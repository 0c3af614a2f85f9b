/** A channel that is at its limit, or slow, or failing keeps nobody else's message. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { channelId, directId, drawAll, member, messagesIn, openCourier, openIn, until } from './local.ts';

/** `METHOD /path 429 …` */
const refusedForLimit: string[] = [];
const courier = await openCourier({
  rateLimits: true,
  onLog: (line) => {
    if (/ 429 \d+ ms$/.test(line)) refusedForLimit.push(line);
  },
});
const { sandbox, sent, start, settled, deliveryOf, ours } = courier;
const { db } = await import('#src/doors/db.ts');
const { changed } = await import('#src/deliveries.ts');

const direct = directId(sandbox, member);
/** messages that a channel takes in one of Discord's windows */
const LIMIT = 5;

beforeEach(() => {
  sent.length = 0;
  refusedForLimit.length = 0;
});
afterEach(courier.tidy);
afterAll(courier.close);

/** One more channel, whose limit nobody has touched yet. */
function newChannel(name: string): string {
  const { type, guildId, overwrites } = sandbox.state.channels.get(channelId(sandbox, 'portraits'))!;
  return sandbox.state.createChannel({ type, guildId: guildId!, name, overwrites: overwrites ?? [] }).id;
}

/** Cards of as many batches, opened one after the other. */
async function openSeveral(count: number, channel: string) {
  const opened = [];
  for (let i = 1; i <= count; i++)
    opened.push(await openIn(sandbox, { prompt: `${channel} ${i}.`, channel }));
  return opened;
}

const postsIn = (channel: string) =>
  sent.filter(({ route }) => route === `POST /api/v10/channels/${channel}/messages`).length;

describe('a channel that is at its limit', () => {
  it('keeps no direct message waiting, is never asked beyond it, and gets all of its own in their order', async () => {
    const channel = newChannel('much');
    await start();
    const cards = await openSeveral(LIMIT + 2, 'much');
    await until(() => postsIn(channel) === LIMIT, 'as many as it takes');
    const { batch } = await openIn(sandbox, { prompt: 'one to me', channel: 'dm' });
    await settled(batch.id);
    expect(ours(direct, 'one to me')).toHaveLength(1);
    expect(postsIn(channel)).toBe(LIMIT);

    for (const { batch } of cards) await settled(batch.id);
    const rows = await Promise.all(cards.map(({ batch }) => deliveryOf(batch.id)));
    expect(messagesIn(sandbox, channel).map(({ id }) => id)).toEqual(rows.map(({ messageId }) => messageId));
    expect(postsIn(channel)).toBe(cards.length);
    expect(refusedForLimit).toEqual([]);
  });

  it('gets one edit of what changed many times meanwhile', async () => {
    const channel = newChannel('changes');
    await start();
    const [first] = await openSeveral(LIMIT, 'changes');
    await until(() => postsIn(channel) === LIMIT, 'as many as it takes');
    const { messageId } = await settled(first!.batch.id);
    for (let i = 0; i < 8; i++) (await changed(db, { batchId: first!.batch.id }))();
    await drawAll(first!.batch.id);
    const edits = () => sent.filter(({ route }) => route.endsWith(messageId!));
    expect(edits()).toEqual([]);
    await settled(first!.batch.id);
    expect(edits().map(({ files }) => files)).toEqual([1]);
    expect(refusedForLimit).toEqual([]);
  });

  it('is seldom asked beyond it where another courier uses it too, and each message is shown once', async () => {
    const channel = newChannel('shared');
    await start();
    const other = spawn(process.execPath, ['src/main.ts', 'courier'], { env: process.env, stdio: 'ignore' });
    const ended = once(other, 'exit');
    onTestFinished(async () => {
      other.kill('SIGKILL');
      await ended;
    });
    const cards = await openSeveral(2 * LIMIT, 'shared');
    for (const { batch } of cards) await settled(batch.id, 'card', 30_000);
    expect(messagesIn(sandbox, channel)).toHaveLength(cards.length);
    // Each of the two may learn it once in a window.
    expect(refusedForLimit.length).toBeLessThanOrEqual(6);
  }, 60_000);
});

describe('a slow channel', () => {
  it('keeps its own messages in their order, and nobody else’s waiting', async () => {
    const channel = newChannel('slow');
    const [first] = await openSeveral(1, 'slow');
    await drawAll(first!.batch.id);
    const [second] = await openSeveral(1, 'slow');
    sandbox.misbehave({ slowUpload: { next: 1, ms: 2_500 } });
    await start();
    await until(() => sandbox.misbehave({}).slowUpload?.next === 0, 'the upload to begin');
    const { batch } = await openIn(sandbox, { prompt: 'to me, meanwhile', channel: 'dm' });
    await settled(batch.id);
    expect(messagesIn(sandbox, channel)).toEqual([]);
    await settled(second!.batch.id);
    const rows = [await deliveryOf(first!.batch.id), await deliveryOf(second!.batch.id)];
    expect(messagesIn(sandbox, channel).map(({ id }) => id)).toEqual(rows.map(({ messageId }) => messageId));
  });
});

it('a message that fails does not keep the next one of its channel', async () => {
  const channel = newChannel('failing');
  const [first, second] = await openSeveral(2, 'failing');
  // The library tries four times by itself.
  sandbox.misbehave({ serverError: { next: 4, when: 'before', route: 'POST /channels' } });
  await start();
  for (const { batch } of [first!, second!]) await settled(batch.id);
  const rows = [await deliveryOf(second!.batch.id), await deliveryOf(first!.batch.id)];
  expect(messagesIn(sandbox, channel).map(({ id }) => id)).toEqual(rows.map(({ messageId }) => messageId));
});
