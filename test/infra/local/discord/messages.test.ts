/** What the bot may do with messages: carry files and embeds, delete many at once, and read what others wrote. */
import { GatewayIntentBits, REST, Routes } from 'discord.js';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { connectPerson, type Person } from '#infra/local/discord/person.ts';
import type { Sandbox } from '#infra/local/discord/sandbox.ts';
import { PEOPLE } from '#infra/local/discord/world.ts';
import { APPLICATION_ID, startJudged, TOKEN } from './bot.ts';
import { greeted, identify } from './socket.ts';

interface Message {
  id: string;
  content: string;
  flags?: number;
}

const DAY_MS = 86_400_000;

let sandbox: Sandbox;
let rest: REST;
let member: Person;

beforeAll(async () => {
  sandbox = await startJudged();
  rest = new REST({ api: sandbox.apiUrl }).setToken(TOKEN);
  member = await connectPerson(sandbox.pageUrl, { person: 'member', channel: 'portraits' });
});

afterAll(async () => {
  member.close();
  await sandbox.close();
  expect(sandbox.violations.filter(({ side }) => side === 'response')).toEqual([]);
});

const channel = (name: string) => [...sandbox.state.channels.values()].find((one) => one.name === name)!.id;
const send = (where: string, body: object, files: { name: string; data: Buffer }[] = []) =>
  rest.post(Routes.channelMessages(where), { body, files }) as Promise<Message>;
const file = { name: 'a.txt', data: Buffer.from('x') };
const embed = { description: 'x' };

describe('without the right to', () => {
  const deny = (bits: bigint) =>
    rest.put(Routes.channelPermission(channel('sweeps'), APPLICATION_ID), {
      body: { type: 1, deny: String(bits), allow: '0' },
    });
  const refused = { code: 50013, status: 403 };

  it.each([
    ['attach files, none is sent, and none is added to a message', 1n << 15n, { content: 'x' }, [file]],
    ['embed links, no embed is sent, and none is added', 1n << 14n, { embeds: [embed] }, []],
  ])('%s', async (_, bits, body, files) => {
    const { id } = await send(channel('sweeps'), { content: 'before' });
    await deny(bits);
    await expect(send(channel('sweeps'), body, files)).rejects.toMatchObject(refused);
    const edit = rest.patch(Routes.channelMessage(channel('sweeps'), id), { body, files });
    await expect(edit).rejects.toMatchObject(refused);
    // What carries neither is written as before.
    await rest.patch(Routes.channelMessage(channel('sweeps'), id), {
      body: { content: 'after', embeds: [] },
    });
    await rest.delete(Routes.channelPermission(channel('sweeps'), APPLICATION_ID));
  });
});

