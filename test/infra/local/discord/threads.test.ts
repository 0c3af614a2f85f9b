/** Threads and posts as a bot meets them: archived, locked, of a forum; and a reply to what it may not read. */
import { PermissionFlagsBits as P, REST, type RESTPostAPIChannelMessageResult, Routes } from 'discord.js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectPerson } from '#infra/local/discord/person.ts';
import type { Sandbox } from '#infra/local/discord/sandbox.ts';
import type { StoredChannel } from '#infra/local/discord/world.ts';
import { APPLICATION_ID, picture, startJudged, TOKEN } from './bot.ts';

type Message = RESTPostAPIChannelMessageResult;

let sandbox: Sandbox;
let rest: REST;

beforeAll(async () => {
  sandbox = await startJudged();
  rest = new REST({ api: sandbox.apiUrl, retries: 0 }).setToken(TOKEN);
});
afterAll(() => sandbox.close());
afterEach(() => {
  expect(sandbox.violations).toEqual([]);
});

function channel(name: string): StoredChannel {
  const { id } = sandbox.state.world.guilds[0];
  return [...sandbox.state.channels.values()].find((one) => one.name === name && one.guildId === id)!;
}

const send = (where: string, body: object, files: { name: string; data: Buffer }[] = []) =>
  rest.post(Routes.channelMessages(where), { body, files }) as Promise<Message>;

/** A thread of the bot's own in #sweeps, with a message. */
async function thread(): Promise<{ stored: StoredChannel; message: Message }> {
  const start = await send(channel('sweeps').id, { content: 'A sweep' });
  await rest.post(Routes.threads(channel('sweeps').id, start.id), { body: { name: 'cells' } });
  const stored = sandbox.state.channels.get(start.id)!;
  return { stored, message: await send(stored.id, { content: 'cell 1' }) };
}
const change = (stored: StoredChannel, how: { archived?: boolean; locked?: boolean }) =>
  sandbox.state.updateChannel(stored, { thread: { ...stored.thread!, ...how } });
const edit = (stored: StoredChannel, { id }: Message) =>
  rest.patch(Routes.channelMessage(stored.id, id), { body: { content: 'changed' } });
const open = (stored: StoredChannel) => rest.patch(Routes.channel(stored.id), { body: { archived: false } });

/** What the bot may not do in a channel, while `work` is done. */
async function without<T>(place: StoredChannel, bits: bigint, work: () => Promise<T>): Promise<T> {
  const before = place.overwrites ?? [];
  const denied = { id: APPLICATION_ID, type: 1, allow: '0', deny: String(bits) };
  sandbox.state.updateChannel(place, { overwrites: [...before, denied] });
  try {
    return await work();
  } finally {
    sandbox.state.updateChannel(place, { overwrites: before });
  }
}

describe('an archived thread', () => {
  it('takes no edit and no change until it is opened, and a message opens it', async () => {
    const { stored, message } = await thread();
    change(stored, { archived: true });
    await expect(edit(stored, message)).rejects.toMatchObject({ code: 50083 });
    await expect(rest.patch(Routes.channel(stored.id), { body: { name: 'b' } })).rejects.toMatchObject({
      code: 50083,
    });
    await open(stored);
    await edit(stored, message);
    change(stored, { archived: true });
    await send(stored.id, { content: 'cell 2' });
    expect(stored.thread!.archived).toBe(false);
  });

  it('is opened by anyone in it, unless it is locked', async () => {
    const { stored } = await thread();
    await without(channel('sweeps'), P.ManageThreads, async () => {
      change(stored, { archived: true });
      await open(stored);
      change(stored, { archived: true, locked: true });
      await expect(open(stored)).rejects.toMatchObject({ code: 50013 });
    });
    await open(stored);
  });
});

it('a locked thread takes messages and edits only of those who manage threads', async () => {
  const { stored, message } = await thread();
  change(stored, { locked: true });
  await without(channel('sweeps'), P.ManageThreads, async () => {
    await expect(send(stored.id, { content: 'cell 2' })).rejects.toMatchObject({ code: 160005 });
    await expect(edit(stored, message)).rejects.toMatchObject({ code: 160005 });
  });
  await send(stored.id, { content: 'cell 2' });
  await edit(stored, message);
});

it('a thread holds no thread', async () => {
  const { stored, message } = await thread();
  await expect(
    rest.post(Routes.threads(stored.id, message.id), { body: { name: 'deeper' } }),
  ).rejects.toMatchObject({ code: 50024 });
  await expect(rest.post(Routes.threads(stored.id), { body: { name: 'deeper' } })).rejects.toMatchObject({
    code: 50024,
  });
});

it('a reply needs the right to read what is answered', async () => {
  const { id: place } = channel('portraits');
  const { id } = await send(place, { content: 'first' });
  const reply = { content: 'second', message_reference: { message_id: id } };
  await without(channel('portraits'), P.ReadMessageHistory, async () => {
    await expect(send(place, reply)).rejects.toMatchObject({ code: 160002 });
    await send(place, { content: 'by itself' });
  });
  expect((await send(place, reply)).message_reference?.message_id).toBe(id);
});

describe.each(['forum', 'media'])('a %s channel', (name) => {
  it('holds posts and no messages', async () => {
    const forum = channel(name);
    await expect(send(forum.id, { content: 'x' })).rejects.toMatchObject({ code: 50008 });
    const post = (await rest.post(Routes.threads(forum.id), {
      body: { name: 'A post', message: { content: 'the first' } },
      files: [{ name: 'a.png', data: await picture(10, 20, 30) }],
    })) as { id: string; message: Message };
    expect(post.message).toMatchObject({ id: post.id, channel_id: post.id, content: 'the first' });
    expect(post.message.attachments).toHaveLength(1);
    await send(post.id, { content: 'the second' });
    expect(await rest.get(Routes.channel(post.id))).toMatchObject({ type: 11, parent_id: forum.id });
    expect(await rest.get(Routes.channel(forum.id))).toMatchObject({ id: forum.id, available_tags: [] });
  });

  it('lets a person begin one, and commands belong into the post', async () => {
    const member = await connectPerson(sandbox.pageUrl, { person: 'member', channel: name });
    const title = `Which ${name}?`;
    const first = await member.say(title);
    const post = await member.in(title);
    expect((await post.messages()).map(({ id }) => id)).toEqual([first.id]);
    await post.say('Or this?');
    expect(await member.messages()).toEqual([]);
    expect(await member.commands()).toEqual([]);
    member.close();
  });
});
