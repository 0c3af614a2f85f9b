/**
 * Measures how long the event loop of the bot's processes is held: loaded into them by `--import`, it notes the longest that the
 * loop's thread computed between two ticks, and listens on a port for a test that asks.
 *
 * By the thread's own time, not by the clock: what else the machine does at that moment is no matter of ours.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { createHistogram } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';

const PROGRAM = 'shard.ts';
const TICK_MS = 1;

/** What the environment of the processes must have. Each leaves its port in the folder. */
export function environmentFor(folder: string) {
  return { NODE_OPTIONS: `--import ${fileURLToPath(import.meta.url)}`, LOOP_HOLDS_DIR: folder };
}

/** The longest hold while `work` went on, in any of the processes, ms. */
export async function longestHold(folder: string, work: () => Promise<unknown>): Promise<number> {
  await ask(folder);
  await work();
  return ask(folder);
}

/** The longest since it was asked last. */
async function ask(folder: string): Promise<number> {
  const ports = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'));
  const holds = ports.map(async (port) => Number(await (await fetch(`http://127.0.0.1:${port}`)).text()));
  return Math.max(...(await Promise.all(holds)));
}

const { LOOP_HOLDS_DIR: dir } = process.env;
if (dir && isMainThread && basename(process.argv[1] ?? '') === PROGRAM) {
  const holds = createHistogram();
  let before = microseconds();
  setInterval(() => {
    const now = microseconds();
    holds.record(Math.max(1, now - before));
    before = now;
  }, TICK_MS).unref();
  const server = createServer((_, response) => {
    response.end(String(holds.max / 1_000));
    holds.reset();
  }).listen(0, '127.0.0.1', () => {
    writeFileSync(join(dir, String(process.pid)), String((server.address() as AddressInfo).port));
  });
  server.unref();
}

function microseconds(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}
