/** The restore drill: rows and files of an embedded Postgres and a folder, gone back to a moment, and held against what they were. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPostgres } from '#infra/local/postgres.ts';
import { migrate } from '#src/doors/migrate.ts';

const BACKUP = fileURLToPath(new URL('../../../infra/backup/backup.ts', import.meta.url));
const TABLES = ['User', 'Batch', 'Generation', 'Image', 'AuditEvent'];
let dir: string;
/** of the machine */
let dataDir: string;
let backups: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-backup-'));
  await chmod(dir, 0o755); // as root Postgres runs as nobody
  [dataDir, backups] = [join(dir, 'machine'), join(dir, 'copies')];
  await mkdir(dataDir);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const start = () => startPostgres({ dataDir: join(dataDir, 'postgres'), archive: join(backups, 'wal') });

/** As `npm run backup -- …` on that machine. */
function backup(...args: string[]): Promise<{ code: number; said: string }> {
  const env = {
    ...process.env,
    DATABASE_URL: '',
    REDIS_URL: '',
    DATA_DIR: dataDir,
    BACKUP_DIR: backups,
    S3_BUCKET: '',
  };
  return new Promise((done) =>
    execFile(process.execPath, [BACKUP, ...args], { env }, (error, stdout, stderr) =>
      done({ code: error ? Number(error.code) : 0, said: stdout + stderr }),
    ),
  );
}

async function on<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return work(client).finally(() => client.end());
}

const fileOf = (key: string) => join(dataDir, 'files', key);

/** A person with pictures: rows, and their files. */
async function draw(url: string, person: string, pictures: number): Promise<void> {
  await on(url, async (client) => {
    await client.query(`INSERT INTO "User" (id) VALUES ($1)`, [person]);
    await client.query(
      `INSERT INTO "Batch" (id, kind, "ownerId", tier, title, config) VALUES ($1, 'imagine', $1, 'fast', '', '{}')`,
      [person],
    );
    for (let n = 0; n < pictures; n++) {
      const id = `${person}-${n}`;
      const key = `productions/2026-12-01/${person}/${id}.png`;
      const bytes = Buffer.from(`the bytes of ${id}`);
      await mkdir(join(fileOf(key), '..'), { recursive: true });
      await writeFile(fileOf(key), bytes);
      await client.query(
        `INSERT INTO "Generation" (id, "batchId", index, state, "userId", tier, bundle, prompt, parameters, seed, width, height, steps, key, coordinates)
         VALUES ($1, $2, $3, 'done', $2, 'fast', 'reference', '', '{}', 1, 64, 64, 1, $1, '{}')`,
        [id, person, n],
      );
      await client.query(
        `INSERT INTO "Image" (id, "generationId", key, "bundleHash", "storageKey", sha256, width, height, bytes, thumbhash, verdict)
         VALUES ($1, $1, $1, 'h', $2, $3, 64, 64, $4, '', 'clear')`,
        [id, key, createHash('sha256').update(bytes).digest('hex'), bytes.length],
      );
    }
  });
}

/** All rows, and all files by their hash. */
async function everything(url: string) {
  const rows = await on(url, async (client) => {
    const all: Record<string, unknown[]> = {};
    for (const table of TABLES) all[table] = (await client.query(`SELECT * FROM "${table}" ORDER BY 1`)).rows;
    return all;
  });
  const files: Record<string, string> = {};
  for (const entry of await readdir(join(dataDir, 'files'), { withFileTypes: true, recursive: true }))
    if (entry.isFile())
      files[entry.name] = createHash('sha256')
        .update(await readFile(join(entry.parentPath, entry.name)))
        .digest('hex');
  return { rows, files };
}

