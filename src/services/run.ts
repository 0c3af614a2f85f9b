/**
 * Runs a service in this process: until SIGTERM or SIGINT, or until the process that started it is gone; then it closes what
 * it opened and ends with 0. A second Ctrl-C ends it at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { clearAway } from '#src/garbage.ts';

export interface Service {
  /** where it listens, for services that do */
  readonly url?: string | undefined;
  /** @param reason the signal's name, for the log */
  close(reason?: string): Promise<void>;
}

/** A worker draws on for up to 18 s. Kubernetes and others kill what is still there after 30. */
const CLOSE_WITHIN_MS = 25_000;
/**
 * One that is still starting is let start first: half of a start can't be closed, and an end while a network is being opened is a
 * crash of the whole process. One that waits for Discord may never start. ms
 */
const STARTS_WITHIN_MS = 10_000;

/** Tells the parent `{ ready, url }` once `start` has resolved; what it throws ends the process with that sentence. */
export async function run(name: string, start: () => Promise<Service>): Promise<void> {
  let starting: Promise<Service> | undefined;
  let isStarted = false;
  let closing = false;
  let interrupted = false;

  async function close(reason: string): Promise<void> {
    if (closing) return;
    closing = true;
    try {
      await Promise.race([closeService(reason), tooLate(name)]);
    } catch (error) {
      const { log } = await import('#src/doors/log.ts');
      log.error({ err: error }, 'closing failed');
      process.exitCode = 1;
    }
    process.exit();
  }
  async function closeService(reason: string): Promise<void> {
    // Who presses Ctrl-C sits at the terminal, and waits for nothing that has not begun.
    const within = reason === 'SIGINT' && !isStarted ? 0 : STARTS_WITHIN_MS;
    const service = await Promise.race([starting, sleep(within)]);
    await service?.close(reason);
  }
  process.on('SIGTERM', () => void close('SIGTERM'));
  process.on('SIGINT', () => {
    if (interrupted) process.exit(1);
    interrupted = true;
    void close('SIGINT');
  });
  // The parent is gone, killed perhaps: without it nobody would ever stop us.
  process.on('disconnect', () => void close('parent gone'));

  try {
    starting = start();
    const { url } = await starting;
    isStarted = true;
    clearAway();
    if (!closing && process.connected) process.send?.({ ready: true, url });
  } catch (error) {
    await tell(name, error);
    process.exit(1);
  }
}

/** For a service that can't go on: ends this process as a signal would, but with 1. */
export function endProcess(): void {
  process.exitCode = 1;
  process.kill(process.pid, 'SIGTERM');
}

async function tooLate(name: string): Promise<never> {
  await sleep(CLOSE_WITHIN_MS, undefined, { ref: false });
  throw new Error(`${name} did not close within ${CLOSE_WITHIN_MS / 1000} s`);
}

/** Tells a person what is wrong, not as JSON, and without a stack unless it is a fault of the program. */
async function tell(name: string, error: unknown): Promise<void> {
  // Not imported above: what the log reads first, the environment, may be what is wrong.
  await import('#src/doors/log.ts').then(
    ({ log }) => log.debug({ err: error }, 'did not start'),
    () => {},
  );
  const isFault = [SyntaxError, TypeError, ReferenceError].some((kind) => error instanceof kind);
  const sentence = error instanceof Error ? (isFault ? error.stack : error.message) : String(error);
  process.stderr.write(`\n${name}: ${sentence}\n`);
}
