/** The one door to other programs of a deploy: git, docker, aws. They are found on PATH, where tests put their own. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { childEnv } from '#config/env.ts';

/** What it wrote last is told where it fails. Characters */
const LAST_WORDS = 1_500;
/** It may tidy up before it is killed. ms */
const GRACE_MS = 2_000;

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly input?: string | undefined;
  readonly cwd?: string | undefined;
}

/**
 * Runs it to its end.
 *
 * @returns what it wrote to its standard output
 * @throws {Error} with its last lines when it ends with anything but 0, is not there, or has not ended after `limitMs`
 */
export async function run(command: Command, limitMs: number): Promise<string> {
  const { child, said } = start(command);
  child.stdin.end(command.input ?? '');
  const ended = endOf(child, command.program);
  const timer = new AbortController();
  const late = sleep(limitMs, 'late' as const, { signal: timer.signal }).catch(() => 'late' as const);
  const end = await Promise.race([ended, late]).finally(() => timer.abort());
  if (end === 'late') {
    await stop(child, ended);
    throw new Error(`${told(command)} did not end within ${Math.round(limitMs / 1_000)} s.${said.last()}`);
  }
  if (end !== 0) throw new Error(`${told(command)} ended with ${end}.${said.last()}`);
  return said.out();
}

export interface Held {
  /** its first line */
  readonly line: string;
  release(): Promise<void>;
}

/** Starts it and lets it run until it is released, as it has something to hold. @throws {Error} as `run`, before its first line */
export async function hold(command: Command, limitMs: number): Promise<Held> {
  const { child, said } = start(command);
  const ended = endOf(child, command.program);
  // Whoever waits for its end below hears of it too.
  ended.catch(() => {});
  const { promise: first, resolve } = Promise.withResolvers<string>();
  child.stdout.on('data', () => {
    const [line, ...rest] = said.out().split('\n');
    if (line !== undefined && rest.length) resolve(line);
  });
  const timer = new AbortController();
  const late = sleep(limitMs, null, { signal: timer.signal }).catch(() => null);
  const what = await Promise.race([first, ended, late]).finally(() => timer.abort());
  if (typeof what !== 'string') {
    await stop(child, ended);
    throw new Error(what === null ? `${told(command)} said nothing.${said.last()}` : said.last().trim());
  }
  return {
    line: what,
    async release() {
      child.stdin.end();
      await Promise.race([ended, sleep(GRACE_MS, undefined, { ref: false })]);
      await stop(child, ended);
    },
  };
}

function start({ program, args, env = {}, cwd }: Command) {
  const child = spawn(program, args, { cwd, stdio: ['pipe', 'pipe', 'pipe'], env: childEnv(env) });
  // It need not read what it is given.
  child.stdin.on('error', () => {});
  let out = '';
  let all = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
    all = (all + chunk.toString()).slice(-LAST_WORDS);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    all = (all + chunk.toString()).slice(-LAST_WORDS);
  });
  return { child, said: { out: () => out, last: () => (all.trim() ? `\n${all.trim()}` : '') } };
}

type Child = ReturnType<typeof start>['child'];

function endOf(child: Child, program: string): Promise<number | string> {
  return new Promise((done, fail) => {
    child.on('error', (error: NodeJS.ErrnoException) =>
      fail(error.code === 'ENOENT' ? new Error(`${program} is not installed.`) : error),
    );
    child.on('close', (code, signal) => done(code ?? String(signal)));
  });
}

async function stop(child: Child, ended: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await Promise.race([ended, sleep(GRACE_MS, undefined, { ref: false })]);
  child.kill('SIGKILL');
  // What it started itself may keep its output open.
  child.stdout.destroy();
  child.stderr.destroy();
}

/** Its first words, without options and what they are given: one could be a secret. */
function told({ program, args }: Command): string {
  const words = args.filter((arg, i) => /^[a-z][a-z-]*$/.test(arg) && !args[i - 1]?.startsWith('-'));
  return [program, ...words.slice(0, 2)].join(' ');
}
