/** Parses a person's YAML in a thread with a deadline: files of a few KiB can keep a YAML parser busy for seconds. */
import { Worker } from 'node:worker_threads';
import { UserError } from '#src/errors.ts';
import type { Lines, Parsed } from './yaml.ts';

/** A machine that is this slow to start a thread is not well. */
const START_WITHIN_MS = 10_000;
/** MiB; a file of 64 KiB that needs more is built to. */
const THREAD_HEAP_MIB = 96;

/** @throws {UserError} `yaml_broken`, also when it takes too long or too much memory; `busy` when no thread starts */
export async function parseInThread(
  text: string,
  withinMs: number,
): Promise<{ value: unknown; lines: Lines }> {
  const thread = new Worker(new URL('./yaml-thread.ts', import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MIB },
  });
  const tooMuch = new UserError('yaml_broken', {
    line: 1,
    column: 1,
    reason: 'it takes too long to read. Use fewer keys and lists.',
  });
  let timer: NodeJS.Timeout | undefined;
  const within = (ms: number, error: UserError) => {
    clearTimeout(timer);
    return new Promise<never>((_, reject) => {
      timer = setTimeout(reject, ms, error);
    });
  };
  const answer = () =>
    new Promise<unknown>((resolve, reject) => {
      thread.once('message', resolve);
      thread.once('error', (error: NodeJS.ErrnoException) =>
        reject(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? tooMuch : error),
      );
    });
  try {
    const busy = new UserError('busy', { what: 'The thread that reads YAML' });
    await Promise.race([answer(), within(START_WITHIN_MS, busy)]);
    const parsing = answer();
    thread.postMessage(text);
    // The thread is our own file: its answer needs no check.
    const parsed = (await Promise.race([parsing, within(withinMs, tooMuch)])) as Parsed;
    if ('reason' in parsed) throw new UserError('yaml_broken', parsed);
    return parsed;
  } finally {
    clearTimeout(timer);
    await thread.terminate();
  }
}
