/**
 * Parses people's YAML in a thread with a deadline: files of a few KiB can keep a YAML parser busy for seconds.
 *
 * There is one thread a process, as starting one costs 0.1 to 0.4 s of CPU. The first text starts it, and it reads one text
 * after another. A text that takes too long or too much memory ends it, and harms none behind: the next starts another.
 */
import { Worker } from 'node:worker_threads';
import { UserError } from '#src/errors.ts';
import type { Lines, Parsed } from './yaml.ts';
import type { Asked, Said } from './yaml-thread.ts';

/** A machine that is this slow to start a thread is not well. */
const START_WITHIN_MS = 10_000;
/**
 * A file of 64 KiB that needs more is built to. Node lets a thread go 16 MiB over the limit, to end it; beyond that V8 ends
 * the whole process, as it did when more than that was young and grew old at once.
 */
const THREAD_LIMITS = { maxOldGenerationSizeMb: 96, maxYoungGenerationSizeMb: 16 };
/** Texts behind the one that is read. Each may take a second, and nobody is to wait for minutes. */
const WAITING_MAX = 32;

type ReadInThread = (text: string, withinMs: number) => Promise<Parsed>;
const readInThread = keepThread(new URL('./yaml-thread.ts', import.meta.url));

/**
 * @param withinMs for parsing alone, counted from when the thread says that it begins
 * @throws {UserError} `yaml_broken`, also when it takes too long or too much memory; `busy` when too many texts wait, or
 *   no thread starts
 */
export async function parseInThread(
  text: string,
  withinMs: number,
): Promise<{ value: unknown; lines: Lines }> {
  const parsed = await readInThread(text, withinMs);
  if ('reason' in parsed) throw new UserError('yaml_broken', parsed);
  return parsed;
}

/** @param file the thread's program; tests have one that never comes to an end */
export function keepThread(file: URL): ReadInThread {
  let thread: Worker | undefined;
  let lastId = 0;
  let unfinished = 0;
  let line: Promise<void> = Promise.resolve();

  return (text, withinMs) => {
    if (unfinished > WAITING_MAX) return Promise.reject(busy());
    unfinished++;
    const turn = line.then(() => read(text, withinMs)).finally(() => unfinished--);
    line = turn.then(
      () => {},
      () => {},
    );
    return turn;
  };

  async function read(text: string, withinMs: number): Promise<Parsed> {
    thread ??= start();
    const asked = thread;
    const id = ++lastId;
    const { promise, resolve, reject } = Promise.withResolvers<Parsed>();
    let timer = setTimeout(reject, START_WITHIN_MS, busy());
    const hear = (said: Said) => {
      if (said.id !== id) return;
      clearTimeout(timer);
      if (said.parsed) resolve(said.parsed);
      // An answer that is there already counts, though our own event loop was too busy to hear it in time.
      else timer = setTimeout(() => setImmediate(reject, tooMuch()), withinMs);
    };
    const fail = (error: NodeJS.ErrnoException) =>
      reject(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? tooMuch() : error);
    asked.on('message', hear).on('error', fail);
    asked.ref();
    asked.postMessage({ id, text } satisfies Asked);
    try {
      return await promise;
    } catch (error) {
      await asked.terminate(); // it may still be at that text
      throw error;
    } finally {
      clearTimeout(timer);
      asked.off('message', hear).off('error', fail);
      asked.unref(); // it keeps no process alive
    }
  }

  function start(): Worker {
    const started = new Worker(file, { resourceLimits: THREAD_LIMITS });
    started.on('error', () => {}); // unheard, it would end the process
    started.once('exit', () => {
      thread = undefined;
    });
    return started;
  }
}

function busy(): UserError {
  return new UserError('busy', { what: 'The thread that reads YAML' });
}

function tooMuch(): UserError {
  return new UserError('yaml_broken', {
    line: 1,
    column: 1,
    reason: 'it takes too long to read. Use fewer keys and lists.',
  });
}
