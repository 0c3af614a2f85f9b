/**
 * A folder of its own for each running instance: `.atelier/1`, or the next number that no living process holds. So a second
 * instance beside the first works on its own data, and the next start finds the first's.
 *
 * The lock is SQLite's on an empty `lock.db`, which is the operating system's on a file: one process at a time has it, it
 * ends with its process however that was killed, and a process that is busy or suspended keeps it.
 */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const INSTANCES_MAX = 16;
/** SQLite's code for a lock that another holds. */
const SQLITE_BUSY = 5;

/** Those of this process. The garbage collector would close, and so give up, one that nothing refers to. */
const locks = new Set<DatabaseSync>();

export interface Instance {
  readonly number: number;
  /** absolute */
  readonly dir: string;
  release(): Promise<void>;
}

export async function claimInstance(dataDir: string): Promise<Instance> {
  for (let number = 1; number <= INSTANCES_MAX; number++) {
    const dir = resolve(dataDir, String(number));
    await mkdir(dir, { recursive: true });
    const lock = takeLock(join(dir, 'lock.db'));
    if (lock) return { number, dir, release: async () => giveUp(lock) };
  }
  throw new Error(`${INSTANCES_MAX} instances run under ${dataDir} already.`);
}

/** null when another holds it */
function takeLock(file: string): DatabaseSync | null {
  const lock = new DatabaseSync(file);
  try {
    lock.exec('BEGIN IMMEDIATE');
    locks.add(lock);
    return lock;
  } catch (error) {
    lock.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return null;
    throw error;
  }
}

function giveUp(lock: DatabaseSync): void {
  if (locks.delete(lock)) lock.close();
}
