/**
 * Copies of Postgres's data folder, and Postgres out of them at any moment since. Its log (WAL) is archived all the time; a copy that is
 * made while people write becomes whole by what the log says of that time.
 *
 *   BACKUP_DIR/wal/…gz             the log, in parts of 16 MiB, packed
 *   BACKUP_DIR/base/<time>/data    the folder as it was copied, with `backup_label`
 *   BACKUP_DIR/base/<time>/password   of the role that all belongs to, as the copy has it
 *   BACKUP_DIR/base/<time>/manifest.json
 *
 * Source: PostgreSQL's documentation, "Continuous Archiving and Point-in-Time Recovery", Making a Base Backup Using the Low Level API.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  appendFile,
  chmod,
  chown,
  cp,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { z } from 'zod';
import { placeOfData, SUPERUSER, startPostgres } from '../local/postgres.ts';

/** What a running Postgres has in its folder and a copy must not. */
const NOT_COPIED =
  /^(pg_wal|pg_replslot|pg_dynshmem|pg_notify|pg_serial|pg_snapshots|pg_stat_tmp|pg_subtrans)\/.+|^postmaster\.(pid|opts)$|(^|\/)pgsql_tmp/;
/** Copies are kept for two weeks, and one always. ms */
const KEPT_MS = 14 * 24 * 3_600_000;
/** To go through the log. ms */
const RECOVERS_WITHIN_MS = 600_000;
const STOPPED = /recovery ended before configured recovery target was reached/;

const Manifest = z.object({
  startedAt: z.coerce.date(),
  /** from when on it can be gone back to */
  endedAt: z.coerce.date(),
  /** of the log, the first part that it needs */
  firstWal: z.string(),
  version: z.string(),
  /** path → SHA-256 */
  files: z.record(z.string(), z.string()),
});
export type Manifest = z.output<typeof Manifest>;

/** A copy that is whole. */
export interface Base extends Manifest {
  readonly name: string;
}

const basesIn = (backups: string) => join(backups, 'base');

/** The newest first. */
export async function listBases(backups: string): Promise<Base[]> {
  const names = (await readdir(basesIn(backups)).catch(() => [])).filter((name) => !name.endsWith('.part'));
  const bases: Base[] = [];
  for (const name of names.sort().reverse()) {
    const text = await readFile(join(basesIn(backups), name, 'manifest.json'), 'utf8');
    bases.push({ name, ...Manifest.parse(JSON.parse(text)) });
  }
  return bases;
}

/**
 * Copies the data folder of the Postgres at `url`, which must be on this machine.
 *
 * @throws {Error} with a sentence, when it is elsewhere or does not archive its log
 */
export async function makeBase(url: string, backups: string): Promise<Base> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const part = join(basesIn(backups), `${nameOf(new Date())}.part`);
  try {
    const data = await dataOf(client);
    await mkdir(part, { recursive: true, mode: 0o700 });
    const startedAt = new Date();
    await client.query(`SELECT pg_backup_start('atelier', true)`);
    await copyTree(data, join(part, 'data'));
    const { rows } = await client.query<{ labelfile: string; spcmapfile: string }>(
      'SELECT labelfile, spcmapfile FROM pg_backup_stop(true)',
    );
    const { labelfile = '', spcmapfile = '' } = rows[0] ?? {};
    await writeFile(join(part, 'data/backup_label'), labelfile);
    if (spcmapfile) await writeFile(join(part, 'data/tablespace_map'), spcmapfile);
    const manifest: Manifest = {
      startedAt,
      endedAt: new Date(),
      firstWal: /\(file ([0-9A-F]{24})\)/.exec(labelfile)?.[1] ?? '',
      version: (await readFile(join(part, 'data/PG_VERSION'), 'utf8')).trim(),
      files: await hashesOf(join(part, 'data')),
    };
    await writeFile(join(part, 'manifest.json'), JSON.stringify(manifest, null, 1));
    await writeFile(join(part, 'password'), decodeURIComponent(new URL(url).password), { mode: 0o600 });
    const name = nameOf(startedAt);
    await rename(part, join(basesIn(backups), name));
    return { name, ...manifest };
  } finally {
    await client.end();
    await rm(part, { recursive: true, force: true });
  }
}

