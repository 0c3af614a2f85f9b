/**
 * `npm run backup -- …`: copies of the rows and of the files, and back.
 *
 *   make                         a copy of both, beside the log that Postgres archives all the time; old copies go
 *   list                         what there is, and how far back one can go
 *   verify [NAME]                reads a copy, lets Postgres go through its log, and holds rows and files against each other
 *   restore [NAME] [--at TIME]   rows and files as they were; what was there is kept beside
 *
 * The copy of the files is a mirror: what somebody had deleted, a face above all, is gone from it with the next `make`. Rows that are
 * restored and name such a file are found by the file check, and say so where they are shown.
 */
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import pg from 'pg';
import { config, required } from '#config/env.ts';
import { configuredPlace, openStore, type Store } from '#src/doors/storage.ts';
import { placeOfData, runningOn, startPostgres } from '../local/postgres.ts';
import { print } from '../local/print.ts';
import { copyAll, type Mirrored, mirror } from '../storage/transfer.ts';
import { type Base, damaged, dropOld, gapIn, listBases, makeBase, recover } from './base.ts';

const USAGE = 'Usage: npm run backup -- make [--all] · list · verify [NAME] · restore [NAME] [--at TIME]';
const MIB = 2 ** 20;

const backups = () => required(config.backupDir ?? undefined, 'BACKUP_DIR');
const embedded = () => resolve(config.dataDir, 'postgres');
const filesIn = (dir: string): Promise<Store> => openStore({ dir: join(dir, 'files') });

/** @returns the exit code */
async function main([verb, ...rest]: readonly string[]): Promise<number> {
  const at = rest.indexOf('--at');
  const time = at < 0 ? null : new Date(rest[at + 1] ?? '');
  const [name, ...more] = rest.filter((_, i) => at < 0 || (i !== at && i !== at + 1));
  if (time && Number.isNaN(time.getTime())) {
    process.stderr.write('--at takes a moment like 2026-12-01T03:00:00Z\n');
    return 2;
  }
  if (verb === 'make' && !time && (!name || name === '--all')) return make(name === '--all');
  if (verb === 'list' && !rest.length) return list();
  if (verb === 'verify' && !time && !more.length) return verify(await baseOf(name, null));
  if (verb === 'restore' && !more.length) return restore(await baseOf(name, time), time);
  process.stderr.write(`${USAGE}\n`);
  return 2;
}

async function make(pruneAll: boolean): Promise<number> {
  const dir = backups();
  const base = await withPostgres((url) => makeBase(url, dir));
  const size = Object.keys(base.files).length;
  print(`${base.name}: ${size} files of Postgres`);
  const from = await openStore(configuredPlace());
  const mirrored = await mirror(from, await filesIn(dir), pruneAll);
  print(told(mirrored));
  for (const name of await dropOld(dir)) print(`${name}: older than two weeks, removed`);
  if (!mirrored.spared) return 0;
  process.stderr.write(
    `${mirrored.spared} files are gone from ${from.name}, more than a fifth of all: they are kept in the copy. If that is as it should be, run it again with --all.\n`,
  );
  return 1;
}

const told = ({ files, copied, bytes, removed }: Mirrored) =>
  `${files} files: ${copied} copied (${(bytes / MIB).toFixed(1)} MiB), ${removed} gone`;

async function list(): Promise<number> {
  const bases = await listBases(backups());
  if (!bases.length) print('There is no copy yet: npm run backup -- make');
  for (const { name, endedAt } of bases) print(`${name}   back to any moment since ${endedAt.toISOString()}`);
  return 0;
}