it('goes back to any moment since a copy, by rows, files and hashes', async () => {
  let postgres = await start();
  let url = postgres.url('atelier');
  await migrate(url);
  await draw(url, 'before', 3);
  // Made while it runs, and while people write.
  const [made] = await Promise.all([backup('make'), draw(url, 'meanwhile', 2)]);
  expect(made).toMatchObject({ code: 0 });
  await draw(url, 'after', 2);
  expect(await backup('make')).toMatchObject({ code: 0, said: expect.stringMatching(/7 files: \d copied/) });
  const then = await everything(url);
  await sleep(50);
  const [{ now: moment }] = (await on(url, (client) => client.query('SELECT now()'))).rows;
  await sleep(50);

  // What should never have happened.
  await on(url, (client) =>
    client.query(`DELETE FROM "Image"; DELETE FROM "Generation"; UPDATE "User" SET id = 'gone-' || id`),
  );
  await rm(fileOf('productions/2026-12-01/after'), { recursive: true });
  await on(url, (client) => client.query('SELECT pg_switch_wal()'));
  expect(await backup('restore')).toEqual({ code: 1, said: 'Postgres is running: stop Atelier first.\n' });
  // As if the power had gone: the end of its log is not archived.
  await postgres.stop('immediate');

  const restored = await backup('restore', '--at', moment.toISOString());
  expect(restored).toMatchObject({
    code: 0,
    said: expect.stringMatching(/ rows, 2 files put back\nWhat was there is kept in /),
  });
  postgres = await start();
  url = postgres.url('atelier');
  try {
    expect(await everything(url)).toEqual(then);
    // It goes on from there: what is written now is archived, and can be gone back to.
    await draw(url, 'later', 1);
    expect(await backup('make')).toMatchObject({ code: 0 });
    expect(await backup('verify')).toMatchObject({
      code: 0,
      said: expect.stringMatching(/rows in all tables; of 8 pictures 8 are in the copy/),
    });
  } finally {
    await postgres.stop();
  }
}, 120_000);

it('says what is damaged, and restores nothing of it', async () => {
  const { said } = await backup('list');
  const [newest = ''] = said.split(/\s/);
  const version = join(backups, 'base', newest, 'data/PG_VERSION');
  await writeFile(version, '17\n');
  expect(await backup('verify')).toEqual({ code: 1, said: 'not as it was made: PG_VERSION\n' });
  expect(await backup('restore')).toMatchObject({
    code: 1,
    said: expect.stringContaining('is damaged (PG_VERSION'),
  });
  await writeFile(version, '18\n');
});

it('leaves all as it was when the log does not reach so far', async () => {
  const url = async () => {
    const postgres = await start();
    return { postgres, all: await everything(postgres.url('atelier')) };
  };
  const before = await url();
  await before.postgres.stop();
  expect(await backup('restore', '--at', '2126-12-01T03:00:00Z')).toMatchObject({
    code: 1,
    said: expect.stringMatching(/^The archived log does not reach 2126-12-01T03:00:00.000Z/),
  });
  const after = await url();
  await after.postgres.stop();
  expect(after.all).toEqual(before.all);
}, 60_000);

it('keeps files that are gone all at once until somebody says so, and one that was deleted no longer', async () => {
  await rm(fileOf('productions/2026-12-01/later'), { recursive: true });
  expect(await backup('make')).toMatchObject({
    code: 0,
    said: expect.stringMatching(/7 files: 0 copied .*, 1 gone/),
  });
  await rm(fileOf('productions'), { recursive: true });
  expect(await backup('make')).toMatchObject({
    code: 1,
    said: expect.stringMatching(/7 files are gone .* --all/),
  });
  expect(await backup('make', '--all')).toMatchObject({
    code: 0,
    said: expect.stringMatching(/0 files: .*, 7 gone/),
  });
}, 60_000);

it('says where the log has a gap', async () => {
  const { said } = await backup('list');
  const [newest = ''] = said.split(/\s/);
  const { firstWal } = JSON.parse(await readFile(join(backups, 'base', newest, 'manifest.json'), 'utf8')) as {
    firstWal: string;
  };
  await rm(join(backups, 'wal', `${firstWal}.gz`));
  expect(await backup('verify')).toEqual({
    code: 1,
    said: `the archived log has a gap: before ${firstWal}\n`,
  });
});

it.each([
  [['restore', '--at', 'yesterday'], 2, /--at takes a moment/],
  [['verify', 'nothing'], 1, /There is no copy nothing/],
  [['restore', '--at', '2020-01-01T00:00:00Z'], 1, /There is no copy that old/],
  [['burn'], 2, /^Usage: npm run backup/],
])('says what is wrong with %j', async (args, code, says) => {
  expect(await backup(...args)).toMatchObject({ code, said: expect.stringMatching(says) });
});
