/**
 * The public pictures:
 *
 *   /  /collections/<name>  /curated  /makers/<name>  /search?q=…    lists, a page at a time
 *   /pictures/<id>  /pictures/<id>/report                            one picture
 *   /img/<id>/<width>[.<format>]                                     its bytes
 *   /feed.atom  /feed.json  /sitemap.xml  /robots.txt                for machines
 *
 * All of it is made of one snapshot of the gallery and kept until there is another; what is kept is answered from memory.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { gallery } from '#config/gallery.ts';
import { log } from '#src/doors/log.ts';
import { isMissing, isStorageAway } from '#src/doors/storage.ts';
import { clearTakenDown, type PublishedPicture, searchGallery } from '#src/gallery.ts';
import type { Area } from '../area.ts';
import { termsOf } from '../bundle-terms.ts';
import { type Html, html } from '../html.ts';
import { notePage, type Page } from '../layout.ts';
import { PUBLIC_HEADERS, send } from '../send.ts';
import { atomFeed, jsonFeed, robots, sitemap } from './feeds.ts';
import { htmlText, keepPages, type Text } from './kept.ts';
import { byCurating, byPublishing, type List, pageOf, readCursor } from './lists.ts';
import { addReports } from './reports.ts';
import { openGallery, type Snapshot } from './snapshot.ts';
import { makeVariants, parseVariant, type Variant, writePicture } from './variants.ts';
import { BESIDE, headingOf, listPage, NOTHING_YET, picturePage } from './views.ts';

const CLEAR_EVERY_MS = 10_000;
/** Pictures that a search finds at most. */
const FOUND_MAX = 1_000;
/** What most windows ask for: a column of a phone's or of a desk's. */
const WARM = ['dense', ...gallery.widths.slice(1, 3)] as const;

const Query = z.object({ before: z.string().optional() });
const Search = z.object({ q: z.string().trim().max(200).default('') });

