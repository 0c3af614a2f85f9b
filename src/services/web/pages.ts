/**
 * The gallery's pages: HTML made here, no script. A page carries its style in itself, named by hash in its content security
 * policy, so one answer shows everything but the pictures.
 *
 * A prompt is its author's: no page shows one.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gallery } from '#config/gallery.ts';
import type { Cursor, PublishedPicture } from '#src/gallery.ts';
import type { Terms } from './bundle-terms.ts';
import { type Html, html } from './html.ts';
import { placeholderOf } from './placeholders.ts';
import { FORMATS, type Format, MIME, widthsOf } from './variants.ts';

/** A finished page: the text, and the hash that its content security policy must name. */
export interface Page {
  readonly html: string;
  /** `sha256-…`, of the one style element */
  readonly styleHash: string;
}

/** Pictures of the first row on a desktop, which are not loaded lazily. */
const EAGER = 4;
const STYLE = readFileSync(new URL('./style.css', import.meta.url), 'utf8')
  .replace(/\/\*[\s\S]*?\*\//g, '')
  .replace(/\s*\n\s*/g, '');

const date = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeZone: 'UTC' });

export async function galleryPage(
  pictures: readonly PublishedPicture[],
  { next, first }: { next: Cursor | null; first: boolean },
): Promise<Page> {
  if (!pictures.length && first) return emptyPage();
  const wall = html`<h1 class="skip">Pictures</h1>
<ul class="wall">
${pictures.map(
  (
    picture,
    i,
  ) => html`<li class="${ratioClass(picture)}"><a id="p-${picture.id}" href="/pictures/${picture.id}">${pictureElement(
    picture,
    '(min-width: 100rem) 19vw, (min-width: 64rem) 23vw, (min-width: 40rem) 31vw, 46vw',
    first && i < EAGER,
  )}</a></li>
`,
)}</ul>
<nav class="more" aria-label="Pages">
${!first && html`<a href="/">Newest pictures</a>`}
${next && html`<a rel="next" href="/?before=${writeCursor(next)}">More pictures</a>`}
</nav>`;
  return page({
    title: gallery.title,
    body: html`<main id="main">${wall}</main>`,
    style: await stylesOf(pictures),
  });
}

function emptyPage(): Page {
  return page({
    title: gallery.title,
    body: html`<main id="main" class="text">
<h1>No pictures here yet</h1>
<p>This page shows what people chose to show. A picture gets here in three steps:</p>
<ol>
<li>An operator switches production mode on, for a channel or a whole server, with <code>/guild production</code> in
Discord.</li>
<li>Somebody asks for a picture there with <code>/imagine</code>.</li>
<li>They press <b>Publish</b> under it, or type <code>/gallery publish</code>, and somebody who looks after the gallery
presses Publish, too.</li>
</ol>
<p>It appears here as soon as both have, and is gone as soon as one of them takes it back.</p>
</main>`,
  });
}

export async function photoPage(
  picture: PublishedPicture,
  beside: { newer: string | null; older: string | null },
  terms: Terms,
  publicUrl: string | undefined,
): Promise<Page> {
  const { id, width, height, publishedAt } = picture;
  // On a phone the date stays on one line.
  const title = `Picture of ${date.format(publishedAt).replaceAll(' ', '\u00a0')}`;
  return page({
    title: `${title} · ${gallery.title}`,
    meta: html`<meta property="og:title" content="${title}">
<meta property="og:site_name" content="${gallery.title}">
${
  publicUrl !== undefined &&
  html`<meta property="og:image" content="${new URL(`/img/${id}/full.jpg`, publicUrl).href}">
<meta property="og:image:width" content="${width}">
<meta property="og:image:height" content="${height}">
<meta name="twitter:card" content="summary_large_image">`
}`,
    style: `${await stylesOf([picture])}.frame{--w:${width}px}`,
    body: html`<main id="main">
<article class="photo">
<div class="frame ${ratioClass(picture)}" id="p-${id}">${pictureElement(
      picture,
      `(max-width: 52rem) min(${width}px, 94vw), min(${width}px, 66vw)`,
      true,
    )}</div>
<div>
<h1>${title}</h1>
<dl>
<dt>Size</dt><dd>${width} × ${height} px</dd>
<dt>Published</dt><dd><time datetime="${publishedAt.toISOString()}">${date.format(publishedAt)}</time></dd>
<dt>Drawn with</dt><dd>${terms.title}</dd>
</dl>
<p class="note">${terms.standIn && 'That is a small stand-in for tests and demonstrations, not a real model. '}A machine
made this picture, and its file says so. <a href="/about">About the pictures</a></p>
</div>
</article>
<nav class="steps" aria-label="Pictures">
${beside.newer && html`<a rel="prev" href="/pictures/${beside.newer}">← Newer</a>`}
<a href="/">All pictures</a>
${beside.older && html`<a rel="next" href="/pictures/${beside.older}">Older →</a>`}
</nav>
</main>`,
  });
}

