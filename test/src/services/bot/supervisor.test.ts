import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const PRETEND = fileURLToPath(new URL('./fixtures/pretend-shard.ts', import.meta.url));
const APPLICATION = '1100000000000000001';

/** Discord's REST, as far as a supervisor asks: how many shards, and which commands there are. */
const discord = { commands: [] as unknown[], puts: 0, status: 200 };
const server = createServer((request, response) => {
  const reply = (body: unknown, status = 200) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  if (request.url === '/api/v10/gateway/bot') {
    if (discord.status !== 200) return reply({ message: '401: Unauthorized', code: 0 }, discord.status);
    const limit = { total: 1000, remaining: 1000, reset_after: 0, max_concurrency: 16 };
    return reply({ url: 'ws://127.0.0.1:1', shards: 2, session_start_limit: limit });
  }
  if (request.method === 'GET') return reply(discord.commands);
  let text = '';
  request.on('data', (chunk) => {
    text += String(chunk);
  });
  request.on('end', () => {
    discord.puts++;
    discord.commands = (JSON.parse(text) as object[]).map((command) => ({
      ...command,
      id: '1',
      version: '2',
      nsfw: false,
      name_localizations: null,
      dm_permission: true,
    }));
    reply(discord.commands);
  });
});

type StartBot = typeof import('#src/services/bot/supervisor.ts').startBot;
let startBot: StartBot;
let dir: string;
let bot: Awaited<ReturnType<StartBot>> | undefined;

beforeAll(async () => {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  Object.assign(process.env, {
    DISCORD_TOKEN: 'a-token-of-thirty-characters-or-more',
    DISCORD_APPLICATION_ID: APPLICATION,
    DISCORD_API_URL: `http://127.0.0.1:${port}/api`,
    SHARDS: 'auto',
  });
  ({ startBot } = await import('#src/services/bot/supervisor.ts'));
  dir = (await import('#config/env.ts')).config.dataDir;
  await mkdir(dir, { recursive: true });
});
beforeEach(async () => {
  for (const id of [0, 1]) {
    await writeFile(`${dir}/shard-${id}.starts`, '');
    await mode(id, 'well');
  }
});
afterEach(async () => {
  await bot?.close();
  bot = undefined;
});
afterAll(() => server.close());

const mode = (id: number, what: string) => writeFile(`${dir}/shard-${id}.mode`, what);
const starts = async (id: number) =>
  (await readFile(`${dir}/shard-${id}.starts`, 'utf8')).split('\n').filter(Boolean).map(Number);

async function until(true_: () => Promise<boolean> | boolean, withinMs = 10_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await true_())) {
    if (Date.now() > deadline) throw new Error('It did not come to that.');
    await sleep(20);
  }
}

describe('startBot', () => {
  it('starts as many shards as Discord recommends', async () => {
    bot = await startBot({ shard: PRETEND });
    expect(bot.pids).toHaveLength(2);
    expect(await Promise.all([starts(0), starts(1)])).toMatchObject([{ length: 1 }, { length: 1 }]);
  });

  it('registers the commands once, and again only when they changed', async () => {
    discord.commands = [];
    discord.puts = 0;
    bot = await startBot({ shard: PRETEND });
    await bot.close();
    expect(discord.puts).toBe(1);

    bot = await startBot({ shard: PRETEND });
    await bot.close();
    expect(discord.puts).toBe(1);

    (discord.commands[0] as { description: string }).description = 'An older one.';
    bot = await startBot({ shard: PRETEND });
    expect(discord.puts).toBe(2);
  });

  it('starts a killed shard again, and leaves the other one alone', async () => {
    bot = await startBot({ shard: PRETEND, pauseMs: 50 });
    const [first, second] = bot.pids;
    process.kill(first!, 'SIGKILL');
    await until(async () => (await starts(0)).length === 2);

    expect(bot.pids[0]).not.toBe(first);
    expect(bot.pids[1]).toBe(second);
    expect(await starts(1)).toHaveLength(1);
  });

  it('doubles the pause between starts that go wrong', async () => {
    bot = await startBot({ shard: PRETEND, pauseMs: 100 });
    await mode(1, 'crash');
    process.kill(bot.pids[1]!, 'SIGKILL');
    await until(async () => (await starts(1)).length === 5);

    const times = (await starts(1)).slice(1);
    const pauses = times.slice(1).map((time, i) => time - times[i]!);
    for (const [i, pause] of pauses.entries()) expect(pause).toBeGreaterThanOrEqual(100 * 2 ** (i + 1));
  });

  it('ends with a sentence when trying again would give the same', async () => {
    await mode(0, 'fatal 4014');
    await expect(startBot({ shard: PRETEND })).rejects.toThrow(/did not allow the intents.*4014/);
    expect(await starts(0)).toHaveLength(1);
  });

  it('ends with a sentence when that comes later', async () => {
    const reason = new Promise<string>((resolve) => {
      void startBot({ shard: PRETEND, pauseMs: 20, onFatal: resolve }).then(async (started) => {
        bot = started;
        await mode(1, 'fatal 4004');
        process.kill(started.pids[1]!, 'SIGKILL');
      });
    });
    expect(await reason).toMatch(/DISCORD_TOKEN/);
  });

  it('says that the token is refused, and does not try again', async () => {
    discord.status = 401;
    try {
      await expect(startBot({ shard: PRETEND })).rejects.toThrow(/DISCORD_TOKEN/);
    } finally {
      discord.status = 200;
    }
  });

  it('passes the end on, and waits for every shard', async () => {
    bot = await startBot({ shard: PRETEND });
    const pids = [...bot.pids];
    await bot.close();
    for (const pid of pids) expect(() => process.kill(pid!, 0)).toThrow();
    expect(existsSync(`${dir}/shard-0.ended`) && existsSync(`${dir}/shard-1.ended`)).toBe(true);
  });
});
