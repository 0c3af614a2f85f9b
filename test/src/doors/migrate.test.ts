import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { beforeEach, expect, inject, it } from 'vitest';
import { type Migration, migrate, readMigrations } from '#src/doors/migrate.ts';

let url: string;
beforeEach(() => {
  const database = new URL(inject('postgresUrl'));
  database.pathname = `/migrate_${randomUUID().replaceAll('-', '')}`;
  url = database.href;
});

async function ask(sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}
const one: Migration = { name: '1_one', sql: 'CREATE TABLE one (n int); INSERT INTO one VALUES (1)' };
const two: Migration = { name: '2_two', sql: 'ALTER TABLE one ADD m int' };

it('makes the database and all tables, ours and the queue’s; and has nothing to do again', async () => {
  const names = (await readMigrations()).map(({ name }) => name);
  expect(await migrate(url)).toEqual(names);
  const tables = await ask(`SELECT table_schema || '.' || table_name AS name FROM information_schema.tables`);
  expect(tables.map(({ name }) => name)).toContain('public.Generation');
  expect(tables.some(({ name }) => /bullmq/i.test(String(name)))).toBe(true);
  expect(await migrate(url)).toEqual([]);
});

it('is applied once, however many start in the same moment', async () => {
  const applied = await Promise.all(Array.from({ length: 8 }, () => migrate(url, { migrations: [one] })));
  expect(applied.flat()).toEqual(['1_one']);
  expect(await ask('SELECT n FROM one')).toEqual([{ n: 1 }]);
});

it('makes an index CONCURRENTLY, in no transaction, while others wait for their turn', async () => {
  const index: Migration = { name: '3_index', sql: 'CREATE INDEX CONCURRENTLY one_n ON one (n)' };
  const applied = await Promise.all(
    Array.from({ length: 4 }, () => migrate(url, { migrations: [one, index] })),
  );
  expect(applied.flat()).toEqual(['1_one', '3_index']);
  expect(await ask(`SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = 'one_n'::regclass`)).toEqual([
    { valid: true },
  ]);
});

it('goes on from where it was', async () => {
  await migrate(url, { migrations: [one] });
  expect(await migrate(url, { migrations: [one, two] })).toEqual(['2_two']);
});

it('refuses a migration that was edited after it was applied, by name', async () => {
  await migrate(url, { migrations: [one] });
  const edited = { ...one, sql: `${one.sql} -- and more` };
  await expect(migrate(url, { migrations: [edited, two] })).rejects.toThrow(
    'Migration 1_one was edited after it was applied',
  );
  expect(await ask('SELECT * FROM one')).toEqual([{ n: 1 }]);
});

it('rolls one that fails back whole, names it, and can be tried again', async () => {
  const broken = { name: '2_two', sql: 'CREATE TABLE half (n int); SELECT nonsense' };
  await expect(migrate(url, { migrations: [one, broken] })).rejects.toThrow(
    /^Migration 2_two failed and was rolled back: .*nonsense/,
  );
  expect(await ask(`SELECT to_regclass('half') AS half`)).toEqual([{ half: null }]);
  expect(await migrate(url, { migrations: [one, two] })).toEqual(['2_two']);
});

it('names the one during which the connection was lost, and can be tried again', async () => {
  const cut = {
    name: '2_two',
    sql: 'ALTER TABLE one ADD m int; SELECT pg_terminate_backend(pg_backend_pid())',
  };
  await expect(migrate(url, { migrations: [one, cut] })).rejects.toThrow(/^Migration 2_two failed/);
  expect(await migrate(url, { migrations: [one, two] })).toEqual(['2_two']);
});

it('says which variable to look at when there is no database, and not the password', async () => {
  const nowhere = new URL(url);
  nowhere.port = '1';
  nowhere.password = 'hidden-password';
  const told = await migrate(nowhere.href).catch(String);
  expect(told).toMatch(/DATABASE_URL/);
  expect(told).not.toContain('hidden-password');
});

it('makes functions, and anew where their text is another', async () => {
  const answer = (n: number) => ({
    name: 'answer.sql',
    sql: `CREATE OR REPLACE FUNCTION answer() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN ${n}; END $$;`,
  });
  const made = async (n: number) => {
    await migrate(url, { migrations: [], functions: [answer(n)] });
    const [row] = await ask(`SELECT answer(), xmin::text AS by FROM pg_proc WHERE proname = 'answer'`);
    return row!;
  };
  const first = await made(1);
  expect(first.answer).toBe(1);
  expect((await made(1)).by).toBe(first.by);
  expect((await made(2)).answer).toBe(2);
});