export function aboutPage(bundles: readonly Terms[]): Page {
  return page({
    title: `About · ${gallery.title}`,
    body: html`<main id="main" class="text">
<h1>About these pictures</h1>
<p>Each of them was drawn by a machine because somebody asked for it in Discord. They are here because the person who
asked and somebody who looks after the gallery both chose to show them; they leave as soon as that choice is taken
back.</p>
<p>None of them is a photograph. Where one was drawn after photos of somebody’s face, their consent was recorded first.
What the pictures were asked with stays with those who asked. Every file carries IPTC’s mark for pictures that an
algorithm made.</p>
${bundles.map(
  ({ title, standIn, licence }) => html`<h2>${title}</h2>
${
  standIn &&
  html`<p>This is a stand-in: a small procedural world that this project draws by itself, for tests and
demonstrations. It is not a trained model.</p>`
}
<p>Terms: ${licence ?? 'unknown here, as it is not installed on this machine.'}</p>`,
)}
</main>`,
  });
}

/** One clear sentence, and a way on. */
export function errorPage(title: string, sentence: string): Page {
  return page({
    title: `${title} · ${gallery.title}`,
    body: html`<main id="main" class="text">
<h1>${title}</h1>
<p>${sentence}</p>
<p><a href="/">See the pictures</a></p>
</main>`,
  });
}

function page(parts: { title: string; body: Html; meta?: Html; style?: string }): Page {
  const style = STYLE + (parts.style ?? '');
  const { html: text } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${parts.title}</title>
<meta name="description" content="${gallery.tagline}">
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Crect x='1' width='6' height='8' rx='.6' fill='%23b5602f'/%3E%3C/svg%3E">
${parts.meta ?? null}
<style>${{ html: style }}</style>
</head>
<body>
<a class="skip" href="#main">To the pictures</a>
<header><a class="name" href="/">${gallery.title}</a><p>${gallery.tagline}</p><nav aria-label="Site"><a href="/about">About</a></nav></header>
${parts.body}
<footer><span>Every picture here was made by a machine.</span> <a href="/about">How they are made</a></footer>
</body>
</html>
`;
  return { html: text, styleHash: `sha256-${createHash('sha256').update(style).digest('base64')}` };
}

/** Styles that differ from page to page: placeholders, and the proportions that occur. */
async function stylesOf(pictures: readonly PublishedPicture[]): Promise<string> {
  const ratios = new Map(
    pictures.map((picture) => [
      ratioClass(picture),
      // In the wall's rows: a column is sixty of them wide, and three stay free below.
      { ratio: picture.width / picture.height, rows: Math.round((60 * picture.height) / picture.width) + 3 },
    ]),
  );
  const blurs = await Promise.all(
    pictures.map(async (picture) => {
      const url = await placeholderOf(picture);
      return url ? `#p-${picture.id}{background-image:url(${url})}` : '';
    }),
  );
  return (
    [...ratios]
      .map(([name, { ratio, rows }]) => `.${name}{--r:${ratio.toFixed(4)};--rows:${rows}}`)
      .join('') + blurs.join('')
  );
}

const ratioClass = ({ width, height }: PublishedPicture) => `r${width}x${height}`;

function pictureElement(picture: PublishedPicture, sizes: string, eager: boolean): Html {
  const { id, width, height, publishedAt } = picture;
  const widths = widthsOf(picture);
  const srcset = (format: Format) =>
    widths.map(({ width: name, px }) => `/img/${id}/${name}.${format} ${px}w`).join(', ');
  const modern = FORMATS.filter((format) => format !== 'jpg');
  const shape = width === height ? 'square' : width < height ? 'upright' : 'wide';
  return html`<picture>${modern.map(
    (format) => html`<source type="${MIME[format]}" srcset="${srcset(format)}" sizes="${sizes}">`,
  )}<img src="/img/${id}/${widths.at(0)?.width ?? 'full'}.jpg" srcset="${srcset('jpg')}" sizes="${sizes}" width="${width}" height="${height}" alt="AI-made picture, ${shape}, published on ${date.format(publishedAt)}" ${{
    html: eager ? 'fetchpriority="high"' : 'loading="lazy"',
  }} decoding="async"></picture>`;
}

/** A cursor as it stands in a link. */
export function writeCursor({ publishedAt, id }: Cursor): string {
  return Buffer.from(`${publishedAt.getTime()}.${id}`).toString('base64url');
}

/** Null for what is no cursor of ours. */
export function readCursor(text: string): Cursor | null {
  const plain = /^[\w-]{20,100}$/.test(text) ? Buffer.from(text, 'base64url').toString() : '';
  const [, ms, id] = /^(\d{1,14})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.exec(plain) ?? [];
  return ms && id ? { publishedAt: new Date(Number(ms)), id } : null;
}
