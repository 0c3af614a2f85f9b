/** What a disk and a bucket have in common: what can be asked of them, and how they say no. */

/** Somewhere to keep files. What it throws is told apart by `isMissing`, `isFull` and `isStorageAway`. */
export interface Store {
  /** for people: where it is */
  readonly name: string;
  /** @throws {Error} with a sentence for whoever runs this, when it can't be used */
  check(): Promise<void>;
  put(key: string, bytes: Uint8Array): Promise<void>;
  get(key: string): Promise<Buffer<ArrayBuffer>>;
  /** null: there is no such file. Of another's folder that it is no file. */
  modifiedAt(key: string): Promise<Date | null>;
  /** of the bytes as they are read now, hex; null: there is no such file */
  sha256(key: string): Promise<string | null>;
  /** The same as it was when it was put, without reading it where that is known. */
  saidSha256(key: string): Promise<string | null>;
  /** what others put there, too */
  list(folder: string): AsyncGenerator<string>;
  copy(from: string, to: string): Promise<void>;
  remove(key: string): Promise<void>;
  removeFolder(folder: string): Promise<void>;
  /** null: it has no addresses */
  readUrl(key: string, seconds: number): Promise<string | null>;
  close(): Promise<void>;
}

/** There is no such file, in the words of a disk. */
export class MissingFile extends Error {
  override readonly name = 'MissingFile';
  readonly code = 'ENOENT';
}

/** Nothing more can be kept, in the words of a disk. */
export class StorageFull extends Error {
  override readonly name = 'StorageFull';
  readonly code = 'ENOSPC';
}

/** Nothing can be said of any file now; later perhaps. */
export class StorageAway extends Error {
  override readonly name = 'StorageAway';
}

/** Whether an error says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/** A full disk; a quota; a limit on the size of files. */
const FULL: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'EFBIG'];

/** Whether an error says that storage takes no more. */
export function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && FULL.includes(error.code);
}

/** Whether an error says that storage can't be asked now: nothing is known of any file then, and nothing is lost. */
export function isStorageAway(error: unknown): boolean {
  return error instanceof StorageAway;
}
