/**
 * One bot on two machines: 64 shards in four processes, two on each, before a Discord that counts IDENTIFYs as the real one does. Here
 * they are two supervisors with the environment of two machines, and have nothing in common but Postgres.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { config } from '#config/env.ts';
import { type Sandbox, startSandbox } from '#infra/local/discord/sandbox.ts';
import { type ServiceProcess, serviceProcess } from '#infra/local/processes.ts';
import { db } from '#src/doors/db.ts';

const TOKEN = 'local.a-token-of-thirty-characters-or-more';
const ALL = Array.from({ length: 64 }, (_, shard) => `${shard}/64`);
const log: string[] = [];
let sandbox: Sandbox;
const machines: ServiceProcess[] = [];

beforeAll(async () => {
  sandbox = await startSandbox({
    token: TOKEN,
    applicationId: '1100000000000000001',
    maxConcurrency: 32,
    rateLimits: false,
    onLog: (line) => log.push(line),
  });
  const env = {
    DISCORD_TOKEN: TOKEN,
    DISCORD_APPLICATION_ID: '1100000000000000001',
    DISCORD_API_URL: sandbox.apiUrl,
    DATABASE_URL: config.databaseUrl ?? '',
    REDIS_URL: config.redisUrl ?? '',
    DATA_DIR: config.dataDir,
    LOG_LEVEL: 'warn',
    SHARDS: '64',
  };
  for (const SHARD_IDS of ['0-31', '32-63'])
    machines.push(
      serviceProcess(['bot'], {
        env: { ...env, SHARD_IDS },
        onLine: (line) => log.push(line),
        print: (line) => log.push(line),
      }),
    );
});
afterAll(async () => {
  await Promise.all(machines.map((machine) => machine.stop()));
  await sandbox?.close();
});

const numberOf = (shard: string) => Number(shard.split('/')[0]);
const connected = () => [...sandbox.connectedShards].sort((a, b) => numberOf(a) - numberOf(b));
const childrenOf = (pid: number) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
const refused = () => log.filter((line) => /too soon|used up/.test(line));

it.skipIf(process.platform !== 'linux')(
  'starts together, takes turns, and brings back those that were killed',
  async () => {
    await Promise.all(machines.map((machine) => machine.start()));
    expect(connected()).toEqual(ALL);
    // As many rows as there are keys: each was taken twice, once by each machine.
    expect(await db.identifyTurn.count()).toBe(32);

    const [first, second] = machines.map(({ pid }) => childrenOf(pid!));
    expect([first?.length, second?.length]).toEqual([2, 2]);
    process.kill(first![0]!, 'SIGKILL');
    await expect.poll(() => connected().length, { timeout: 10_000 }).toBe(48);
    await expect.poll(connected, { timeout: 60_000 }).toEqual(ALL);

    expect(machines.map(({ pid }) => childrenOf(pid!))).toEqual([[first![1], expect.any(Number)], second]);
    expect(refused()).toEqual([]);
  },
  120_000,
);