export const wall: Area = async (app, { answerFirst }) => {
  let ended = false;
  const shown = openGallery();
  const kept = keepPages(PUBLIC_HEADERS);
  const variants = makeVariants(shown, PUBLIC_HEADERS);
  shown.onChange(() => kept.forget());
  shown.onChange(warm);
  answerFirst((request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return false;
    return variants.answer(request, response) || kept.answer(request, response);
  });

  /** What everybody sees first is there before anybody asks: nobody waits for an encoder at the newest picture. */
  let warming: Promise<unknown> = Promise.resolve();
  function warm({ all }: Snapshot): void {
    warming = warming.then(async () => {
      for (const picture of all.slice(0, gallery.pageSize / 2))
        for (const width of WARM) {
          if (ended || shown.now?.all !== all) return;
          const variant = fitting({ width, format: 'avif' as const }, picture);
          try {
            await variants.ready(picture, variant);
          } catch (error) {
            // Its door has logged it; whoever asks has them made.
            if (isStorageAway(error)) return;
            if (!isMissing(error)) log.warn({ err: error }, 'a picture was not made ready');
          }
        }
    });
  }

  /** A page of what is shown, which is kept; `make` gives null where there is no such thing. */
  async function keep(
    request: FastifyRequest,
    reply: FastifyReply,
    make: (snapshot: Snapshot) => Promise<Page | Text | null>,
    none: Page = NO_PAGE,
  ): Promise<FastifyReply> {
    const sent = await kept.send(request, reply, async () => {
      const made = await make(await shown.shown());
      return made && ('text' in made ? made : htmlText(made));
    });
    return sent ? reply : send(request, reply.code(404), none);
  }

  async function sendList(
    request: FastifyRequest,
    reply: FastifyReply,
    listOf: (snapshot: Snapshot) => Promise<Shown | null> | Shown | null,
  ): Promise<FastifyReply> {
    const query = Query.safeParse(request.query);
    const text = query.success ? query.data.before : '';
    const cursor = text === undefined ? null : readCursor(text);
    if (text !== undefined && !cursor) return send(request, reply.code(400), BAD_CURSOR);
    return keep(request, reply, async (snapshot) => {
      const found = await listOf(snapshot);
      if (!found) return null;
      const { list, heading = null, empty = NOTHING_YET } = found;
      return listPage(list, pageOf(list, cursor, gallery.pageSize), heading, empty);
    });
  }

  app.get('/', (request, reply) =>
    sendList(request, reply, ({ all }) => ({
      list: { path: '/', title: gallery.title, pictures: all, dateOf: byPublishing, loops: LOOPS },
      heading: collectionsOf(null),
    })),
  );

  app.get<{ Params: { name: string } }>('/collections/:name', (request, reply) =>
    sendList(request, reply, ({ collections }) => {
      const { name } = request.params;
      const pictures = collections.get(name);
      const settings = gallery.collections[name];
      if (!pictures || !settings) return null;
      const { title, description, loop } = settings;
      const list = { path: `/collections/${name}`, title, pictures, dateOf: byPublishing, loops: loop };
      const says = description === undefined ? undefined : html`<p>${description}</p>`;
      return { list, heading: html`${headingOf(title, list, says)}${collectionsOf(name)}` };
    }),
  );

  app.get('/curated', (request, reply) =>
    sendList(request, reply, ({ curated }) => {
      const list = {
        path: '/curated',
        title: 'Curated',
        pictures: curated,
        dateOf: byCurating,
        loops: false,
      };
      return {
        list,
        heading: headingOf('Curated', list),
        empty: html`<p class="quiet">Nothing has been chosen yet. Those who look after the gallery choose what they like best with
<code>/gallery curate</code> in Discord.</p>`,
      };
    }),
  );

  app.get<{ Params: { name: string } }>('/makers/:name', (request, reply) =>
    sendList(request, reply, ({ makers }) => {
      const { name } = request.params;
      const pictures = makers.get(name);
      if (!pictures) return null;
      const list = { path: `/makers/${name}`, title: name, pictures, dateOf: byPublishing, loops: false };
      return { list, heading: headingOf(name, list) };
    }),
  );

  app.get('/search', (request, reply) => {
    const search = Search.safeParse(request.query);
    if (!search.success) return send(request, reply.code(400), BAD_SEARCH);
    const { q } = search.data;
    return sendList(request, reply, async ({ byId }) => {
      const ids = q ? await searchGallery(q, FOUND_MAX) : [];
      const pictures = ids.flatMap((id) => byId.get(id) ?? []);
      const list = {
        path: `/search?q=${encodeURIComponent(q)}`,
        title: q ? `Search: ${q}` : 'Search',
        pictures,
        dateOf: byPublishing,
        loops: false,
      };
      return {
        list,
        heading: q ? headingOf(`“${q}”`, list) : html`<div class="head"><h1>Search</h1></div>`,
        empty: html`<form class="find" action="/search"><input type="search" name="q" value="${q}" maxlength="200" aria-label="Words of prompts"><button>Search</button></form>
<p class="quiet">${q ? 'No shared prompt has these words. Fewer may find more.' : 'Finds pictures by words of their prompts, where their makers share them.'}</p>`,
      };
    });
  });

  app.get<{ Params: { id: string } }>('/pictures/:id', (request, reply) =>
    keep(
      request,
      reply,
      async ({ all, byId }) => {
        const picture = byId.get(request.params.id);
        if (!picture) return null;
        const at = all.indexOf(picture);
        const [newer, older] = [all[at - 1], all[at + 1]];
        const after = all.slice(at + 1, at + 1 + BESIDE);
        const more =
          after.length < BESIDE ? [...after, ...all.slice(0, Math.min(at, BESIDE - after.length))] : after;
        return picturePage(picture, { newer, older, more }, await termsOf(picture.bundle));
      },
      NO_PICTURE,
    ),
  );

  app.get<{ Params: { id: string; file: string } }>('/img/:id/:file', async (request, reply) => {
    const { id, file } = request.params;
    const variant = parseVariant(file, request.headers.accept);
    const picture = variant && (await shown.shown()).byId.get(id);
    if (!variant || !picture) return send(request, reply.code(404), NO_PICTURE);
    try {
      const ready = await variants.ready(picture, fitting(variant, picture));
      reply.hijack();
      writePicture(request.raw, reply.raw, ready);
      return reply;
    } catch (error) {
      if (!isMissing(error)) throw error;
      // Bytes that are gone while their row says otherwise: nothing to see, and nothing a visitor could do.
      log.error({ err: error }, 'a published picture has no bytes');
      return send(request, reply.code(404), NO_PICTURE);
    }
  });

  const machines: Readonly<Record<string, (snapshot: Snapshot) => Text>> = {
    '/feed.atom': atomFeed,
    '/feed.json': jsonFeed,
    '/sitemap.xml': sitemap,
    '/robots.txt': robots,
  };
  for (const [path, make] of Object.entries(machines))
    app.get(path, (request, reply) => keep(request, reply, async (snapshot) => make(snapshot)));

  await addReports(app, shown);

  let clearing: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    clearing = clearTakenDown().catch((error: unknown) => log.warn({ err: error }, 'clearing the gallery'));
  }, CLEAR_EVERY_MS);
  app.addHook('onClose', async () => {
    ended = true;
    clearInterval(timer);
    await Promise.all([clearing, warming, shown.close()]);
  });
};

interface Shown {
  readonly list: List;
  readonly heading?: Html | null;
  readonly empty?: Html;
}

/** The whole wall begins again where all of its collections do. */
const LOOPS = Object.values(gallery.collections).every(({ loop }) => loop);

/** Ways between collections, where there are several. */
function collectionsOf(current: string | null): Html | null {
  const all = Object.entries(gallery.collections);
  if (all.length < 2) return null;
  const way = (path: string, title: string, isHere: boolean) =>
    html`<a href="${path}"${isHere && html` aria-current="page"`}>${title}</a>`;
  return html`${current === null && html`<h1 class="unseen">${gallery.title}</h1>`}<nav class="ways" aria-label="Collections">${way('/', 'All', current === null)}${all.map(
    ([name, { title }]) => way(`/collections/${name}`, title, name === current),
  )}</nav>`;
}

/** A picture narrower than what is asked for is given as it is. */
function fitting<V extends Variant>(variant: V, { width }: PublishedPicture): V {
  return typeof variant.width === 'number' && variant.width > width ? { ...variant, width: 'full' } : variant;
}

const NO_PAGE = notePage(
  'No such page',
  'There is nothing at this address. The link may be old or mistyped.',
);
const NO_PICTURE = notePage(
  'No such picture',
  'There is no picture at this address. It may have been taken down, or was never published.',
);
const BAD_CURSOR = notePage(
  'That link is broken',
  'The address does not say where to go on. Begin with the newest pictures.',
);
const BAD_SEARCH = notePage('That search is too long', 'Search by a few words: at most 200 characters.');
