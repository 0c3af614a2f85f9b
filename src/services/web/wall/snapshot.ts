/**
 * The gallery as it is now, in memory: what there is to know of every picture, in the orders in which pictures are shown.
 *
 * A snapshot never changes; a new one takes its place, so nobody sees half of a change. Postgres is asked every `recheck` seconds what
 * has changed, and only that is read again. While it is away, what is known is shown; at a start without it there is nothing, and
 * whoever asks then has it read at once.
 */
import { gallery } from '#config/gallery.ts';
import { log } from '#src/doors/log.ts';
import { changedSince, galleryVersion, type PublishedPicture, readGallery } from '#src/gallery.ts';

export interface Snapshot {
  /** another for every other state */
  readonly version: number;
  /** of config/gallery.yaml's collections, newest first; so are all that follow */
  readonly all: readonly PublishedPicture[];
  readonly byId: ReadonlyMap<string, PublishedPicture>;
  readonly collections: ReadonlyMap<string, readonly PublishedPicture[]>;
  readonly makers: ReadonlyMap<string, readonly PublishedPicture[]>;
  /** as they were curated, the last first */
  readonly curated: readonly PublishedPicture[];
}

export interface Gallery {
  /** The last known; null when Postgres was never reached. */
  readonly now: Snapshot | null;
  /** The same, read first where there is none, or an empty one. @throws what Postgres says that is away */
  shown(): Promise<Snapshot>;
  /** Has somebody told of every new snapshot. */
  onChange(tell: (snapshot: Snapshot) => void): void;
  close(): Promise<void>;
}

/** A gallery that has no pictures is read for those who ask so often at most. ms */
const EMPTY_FOR_MS = 1_000;
/** All is read again so often: what nobody noted, as a restored backup, is seen at last. ms */
const WHOLE_EVERY_MS = 10 * 60_000;

export function openGallery(): Gallery {
  let now: Snapshot | null = null;
  let version = 0;
  let wholeAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<Snapshot> | null = null;
  let closed = false;
  const tells: ((snapshot: Snapshot) => void)[] = [];

  function show(pictures: readonly PublishedPicture[]): Snapshot {
    now = snapshotOf(pictures, (now?.version ?? 0) + 1);
    for (const tell of tells) tell(now);
    return now;
  }

  async function readAll(): Promise<Snapshot> {
    // The version first: what changes while all is read is read once more, and nothing is missed.
    const before = await galleryVersion();
    const pictures = await readGallery();
    version = before;
    wholeAt = performance.now();
    return now && same(now.all, pictures.filter(isShown)) ? now : show(pictures);
  }
  /** Once at a time. */
  function read(): Promise<Snapshot> {
    reading ??= readAll().finally(() => {
      reading = null;
    });
    return reading;
  }

  async function catchUp(): Promise<void> {
    if (!now || performance.now() - wholeAt > WHOLE_EVERY_MS) return void (await read());
    const changed = await changedSince(version);
    // A version that goes back is that of another database.
    if (!changed) return void (await read());
    if (!changed.ids.length) return;
    const fresh = await readGallery(changed.ids);
    version = changed.version;
    const stale = new Set(changed.ids);
    show([...now.all.filter(({ id }) => !stale.has(id)), ...fresh]);
  }

  let timer: NodeJS.Timeout | undefined;
  let asking: Promise<void> = Promise.resolve();
  let away = false;
  function ask(): void {
    asking = catchUp()
      .then(() => {
        away = false;
      })
      .catch((error: unknown) => {
        if (!away)
          log.warn({ err: error }, 'the gallery is shown as it was: Postgres does not say what has changed');
        away = true;
      })
      .finally(() => {
        if (!closed) timer = setTimeout(ask, gallery.recheck * 1_000);
      });
  }
  ask();

  return {
    get now() {
      return now;
    },
    async shown() {
      if (now?.all.length) return now;
      if (now && performance.now() - wholeAt < EMPTY_FOR_MS) return now;
      return read();
    },
    onChange: (tell) => void tells.push(tell),
    async close() {
      closed = true;
      clearTimeout(timer);
      await asking;
    },
  };
}

const isShown = ({ collection }: PublishedPicture) => Object.hasOwn(gallery.collections, collection);

function snapshotOf(pictures: readonly PublishedPicture[], version: number): Snapshot {
  const all = pictures
    .filter(isShown)
    .sort((a, b) => b.publishedAt.getTime() - a.publishedAt.getTime() || (a.id < b.id ? 1 : -1));
  return {
    version,
    all,
    byId: new Map(all.map((picture) => [picture.id, picture])),
    collections: new Map(
      Object.keys(gallery.collections).map((name) => [
        name,
        all.filter(({ collection }) => collection === name),
      ]),
    ),
    makers: Map.groupBy(
      all.filter(({ maker }) => maker !== null),
      ({ maker }) => maker ?? '',
    ),
    curated: all
      .filter(({ curatedAt }) => curatedAt !== null)
      .sort((a, b) => Number(b.curatedAt) - Number(a.curatedAt) || (a.id < b.id ? 1 : -1)),
  };
}

/** Whether nothing that is shown of them differs. */
function same(a: readonly PublishedPicture[], b: readonly PublishedPicture[]): boolean {
  return a.length === b.length && JSON.stringify(a) === JSON.stringify(b);
}
