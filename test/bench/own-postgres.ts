/** A bench in a process of its own, that has the environment of a Postgres of its own from the beginning. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { childEnv } from '#config/env.ts';
import { ownPostgres } from '#test/support/own.ts';
import type { Goal } from './goal.ts';

/** @param file beside this one; it sends its goals */
export async function onOwnPostgres(file: string, ...args: readonly string[]): Promise<readonly Goal[]> {
  const postgres = await ownPostgres();
  const dataDir = await mkdtemp(join(tmpdir(), 'atelier-bench-'));
  try {
    const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
      env: childEnv({ DATABASE_URL: postgres.url, DATA_DIR: dataDir, REDIS_URL: '', LOG_LEVEL: 'error' }),
    });
    const [goals] = (await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(() => Promise.reject(new Error(`${file} ended without an answer`))),
    ])) as [readonly Goal[]];
    return goals;
  } finally {
    await postgres.close();
    await rm(dataDir, { recursive: true, force: true });
  }
}