describe('many messages at once', () => {
  const bulk = (where: string, messages: unknown[]) =>
    rest.post(Routes.channelBulkDelete(where), { body: { messages } });

  it('are deleted as one change: one event, and gone from every page', async () => {
    const line = await greeted(`${sandbox.pageUrl.replace('http', 'ws')}gateway?v=10&encoding=json`);
    line.send(2, identify([0, 2]));
    const [first, second, third] = [
      await send(channel('portraits'), { content: '1' }),
      await send(channel('portraits'), { content: '2' }),
      await send(channel('portraits'), { content: '3' }),
    ];
    await bulk(channel('portraits'), [first.id, second.id]);
    const { d } = await line.until(({ t }) => t === 'MESSAGE_DELETE_BULK');
    expect(d).toMatchObject({ ids: [first.id, second.id], channel_id: channel('portraits') });
    expect(line.heard.some(({ t }) => t === 'MESSAGE_DELETE')).toBe(false);
    const left = (await member.messages()).map(({ id }) => id);
    expect(left).toContain(third.id);
    expect(left).not.toContain(first.id);
    line.socket.close(1000);
  });

  it('are at least two and at most a hundred, from a server, and younger than a fortnight', async () => {
    const { id } = await send(channel('portraits'), { content: 'x' });
    await expect(bulk(channel('portraits'), [id])).rejects.toMatchObject({ code: 50016 });
    const many = Array.from({ length: 101 }, (_, i) => String(BigInt(id) + BigInt(i)));
    await expect(bulk(channel('portraits'), many)).rejects.toMatchObject({ code: 50016 });
    await expect(bulk(channel('portraits'), [id, id])).rejects.toMatchObject({ code: 50035 });
    await expect(bulk(channel('portraits'), [id, 'x'])).rejects.toMatchObject({ code: 50035 });
    const direct = (await rest.post(Routes.userChannels(), { body: { recipient_id: PEOPLE.member.id } })) as {
      id: string;
    };
    await expect(bulk(direct.id, [id, '2'])).rejects.toMatchObject({ code: 50003 });

    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 15 * DAY_MS });
    const fresh = await send(channel('portraits'), { content: 'fresh' });
    await expect(bulk(channel('portraits'), [fresh.id, id])).rejects.toMatchObject({ code: 50034 });
    vi.useRealTimers();
  });

  it('need the right to manage messages', async () => {
    const made = [
      await send(channel('sweeps'), { content: '1' }),
      await send(channel('sweeps'), { content: '2' }),
    ];
    const overwrite = Routes.channelPermission(channel('sweeps'), APPLICATION_ID);
    await rest.put(overwrite, { body: { type: 1, deny: String(1 << 13), allow: '0' } });
    const ids = made.map(({ id }) => id);
    await expect(bulk(channel('sweeps'), ids)).rejects.toMatchObject({ code: 50013 });
    await rest.delete(overwrite);
  });
});

describe('what others wrote', () => {
  const contents = async (api: REST, where: string, id: string) => {
    const one = (await api.get(Routes.channelMessage(where, id))) as Message;
    const all = (await api.get(Routes.channelMessages(where))) as Message[];
    return [one.content, all.find((message) => message.id === id)!.content];
  };

  it('is empty to a bot without MESSAGE_CONTENT, unless it was said to it', async () => {
    const said = await member.say('for the others');
    expect(await contents(rest, channel('portraits'), said.id)).toEqual(['', '']);
    const called = await member.say(`<@${APPLICATION_ID}> hello`);
    expect((await contents(rest, channel('portraits'), called.id))[0]).toContain('hello');
    const own = await send(channel('portraits'), { content: 'my own' });
    expect(await contents(rest, channel('portraits'), own.id)).toEqual(['my own', 'my own']);
    const direct = await (await member.in('dm')).say('in private');
    expect((await contents(rest, direct.channel_id, direct.id))[0]).toBe('in private');
  });

  it('is read with it; and the members of a server with GUILD_MEMBERS', async () => {
    const [guild] = sandbox.state.world.guilds;
    const members = { query: new URLSearchParams({ limit: '5' }) };
    await expect(rest.get(Routes.guildMembers(guild.id), members)).rejects.toMatchObject({ code: 50001 });

    const privilegedIntents = GatewayIntentBits.MessageContent | GatewayIntentBits.GuildMembers;
    const open = await startJudged({ privilegedIntents });
    const api = new REST({ api: open.apiUrl }).setToken(TOKEN);
    const other = await connectPerson(open.pageUrl, { person: 'other', channel: 'portraits' });
    const said = await other.say('for everyone');
    expect(await contents(api, said.channel_id, said.id)).toEqual(['for everyone', 'for everyone']);
    expect(await api.get(Routes.guildMembers(guild.id), members)).toHaveLength(5);
    other.close();
    await open.close();
  });
});

describe('a direct message', () => {
  it('can be sent to the owner of a server, and to nobody else that is no person', async () => {
    const { ownerId } = sandbox.state.world.guilds[0];
    const open = (recipient_id: string) =>
      rest.post(Routes.userChannels(), { body: { recipient_id } }) as Promise<{ id: string }>;
    const direct = await open(ownerId);
    expect((await open(ownerId)).id).toBe(direct.id);
    expect((await send(direct.id, { content: 'Good morning' })).content).toBe('Good morning');
    await expect(open('7')).rejects.toMatchObject({ code: 50033 });
    await expect(open(APPLICATION_ID)).rejects.toMatchObject({ code: 50007 });
  });
});