/** Removes copies that are too old, and the log that only they need. @returns their names */
export async function dropOld(backups: string, now = new Date()): Promise<string[]> {
  const [newest, ...others] = await listBases(backups);
  const old = others.filter(({ endedAt }) => now.getTime() - endedAt.getTime() > KEPT_MS);
  for (const { name } of old) await rm(join(basesIn(backups), name), { recursive: true });
  const kept = [newest, ...others.filter((one) => !old.includes(one))].flatMap((one) => one?.firstWal ?? []);
  const [first] = kept.sort();
  if (first)
    for (const file of await readdir(join(backups, 'wal')))
      if (/^[0-9A-F]{24}/.test(file) && file.slice(0, 24) < first) await rm(join(backups, 'wal', file));
  return old.map(({ name }) => name);
}

/** The part of the log after which one is missing that a copy needs to come to the newest; null: it is whole. */
export async function gapIn(backups: string, { firstWal }: Base): Promise<string | null> {
  const timeline = firstWal.slice(0, 8);
  const parts = (await readdir(join(backups, 'wal')))
    .flatMap((file) => /^([0-9A-F]{24})\.gz$/.exec(file)?.[1] ?? [])
    .filter((part) => part.startsWith(timeline) && part >= firstWal)
    .sort();
  if (parts[0] !== firstWal) return `before ${firstWal}`;
  // Two numbers of 32 bits, the second of which counts to 255 alone.
  const numberOf = (part: string) =>
    Number.parseInt(part.slice(8, 16), 16) * 256 + Number.parseInt(part.slice(16), 16);
  return (
    parts.find((part, i) => parts[i + 1] !== undefined && numberOf(parts[i + 1]!) !== numberOf(part) + 1) ??
    null
  );
}

/** Files of a copy that are not as they were made. */
export async function damaged(backups: string, { name, files }: Base): Promise<string[]> {
  const now = await hashesOf(join(basesIn(backups), name, 'data'));
  return Object.entries(files)
    .filter(([path, sha256]) => now[path] !== sha256)
    .map(([path]) => path);
}

/**
 * Makes a data folder out of a copy and the log, as it was at a moment or as far as the log goes, and lets Postgres go through it.
 *
 * @param dataDir of `startPostgres`; there must be no data yet
 * @param before the data folder that this one is to take the place of: the end of its log may not be archived yet. null: it is a trial,
 *   and nothing that it writes is archived
 * @param work with a Postgres that takes writes again
 * @throws {Error} with a sentence, when the log does not reach so far
 */
export async function recover<T>(
  backups: string,
  base: Base,
  dataDir: string,
  at: Date | null,
  before: string | null,
  work: (url: string) => Promise<T>,
): Promise<T> {
  const { data, uid, gid } = await placeOfData(dataDir);
  const from = join(basesIn(backups), base.name);
  await cp(join(from, 'password'), join(dirname(data), 'password'));
  await cp(join(from, 'data'), data, { recursive: true, errorOnExist: true, force: false });
  const wal = join(backups, 'wal');
  await appendFile(
    join(data, 'postgresql.auto.conf'),
    [
      `restore_command = 'gunzip < "${wal}/%f.gz" > "%p" 2>/dev/null${before === null ? '' : ` || cp "${before}/pg_wal/%f" "%p"`}'`,
      `recovery_target_timeline = 'latest'`,
      ...(at
        ? [
            `recovery_target_time = '${at.toISOString().replace('T', ' ').replace('Z', '+00')}'`,
            `recovery_target_action = 'promote'`,
          ]
        : []),
      '',
    ].join('\n'),
  );
  await writeFile(join(data, 'recovery.signal'), '');
  await own(data, uid, gid);
  // It answers before it is through its log, and may end there.
  const { promise: ended, reject: end } = Promise.withResolvers<never>();
  ended.catch(() => {});
  const postgres = await startPostgres({
    dataDir,
    onExit: (reason) => end(new Error(reason)),
    startsWithinMs: RECOVERS_WITHIN_MS,
    ...(before !== null && { archive: wal }),
  }).catch((error: unknown) => {
    throw tooLate(error, at);
  });
  try {
    await Promise.race([untilWritable(postgres.url('postgres'), ended), ended]);
    return await work(postgres.url('atelier'));
  } catch (error) {
    throw tooLate(error, at);
  } finally {
    await postgres.stop();
    // They are of this recovery alone.
    const conf = join(data, 'postgresql.auto.conf');
    const lines = (await readFile(conf, 'utf8')).split('\n');
    await writeFile(conf, lines.filter((line) => !/^(restore_command|recovery_)/.test(line)).join('\n'));
  }
}

