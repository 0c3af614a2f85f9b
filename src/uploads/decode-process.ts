/**
 * The process that decodes one photo: a file on stdin; on stdout a PNG, or JSON that says why not. `decode-process.ts <MiB>` ends
 * itself when it takes more memory.
 *
 * Node has no limit for what libvips allocates, and the kernel's (`ulimit -v`, `-d`) end Node itself, which reserves far more than it
 * uses. So this process watches its own size: decoding runs in threads, and leaves its event loop free.
 */
import { buffer } from 'node:stream/consumers';
import sharp from 'sharp';
import { decodePhoto } from './decode.ts';

const WATCH_EVERY_MS = 10;

const [mebibytes] = process.argv.slice(2);
const limit = Number(mebibytes) * 2 ** 20;
setInterval(() => {
  // Not `process.exit`, which waits for the threads to finish.
  if (process.memoryUsage.rss() > limit) process.kill(process.pid, 'SIGKILL');
}, WATCH_EVERY_MS).unref();

sharp.concurrency(1); // one core at most: the bot has the others
sharp.cache(false);

const decoded = await decodePhoto(await buffer(process.stdin));
process.stdout.write(Buffer.isBuffer(decoded) ? decoded : JSON.stringify(decoded));
