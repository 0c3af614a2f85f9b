/** Hashes of files that may be gigabytes. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

/** Kept by path, size and time: hashing 5 GB takes 10 s, and a LoRA's hash is asked for with every picture. */
const hashes = new Map<string, string>();

/** sha256, hexadecimal; from memory when the file has not changed since. @throws {Error} of the file system */
export async function fileHash(path: string): Promise<string> {
  const { size, mtimeMs } = await stat(path);
  const key = `${path} ${size} ${mtimeMs}`;
  const known = hashes.get(key);
  if (known) return known;
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  const made = hash.digest('hex');
  hashes.set(key, made);
  return made;
}
