/**
 * Holds storage against the rows, page by page:
 *
 *   a file that no row names      is removed an hour after it was written: a killed process left it between bytes and row
 *   a row whose bytes are gone    is noted (`Image.missingAt`, counted in `/metrics`) and logged; nothing can bring them back
 *
 * A row names bytes within seconds of their being stored, under a key of their own: what no row names after an hour, none will.
 */
import { db, type Image } from './doors/db.ts';
import { log } from './doors/log.ts';
import { deleteFile, hasFile, isTemporary, listFiles, modifiedAt } from './doors/storage.ts';
import { noteMissing } from './generations/images.ts';

/** Files or rows of a page: one statement, and as many looks at storage. */
const PAGE = 200;
const ORPHAN_AFTER_MS = 60 * 60_000;
/** from the beginning of a pass to that of the next */
const PASS_EVERY_MS = 10 * 60_000;
/**
 * More than so many files without rows, and more than half of a page: this is not the database of this storage, as after a wrong
 * DATABASE_URL or an old backup. Nothing is removed then.
 */
const BELIEVABLE = 20;

/** What one page came to. */
export interface Checked {
  /** files without rows that were removed */
  readonly removed: number;
  /** rows whose bytes are missing, also those that were known */
  readonly missing: number;
}

/** One pass over everything. Each step of it does one page. */
export async function* checkFiles(now = () => new Date()): AsyncGenerator<Checked, undefined> {
  for (const [folder, namedOf] of Object.entries(folders)) {
    for await (const page of pages(listFiles(folder)))
      yield { removed: await removeOrphans(page, namedOf, now()), missing: 0 };
  }
  for (let after = ''; ; ) {
    const images = await db.image.findMany({
      where: { id: { gt: after }, deletedAt: null },
      select: { id: true, storageKey: true, missingAt: true },
      orderBy: { id: 'asc' },
      take: PAGE,
    });
    if (!images.length) return;
    yield { removed: 0, missing: await reportMissing(images, now()) };
    after = images.at(-1)?.id ?? '';
  }
}

/**
 * For a service that calls this again and again: a page at each call, and one pass after another.
 *
 * @param isOurs whether the next pass is for this process to do
 */
export function fileCheck(isOurs: () => Promise<boolean>): () => Promise<void> {
  let pass: ReturnType<typeof checkFiles> | null = null;
  let notBefore = 0;
  return async () => {
    if (!pass) {
      if (Date.now() < notBefore) return;
      notBefore = Date.now() + PASS_EVERY_MS;
      if (!(await isOurs())) return;
      pass = checkFiles();
    }
    // One that threw is done at the next call.
    const { done } = await pass.next();
    if (done) pass = null;
  };
}

/** Which of some keys a row names. */
type NamedOf = (keys: readonly string[]) => Promise<Set<string>>;

const pictures: NamedOf = async (keys) => {
  const images = await db.image.findMany({
    where: { storageKey: { in: [...keys] }, deletedAt: null },
    select: { storageKey: true },
  });
  return new Set(images.map(({ storageKey }) => storageKey));
};

/** `photowall/<collection>/<image id>/…` and `curated/…`: all that was made of an image, as long as its row says that it is there. */
const copies: NamedOf = async (keys) => {
  const placeOf = (key: string) => key.split('/').slice(0, 3);
  const images = await db.image.findMany({
    where: { id: { in: keys.map((key) => placeOf(key)[2] ?? '') }, collection: { not: null } },
    select: { id: true, collection: true, curatedAt: true },
  });
  const there = new Set(
    images.map(
      ({ id, collection, curatedAt }) => `${curatedAt ? 'curated' : 'photowall'}/${collection}/${id}`,
    ),
  );
  return new Set(keys.filter((key) => there.has(placeOf(key).join('/'))));
};

const photos: NamedOf = async (keys) => {
  const rows = await db.facePhoto.findMany({
    where: { storageKey: { in: [...keys] } },
    select: { storageKey: true },
  });
  return new Set(rows.map(({ storageKey }) => storageKey));
};

/** Every folder of storage, and who names what is in it. */
const folders: Readonly<Record<string, NamedOf>> = {
  tests: pictures,
  productions: pictures,
  quarantine: pictures,
  photowall: copies,
  curated: copies,
  faces: photos,
};

async function removeOrphans(page: readonly string[], namedOf: NamedOf, now: Date): Promise<number> {
  const before = new Date(now.getTime() - ORPHAN_AFTER_MS);
  const isOld = async (key: string) => {
    const written = await modifiedAt(key);
    return written !== null && written < before;
  };
  const finished = page.filter((key) => !isTemporary(key));
  const named = await namedOf(finished);
  const orphans: string[] = [];
  for (const key of page) if (!named.has(key) && (await isOld(key))) orphans.push(key);
  const unnamed = orphans.filter((key) => !isTemporary(key));
  if (unnamed.length > BELIEVABLE && unnamed.length > page.length / 2) {
    log.error(
      { files: unnamed.length, of: page.length, such: unnamed[0] },
      'most files have no row: is this the database of this storage? Nothing is removed',
    );
    return 0;
  }
  for (const key of orphans) await deleteFile(key);
  if (orphans.length) log.info({ files: orphans.length, such: orphans[0] }, 'files without rows removed');
  return orphans.length;
}

async function reportMissing(
  images: readonly Pick<Image, 'id' | 'storageKey' | 'missingAt'>[],
  now: Date,
): Promise<number> {
  let missing = 0;
  const news: string[] = [];
  for (const image of images) {
    const there = await hasFile(image.storageKey);
    if (there && image.missingAt) await noteMissing(image, null);
    if (there) continue;
    // As the row said: one that was approved or deleted since it was read says something else now.
    if (!image.missingAt && !(await noteMissing(image, now))) continue;
    missing++;
    if (!image.missingAt) news.push(image.id);
  }
  if (news.length) log.error({ images: news.length, such: news.slice(0, 10) }, 'pictures without bytes');
  return missing;
}

async function* pages(keys: AsyncIterable<string>): AsyncGenerator<string[]> {
  let page: string[] = [];
  for await (const key of keys) {
    page.push(key);
    if (page.length < PAGE) continue;
    yield page;
    page = [];
  }
  if (page.length) yield page;
}
