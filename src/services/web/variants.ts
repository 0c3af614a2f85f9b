/**
 * Published pictures as browsers want them: in a few widths and formats, each made once, when it is first asked for, then
 * kept in storage and in memory.
 *
 * Postgres says whether a picture may be served, and its answer is remembered for `recheck` seconds; what is remembered
 * is served without disk or SQL.
 */
import sharp from 'sharp';
import { type GallerySettings, gallery } from '#config/gallery.ts';
import { findPublished, keepVariant, keptVariant, originalOf, type PublishedPicture } from '#src/gallery.ts';
import { LruCache } from '#src/lru-cache.ts';

export const FORMATS = ['avif', 'webp', 'jpg'] as const;
export type Format = (typeof FORMATS)[number];
export const MIME: Readonly<Record<Format, string>> = {
  avif: 'image/avif',
  webp: 'image/webp',
  jpg: 'image/jpeg',
};

/** px, or the picture's own width */
export type Width = number | 'full';

export interface Variant {
  readonly width: Width;
  readonly format: Format;
}

/** Raised when encoders change, so that nobody keeps what an older program made. */
const VERSION = 1;
/** Encoding is work for a whole core: more at once would only make each later. */
const ENCODERS = 2;
const REMEMBERED = 20_000;

/** Says to machines that a machine made it: IPTC's digital source type, and nothing else. */
const MADE_BY_MACHINE = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">\
<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia\
</Iptc4xmpExt:DigitalSourceType></rdf:Description></rdf:RDF></x:xmpmeta>`;

export interface Variants {
  /** The picture, if it may be served; as of at most `recheck` seconds ago. */
  shown(id: string): Promise<PublishedPicture | null> | PublishedPicture | null;
  /** @throws {NodeJS.ErrnoException} ENOENT when the picture's bytes are gone */
  bytes(picture: PublishedPicture, variant: Variant): Promise<Buffer> | Buffer;
}

/** `640.avif`, `full.webp`; null for any other name. */
export function parseVariant(file: string, { widths }: GallerySettings = gallery): Variant | null {
  const [, name = '', extension] = /^(\d{1,5}|full)\.(\w+)$/.exec(file) ?? [];
  const format = FORMATS.find((known) => known === extension);
  const width = name === 'full' ? name : widths.find((known) => String(known) === name);
  return format && width ? { width, format } : null;
}

/** The widths a picture is offered in: none wider than it is. */
export function widthsOf(picture: PublishedPicture): { width: Width; px: number }[] {
  const narrower = gallery.widths.filter((width) => width < picture.width);
  return [...narrower.map((width) => ({ width, px: width })), { width: 'full', px: picture.width }];
}

/** Known without looking at any bytes: the same name, the same bytes, for ever. */
export function etagOf(picture: PublishedPicture, { width, format }: Variant): string {
  return `"${picture.sha256.slice(0, 20)}-${width}-${format}-${VERSION}"`;
}

export function makeVariants(): Variants {
  const memory = new LruCache<Buffer>(gallery.memory * 2 ** 20);
  const visible = new LruCache<{ until: number; picture: PublishedPicture | null }>(REMEMBERED);
  const making = new Map<string, Promise<Buffer>>();
  const encode = limited(ENCODERS);

  async function make(picture: PublishedPicture, variant: Variant, file: string): Promise<Buffer> {
    const kept = await keptVariant(picture, file);
    if (kept) return kept;
    const bytes = await encode(async () => encodeVariant(await originalOf(picture), variant));
    await keepVariant(picture, file, bytes);
    return bytes;
  }

  return {
    shown(id) {
      const known = visible.get(id);
      if (known && known.until > Date.now()) return known.picture;
      return findPublished(id).then((picture) => {
        visible.set(id, { until: Date.now() + gallery.recheck * 1_000, picture }, 1);
        return picture;
      });
    },

    bytes(picture, variant) {
      const key = etagOf(picture, variant) + picture.id;
      const cached = memory.get(key);
      if (cached) return cached;
      let made = making.get(key);
      if (!made) {
        made = make(picture, variant, `${variant.width}-v${VERSION}.${variant.format}`)
          .then((bytes) => {
            memory.set(key, bytes, bytes.length);
            return bytes;
          })
          .finally(() => making.delete(key));
        making.set(key, made);
      }
      return made;
    },
  };
}

async function encodeVariant(original: Buffer, { width, format }: Variant): Promise<Buffer> {
  let image = sharp(original);
  if (width !== 'full') image = image.resize({ width, withoutEnlargement: true });
  image = image.withXmp(MADE_BY_MACHINE);
  if (format === 'avif') image = image.avif(gallery.avif);
  else if (format === 'webp') image = image.webp(gallery.webp);
  else image = image.flatten({ background: '#fff' }).jpeg({ ...gallery.jpeg, mozjpeg: true });
  return image.toBuffer();
}

/** Runs at most `max` at once; the others wait in order. */
function limited(max: number) {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async <T>(run: () => Promise<T>): Promise<T> => {
    if (running >= max) await new Promise<void>((go) => waiting.push(go));
    else running++;
    try {
      return await run();
    } finally {
      // The place goes to the next in line, or is free.
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}
