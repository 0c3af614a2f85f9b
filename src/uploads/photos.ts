/** People's photos. Each is decoded in a process of its own; one at a time, as the bot answers everybody else beside it. */
import { UserError } from '#src/errors.ts';
import { message } from '#src/say.ts';
import { takeTurns } from '#src/turns.ts';
import { type Limits, readApart } from './apart.ts';
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

/** Photos of one `/faces add`. */
export const OF_ONE_COMMAND = 5;
export const PHOTO_BYTES_MAX = 10 * 1024 * 1024;
/** The largest that is let through, an AVIF of 16 megapixels, takes 400 MiB and on an idle machine a second. */
const LIMITS: Limits = { memory: 512, withinMs: 30_000 };
/** 1536 × 1536 pixels of noise. */
const PNG_BYTES_MAX = 12 * 1024 * 1024;
const DECODER = new URL('./decode-process.ts', import.meta.url);
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

/** The same of one that came by itself, to the web. @throws {UserError} as `readPhoto`; `turns_taken`, `busy` */
export function takeSentPhoto(personId: string, bytes: Buffer, file: string): Promise<Photo> {
  return turns(personId, () => readPhoto(bytes, file));
}

/** @throws {UserError} `upload_not_image`, `upload_pixels`, `upload_small`, `upload_heavy` */
export async function readPhoto(bytes: Buffer, file: string, limits = LIMITS): Promise<Photo> {
  const decoded = await readApart(DECODER, [], bytes, file, limits, PNG_BYTES_MAX);
  if (decoded[0] === IS_PNG) {
    return { png: decoded, width: decoded.readUInt32BE(16), height: decoded.readUInt32BE(20) };
  }
  throw refused(Refusal.parse(JSON.parse(decoded.toString())), file);
}

/** @param file its name */
export function refused(refusal: Refusal, file: string): UserError {
  if (refusal.why === 'large') return new UserError('upload_pixels', { file, ...refusal });
  if (refusal.why === 'small') return new UserError('upload_small', { file, ...refusal });
  return new UserError('upload_not_image', { file });
}
