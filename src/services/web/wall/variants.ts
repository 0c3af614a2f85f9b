/**
 * Published pictures as browsers want them: in a few widths and formats, each made once, when it is first asked for, then
 * kept in storage and in memory.
 *
 *   /img/<id>/<width>            the best format that the browser takes, by `accept`: one address in a page instead of three lists
 *   /img/<id>/dense              for columns of phones, whose screens have pixels enough to need less of each
 *   /img/<id>/<width>.<format>   that format, for feeds, cards and everybody who asks by name
 *
 * What is in memory is answered before Fastify sees the request, as long as the gallery has the picture.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import sharp from 'sharp';
import { type GallerySettings, gallery } from '#config/gallery.ts';
import { log } from '#src/doors/log.ts';
import { isFull, isStorageAway } from '#src/doors/storage.ts';
import { keepVariant, keptVariant, originalOf, type PublishedPicture } from '#src/gallery.ts';
import { LruCache } from '#src/lru-cache.ts';
import { markPicture } from '#src/marks/marks.ts';
import { hasTag } from '../send.ts';
import type { Ready } from './kept.ts';
import type { Gallery } from './snapshot.ts';

export const FORMATS = ['avif', 'webp', 'jpg'] as const;
export type Format = (typeof FORMATS)[number];
export const MIME: Readonly<Record<Format, string>> = {
  avif: 'image/avif',
  webp: 'image/webp',
  jpg: 'image/jpeg',
};

/** px, or the picture's own width, or what columns of phones get: config/gallery.yaml */
export type Width = number | 'full' | 'dense';

export interface Variant {
  readonly width: Width;
  readonly format: Format;
}

/** Raised when encoders change, so that nobody keeps what an older program made. */
const VERSION = 2;
/** Encoding is work for a whole core: more at once would only make each later. */
const ENCODERS = 2;
/**
 * A name never gets other bytes, so browsers may keep them. Caches between us and browsers must ask: a picture that was
 * taken down may not live on in them.
 */
const IMAGE_CACHE = 'public, max-age=31536000, s-maxage=0, immutable';

export interface Variants {
  answer(request: IncomingMessage, response: ServerResponse): boolean;
  /** @throws {NodeJS.ErrnoException} ENOENT when the picture's bytes are gone */
  ready(picture: PublishedPicture, variant: Variant): Promise<Ready>;
}

/** `640.avif`, `full.webp`, and `640` where the format is the browser's choice; null for any other name. */
export function parseVariant(
  file: string,
  accept: string | undefined,
  { widths }: GallerySettings = gallery,
): Variant | null {
  const [, name = '', extension] = /^(\d{1,5}|full|dense)(?:\.(\w+))?$/.exec(file) ?? [];
  const format = extension === undefined ? formatFor(accept) : FORMATS.find((known) => known === extension);
  const width = name === 'full' || name === 'dense' ? name : widths.find((known) => String(known) === name);
  return format && width ? { width, format } : null;
}

function formatFor(accept = ''): Format {
  if (accept.includes('image/avif')) return 'avif';
  return accept.includes('image/webp') ? 'webp' : 'jpg';
}

/** The widths a picture is offered in: none wider than it is. */
export function widthsOf(picture: PublishedPicture): { width: Width; px: number }[] {
  const narrower = gallery.widths.filter((width) => width < picture.width);
  return [...narrower.map((width) => ({ width, px: width })), { width: 'full', px: picture.width }];
}

/** Known without looking at any bytes: the same name, the same bytes, for ever. */
function etagOf(picture: PublishedPicture, { width, format }: Variant): string {
  return `"${picture.sha256.slice(0, 20)}-${width}-${format}-${VERSION}"`;
}