function tooLate(error: unknown, at: Date | null): Error {
  const said = error instanceof Error ? error : new Error(String(error));
  if (!at || !STOPPED.test(said.message)) return said;
  return new Error(
    `The archived log does not reach ${at.toISOString()}: choose an earlier moment, or leave --at out.`,
  );
}

/** @param ended rejects when there is nothing more to wait for */
async function untilWritable(url: string, ended: Promise<never>): Promise<void> {
  const deadline = Date.now() + RECOVERS_WITHIN_MS;
  let isOver = false;
  ended.catch(() => {
    isOver = true;
  });
  while (!isOver) {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => {});
    try {
      await client.connect();
      const { rows } = await client.query<{ going: boolean }>('SELECT pg_is_in_recovery() AS going');
      if (!rows[0]?.going) return;
    } catch {
      // Between two states, or it has just ended: that is heard of by itself.
    } finally {
      await client.end().catch(() => {});
    }
    if (Date.now() > deadline) throw new Error('Postgres did not get through its log in time');
    await sleep(100);
  }
}

async function dataOf(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ folder: string; archives: string; role: string }>(
    `SELECT current_setting('data_directory') AS folder, current_setting('archive_mode') AS archives, current_user AS role`,
  );
  const { folder = '', archives, role } = rows[0] ?? {};
  if (role !== SUPERUSER)
    throw new Error(`Copies are made as the role "${SUPERUSER}", to whom all belongs, and not as "${role}".`);
  if (!(await stat(join(folder, 'PG_VERSION')).catch(() => null)))
    throw new Error(
      'This Postgres is on another machine, or its data folder may not be read. Whoever runs it has to copy it: managed ones do by themselves.',
    );
  if (archives === 'off')
    throw new Error('This Postgres does not archive its log yet: set BACKUP_DIR and start it again.');
  return folder;
}

/** Files that go meanwhile are of no loss: the log knows of it. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true, recursive: true })) {
    const source = join(entry.parentPath, entry.name);
    const path = source.slice(from.length + 1);
    if (NOT_COPIED.test(path)) continue;
    if (entry.isDirectory()) await mkdir(join(to, path), { recursive: true });
    else if (entry.isFile()) {
      await mkdir(dirname(join(to, path)), { recursive: true });
      await cp(source, join(to, path)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
    } else
      throw new Error(`${path} is elsewhere: a data folder with tablespaces or links is not copied here.`);
  }
}

async function hashesOf(folder: string): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
    hashes[file.slice(folder.length + 1)] = hash.digest('hex');
  }
  return hashes;
}

async function own(folder: string, uid: number | undefined, gid: number | undefined): Promise<void> {
  await chmod(folder, 0o700);
  if (uid === undefined || gid === undefined) return;
  await chown(folder, uid, gid);
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true }))
    await chown(join(entry.parentPath, entry.name), uid, gid);
}

/** Names in order of time. */
const nameOf = (at: Date) => at.toISOString().replaceAll(':', '-');
