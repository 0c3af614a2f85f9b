/**
 * Brings a database up to date: our migrations, then the functions of prisma/functions, then BullMQ's own tables.
 *
 * Prisma's migrate needs an engine that cannot be downloaded everywhere; applying plain SQL files needs none. The
 * bookkeeping is Prisma's (`_prisma_migrations`), so its tools agree with what was done here.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { runMigrations } from 'bullmq';
import pg from 'pg';

const FOLDER = new URL('../../prisma/migrations/', import.meta.url);
const FUNCTIONS = new URL('../../prisma/functions/', import.meta.url);
/** Any number, the same in every process. */
const LOCK = 7_203_118;
const LOOKS_EVERY_MS = 100;

export interface Migration {
  readonly name: string;
  readonly sql: string;
}

/** In the order they are applied. */
export async function readMigrations(folder: URL = FOLDER): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return Promise.all(
    names
      .sort()
      .map(async (name) => ({ name, sql: await readFile(new URL(`${name}/migration.sql`, folder), 'utf8') })),
  );
}

/**
 * Safe to call from many processes at once and again at every start.
 *
 * @returns names of the migrations applied now
 * @throws {Error} when an applied migration was edited since, or one fails: then it is rolled back whole
 */
export async function migrate(
  databaseUrl: string,
  { migrations, functions }: { migrations?: readonly Migration[]; functions?: readonly Migration[] } = {},
): Promise<string[]> {
  await createDatabase(databaseUrl);
  const client = clientFor(databaseUrl);
  await client.connect();
  const applied: string[] = [];
  try {
    await lock(client);
    await client.query(`CREATE TABLE IF NOT EXISTS _prisma_migrations (
      id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL, finished_at timestamptz, migration_name varchar(255) NOT NULL,
      logs text, rolled_back_at timestamptz, started_at timestamptz NOT NULL DEFAULT now(),
      applied_steps_count integer NOT NULL DEFAULT 0)`);
    const { rows } = await client.query<{ migration_name: string; checksum: string }>(
      'SELECT migration_name, checksum FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL',
    );
    const done = new Map(rows.map((row) => [row.migration_name, row.checksum]));

    for (const { name, sql } of migrations ?? (await readMigrations())) {
      const checksum = createHash('sha256').update(sql).digest('hex');
      const known = done.get(name);
      if (known === checksum) continue;
      if (known)
        throw new Error(`Migration ${name} was edited after it was applied. Restore it, and add a new one.`);
      // Postgres does it in no transaction: infra/database/expand.ts sees to it that it is alone. It may be begun again.
      const inTransaction = !/\bCONCURRENTLY\b/i.test(sql);
      if (inTransaction) await client.query('BEGIN');
      try {
        await client.query(sql);
        await client.query(
          `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)
           VALUES ($1, $2, $3, now(), 1)`,
          [randomUUID(), checksum, name],
        );
        if (inTransaction) await client.query('COMMIT');
      } catch (error) {
        // Where the connection is lost, so is the transaction.
        if (inTransaction) await client.query('ROLLBACK').catch(() => {});
        throw new Error(
          `Migration ${name} failed${inTransaction ? ' and was rolled back' : ''}: ${String(error)}`,
          { cause: error },
        );
      }
      applied.push(name);
    }
    // They know our tables, which others' migrations do not make.
    await makeFunctions(client, functions ?? (migrations ? [] : await readFunctions()));
    await runMigrations(client);
  } finally {
    await client.end();
  }
  return applied;
}

/** One process at a time. Whoever waits asks again and again: an index that is made CONCURRENTLY waits for every query under way. */
async function lock(client: pg.Client): Promise<void> {
  for (;;) {
    const { rows } = await client.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1) AS taken', [
      LOCK,
    ]);
    if (rows[0]?.taken) return;
    await sleep(LOOKS_EVERY_MS);
  }
}

/** In the order of their names, as some call others. */
async function readFunctions(): Promise<Migration[]> {
  const names = (await readdir(FUNCTIONS)).sort();
  return Promise.all(
    names.map(async (name) => ({ name, sql: await readFile(new URL(name, FUNCTIONS), 'utf8') })),
  );
}

/** What several rows are changed by at once, made anew where its text is another: so no migration has to repeat it. */
async function makeFunctions(client: pg.Client, functions: readonly Migration[]): Promise<void> {
  for (const { sql } of functions) {
    const [, name, body] = /FUNCTION (\w+)[\s\S]*?AS \$\$([\s\S]*?)\$\$/.exec(sql) ?? [];
    const { rowCount } = await client.query('SELECT 1 FROM pg_proc WHERE proname = $1 AND prosrc = $2', [
      name,
      body,
    ]);
    if (!rowCount) await client.query(sql);
  }
}

/** Creates the database that the URL names, if it is not there. */
async function createDatabase(databaseUrl: string): Promise<void> {
  const url = new URL(databaseUrl);
  const name = decodeURIComponent(url.pathname.slice(1));
  const probe = clientFor(databaseUrl);
  try {
    await probe.connect();
    return;
  } catch (error) {
    // 3D000: no such database
    if (!(error instanceof Error && 'code' in error && error.code === '3D000')) {
      throw new Error('The database cannot be reached: check DATABASE_URL.', { cause: error });
    }
  } finally {
    await probe.end().catch(() => {});
  }
  url.pathname = '/postgres';
  const client = clientFor(url.href);
  await client.connect();
  try {
    await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`);
  } catch (error) {
    // Another process was first: 42P04 when it has finished, 23505 while it is at it.
    const first =
      error instanceof Error && 'code' in error && ['42P04', '23505'].includes(String(error.code));
    if (!first) throw error;
  } finally {
    await client.end();
  }
}

/** A lost connection fails the query under way, which says so; its `error` event, unheard, would also end the process. */
function clientFor(databaseUrl: string): pg.Client {
  const client = new pg.Client({ connectionString: databaseUrl });
  client.on('error', () => {});
  return client;
}
