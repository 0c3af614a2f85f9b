/** The Postgres from npm, as it is started on a machine that has nothing else. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type EmbeddedPostgres, linkLibraries, startPostgres } from '#infra/local/postgres.ts';

const asRoot = process.getuid?.() === 0;
let dir: string;
const running = new Set<EmbeddedPostgres>();
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-embedded-'));
  await chmod(dir, 0o755); // a folder that Postgres's own user may enter
});
afterEach(async () => {
  for (const postgres of running) await postgres.stop();
  running.clear();
  await rm(dir, { recursive: true, force: true });
});

async function start(dataDir = join(dir, 'postgres'), keep = true): Promise<EmbeddedPostgres> {
  const postgres = await startPostgres({ dataDir, keep });
  running.add(postgres);
  return postgres;
}
async function stop(postgres: EmbeddedPostgres): Promise<void> {
  running.delete(postgres);
  await postgres.stop();
}
async function ask(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

it('listens on the loopback alone, asks for its password, and keeps its data over starts', async () => {
  const first = await start();
  await ask(first.url('postgres'), 'CREATE TABLE kept AS SELECT 7 AS n');
  expect(await ask(first.url('postgres'), 'SHOW listen_addresses')).toEqual([
    { listen_addresses: '127.0.0.1' },
  ]);
  const wrong = first.url('postgres').replace(/:[^:@]+@/, ':guessed@');
  await expect(ask(wrong, 'SELECT 1')).rejects.toThrow(/password/);
  await stop(first);

  const second = await start();
  expect(await ask(second.url('postgres'), 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
});

it('replaces one that a killed process left running, and keeps what was committed', async () => {
  const dataDir = join(dir, 'postgres');
  const script = `import { startPostgres } from '#infra/local/postgres.ts';
    import pg from 'pg';
    const postgres = await startPostgres({ dataDir: ${JSON.stringify(dataDir)} });
    const client = new pg.Client({ connectionString: postgres.url('postgres') });
    await client.connect();
    await client.query('CREATE TABLE kept AS SELECT 8 AS n');
    console.log(postgres.pid);
    setInterval(() => {}, 1_000);`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((done) => child.on('exit', done));
  const orphan = Number(await new Promise<Buffer>((done) => child.stdout.once('data', done)));
  child.kill('SIGKILL');
  await ended;
  try {
    expect(isAlive(orphan)).toBe(true);
    const postgres = await start(dataDir);
    expect(isAlive(orphan)).toBe(false);
    expect(await ask(postgres.url('postgres'), 'SELECT n FROM kept')).toEqual([{ n: 8 }]);
  } finally {
    if (isAlive(orphan)) process.kill(orphan, 'SIGQUIT');
  }
});

it('works under a folder that only its owner may enter, and forgets what was deleted there', async () => {
  const closed = join(dir, 'closed');
  await mkdir(closed, { mode: 0o700 });
  const dataDir = join(closed, 'postgres');
  const first = await start(dataDir);
  await ask(first.url('postgres'), 'CREATE TABLE kept AS SELECT 9 AS n');
  // As root it runs as another user, who may not enter: then its data are elsewhere, and a note says where.
  const noted = (await readFile(join(dataDir, 'where'), 'utf8').catch(() => dataDir)).trim();
  expect(existsSync(join(noted, 'data/PG_VERSION'))).toBe(true);
  expect(noted === dataDir).toBe(!asRoot);
  await stop(first);
  const second = await start(dataDir);
  expect(await ask(second.url('postgres'), 'SELECT n FROM kept')).toEqual([{ n: 9 }]);
  await stop(second);

  await rm(dataDir, { recursive: true });
  const third = await start(dataDir, false);
  await expect(ask(third.url('postgres'), 'SELECT n FROM kept')).rejects.toThrow(/does not exist/);
  await stop(third);
  expect(existsSync(noted)).toBe(false);
});

it('makes its data folder anew when the first try was cut off', async () => {
  await mkdir(join(dir, 'postgres/data/base'), { recursive: true });
  const postgres = await start();
  expect(await ask(postgres.url('postgres'), 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
});

it('links the libraries that npm’s archive could not, and leaves those that are there', async () => {
  await mkdir(join(dir, 'native/lib'), { recursive: true });
  await writeFile(join(dir, 'native/lib/libpq.so.5.18'), 'a library');
  const links = ['libpq.so', 'libpq.so.5'].map((name) => ({
    source: 'native/lib/libpq.so.5.18',
    target: `native/lib/${name}`,
  }));
  await writeFile(join(dir, 'native/pg-symlinks.json'), JSON.stringify(links));
  await Promise.all([linkLibraries(dir), linkLibraries(dir)]);
  await linkLibraries(dir);
  expect(await readlink(join(dir, 'native/lib/libpq.so'))).toBe('libpq.so.5.18');
  expect(await readFile(join(dir, 'native/lib/libpq.so.5'), 'utf8')).toBe('a library');
});

it('tells when it ends by itself', async () => {
  const ended = new Promise<string>((told) => {
    void startPostgres({ dataDir: join(dir, 'postgres'), onExit: told }).then((postgres) =>
      process.kill(postgres.pid, 'SIGQUIT'),
    );
  });
  expect(await ended).toMatch(/^Postgres ended/);
});

it('says what to do on a machine that there is no Postgres for', async () => {
  const arch = Object.getOwnPropertyDescriptor(process, 'arch') ?? {};
  Object.defineProperty(process, 'arch', { ...arch, value: 'riscv64' });
  try {
    await expect(start()).rejects.toThrow(
      /^There is no embedded Postgres for \w+-riscv64 \(there is for .*linux-x64.*\)\. Set DATABASE_URL/,
    );
  } finally {
    Object.defineProperty(process, 'arch', arch);
  }
});
