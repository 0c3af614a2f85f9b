/** Workers as processes of their own: to be killed, paused and stopped. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { config } from '#config/env.ts';

export interface WorkerProcess {
  readonly pid: number;
  /** Its Worker row's. */
  isMine(workerId: string | null): boolean;
  /** what it logged */
  readonly lines: readonly string[];
  /** Resolves when it is ready. */
  readonly ready: Promise<void>;
  /** Resolves with its code or signal. */
  readonly ended: Promise<number | string | null>;
  signal(name: NodeJS.Signals): void;
}

const SOON_STOPPED = 'test/support/soon-stopped-worker.ts';
const running = new Set<ChildProcess>();

/** Has the workers that are started from now on draw with the bundle in a folder. */
export async function useBundle(dir: string): Promise<void> {
  const path = join(config.dataDir, 'bundles/reference');
  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true });
  await symlink(dir, path);
}

/** @param drainMs how long it may draw on when it is told to stop; as it is in production when left out */
export function workerProcess(
  env: Readonly<Record<string, string | undefined>> = {},
  drainMs?: number,
): WorkerProcess {
  const [file, ...args] = drainMs ? [SOON_STOPPED, String(drainMs)] : ['src/main.ts', 'worker'];
  const child = fork(file!, args, {
    env: { ...process.env, LOG_LEVEL: 'info', ...env },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  running.add(child);
  const lines: string[] = [];
  if (child.stderr) createInterface({ input: child.stderr }).on('line', (line) => lines.push(line));
  const ended = once(child, 'exit').then(([code, signal]: (number | string | null)[]) => {
    running.delete(child);
    return signal ?? code ?? null;
  });
  const ready = new Promise<void>((done, fail) => {
    child.once('message', () => done());
    void ended.then((how) => fail(new Error(`A worker ended (${how}):\n${lines.slice(-20).join('\n')}`)));
  });
  ready.catch(() => {}); // who starts it may have killed it
  return {
    pid: child.pid ?? 0,
    isMine: (workerId) => workerId?.includes(`-${child.pid}-`) ?? false,
    lines,
    ready,
    ended,
    signal: (name) => void child.kill(name),
  };
}

/** Ends those that a test left. */
export async function endWorkers(): Promise<void> {
  await Promise.all(
    [...running].map(async (child) => {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }),
  );
}
