import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const PRETEND = fileURLToPath(new URL('./fixtures/pretend-shard.ts', import.meta.url));
/** each shard a process */
const TWO = { shard: PRETEND, shardsPerProcess: 1 };
const APPLICATION = '1100000000000000001';

/** Discord's REST, as far as a supervisor asks: how many shards, and what is left of the day's sessions. */
const discord = {
  status: 200,
  asked: 0,
  away: 0,
  shards: 2,
  remaining: 1000,
  resetMs: 0,
};
const server = createServer((request, response) => {
  const reply = (body: unknown, status = 200) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  if (request.url !== '/api/v10/gateway/bot') return reply({ message: '404: Not Found', code: 0 }, 404);
  discord.asked++;
  if (discord.away-- > 0) return response.writeHead(502).end('<html>Bad gateway</html>');
  if (discord.status !== 200) return reply({ message: '401: Unauthorized', code: 0 }, discord.status);
  const limit = {
    total: 1000,
    remaining: discord.remaining,
    reset_after: discord.resetMs,
    max_concurrency: 16,
  };
  reply({ url: 'ws://127.0.0.1:1', shards: discord.shards, session_start_limit: limit });
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
    await rm(`${dir}/shard-${id}.ended`, { force: true });
    await mode(id, 'well');
  }
});
afterEach(async () => {
  await bot?.close();
  bot = undefined;
});
afterAll(() => server.close());

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
const ends = async (id: number) =>
  (await readFile(`${dir}/shard-${id}.ended`, 'utf8')).split('\n').filter(Boolean).map(Number);
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
  it('starts as many shards as Discord recommends, in one process, and asks for that once', async () => {
    const before = discord.asked;
    bot = await startBot({ shard: PRETEND });
    expect(bot.pids).toHaveLength(1);
    expect(await starts(0)).toMatchObject([{ shards: '0,1 of 2' }]);
    expect(discord.asked - before).toBe(1);
  });

  it('shares more than sixteen out evenly', async () => {
    discord.shards = 20;
    try {
      bot = await startBot({ shard: PRETEND });
    } finally {
      discord.shards = 2;
    }
    expect(bot.pids).toHaveLength(2);
    const [[first], [second]] = await Promise.all([starts(0), starts(10)]);
    expect(first?.shards).toBe('0,1,2,3,4,5,6,7,8,9 of 20');
    expect(second?.shards).toBe('10,11,12,13,14,15,16,17,18,19 of 20');
  });

  it('waits for new sessions when too few are left of the day’s', async () => {
    Object.assign(discord, { remaining: 1, resetMs: 200 });
    const starting = startBot({ shard: PRETEND });
    await until(() => discord.asked > 1);
    expect(await starts(0)).toEqual([]);
    discord.remaining = 2;
    bot = await starting;

    // By itself it leaves a tenth.
    discord.remaining = 101;
    const before = discord.asked;
    process.kill(bot.pids[0]!, 'SIGKILL');
    await until(() => discord.asked > before + 1);
    expect(await starts(0)).toHaveLength(1);
    discord.remaining = 102;
    await until(async () => (await starts(0)).length === 2);
    discord.remaining = 1_000;
  });

  it('starts all anew on SIGUSR2, each beside the one that it stands in for', async () => {
    bot = await startBot(TWO);
    const pids = [...bot.pids];
    process.kill(process.pid, 'SIGUSR2');
    await until(() => bot!.pids.every((pid, i) => pid !== pids[i]));
    for (const pid of pids) await until(() => !isAlive(pid!));
    for (const id of [0, 1]) {
      const [, second] = await starts(id);
      const [ended] = await ends(id);
      expect(second!.at).toBeLessThanOrEqual(ended!);
      expect(await starts(id)).toHaveLength(2);
    }
    // Each of them is started again as before.
    process.kill(bot.pids[1]!, 'SIGKILL');
    await until(async () => (await starts(1)).length === 3);
  });

  it('leaves those as they are that do not come anew', async () => {
    bot = await startBot(TWO);
    const pids = [...bot.pids];
    await mode(1, 'crash');
    await expect(bot.restart()).rejects.toThrow('Shards 1 did not start anew: the process ended with 1');
    expect([bot.pids[0] === pids[0], bot.pids[1] === pids[1]]).toEqual([false, true]);
    expect(isAlive(pids[1]!)).toBe(true);
    await mode(1, 'well');
    await bot.restart();
    expect(bot.pids[1]).not.toBe(pids[1]);
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

  it('waits for a Discord that is away', async () => {
    discord.away = 5; // each request is tried four times
    bot = await startBot({ shard: PRETEND });
    expect(discord.away).toBeLessThan(0);
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
