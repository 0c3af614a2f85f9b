/**
 * Before each test file: a fresh database from the template and a folder of its own, put into the environment, so that the
 * modules under test open them as in production. Dropped afterwards.
 */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, inject } from 'vitest';
import { STAFF_GUILD_ID, STAFF_ID, TRUSTED_GUILD } from './staff.ts';

const database = `t_${randomUUID().replaceAll('-', '')}`;
const server = inject('postgresUrl');

async function onServer(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: `${server}postgres` });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

await onServer(`CREATE DATABASE ${database} TEMPLATE ${inject('templateDatabase')}`);
process.env.DATABASE_URL = server + database;
process.env.DATA_DIR = `${inject('filesDir')}/${database}`;
process.env.LOG_LEVEL ??= 'silent';
process.env.METRICS_PORT = '0';
// Files run side by side, one a core: with more threads each, onnxruntime's waiting ones take the core from the other file.
process.env.ONNX_THREADS = '1';
process.env.STAFF_IDS = STAFF_ID;
process.env.STAFF_GUILD_ID = STAFF_GUILD_ID;
process.env.TRUSTED_GUILDS = TRUSTED_GUILD;
delete process.env.REDIS_URL;
delete process.env.DISCORD_TOKEN;

afterAll(async () => {
  const { closeQueues } = await import('#src/doors/queue.ts');
  const { closeDb } = await import('#src/doors/db.ts');
  await closeQueues();
  await closeDb();
  await onServer(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`);
});
