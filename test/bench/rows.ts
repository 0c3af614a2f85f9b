/**
 * What a picture's rows cost, beside bare `pg` that writes the same rows in one statement a transaction, in the same run on the same
 * Postgres: accepting alone, and a picture's whole way without the drawing and without Discord.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { childEnv } from '#config/env.ts';
import { ownPostgres } from '#test/support/own.ts';
import type { Goal } from './goal.ts';

const MEASURED = fileURLToPath(new URL('./rows-measured.ts', import.meta.url));

async function measured(name: string): Promise<readonly Goal[]> {
  const postgres = await ownPostgres();
  const dataDir = await mkdtemp(join(tmpdir(), 'atelier-rows-'));
  try {
    const child = fork(MEASURED, [name], {
      env: childEnv({ DATABASE_URL: postgres.url, DATA_DIR: dataDir, REDIS_URL: '', LOG_LEVEL: 'error' }),
    });
    const [goals] = (await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(() => Promise.reject(new Error(`${name} ended without an answer`))),
    ])) as [readonly Goal[]];
    return goals;
  } finally {
    await postgres.close();
    await rm(dataDir, { recursive: true, force: true });
  }
}

export const accept = () => measured('accept');
export const lifecycle = () => measured('lifecycle');
