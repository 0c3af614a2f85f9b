/** All files from one place to another, and the two held against each other. */
import { FOLDERS, isMissing, isTemporary, type Store } from '#src/doors/storage.ts';

/** Files on their way at once. */
const AT_ONCE = 6;

export interface Copied {
  readonly files: number;
  /** that were copied; the others were there, the same by their SHA-256 */
  readonly copied: number;
  readonly bytes: number;
  /** deleted while this went on */
  readonly gone: number;
}

/**
 * Copies what is not there already. Broken off, it is simply begun again: each file is there whole or not at all, and its SHA-256 says
 * whether it is the same. What is in `to` alone stays.
 *
 * @param tell of how far it is, file by file
 */
export async function copyAll(
  from: Store,
  to: Store,
  tell: (done: Copied & { readonly at: number }) => void = () => {},
): Promise<Copied> {
  const keys = await keysOf(from);
  const there = new Set(await keysOf(to));
  const done = { files: keys.length, copied: 0, bytes: 0, gone: 0, at: 0 };
  await each(keys, async (key) => {
    const isSame = there.has(key) && (await to.saidSha256(key)) === (await from.saidSha256(key));
    if (!isSame) {
      const bytes = await orNull(from.get(key));
      if (bytes) {
        await to.put(key, bytes);
        done.copied++;
        done.bytes += bytes.length;
      } else done.gone++;
    }
    done.at++;
    tell({ ...done });
  });
  const { at: _, ...copied } = done;
  return copied;
}

/** Of a copy so much may go at once without somebody saying so: a disk that is not mounted looks like deleted files. */
const GOES_SHARE = 0.2;

export interface Mirrored extends Copied {
  /** from `to`, as they are in `from` no more */
  readonly removed: number;
  /** that should have been removed, and are too many */
  readonly spared: number;
}

/**
 * Makes `to` what `from` is: what was deleted goes.
 *
 * @param all however much goes
 */
export async function mirror(from: Store, to: Store, all: boolean): Promise<Mirrored> {
  const copied = await copyAll(from, to);
  const keys = new Set(await keysOf(from));
  const there = await keysOf(to);
  const gone = there.filter((key) => !keys.has(key));
  const isTooMuch = !all && gone.length > there.length * GOES_SHARE;
  if (!isTooMuch) await each(gone, (key) => to.remove(key));
  return { ...copied, removed: isTooMuch ? 0 : gone.length, spared: isTooMuch ? gone.length : 0 };
}

export interface Compared {
  readonly files: number;
  readonly missing: readonly string[];
  /** only in the second */
  readonly extra: readonly string[];
  readonly different: readonly string[];
}

/** Reads every file of both places, and compares their SHA-256. */
export async function compare(
  from: Store,
  to: Store,
  tell: (at: number, of: number) => void = () => {},
): Promise<Compared> {
  const keys = await keysOf(from);
  const known = new Set(keys);
  const missing: string[] = [];
  const different: string[] = [];
  let at = 0;
  await each(keys, async (key) => {
    const [one, two] = await Promise.all([from.sha256(key), to.sha256(key)]);
    // Deleted since the list was made: then it is missing in neither.
    if (two === null && one !== null) missing.push(key);
    else if (one !== null && one !== two) different.push(key);
    tell(++at, keys.length);
  });
  const extra = (await keysOf(to)).filter((key) => !known.has(key));
  return { files: keys.length, missing: missing.sort(), extra: extra.sort(), different: different.sort() };
}

async function keysOf(store: Store): Promise<string[]> {
  const keys: string[] = [];
  for (const folder of FOLDERS)
    for await (const key of store.list(folder)) if (!isTemporary(key)) keys.push(key);
  return keys;
}

async function orNull<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** The first that fails ends it. */
async function each<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const left = all.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const one of left) await work(one);
    }),
  );
}
