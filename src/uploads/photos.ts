/**
 * People's photos. Each is decoded in a process of its own, with limits to its memory and time and with none of our secrets in its
 * environment; one at a time, as the bot answers everybody else beside it.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { UserError } from '#src/errors.ts';
import { message } from '#src/say.ts';
import { takeTurns } from '#src/turns.ts';
import { Refusal } from './decode.ts';
import { fetchUpload, type Upload } from './fetch.ts';

/** Upright, sRGB, without metadata. */
export interface Photo {
  readonly png: Buffer;
  /** px */
  readonly width: number;
  /** px */
  readonly height: number;
}

export interface DecodeLimits {
  /** MiB of the whole process; Node alone takes 80 */
  readonly memory: number;
  readonly withinMs: number;
}

/** Photos of one `/faces add`. */
const OF_ONE_COMMAND = 5;
const PHOTO_BYTES_MAX = 10 * 1024 * 1024;
/** The largest that is let through, an AVIF of 16 megapixels, takes 400 MiB and on an idle machine a second. */
const LIMITS: DecodeLimits = { memory: 512, withinMs: 30_000 };
/** 1536 × 1536 pixels of noise. */
const PNG_BYTES_MAX = 12 * 1024 * 1024;
const DECODER = fileURLToPath(new URL('./decode-process.ts', import.meta.url));
const IS_PNG = 0x89;

const turns = takeTurns({
  inAll: 4 * OF_ONE_COMMAND,
  each: OF_ONE_COMMAND,
  who: message('What reads photos'),
  what: message('photos'),
});

/**
 * Fetches and reads a photo when its turn comes: what waits is not in memory yet.
 *
 * @throws {UserError} as `fetchUpload` and `readPhoto`; `turns_taken`, `busy` when too many are read at once
 */
export function takePhoto(personId: string, upload: Upload): Promise<Photo> {
  return turns(personId, async () => readPhoto(await fetchUpload(upload, PHOTO_BYTES_MAX), upload.name));
}

/** @throws {UserError} `upload_not_image`, `upload_pixels`, `upload_small`, `upload_heavy` */
export async function readPhoto(bytes: Buffer, file: string, limits = LIMITS): Promise<Photo> {
  const decoded = await decode(bytes, file, limits);
  if (decoded[0] === IS_PNG) {
    return { png: decoded, width: decoded.readUInt32BE(16), height: decoded.readUInt32BE(20) };
  }
  const refusal = Refusal.parse(JSON.parse(decoded.toString()));
  if (refusal.why === 'large') throw new UserError('upload_pixels', { file, ...refusal });
  if (refusal.why === 'small') throw new UserError('upload_small', { file, ...refusal });
  throw new UserError('upload_not_image', { file });
}

/** @returns what the process writes */
async function decode(bytes: Buffer, file: string, { memory, withinMs }: DecodeLimits): Promise<Buffer> {
  const running = promisify(execFile)(process.execPath, [DECODER, String(memory)], {
    encoding: 'buffer',
    env: {},
    timeout: withinMs,
    killSignal: 'SIGKILL',
    maxBuffer: PNG_BYTES_MAX,
  });
  running.child.stdin?.on('error', () => {}); // it ended before it had read all
  running.child.stdin?.end(bytes);
  try {
    return (await running).stdout;
  } catch (error) {
    // Killed by its own limit, by ours, or by a fault of the decoder. Any other end is a fault of ours.
    if (running.child.signalCode) throw new UserError('upload_heavy', { file }, { cause: error });
    throw error;
  }
}
