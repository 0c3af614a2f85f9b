/** The gateway, spoken to with bare WebSockets and with discord.js; and what is left after a restart. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { REST, Routes } from 'discord.js';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { connectPerson } from '#infra/local/discord/person.ts';
import { type Sandbox, startSandbox } from '#infra/local/discord/sandbox.ts';
import { APPLICATION_ID, commands, picture, startBot, TOKEN } from './bot.ts';
import { greeted, identify, open } from './socket.ts';

let sandbox: Sandbox;
let url: string;
let rest: REST;

beforeAll(async () => {
  sandbox = await startSandbox({
    token: TOKEN,
    applicationId: APPLICATION_ID,
    rateLimits: false,
    answerWithinMs: 800,
    identifyPauseMs: 0,
  });
  url = `${sandbox.pageUrl.replace('http', 'ws')}gateway?v=10&encoding=json`;
  rest = new REST({ api: sandbox.apiUrl }).setToken(TOKEN);
});

afterAll(() => sandbox.close());

const portraits = (): string =>
  [...sandbox.state.channels.values()].find(({ name }) => name === 'portraits')!.id;
const post = (content: string) => rest.post(Routes.channelMessages(portraits()), { body: { content } });

describe('sessions', () => {
  it('a shard is told of its own guilds only', async () => {
    const shard = open(url);
    await shard.until(({ op }) => op === 10);
    shard.send(2, identify([1, 2]));
    await shard.until(({ t }) => t === 'GUILD_CREATE');
    await post('for shard 0');
    shard.send(1, null);
    await shard.until(({ op }) => op === 11);
    expect(shard.heard.filter(({ t }) => t === 'MESSAGE_CREATE')).toEqual([]);
    expect(shard.heard.find(({ t }) => t === 'READY')!.d.guilds).toHaveLength(1);
    shard.socket.close(1000);
  });

  it('what was missed is replayed to a session that resumes', async () => {
    const first = open(url);
    await first.until(({ op }) => op === 10);
    first.send(2, identify([0, 2]));
    await post('heard');
    const last = await first.until(({ t }) => t === 'MESSAGE_CREATE');
    const { session_id } = first.heard.find(({ t }) => t === 'READY')!.d;
    first.socket.close(4200);
    await first.closed;
    await post('missed');

    const second = open(url);
    await second.until(({ op }) => op === 10);
    second.send(6, { token: TOKEN, session_id, seq: last.s });
    await second.until(({ t }) => t === 'RESUMED');
    expect(second.heard.filter(({ t }) => t).map(({ t, d }) => d.content ?? t)).toEqual([
      'missed',
      'RESUMED',
    ]);
    second.socket.close(1000);
    await second.closed;

    const third = open(url);
    await third.until(({ op }) => op === 10);
    third.send(6, { token: TOKEN, session_id, seq: last.s });
    expect((await third.until(({ op }) => op === 9)).d).toBe(false);
    third.socket.close();
  });
});

describe('discord.js', () => {
  it('comes back by itself after a reconnect and after an invalid session, and answers again', async () => {
    const bot = await startBot(sandbox.apiUrl);
    await rest.put(Routes.applicationCommands(APPLICATION_ID), { body: commands });
    const member = await connectPerson(sandbox.pageUrl, { person: 'member', channel: 'portraits' });
    const works = async () => {
      expect((await member.command('set', { parameter: 'steps', value: 3 })).kind).toBe('reply');
    };
    await works();
    const resumed = new Promise((resolve) => bot.client.once('shardResume', resolve));
    sandbox.misbehave({ reconnect: true });
    await resumed;
    await works();

    const ready = new Promise((resolve) => bot.client.once('shardReady', resolve));
    sandbox.misbehave({ invalidSession: 'final' });
    await ready;
    while (sandbox.connectedShards.length < 2) await sleep(20);
    await works();

    sandbox.misbehave({ expireTokens: true });
    const original = Routes.webhookMessage(APPLICATION_ID, bot.heard.at(-1)!.token);
    const late = rest.patch(original, { body: { content: 'Too late.' }, auth: false });
    await expect(late).rejects.toMatchObject({ code: 50027 });

    sandbox.misbehave({ deliverTwice: 1 });
    const before = bot.heard.length;
    await works();
    await expect.poll(() => bot.heard.length).toBe(before + 2);
    expect(bot.heard.at(-1)?.id).toBe(bot.heard.at(-2)?.id);
    await works();
    expect(bot.heard).toHaveLength(before + 3);

    sandbox.misbehave({ deliverAfterMs: 1_000 });
    expect((await member.command('set', { parameter: 'steps', value: 3 })).kind).toBe('failed');
    sandbox.misbehave({ deliverAfterMs: 0 });

    await bot.close();
    expect((await member.command('set', { parameter: 'steps', value: 3 })).kind).toBe('failed');
    member.close();
  });
});

it('an interaction’s token is good for a quarter of an hour from when it was asked, not answered', async () => {
  await rest.put(Routes.applicationCommands(APPLICATION_ID), { body: commands });
  const line = await greeted(url);
  line.send(2, identify([0, 2]));
  await line.until(({ t }) => t === 'READY');
  const member = await connectPerson(sandbox.pageUrl, { person: 'member', channel: 'portraits' });
  const asked = member.command('feedback');
  const { d } = await line.until(({ t }) => t === 'INTERACTION_CREATE');
  const [id, token] = [String(d.id), String(d.token)];

  const askedAt = Date.now();
  vi.useFakeTimers({ toFake: ['Date'], now: askedAt + 10 * 60_000 });
  const body = { type: 4, data: { content: 'Ten minutes later' } };
  await rest.post(Routes.interactionCallback(id, token), { body, auth: false });
  await asked;
  const original = Routes.webhookMessage(APPLICATION_ID, token);
  await rest.patch(original, { body: { content: 'still' }, auth: false });
  vi.setSystemTime(askedAt + 16 * 60_000);
  const late = rest.patch(original, { body: { content: 'Too late.' }, auth: false });
  await expect(late).rejects.toMatchObject({ code: 50027 });
  vi.useRealTimers();
  member.close();
  line.socket.close(1000);
});

it('remembers over a restart, also after a kill; ephemeral messages are gone', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'local-discord-'));
  const options = { token: TOKEN, applicationId: APPLICATION_ID, dataDir, rateLimits: false };
  const before = await startSandbox(options);
  const api = new REST({ api: before.apiUrl }).setToken(TOKEN);
  const data = await picture(90, 40, 60);
  const files = [{ name: 'kept.png', data }];
  await api.post(Routes.channelMessages(portraits()), { body: { content: 'kept' }, files });
  await api.put(Routes.applicationCommands(APPLICATION_ID), { body: commands });
  await sleep(800);

  // The first one still runs and never got to close: what the second finds is what a kill leaves.
  const after = await startSandbox(options);
  expect(after.pageUrl).not.toBe(before.pageUrl);
  const member = await connectPerson(after.pageUrl, { person: 'member', channel: 'portraits' });
  const [message] = await member.messages();
  expect(message!.content).toBe('kept');
  expect(message!.attachments[0]!.url.startsWith(after.pageUrl)).toBe(true);
  const served = Buffer.from(await (await fetch(message!.attachments[0]!.url)).arrayBuffer());
  expect(served.equals(data)).toBe(true);
  expect(await member.commands()).toHaveLength(6);
  member.close();
  await before.close();
  await after.close();
  await rm(dataDir, { recursive: true });
});
