/**
 * Keeps the thread that reads sweeps, with a deadline for each text.
 *
 * There is one thread a process, as starting one costs 0.2 to 0.5 s of CPU. The first text starts it, and it reads one text
 * after another. A text that takes too long or too much memory ends it, and harms none behind: the next starts another.
 */
import { Worker } from 'node:worker_threads';
import { UserError } from '#src/errors.ts';
import { message, type Say, sayIn } from '#src/say.ts';
import type { SweepAsker } from './check.ts';
import type { Read } from './read.ts';
import type { Asked, Said } from './reading-thread.ts';

/** A machine that is this slow to start a thread is not well. */
const START_WITHIN_MS = 10_000;
/**
 * A file of 64 KiB that needs more is built to. Node lets a thread go 16 MiB over the limit, to end it; beyond that V8 ends
 * the whole process, as it did when more than that was young and grew old at once.
 */
const THREAD_LIMITS = { maxOldGenerationSizeMb: 96, maxYoungGenerationSizeMb: 16 };
/**
 * @param file the thread's program; tests have one that never comes to an end
 * @returns reads one text at a time: the caller waits for it before the next. `withinMs` counts from when the thread says that it
 *   begins. @throws {UserError} `yaml_broken` when it takes too long or too much memory; `busy` when no thread starts
 */
export function keepThread(file: URL): (text: string, asker: SweepAsker, withinMs: number) => Promise<Read> {
  let thread: Worker | undefined;
  let lastId = 0;

  function start(): Worker {
    const started = new Worker(file, { resourceLimits: THREAD_LIMITS });
    started.on('error', () => {}); // unheard, it would end the process
    started.once('exit', () => {
      thread = undefined;
    });
    return started;
  }

  return async (text, asker, withinMs) => {
    const say = sayIn(asker.language);
    thread ??= start();
    const asked = thread;
    const id = ++lastId;
    const { promise, resolve, reject } = Promise.withResolvers<Read>();
    let timer = setTimeout(reject, START_WITHIN_MS, busy());
    const hear = (said: Said) => {
      if (said.id !== id) return;
      clearTimeout(timer);
      if (said.read) resolve(said.read);
      // An answer that is there already counts, though our own event loop was too busy to hear it in time.
      else timer = setTimeout(() => setImmediate(reject, tooMuch(say)), withinMs);
    };
    const fail = (error: NodeJS.ErrnoException) =>
      reject(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? tooMuch(say) : error);
    asked.on('message', hear).on('error', fail);
    asked.ref();
    asked.postMessage({ id, text, asker } satisfies Asked);
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
  };
}

function busy(): UserError {
  return new UserError('busy', { what: message('The thread that reads sweeps') });
}

function tooMuch(say: Say): UserError {
  return new UserError('yaml_broken', {
    line: 1,
    column: 1,
    reason: say('it takes too long to read. Use fewer keys and lists.'),
  });
}
