/**
 * The services as child processes of one parent. Each logs into a file of its own; one that ends by itself is started
 * again with growing pauses; when the parent goes, they go.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { childEnv } from '#config/env.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** One that ran so long was well: the next pause is a short one again. ms */
const HEALTHY_MS = 60_000;
/** Ended so often in a row without a healthy run: its reason will not go away by itself. */
const FAILURES_MAX = 5;
const KILL_AFTER_MS = 100_000;

const Ready = z.object({ ready: z.literal(true), url: z.string().optional() });

export interface RunningService {
  readonly name: string;
  readonly url: string | undefined;
  readonly pid: number;
  stop(): Promise<void>;
}

export interface ProcessOptions {
  readonly env: Record<string, string | undefined>;
  /** folder for `<name>.log` */
  readonly logDir: string;
  /** told of restarts, and of a service that is given up */
  readonly say: (line: string) => void;
}

/** Starts a service and waits until it says that it is ready. @throws {Error} with the last lines it wrote */
export async function startProcess(
  name: string,
  { env, logDir, say }: ProcessOptions,
): Promise<RunningService> {
  await mkdir(logDir, { recursive: true });
  let child: ChildProcess;
  let url: string | undefined;
  let stopping = false;
  let failures = 0;
  let retry: NodeJS.Timeout | undefined;

  function launch(): Promise<void> {
    const startedAt = Date.now();
    const out = createWriteStream(join(logDir, `${name}.log`), { flags: 'a' });
    const tail: string[] = [];
    child = fork(MAIN, [name], { env: childEnv(env), stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        out.write(chunk);
        tail.push(String(chunk));
        if (tail.length > 20) tail.shift();
      });
    }
    return new Promise((ready, fail) => {
      child.on('message', (message) => {
        const said = Ready.safeParse(message);
        if (!said.success) return;
        url = said.data.url;
        ready();
      });
      child.on('exit', (code, signal) => {
        out.end();
        fail(new Error(`${name} did not start (${signal ?? code}).\n${tail.join('').trim()}`));
        if (stopping) return;
        failures = Date.now() - startedAt > HEALTHY_MS ? 1 : failures + 1;
        if (failures > FAILURES_MAX)
          return say(`${name} ended ${failures} times in a row: see ${logDir}/${name}.log`);
        const pause = Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS);
        say(`${name} ended (${signal ?? code}), starting it again in ${pause / 1000} s`);
        retry = setTimeout(() => void launch().catch(() => {}), pause);
      });
    });
  }

  try {
    await launch();
  } catch (error) {
    stopping = true;
    clearTimeout(retry);
    throw error;
  }
  return {
    name,
    get url() {
      return url;
    },
    get pid() {
      return child.pid ?? 0;
    },
    async stop() {
      stopping = true;
      clearTimeout(retry);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise<void>((done) => child.once('exit', () => done()));
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
      await ended;
      clearTimeout(late);
    },
  };
}
