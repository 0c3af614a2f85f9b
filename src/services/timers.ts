/** What is done again and again, one at a time. */
import { log } from '#src/doors/log.ts';

/** Runs `work` again and again, `ms` after it ended; `failed` is logged when it threw. The returned function ends it and waits for the run in hand. */
export function repeat(
  ms: number,
  work: () => Promise<unknown>,
  failed = 'will be tried again',
): () => Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  const turn = () => {
    running = work()
      .then(() => {})
      .catch((error: unknown) => log.warn({ err: error }, failed))
      .finally(() => {
        if (!stopped) timer = setTimeout(turn, ms);
      });
  };
  turn();
  return () => {
    stopped = true;
    clearTimeout(timer);
    return running;
  };
}

/** Calls `work` with the newest value at most every `ms`, one call at a time. */
export function everyMs<T>(ms: number, work: (value: T) => Promise<void>): (value: T) => void {
  let after = 0;
  let busy = false;
  return (value) => {
    if (busy || Date.now() < after) return;
    busy = true;
    work(value)
      .catch((error: unknown) => log.warn({ err: error }, 'progress not written'))
      .finally(() => {
        busy = false;
        after = Date.now() + ms;
      });
  };
}
