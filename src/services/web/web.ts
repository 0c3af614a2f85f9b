/**
 * The `web` service: the public gallery.
 *
 *   /                              published pictures, newest first
 *   /pictures/<id>                 one picture
 *   /img/<id>/<width>.<format>     its bytes, in widths and formats of config/gallery.yaml
 *   /about  /health
 *
 * Whether a picture may be seen is decided here at every request, at most `recheck` seconds late.
 */
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { brotliCompress, constants as zlib } from 'node:zlib';
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
import { z } from 'zod';
import { config } from '#config/env.ts';
import { gallery } from '#config/gallery.ts';
import { db } from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';
import { isAway } from '#src/doors/postgres.ts';
import { clearTakenDown, findPublished, listPublished, neighbours } from '#src/gallery.ts';
import { allTerms, termsOf } from './bundle-terms.ts';
import { tellGauges } from './gauges.ts';
import { aboutPage, errorPage, galleryPage, type Page, photoPage, readCursor } from './pages.ts';
import { etagOf, MIME, makeVariants, parseVariant } from './variants.ts';

const HEADERS = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'x-frame-options': 'DENY',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), browsing-topics=()',
} as const;
const POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/**
 * A name never gets other bytes, so browsers may keep them. Caches between us and browsers must ask: a picture that was
 * taken down may not live on in them.
 */
const IMAGE_CACHE = 'public, max-age=31536000, s-maxage=0, immutable';
const PAGE_CACHE = 'no-cache';
const HEALTH_WITHIN_MS = 2_000;
const CLEAR_EVERY_MS = 10_000;

const compress = promisify(brotliCompress);

const Id = z.uuid();
const Before = z.object({ before: z.string().optional() });

export async function startWeb({
  host = config.web.host,
  port = config.web.port,
}: {
  host?: string;
  port?: number;
} = {}): Promise<{ url: string; close(): Promise<void> }> {
  const variants = makeVariants();
  // `return503OnClosing` would answer requests in hand with 503 while we close.
  const app = fastify({
    logger: false,
    bodyLimit: 1024,
    return503OnClosing: false,
    requestTimeout: 30_000,
    // Addresses that cannot be decoded come to no route and no hook.
    frameworkErrors: (_, request, reply) => {
      reply.statusCode = 400;
      void send(request, reply.headers(HEADERS), BAD_REQUEST);
    },
  });

  app.addHook('onRequest', (_, reply, done) => {
    reply.headers(HEADERS);
    done();
  });

  app.get('/', async (request, reply) => {
    const query = Before.safeParse(request.query);
    const cursor = query.success && query.data.before !== undefined ? readCursor(query.data.before) : null;
    const first = query.success && query.data.before === undefined;
    if (!first && !cursor) return send(request, reply.code(400), BAD_CURSOR);
    const { pictures, next } = await listPublished({ cursor, limit: gallery.pageSize });
    return send(request, reply, await galleryPage(pictures, { next, first }));
  });

  app.get<{ Params: { id: string } }>('/pictures/:id', async (request, reply) => {
    const picture = isId(request.params.id) ? await findPublished(request.params.id) : null;
    if (!picture) return send(request, reply.code(404), NO_PICTURE);
    const [beside, terms] = await Promise.all([neighbours(picture), termsOf(picture.bundle)]);
    return send(request, reply, await photoPage(picture, beside, terms, config.web.publicUrl));
  });

  app.get<{ Params: { id: string; file: string } }>('/img/:id/:file', async (request, reply) => {
    const { id, file } = request.params;
    const variant = parseVariant(file);
    const picture = variant && isId(id) ? await variants.shown(id) : null;
    if (!variant || !picture) return send(request, reply.code(404), NO_PICTURE);

    const etag = etagOf(picture, variant);
    reply.headers({ etag, 'cache-control': IMAGE_CACHE, 'content-security-policy': POLICY });
    if (hasTag(request, etag)) return reply.code(304).send();
    const bytes = await variants.bytes(picture, variant);
    return reply.type(MIME[variant.format]).send(bytes);
  });

  app.get('/about', async (request, reply) => send(request, reply, aboutPage(await allTerms())));

  app.get('/health', async (_, reply) => {
    const database = await Promise.race([
      db.$queryRaw`SELECT 1`.then(() => true).catch(() => false),
      sleep(HEALTH_WITHIN_MS, false, { ref: false }),
    ]);
    return reply
      .code(database ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ ok: database, database });
  });

  app.setNotFoundHandler((request, reply) => send(request, reply.code(404), NO_PAGE));

  app.setErrorHandler<Error & { statusCode?: number; code?: string }>((error, request, reply) => {
    // Bytes that are gone while their row says otherwise: nothing to see, and nothing a visitor could do.
    if (error.code === 'ENOENT') {
      log.error({ err: error }, 'a published picture has no bytes');
      return send(request, reply.code(404), NO_PICTURE);
    }
    if (isAway(error)) {
      log.warn({ err: error }, 'Postgres is out of reach');
      return send(request, reply.code(503).header('retry-after', '10'), OUT_OF_REACH);
    }
    const status = error.statusCode ?? 500;
    if (status < 500) return send(request, reply.code(status), BAD_REQUEST);
    const errorId = randomUUID().slice(0, 8);
    log.error({ err: error, errorId }, 'unexpected error');
    return send(
      request,
      reply.code(500),
      errorPage(
        'Something broke',
        `The fault is ours. Try again in a minute; if it goes on, quote ${errorId}.`,
      ),
    );
  });

  let clearing: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    clearing = clearTakenDown().catch((error: unknown) => log.warn({ err: error }, 'clearing the gallery'));
  }, CLEAR_EVERY_MS);

  const address = await app.listen({ host, port });
  const stopTelling = tellGauges();
  // A person clicks it: "0.0.0.0" and "[::]" lead nowhere in some browsers.
  const url = address.replace(/\/\/(0\.0\.0\.0|\[::\])/, '//127.0.0.1');
  log.info({ url }, 'web is ready');
  return {
    url,
    async close() {
      stopTelling();
      clearInterval(timer);
      await clearing;
      await app.close();
    },
  };
}

