/** The gallery for machines: feeds of its newest pictures, and what search engines ask for. Addresses in them are whole. */
import { gallery } from '#config/gallery.ts';
import type { PublishedPicture } from '#src/gallery.ts';
import { type Html, html } from '../html.ts';
import { urlOf } from '../layout.ts';
import type { Text } from './kept.ts';
import type { Snapshot } from './snapshot.ts';
import { cut } from './views.ts';

const NEWEST = 50;
/** As many as a sitemap may have. */
const ADDRESSES_MAX = 50_000;
const XML = '<?xml version="1.0" encoding="utf-8"?>\n';

const titleOf = ({ shared, maker }: PublishedPicture) =>
  shared ? cut(shared.prompt, 100) : maker === null ? 'A picture' : `A picture by ${maker}`;
const pageOf = ({ id }: PublishedPicture) => urlOf(`/pictures/${id}`);
const imageOf = ({ id }: PublishedPicture) => urlOf(`/img/${id}/640.jpg`);
/** When its newest came; a gallery without pictures has not changed since ever. */
const changedAt = ([newest]: readonly PublishedPicture[]) =>
  (newest?.publishedAt ?? new Date(0)).toISOString();

function text(type: string, content: string): Text {
  return {
    type: `${type}; charset=utf-8`,
    text: content,
    headers: ['content-security-policy', "default-src 'none'"],
  };
}

/** RFC 4287. */
export function atomFeed({ all }: Snapshot): Text {
  const content = (picture: PublishedPicture): Html =>
    html`<p><img src="${imageOf(picture)}" alt="${titleOf(picture)}"></p>`;
  const feed = html`<feed xmlns="http://www.w3.org/2005/Atom">
<title>${gallery.title}</title>
<subtitle>${gallery.tagline}</subtitle>
<id>${urlOf('/')}</id>
<link href="${urlOf('/')}"/>
<link rel="self" type="application/atom+xml" href="${urlOf('/feed.atom')}"/>
<updated>${changedAt(all)}</updated>
${all.slice(0, NEWEST).map(
  (picture) => html`<entry>
<title>${titleOf(picture)}</title>
<id>urn:uuid:${picture.id}</id>
<link href="${pageOf(picture)}"/>
<updated>${picture.publishedAt.toISOString()}</updated>
<author><name>${picture.maker ?? gallery.title}</name></author>
<content type="html">${content(picture).html}</content>
</entry>
`,
)}</feed>
`;
  return text('application/atom+xml', XML + feed.html);
}

/** https://www.jsonfeed.org/version/1.1/ */
export function jsonFeed({ all }: Snapshot): Text {
  return text(
    'application/feed+json',
    JSON.stringify({
      version: 'https://jsonfeed.org/version/1.1',
      title: gallery.title,
      description: gallery.tagline,
      home_page_url: urlOf('/'),
      feed_url: urlOf('/feed.json'),
      items: all.slice(0, NEWEST).map((picture) => ({
        id: picture.id,
        url: pageOf(picture),
        title: titleOf(picture),
        image: imageOf(picture),
        content_html: html`<p><img src="${imageOf(picture)}" alt="${titleOf(picture)}"></p>`.html,
        date_published: picture.publishedAt.toISOString(),
        ...(picture.maker !== null && {
          authors: [{ name: picture.maker, url: urlOf(`/makers/${picture.maker}`) }],
        }),
      })),
    }),
  );
}

/** https://www.sitemaps.org/protocol.html */
export function sitemap({ all, makers, collections }: Snapshot): Text {
  const lists = [
    ...['/', '/curated', '/about', '/privacy', '/terms'],
    ...[...collections.keys()].map((name) => `/collections/${name}`),
    ...[...makers.keys()].map((name) => `/makers/${name}`),
  ];
  const pages = all.slice(0, ADDRESSES_MAX - lists.length);
  const map = html`<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
${lists.map((path) => html`<url><loc>${urlOf(path)}</loc></url>\n`)}${pages.map(
  (picture) =>
    html`<url><loc>${pageOf(picture)}</loc><lastmod>${picture.publishedAt.toISOString()}</lastmod></url>\n`,
)}</urlset>
`;
  return text('application/xml', XML + map.html);
}

export function robots(): Text {
  const rules = ['User-agent: *', 'Disallow: /search', 'Disallow: /draw', 'Disallow: /pictures/*/report'];
  return text('text/plain', `${[...rules, '', `Sitemap: ${urlOf('/sitemap.xml')}`].join('\n')}\n`);
}
