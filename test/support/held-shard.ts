/**
 * Holds the main thread of the bot's shards, as a computation would that does not end, or ends their gateway's thread: loaded into both
 * by `--import`, it does what files of a folder ask for.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';

const PROGRAMS = ['shard.ts', 'gateway-thread.ts'];
const LOOK_EVERY_MS = 10;
/** A test that fails leaves nobody held. */
const HELD_MAX_MS = 20_000;

/** What the environment of the processes must have. */
export function environmentFor(folder: string) {
  return { NODE_OPTIONS: `--import ${fileURLToPath(import.meta.url)}`, HELD_DIR: folder };
}

/** Resolves once it is held. @returns lets it go on */
export async function hold(folder: string): Promise<() => void> {
  const [asked, held] = [join(folder, 'hold'), join(folder, 'held')];
  rmSync(held, { force: true });
  writeFileSync(asked, '');
  while (!existsSync(held)) await sleep(LOOK_EVERY_MS);
  return () => rmSync(asked, { force: true });
}

export function endThread(folder: string): void {
  writeFileSync(join(folder, 'end'), '');
}

const { HELD_DIR: dir } = process.env;
if (dir && PROGRAMS.includes(basename(process.argv[1] ?? ''))) {
  const idle = new Int32Array(new SharedArrayBuffer(4));
  const look = () => {
    if (!isMainThread && existsSync(join(dir, 'end'))) {
      rmSync(join(dir, 'end'));
      throw new Error('asked to end');
    }
    if (!isMainThread || !existsSync(join(dir, 'hold'))) return;
    writeFileSync(join(dir, 'held'), '');
    const end = Date.now() + HELD_MAX_MS;
    while (existsSync(join(dir, 'hold')) && Date.now() < end) Atomics.wait(idle, 0, 0, LOOK_EVERY_MS);
  };
  setInterval(look, LOOK_EVERY_MS).unref();
}
