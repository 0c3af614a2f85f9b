/**
 * Services as child processes of one parent. One that ends by itself is started again, after pauses that grow to half a minute: what it
 * could not do without may come back at any time. When the parent goes, they go.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { childEnv } from '#config/env.ts';
import { FIRST_PAUSE_MS, restarts } from '#src/services/restarts.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
/** A service closes within 25 s. */
const KILL_AFTER_MS = 30_000;
/** What one wrote last may come after its end; a process of its own may keep its output open for longer. ms */
const LAST_WORDS_MS = 500;
const LAST_LINES = 40;
/**
 * Where new objects live, of each heap: by itself it grows to 16 MiB twice over, in each process and in the thread that draws. A
 * portrait takes as long with 4, and the whole demo 150 MiB less.
 */
export const NEW_SPACE = '--max-semi-space-size=4';

const Ready = z.object({ ready: z.literal(true) });

export interface ServiceProcess {
  /** the services in it */
  readonly names: readonly string[];
  readonly pid: number | undefined;
  /** Waits until it is ready. @throws {Error} with the last lines it wrote; then it stays down, and may be started again */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface ProcessOptions {
  readonly env: Readonly<Record<string, string>>;
  /** options of Node's own */
  readonly execArgv?: readonly string[];
  /** told every line that it writes */
  readonly onLine: (line: string) => void;
  /** told of restarts */
  readonly print: (line: string) => void;
  /** pause after the first end, ms */
  readonly pauseMs?: number;
}

/** A process for some services; not started yet. */
export function serviceProcess(
  names: readonly string[],
  { env, execArgv = [], onLine, print, pauseMs: firstPauseMs = FIRST_PAUSE_MS }: ProcessOptions,
): ServiceProcess {
  const name = names.join(', ');
  let child: ChildProcess | undefined;
  let isWanted = false;
  /** since it was wanted */
  let wasReady = false;
  let again = restarts(firstPauseMs);
  let retry: NodeJS.Timeout | undefined;

  /** Resolves when it is ready, rejects when it ends before. */
  function launch(): Promise<void> {
    const startedAt = Date.now();
    const lastLines: string[] = [];
    const launched = fork(MAIN, names, {
      env: childEnv(env),
      execArgv: [NEW_SPACE, ...execArgv],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    child = launched;
    for (const stream of [launched.stdout, launched.stderr]) {
      if (!stream) continue;
      createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) => {
        onLine(line);
        lastLines.push(line);
        if (lastLines.length > LAST_LINES) lastLines.shift();
      });
    }
    const closed = new Promise((done) => launched.on('close', done));
    const ended = once(launched, 'exit').then(async ([code, signal]: (number | string | null)[]) => {
      await Promise.race([closed, sleep(LAST_WORDS_MS)]);
      const how = String(signal ?? code);
      if (isWanted && wasReady) startAgain(how, Date.now() - startedAt);
      throw new Error(`${name} did not start (${how}).\n${lastLines.join('\n').trim()}`);
    });
    const ready = new Promise<void>((done) => {
      launched.on('message', (message) => {
        if (Ready.safeParse(message).success) done();
      });
    });
    return Promise.race([ready, ended]);
  }

  function startAgain(how: string, ranMs: number): void {
    const { pauseMs } = again(ranMs);
    print(`${name} ended (${how}), starting it again in ${pauseMs / 1000} s`);
    retry = setTimeout(() => void launch().catch(() => {}), pauseMs);
  }

  return {
    names,
    get pid() {
      return child?.pid;
    },
    async start() {
      isWanted = true;
      wasReady = false;
      again = restarts(firstPauseMs);
      await launch();
      wasReady = true;
    },
    async stop() {
      isWanted = false;
      clearTimeout(retry);
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      const late = setTimeout(() => child?.kill('SIGKILL'), KILL_AFTER_MS);
      await ended;
      clearTimeout(late);
    },
  };
}
