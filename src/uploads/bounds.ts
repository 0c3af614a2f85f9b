/** What a process keeps to that reads a stranger's file: see apart.ts. */
import sharp from 'sharp';

const WATCH_EVERY_MS = 10;

/**
 * Ends this process when it takes more memory. Node has no limit for what libvips allocates, and the kernel's (`ulimit -v`, `-d`) end
 * Node itself, which reserves far more than it uses. So it watches its own size: decoding runs in threads, and leaves its event loop free.
 *
 * @param mebibytes the first argument that the process was given
 */
export function endAbove(mebibytes: string | undefined): void {
  const limit = Number(mebibytes) * 2 ** 20;
  setInterval(() => {
    // Not `process.exit`, which waits for the threads to finish.
    if (process.memoryUsage.rss() > limit) process.kill(process.pid, 'SIGKILL');
  }, WATCH_EVERY_MS).unref();

  sharp.concurrency(1); // one core at most: others have the rest
  sharp.cache(false);
}
