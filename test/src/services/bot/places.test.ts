/** Where something is asked for: what the bot takes from it of where to post, and as whom. */
import { PermissionFlagsBits as P } from 'discord.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectPerson } from '#infra/local/discord/person.ts';
import type { LocalBot } from './local-bot.ts';

let local: LocalBot;
let db: typeof import('#src/doors/db.ts').db;
beforeAll(async () => {
  local = await (await import('./local-bot.ts')).startLocalBot();
  // Only now: `config` is read when the first of our modules is imported.
  ({ db } = await import('#src/doors/db.ts'));
});
afterAll(async () => {
  await local?.close();
});

const latestBatch = (ownerId: string) =>
  db.batch.findFirstOrThrow({ where: { ownerId }, orderBy: { createdAt: 'desc' } });

async function sweepIn(channel: string): Promise<{ id: string; channelId: string | null }> {
  const me = await local.as('member', channel);
  const data = Buffer.from('name: two\nprompt: a portrait\naxes:\n  steps: [1, 2]\n');
  const plan = await me.type('sweep', {}, { file: { filename: 'sweep.yaml', data } });
  expect(plan.content).toContain('**Plan:');
  expect(plan.content).toMatch(/^Tier `\w+` · ready (within \d+|in \d+–\d+) (s|min|h)$/m);
  await me.press(plan, 'Run');
  return latestBatch(me.id);
}

describe.each(['forum', 'media'])('in a post of a %s channel', (forum) => {
  it('pictures and sweeps are for the post, as the channel itself takes no messages', async () => {
    const title = `Ideas for ${forum}`;
    const person = await connectPerson(local.sandbox.pageUrl, { person: 'member', channel: forum });
    const { channel_id: post } = await person.say(title);
    person.close();
    const me = await local.as('member', title);
    expect((await me.type('imagine', { prompt: 'a portrait' })).content).toMatch(/^Accepted/);
    expect((await latestBatch(me.id)).channelId).toBe(post);
    expect((await sweepIn(title)).channelId).toBe(post);
  });

  it('a sweep there needs no right to begin threads, nor to write outside of them', async () => {
    const title = `Rights in ${forum}`;
    const person = await connectPerson(local.sandbox.pageUrl, { person: 'member', channel: forum });
    const { channel_id: post } = await person.say(title);
    const { state } = local.sandbox;
    const deny = String(P.SendMessages | P.CreatePublicThreads);
    const overwrites = [{ id: state.world.applicationId, type: 1, allow: '0', deny }];
    state.updateChannel(state.channels.get(person.channelId)!, { overwrites });
    person.close();
    expect((await sweepIn(title)).channelId).toBe(post);
  });
});

it('in a thread, sweeps are for the channel that it was started in', async () => {
  const channel = await local.channel('portraits');
  const start = await local.post(channel, 'A thread begins here');
  await local.rest(`channels/${channel}/messages/${start.id}/threads`, { name: 'a thread of portraits' });
  expect((await sweepIn('a thread of portraits')).channelId).toBe(channel);
});

describe('in a server that has the app without its bot', () => {
  it('a picture is accepted, and is for the interaction’s own token', async () => {
    const me = await local.as('member', 'lounge', 2);
    const { content } = await me.type('imagine', { prompt: 'a portrait' });
    expect(content).toMatch(/^Accepted/);
    expect(content).not.toContain('15 minutes');
    const batch = await latestBatch(me.id);
    expect(batch).toMatchObject({ botInside: false, channelId: me.channelId });
    expect(await db.delivery.findFirstOrThrow({ where: { batchId: batch.id } })).toMatchObject({
      token: expect.any(String),
      tokenExpiresAt: expect.any(Date),
    });
  });

  it('one that may take longer than the token is good for is told of so', async () => {
    // Each picture is thought to take its time, as the latest one did.
    const me = await local.as('member', 'lounge', 2);
    const like = { bundle: 'reference', width: 512, height: 640, face: false, batch: 1 };
    await db.cost.create({ data: { ...like, msPerStep: 60_000 } });
    let asked = 0;
    const ask = async () =>
      (await me.type('imagine', { prompt: `a portrait that waits ${++asked}` })).content;
    // What was measured is read every few seconds.
    await expect
      .poll(ask, { timeout: 20_000 })
      .toMatch(/^Accepted .*can post for 15 minutes only.*`\/queue`/);
  });
});
