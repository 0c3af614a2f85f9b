/** Lists of pictures, a page at a time. A place in a list is a time and an id, so it stays when pictures come and go. */
import type { PublishedPicture } from '#src/gallery.ts';

/** Pictures in the order of one of their dates, the last first. */
export interface List {
  /** its address, as `/collections/main` or `/search?q=rain` */
  readonly path: string;
  readonly title: string;
  readonly pictures: readonly PublishedPicture[];
  readonly dateOf: (picture: PublishedPicture) => Date;
  /** whether it begins again at its end */
  readonly loops: boolean;
}

/** What comes after it is older. */
export interface Cursor {
  readonly at: Date;
  readonly id: string;
}

export interface Pages {
  readonly pictures: readonly PublishedPicture[];
  /** pictures of the list before the first of these */
  readonly before: number;
  /** where it goes on; null at the end */
  readonly next: string | null;
}

export const byPublishing = ({ publishedAt }: PublishedPicture) => publishedAt;
export const byCurating = ({ curatedAt, publishedAt }: PublishedPicture) => curatedAt ?? publishedAt;

export function pageOf(list: List, cursor: Cursor | null, size: number): Pages {
  const { pictures: all, dateOf, loops, path } = list;
  const before = cursor ? placeOf(list, cursor) : 0;
  const pictures = all.slice(before, before + size);
  const last = pictures.at(-1);
  const sign = path.includes('?') ? '&' : '?';
  const isEnd = before + size >= all.length;
  const again = loops && all.length > size ? path : null;
  const next =
    !isEnd && last ? `${path}${sign}before=${writeCursor({ at: dateOf(last), id: last.id })}` : again;
  return { pictures, before, next };
}

/** How many come before what follows the cursor. */
function placeOf({ pictures, dateOf }: List, { at, id }: Cursor): number {
  let [low, high] = [0, pictures.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const picture = pictures[middle]!;
    const newer = dateOf(picture).getTime() - at.getTime();
    if (newer > 0 || (newer === 0 && picture.id >= id)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A cursor as it stands in a link. */
export function writeCursor({ at, id }: Cursor): string {
  return Buffer.from(`${at.getTime()}.${id}`).toString('base64url');
}

/** Null for what is no cursor of ours. */
export function readCursor(text: string): Cursor | null {
  const plain = /^[\w-]{20,100}$/.test(text) ? Buffer.from(text, 'base64url').toString() : '';
  const [, ms, id] = /^(\d{1,14})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.exec(plain) ?? [];
  return ms && id ? { at: new Date(Number(ms)), id } : null;
}
