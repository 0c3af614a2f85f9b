/** Services that start while Postgres and Redis are away: they wait for them, and then work. */
import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectPerson } from '#infra/local/discord/person.ts';
import { type Sandbox, startSandbox } from '#infra/local/discord/sandbox.ts';
import { findRedis } from '#infra/local/redis.ts';
import { type Own, type OwnPostgres, ownPostgres, ownRedis } from '#test/support/own.ts';

const SOON = { timeout: 30_000, interval: 100 };
const redisServer = findRedis(process.env.PATH ?? '');
const account = { token: 'local.a-token-of-thirty-characters', applicationId: '1100000000000000001' };

let postgres: OwnPostgres;
let redis: Own | null;
let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await startSandbox(account);
  postgres = await ownPostgres();
  redis = redisServer ? await ownRedis(redisServer) : null;
});
afterAll(async () => {
  await sandbox?.close();
  await postgres?.close();
  await redis?.close();
});

/** Ready, with all that it wrote. */
async function start(...services: string[]): Promise<{ child: ChildProcess; url: string; lines: string[] }> {
  const child = fork('src/main.ts', services, {
    env: {
      ...process.env,
      DATABASE_URL: postgres.url,
      REDIS_URL: redis?.url,
      DISCORD_TOKEN: account.token,
      DISCORD_APPLICATION_ID: account.applicationId,
      DISCORD_API_URL: sandbox.apiUrl,
      SHARDS: '2',
      WEB_PORT: '0',
      METRICS_PORT: '0',
      LOG_LEVEL: 'warn',
    },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const lines: string[] = [];
  child.stderr?.on('data', (chunk: Buffer) => lines.push(...String(chunk).split('\n').filter(Boolean)));
  const ended = once(child, 'exit').then(() => Promise.reject(new Error(lines.join('\n'))));
  const [message] = (await Promise.race([once(child, 'message'), ended])) as [{ url: string }];
  ended.catch(() => {});
  return { child, url: message.url, lines };
}

it('are ready without them, and work once they are there', { timeout: 90_000 }, async () => {
  await postgres.stop();
  await redis?.stop();
  const { child, url, lines } = await start('courier', 'mecene', 'web', 'bot');
  try {
    const member = await connectPerson(sandbox.pageUrl, { person: 'member', channel: 'portraits' });
    const type = async (command: string, options: Record<string, string>) => {
      await member.command(command, options);
      return (await member.waitForReply()).content;
    };
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    const page = await fetch(url);
    expect(page.status).toBe(503);
    expect(await page.text()).toContain('The gallery is out of reach');
    expect(await type('imagine', { prompt: 'portrait of a weaver' })).toMatch(/^My database does not answer/);

    await postgres.start();
    await redis?.start();
    await expect.poll(async () => (await fetch(`${url}/readyz`)).status, SOON).toBe(200);
    await expect.poll(() => type('imagine', { prompt: 'portrait of a weaver' }), SOON).toMatch(/^Accepted/);
    await member.waitForMessage((message) => JSON.stringify(message).includes('of a weaver'), {
      timeoutMs: 30_000,
    });
    member.close();

    const reader = new pg.Pool({ connectionString: postgres.url });
    reader.on('error', () => {});
    const rows = async (sql: string, ...values: string[]) => (await reader.query(sql, values)).rows;
    // Guilds that were there all the time are met now; and Mecene's ideas do not wait for one that adds them again.
    await expect.poll(() => rows('SELECT 1 FROM "GuildSettings"'), SOON).toHaveLength(2);
    const [user] = await rows('SELECT id FROM "User"');
    const id = randomUUID();
    await rows(
      'INSERT INTO "Idea" (id, "userId", words, seed) VALUES ($1, $2, $3, 1)',
      id,
      user.id,
      'paper moon',
    );
    await expect
      .poll(() => rows('SELECT state FROM "Idea" WHERE id = $1', id), SOON)
      .toEqual([{ state: 'ready' }]);
    await reader.end();

    const notLogged = lines.filter((line) => !line.startsWith('{'));
    expect(notLogged).toEqual([]);
    // One a second of each kind; without that it would be thousands.
    expect(lines.length).toBeLessThan(400);
  } finally {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
});
