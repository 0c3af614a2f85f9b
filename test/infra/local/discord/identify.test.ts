/** Connecting to the gateway as Discord allows it: what an IDENTIFY must be, how often it may come, and compression. */
import { REST, Routes } from 'discord.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IdentifyBudget } from '#infra/local/discord/identify.ts';
import { type Sandbox, type SandboxOptions, startSandbox } from '#infra/local/discord/sandbox.ts';
import { APPLICATION_ID, TOKEN } from './bot.ts';
import { greeted, identify, open } from './socket.ts';

let sandbox: Sandbox;
let url: string;
let rest: REST;

const start = (options: Partial<SandboxOptions>) =>
  startSandbox({ token: TOKEN, applicationId: APPLICATION_ID, rateLimits: false, ...options });
const gatewayOf = ({ pageUrl }: Sandbox) => `${pageUrl.replace('http', 'ws')}gateway?v=10&encoding=json`;

beforeAll(async () => {
  sandbox = await start({ identifyPauseMs: 0 });
  url = gatewayOf(sandbox);
  rest = new REST({ api: sandbox.apiUrl }).setToken(TOKEN);
});

afterAll(() => sandbox.close());

describe('an IDENTIFY', () => {
  it.each<[string, object, number]>([
    ['no properties', { properties: undefined }, 4002],
    ['no token', { token: undefined }, 4002],
    ['a wrong token', { token: 'wrong' }, 4004],
    ['a shard beyond their number', { shard: [2, 2] }, 4010],
    ['half a shard', { shard: [0] }, 4010],
    ['no intents', { intents: undefined }, 4013],
    ['an intent that was retired', { intents: 1 << 17 }, 4013],
    ['an intent beyond them all', { intents: 2 ** 40 }, 4013],
    ['a privileged intent that was not granted', { intents: 1 << 1 }, 4014],
    ['a wrong token and a wrong intent', { token: 'wrong', intents: 1 << 17 }, 4004],
  ])('with %s is refused', async (_, extra, code) => {
    const line = await greeted(url);
    line.send(2, identify([0, 2], extra));
    expect(await line.closed).toBe(code);
  });

  it('may name its token as REST wants it', async () => {
    const line = await greeted(url);
    line.send(2, identify([0, 2], { token: `Bot ${TOKEN}` }));
    await line.until(({ t }) => t === 'READY');
    line.socket.close(1000);
  });

  it('may come once in five seconds for each key; one that is too soon finds op 9', async () => {
    const paced = await start({ maxConcurrency: 2, identifyPauseMs: 60_000 });
    const lines = await Promise.all([0, 1, 2].map(() => greeted(gatewayOf(paced))));
    for (const [shard, line] of lines.entries()) {
      line.send(2, identify([shard, 4]));
      const answer = await line.until(({ op, t }) => t === 'READY' || op === 9);
      expect([answer.op, answer.d]).toEqual(shard === 2 ? [9, false] : [0, expect.anything()]);
    }
    expect(paced.connectedShards).toEqual(['0/4', '1/4']);
    await paced.close();
  });

  it('is counted by the day: one too many ends every session and the token', async () => {
    const spent = await start({ identifiesPerDay: 2, identifyPauseMs: 0 });
    const api = new REST({ api: spent.apiUrl }).setToken(TOKEN);
    const left = async () => {
      const { session_start_limit } = (await api.get(Routes.gatewayBot())) as {
        session_start_limit: { total: number; remaining: number };
      };
      return [session_start_limit.remaining, session_start_limit.total];
    };
    expect(await left()).toEqual([2, 2]);
    const [first, second] = [await greeted(gatewayOf(spent)), await greeted(gatewayOf(spent))];
    first.send(2, identify([0, 1]));
    await first.until(({ t }) => t === 'READY');
    expect(await left()).toEqual([1, 2]);
    second.send(2, identify([0, 1]));
    await second.until(({ t }) => t === 'READY');
    expect(await left()).toEqual([0, 2]);

    const third = await greeted(gatewayOf(spent));
    third.send(2, identify([0, 1]));
    expect(await Promise.all([first.closed, second.closed, third.closed])).toEqual([4004, 4004, 4004]);
    await expect(left()).rejects.toMatchObject({ status: 401 });
    await spent.close();
  });

  it('is taken again after its pause, and after its day', () => {
    const budget = new IdentifyBudget({ maxConcurrency: 1, identifyPauseMs: 5_000, identifiesPerDay: 2 });
    const day = 86_400_000;
    expect(budget.take(0, day)).toBe('taken');
    expect(budget.take(1, day + 4_000)).toBe('too soon');
    expect(budget.take(1, day + 5_000)).toBe('taken');
    expect(budget.take(0, day + 10_000)).toBe('spent');
    expect(budget.left(day + 10_000)).toMatchObject({ remaining: 0, reset_after: day - 10_000 });
    expect(budget.take(0, 2 * day)).toBe('taken');
  });
});

describe('a connection', () => {
  it.each([
    ['an older version', 'v=9&encoding=json', 4012],
    ['another encoding', 'v=10&encoding=etf', 4002],
    ['a compression that nobody knows', 'v=10&encoding=json&compress=gzip', 4002],
  ])('asking for %s is closed', async (_, query, code) => {
    expect(await open(url.replace(/\?.*/, `?${query}`)).closed).toBe(code);
  });

  it('that resumes beyond what it can have heard is closed', async () => {
    const line = await greeted(url);
    line.send(2, identify([0, 2]));
    const { session_id } = (await line.until(({ t }) => t === 'READY')).d;
    line.socket.close(4200);
    const again = await greeted(url);
    again.send(6, { token: TOKEN, session_id, seq: 1_000 });
    expect(await again.closed).toBe(4007);
  });

  const portraits = () => [...sandbox.state.channels.values()].find(({ name }) => name === 'portraits')!.id;
  const long = 'A lighthouse keeper, again and again. '.repeat(50);

  it.each(['zlib-stream', 'zstd-stream'])('can be compressed as a whole: %s', async (compress) => {
    const line = await greeted(`${url}&compress=${compress}`);
    line.send(2, identify([0, 2]));
    await line.until(({ t }) => t === 'GUILD_CREATE');
    for (const content of [`first ${compress}`, long, `last ${compress}`]) {
      await rest.post(Routes.channelMessages(portraits()), { body: { content } });
    }
    await line.until(({ d }) => d?.content === `last ${compress}`);
    expect(line.heard.flatMap(({ d }) => d?.content ?? [])).toEqual([
      `first ${compress}`,
      long,
      `last ${compress}`,
    ]);
    expect(line.frames).toHaveLength(line.heard.length);
    if (compress === 'zlib-stream') {
      expect(line.frames.every((frame) => frame.subarray(-4).toString('hex') === '0000ffff')).toBe(true);
    }
    // What stands in the stream before a close is still delivered.
    line.send(2, identify([0, 2]));
    expect(await line.closed).toBe(4005);
  });

  it('can have its large payloads compressed, and only these', async () => {
    const line = await greeted(url);
    line.send(2, identify([0, 2], { compress: true }));
    await line.until(({ t }) => t === 'GUILD_CREATE');
    line.send(1, null);
    await line.until(({ op }) => op === 11);
    const plain = line.heard.filter((_, i) => line.frames[i]![0] === 0x7b);
    expect(plain.map(({ op, t }) => t ?? op)).toEqual([10, 'READY', 11]);
    line.socket.close(1000);
  });
});