async function verify(base: Base): Promise<number> {
  const dir = backups();
  const broken = await damaged(dir, base);
  for (const path of broken) print(`not as it was made: ${path}`);
  if (broken.length) return 1;
  const gap = await gapIn(dir, base);
  if (gap) print(`the archived log has a gap: ${gap}`);
  if (gap) return 1;
  const trial = join(dir, `trial-${process.pid}`);
  const files = await filesIn(dir);
  try {
    return await recover(dir, base, trial, null, null, async (url) => {
      const rows = await countRows(url);
      const { missing, different, images } = await held(url, files);
      print(
        `${base.name}: ${rows} rows in all tables; of ${images} pictures ${images - missing - different} are in the copy`,
      );
      if (missing) print(`${missing} pictures have no file in the copy: deleted since, or never copied`);
      if (different) print(`${different} pictures are not the bytes that their rows say`);
      return different ? 1 : 0;
    });
  } finally {
    await rm(trial, { recursive: true, force: true });
  }
}

async function restore(base: Base, at: Date | null): Promise<number> {
  const dir = backups();
  if (config.databaseUrl)
    throw new Error(
      'Only the embedded Postgres is restored: unset DATABASE_URL, and see infra/deploy/README.md.',
    );
  if (await runningOn(embedded())) throw new Error('Postgres is running: stop Atelier first.');
  const broken = await damaged(dir, base);
  if (broken.length) throw new Error(`${base.name} is damaged (${broken[0]} …): restore another one.`);

  const { data } = await placeOfData(embedded());
  const before = `${data}.before-${new Date().toISOString().replaceAll(':', '-')}`;
  const had = existsSync(data);
  if (had) await rename(data, before);
  let rows: number;
  try {
    rows = await recover(dir, base, embedded(), at, before, countRows);
  } catch (error) {
    // As it was: nothing is half restored.
    await rm(data, { recursive: true, force: true });
    if (had) await rename(before, data);
    throw error;
  }
  const { copied } = await copyAll(await filesIn(dir), await openStore(configuredPlace()));
  print(`${base.name}${at ? ` at ${at.toISOString()}` : ''}: ${rows} rows, ${copied} files put back`);
  if (had) print(`What was there is kept in ${before}`);
  return 0;
}

async function on<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return work(client).finally(() => client.end());
}

/** Of all tables. */
function countRows(url: string): Promise<number> {
  return on(url, async (client) => {
    const { rows: tables } = await client.query<{ name: string }>(
      `SELECT format('%I.%I', schemaname, relname) AS name FROM pg_stat_user_tables ORDER BY 1`,
    );
    let rows = 0;
    for (const { name } of tables) {
      const { rows: counted } = await client.query<{ count: number }>(
        `SELECT count(*)::int AS count FROM ${name}`,
      );
      rows += counted[0]?.count ?? 0;
    }
    return rows;
  });
}

/** What the pictures' rows say of files held against the files. */
function held(url: string, files: Store) {
  return on(url, async (client) => {
    const { rows: images } = await client.query<{ storageKey: string; sha256: string }>(
      `SELECT "storageKey", sha256 FROM "Image" WHERE "missingAt" IS NULL`,
    );
    let [missing, different] = [0, 0];
    for (const { storageKey, sha256 } of images) {
      const found = await files.sha256(storageKey);
      if (found === null) missing++;
      else if (found !== sha256) different++;
    }
    return { images: images.length, missing, different };
  });
}

/** The named one, or the newest from which one can get to that moment. */
async function baseOf(name: string | undefined, at: Date | null): Promise<Base> {
  const bases = await listBases(backups());
  const base = bases.find((one) => (name ? one.name === name : !at || one.endedAt <= at));
  if (!base)
    throw new Error(name ? `There is no copy ${name}: npm run backup -- list` : 'There is no copy that old.');
  if (at && base.endedAt > at)
    throw new Error(`${base.name} was made after that moment: leave its name out.`);
  return base;
}

/** The one that runs, or the embedded one for as long as this takes. */
async function withPostgres<T>(work: (url: string) => Promise<T>): Promise<T> {
  const url = config.databaseUrl ?? (await runningOn(embedded()))?.url;
  if (url) return work(url);
  const postgres = await startPostgres({ dataDir: embedded(), archive: join(backups(), 'wal') });
  try {
    return await work(postgres.url('atelier'));
  } finally {
    await postgres.stop();
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