const NO_PAGE = errorPage(
  'No such page',
  'There is nothing at this address. The link may be old or mistyped.',
);
const NO_PICTURE = errorPage(
  'No such picture',
  'There is no picture at this address. It may have been taken down, or was never published.',
);
const BAD_CURSOR = errorPage(
  'That link is broken',
  'The address does not say where to go on. Begin with the newest pictures.',
);
const OUT_OF_REACH = errorPage(
  'The gallery is out of reach',
  'Its database does not answer right now. Try again in a minute.',
);
const BAD_REQUEST = errorPage('That did not work', 'The request was not one that this page understands.');

function isId(text: string): boolean {
  return Id.safeParse(text).success;
}

async function send(
  request: FastifyRequest,
  reply: FastifyReply,
  { html, styleHash }: Page,
): Promise<FastifyReply> {
  reply.headers({
    'content-security-policy': `${POLICY}; img-src 'self' data:; style-src '${styleHash}'`,
    'cache-control': reply.statusCode === 200 ? PAGE_CACHE : 'no-store',
    vary: 'accept-encoding',
  });
  const brotli = /\bbr\b/.test(String(request.headers['accept-encoding']));
  if (reply.statusCode === 200) {
    const hash = createHash('sha256').update(html).digest('base64url').slice(0, 22);
    const etag = `"${hash}${brotli ? '-br' : ''}"`;
    reply.header('etag', etag);
    if (hasTag(request, etag)) return reply.code(304).send();
  }
  reply.type('text/html; charset=utf-8');
  if (!brotli) return reply.send(html);
  reply.header('content-encoding', 'br');
  return reply.send(await compress(html, { params: { [zlib.BROTLI_PARAM_QUALITY]: 4 } }));
}

function hasTag({ headers }: FastifyRequest, etag: string): boolean {
  const known = headers['if-none-match'];
  if (!known) return false;
  return known === '*' || known.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}
