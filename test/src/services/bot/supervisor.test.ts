import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const PRETEND = fileURLToPath(new URL('./fixtures/pretend-shard.ts', import.meta.url));
/** each shard a process */
const TWO = { shard: PRETEND, shardsPerProcess: 1 };
const APPLICATION = '1100000000000000001';

/** Discord's REST, as far as a supervisor asks: how many shards, and which commands there are. */
const discord = {
  commands: [] as unknown[],
  puts: 0,
  status: 200,
  away: 0,
  commandsAway: 0,
  shards: 2,
  concurrency: 16,
};
const server = createServer((request, response) => {
  const reply = (body: unknown, status = 200) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  if (request.url === '/api/v10/gateway/bot') {
    if (discord.away-- > 0) return response.writeHead(502).end('<html>Bad gateway</html>');
    if (discord.status !== 200) return reply({ message: '401: Unauthorized', code: 0 }, discord.status);
    const limit = { total: 1000, remaining: 1000, reset_after: 0, max_concurrency: discord.concurrency };
    return reply({ url: 'ws://127.0.0.1:1', shards: discord.shards, session_start_limit: limit });
  }
  if (discord.commandsAway-- > 0) return response.writeHead(502).end('<html>Bad gateway</html>');
  // Discord lists no translations unless asked: then all would look changed.
  if (request.method === 'GET')
    return reply(request.url?.includes('with_localizations=true') ? discord.commands : []);
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
  for (const id of [0, 1, 10]) {
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
/** of the process whose first shard that is: when, and with which shards */
const starts = async (id: number) =>
  (await readFile(`${dir}/shard-${id}.starts`, 'utf8'))
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [at = '', ...shards] = line.split(' ');
      return { at: Number(at), shards: shards.join(' ') };
    });

async function until(true_: () => Promise<boolean> | boolean, withinMs = 10_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await true_())) {
    if (Date.now() > deadline) throw new Error('It did not come to that.');
    await sleep(20);
  }
}

describe('startBot', () => {
  it('starts as many shards as Discord recommends, in one process', async () => {
    bot = await startBot({ shard: PRETEND });
    expect(bot.pids).toHaveLength(1);
    expect(await starts(0)).toMatchObject([{ shards: '0,1 of 2' }]);
  });

  it('shares more than sixteen out evenly, and lets each start when Discord takes its sessions', async () => {
    Object.assign(discord, { shards: 20, concurrency: 15 });
    try {
      bot = await startBot({ shard: PRETEND });
    } finally {
      Object.assign(discord, { shards: 2, concurrency: 16 });
    }
    expect(bot.pids).toHaveLength(2);
    const [[first], [second]] = await Promise.all([starts(0), starts(10)]);
    expect(first?.shards).toBe('0,1,2,3,4,5,6,7,8,9 of 20');
    expect(second?.shards).toBe('10,11,12,13,14,15,16,17,18,19 of 20');
    // Of the fifteen in five seconds the first took ten.
    expect(second!.at - first!.at).toBeGreaterThan(2_000);
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

  it('starts a killed process again, and leaves the other one alone', async () => {
    bot = await startBot({ ...TWO, pauseMs: 50 });
    const [first, second] = bot.pids;
    process.kill(first!, 'SIGKILL');
    await until(async () => (await starts(0)).length === 2);

    expect(bot.pids[0]).not.toBe(first);
    expect(bot.pids[1]).toBe(second);
    expect(await starts(1)).toHaveLength(1);
  });

  it('doubles the pause between starts that go wrong', async () => {
    bot = await startBot({ ...TWO, pauseMs: 100 });
    await mode(1, 'crash');
    process.kill(bot.pids[1]!, 'SIGKILL');
    await until(async () => (await starts(1)).length === 5);

    const times = (await starts(1)).slice(1);
    const pauses = times.slice(1).map(({ at }, i) => at - times[i]!.at);
    for (const [i, pause] of pauses.entries()) expect(pause).toBeGreaterThanOrEqual(100 * 2 ** (i + 1));
  });

  it('ends with a sentence when trying again would give the same', async () => {
    await mode(0, 'fatal 4014');
    await expect(startBot({ shard: PRETEND })).rejects.toThrow(/did not allow the intents.*4014/);
    expect(await starts(0)).toHaveLength(1);
  });

  it('ends with a sentence when that comes later', async () => {
    const reason = new Promise<string>((resolve) => {
      void startBot({ ...TWO, pauseMs: 20, onFatal: resolve }).then(async (started) => {
        bot = started;
        await mode(1, 'fatal 4004');
        process.kill(started.pids[1]!, 'SIGKILL');
      });
    });
    expect(await reason).toMatch(/DISCORD_TOKEN/);
  });

  it('waits for a Discord that is away, whatever it asks first', async () => {
    // each request is tried four times
    Object.assign(discord, { away: 5, commandsAway: 5, commands: [] });
    bot = await startBot({ shard: PRETEND });
    expect(discord.commands).not.toEqual([]);
  });

  it('says that the token is refused, and does not try again', async () => {
    discord.status = 401;
    try {
      await expect(startBot({ shard: PRETEND })).rejects.toThrow(/DISCORD_TOKEN/);
    } finally {
      discord.status = 200;
    }
  });

  it('passes the end on, and waits for every process', async () => {
    bot = await startBot(TWO);
    const pids = [...bot.pids];
    await bot.close();
    for (const pid of pids) expect(() => process.kill(pid!, 0)).toThrow();
    expect(existsSync(`${dir}/shard-0.ended`) && existsSync(`${dir}/shard-1.ended`)).toBe(true);
  });
});