/** @param always headers of every answer: name, value … */
export function makeVariants(shown: Gallery, always: readonly string[]): Variants {
  const memory = new LruCache<Ready & { readonly picture: PublishedPicture }>(gallery.memory * 2 ** 20);
  const making = new Map<string, Promise<Ready>>();
  const encode = limited(ENCODERS);

  async function make(picture: PublishedPicture, variant: Variant): Promise<Buffer> {
    const file = `${variant.width}-v${VERSION}.${variant.format}`;
    const kept = await keptVariant(picture, file);
    if (kept) return kept;
    const bytes = await encode(async () => encodeVariant(await originalOf(picture), variant));
    try {
      await keepVariant(picture, file, bytes);
    } catch (error) {
      // It is here all the same, and made anew by whoever starts after us.
      if (!isFull(error) && !isStorageAway(error)) throw error;
      log.warn({ err: error }, 'a picture’s variant was not kept');
    }
    return bytes;
  }

  return {
    answer(request, response) {
      const { url = '', headers } = request;
      if (!url.startsWith('/img/')) return false;
      const found = memory.get(url.includes('.') ? url : `${url}.${formatFor(headers.accept)}`);
      if (!found || shown.now?.byId.get(found.picture.id)?.sha256 !== found.picture.sha256) return false;
      writePicture(request, response, found);
      return true;
    },

    async ready(picture, variant) {
      const url = `/img/${picture.id}/${variant.width}.${variant.format}`;
      const known = memory.get(url);
      if (known?.picture.sha256 === picture.sha256) return known;
      const key = url + picture.sha256;
      let made = making.get(key);
      if (!made) {
        made = make(picture, variant)
          .then((body) => {
            const ready = { ...pictureReady(picture, variant, body, always), picture };
            memory.set(url, ready, body.length);
            return ready;
          })
          .finally(() => making.delete(key));
        making.set(key, made);
      }
      return made;
    },
  };
}

function pictureReady(
  picture: PublishedPicture,
  variant: Variant,
  body: Buffer,
  always: readonly string[],
): Ready {
  const etag = etagOf(picture, variant);
  const short = [
    'etag',
    etag,
    'cache-control',
    IMAGE_CACHE,
    'vary',
    'accept',
    'accept-ranges',
    'bytes',
    ...always,
  ];
  return {
    etag,
    short,
    body,
    headers: ['content-type', MIME[variant.format], 'content-length', String(body.length), ...short],
  };
}

/** As a page is written; and a part of it to who asks for one. */
export function writePicture(request: IncomingMessage, response: ServerResponse, ready: Ready): void {
  const { headers, method } = request;
  if (hasTag(headers['if-none-match'], ready.etag)) return void response.writeHead(304, ready.short).end();
  const { range } = headers;
  if (range !== undefined && method === 'GET' && isOf(headers['if-range'], ready.etag)) {
    const part = partOf(range, ready.body.length);
    if (part) {
      const { from, to } = part;
      if (from > to)
        return void response
          .writeHead(416, ['content-range', `bytes */${ready.body.length}`, ...ready.short])
          .end();
      const body = ready.body.subarray(from, to + 1);
      const [type = '', mime = ''] = ready.headers;
      const partly = [
        'content-range',
        `bytes ${from}-${to}/${ready.body.length}`,
        'content-length',
        String(body.length),
      ];
      return void response.writeHead(206, [type, mime, ...partly, ...ready.short]).end(body);
    }
  }
  response.writeHead(200, ready.headers).end(method === 'HEAD' ? undefined : ready.body);
}

const isOf = (ifRange: string | string[] | undefined, etag: string) =>
  ifRange === undefined || ifRange === etag;

/** One range of bytes, `from` above `to` where it has none of them; null for what is none, or several: then all is sent. */
function partOf(range: string, length: number): { from: number; to: number } | null {
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(range) ?? [];
  if (!first && !last) return null;
  if (!first)
    return Number(last) ? { from: Math.max(0, length - Number(last)), to: length - 1 } : { from: 1, to: 0 };
  const from = Number(first);
  const to = last ? Number(last) : length - 1;
  if (to < from && last) return null;
  return from < length ? { from, to: Math.min(to, length - 1) } : { from: 1, to: 0 };
}

async function encodeVariant(original: Buffer, { width, format }: Variant): Promise<Buffer> {
  const { dense } = gallery;
  const px = width === 'dense' ? dense.width : width;
  const less = (quality: number) => width === 'dense' && { quality };
  let image = sharp(original);
  if (px !== 'full') image = image.resize({ width: px, withoutEnlargement: true });
  if (format === 'avif') image = image.avif({ ...gallery.avif, ...less(dense.avif) });
  else if (format === 'webp') image = image.webp({ ...gallery.webp, ...less(dense.webp) });
  else
    image = image
      .flatten({ background: '#fff' })
      .jpeg({ ...gallery.jpeg, mozjpeg: true, ...less(dense.jpeg) });
  return (await markPicture(image, 'drawn')).bytes;
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
