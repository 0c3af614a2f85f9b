/** What the service `restore` of compose.yaml does, on a Postgres that archives its log as that one does: rows and files as they were. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeBase } from '#infra/backup/base.ts';
import { placeOfData, startPostgres } from '#infra/local/postgres.ts';

const SCRIPT = fileURLToPath(new URL('../../../infra/deploy/restore.sh', import.meta.url));
let dir: string;
let backups: string;
let data: string;
let name: string;
/** when there were two rows */
let between: string;

const start = () => startPostgres({ dataDir: join(dir, 'postgres'), archive: join(backups, 'wal') });
async function on<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return work(client).finally(() => client.end());
}
async function restore(...args: string[]): Promise<{ code: number; said: string }> {
  const { uid, gid } = await placeOfData(join(dir, 'postgres'));
  const owner = `${uid ?? process.getuid?.()}:${gid ?? process.getgid?.()}`;
  const env = {
    ...process.env,
    POSTGRES_DATA: data,
    BACKUPS: backups,
    FILES: join(dir, 'files'),
    OWNER: owner,
  };
  return new Promise((done) =>
    execFile('sh', [SCRIPT, ...args], { env }, (error, stdout, stderr) =>
      done({ code: error ? Number(error.code) : 0, said: stdout + stderr }),
    ),
  );
}
/** Starts it; what is in it once it takes writes again. */
async function rows(): Promise<number[]> {
  const postgres = await start();
  try {
    return await on(postgres.url('atelier'), async (client) => {
      await expect
        .poll(async () => (await client.query('SELECT pg_is_in_recovery() AS going')).rows[0].going, {
          timeout: 20_000,
        })
        .toBe(false);
      return (await client.query<{ n: number }>('SELECT n FROM drawn ORDER BY n')).rows.map(({ n }) => n);
    });
  } finally {
    await postgres.stop();
  }
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-restore-'));
  await chmod(dir, 0o755); // as root Postgres runs as nobody
  backups = join(dir, 'backups');
  await mkdir(join(backups, 'files'), { recursive: true });
  await writeFile(join(backups, 'files/picture.png'), 'pixels');
  ({ data } = await placeOfData(join(dir, 'postgres')));

  const postgres = await start();
  await on(postgres.url('postgres'), (client) => client.query('CREATE DATABASE atelier'));
  const url = postgres.url('atelier');
  const add = (n: number) => on(url, (client) => client.query('INSERT INTO drawn VALUES ($1)', [n]));
  await on(url, (client) => client.query('CREATE TABLE drawn (n int)'));
  await add(1);
  ({ name } = await makeBase(url, backups));
  await add(2);
  between = await on(url, async (client) => {
    // A time in the script's form has no parts of a second: the next one is after all that was written.
    await client.query('SELECT pg_sleep(1.1)');
    const { rows: moments } = await client.query<{ now: string }>(
      `SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS now`,
    );
    await client.query('SELECT pg_sleep(1.1)');
    return moments[0]?.now ?? '';
  });
  await add(3);
  await postgres.stop();
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
  await rm(dirname(data), { recursive: true, force: true });
});

it('goes back to a moment, then to the newest, and keeps what was there', async () => {
  expect(await restore(name, between)).toMatchObject({
    code: 0,
    said: expect.stringContaining(`${name} is in place`),
  });
  expect(await rows()).toEqual([1, 2]);
  expect(await readFile(join(dir, 'files/picture.png'), 'utf8')).toBe('pixels');
  const kept = (await readdir(dirname(data))).filter((entry) => entry.startsWith('data.before-'));
  expect(kept).toHaveLength(1);

  // A copy of what was restored knows what that restore was asked for; it must not be asked for again.
  const postgres = await start();
  const { name: next } = await makeBase(postgres.url('atelier'), backups);
  await on(postgres.url('atelier'), (client) => client.query('INSERT INTO drawn VALUES (4)'));
  await postgres.stop();
  expect(await restore(next)).toMatchObject({ code: 0 });
  expect(await rows()).toEqual([1, 2, 4]);
});

it.each([
  [[], /which copy\? There are: 2/],
  [['2020-01-01T00-00-00.000Z'], /no copy 2020/],
  [['NAME', 'yesterday'], /a time looks like .*; yesterday does not/],
])('changes nothing when it is asked for %j', async (args, sentence) => {
  const before = (await readdir(dirname(data))).sort();
  const { code, said } = await restore(...args.map((arg) => (arg === 'NAME' ? name : arg)));
  expect(said).toMatch(sentence);
  expect(code).toBe(1);
  expect((await readdir(dirname(data))).sort()).toEqual(before);
});

it('refuses while Postgres runs', async () => {
  const postgres = await start();
  try {
    expect(await restore(name)).toMatchObject({
      code: 1,
      said: expect.stringContaining('Postgres is running'),
    });
  } finally {
    await postgres.stop();
  }
});
