/** How pictures are shown: many on a wall, and one on a page of its own. What is its maker's own stands there where he shares it. */
import { gallery } from '#config/gallery.ts';
import type { PublishedPicture, Shared } from '#src/gallery.ts';
import { fitting, parameters, showValue } from '#src/parameters/definitions.ts';
import { asset, styles } from '../assets.ts';
import type { Terms } from '../bundle-terms.ts';
import { type Html, html } from '../html.ts';
import { layout, type Page, urlOf } from '../layout.ts';
import type { List, Pages } from './lists.ts';
import { placeholderOf } from './placeholders.ts';
import { widthsOf } from './variants.ts';

/** Pictures that are seen at once on any window, which are not loaded lazily; and those that come first of them. */
const EAGER = 8;
const FIRST = 4;
/** Pictures below one on its own page. */
export const BESIDE = 12;
/** Characters of a prompt as a text for those who do not see the picture, and above it. */
const ALT_LENGTH = 200;
const CAPTION_LENGTH = 90;
/** A column of the wall is so many rows wide; the gap is some of them. As in wall.css and wall.js. */
const ROWS = 60;
const GAP = 2;

const WALL_STYLE = styles('wall.css', import.meta.url);
const PICTURE_STYLE = styles('picture.css', import.meta.url);
const WALL_SCRIPT = asset('wall.js', import.meta.url);
const PICTURE_SCRIPT = asset('picture.js', import.meta.url);
/** As the columns of wall.css. */
const SIZES =
  '(min-width: 120rem) 14vw, (min-width: 92rem) 16.3vw, (min-width: 72rem) 19.6vw, (min-width: 54rem) 24.5vw, (min-width: 36rem) 32.7vw, 48.5vw';

/** Phones: what they get is the same on all of them. */
const DENSE = '(max-width: 35.99rem) and (min-resolution: 1.5dppx)';

const date = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeZone: 'UTC' });
const number = new Intl.NumberFormat('en-GB');

/** A page of a list. @param heading above it, where the list is not the whole wall */
export async function listPage(list: List, pages: Pages, heading: Html | null, empty: Html): Promise<Page> {
  const { path, title, pictures: all } = list;
  const { pictures, before, next } = pages;
  const isFirst = before === 0;
  const [cover] = pictures;
  return layout({
    title,
    ...(isFirst && { path }),
    head: html`${!isFirst && html`<link rel="prev" href="${path}">`}${next && next !== path && html`<link rel="next" href="${next}">`}
${card({ title, path, type: 'website', picture: cover })}`,
    style: WALL_STYLE + (await stylesOf(pictures)),
    scripts: [WALL_SCRIPT],
    body: html`${heading ?? html`<h1 class="unseen">${title}</h1>`}
${
  all.length
    ? html`<div class="wall" role="feed" aria-label="Pictures">
${chunk(pictures, before, all.length, isFirst)}
</div>
<nav class="more" aria-label="Pages">
${!isFirst && html`<a class="button plain" href="${path}">Newest pictures</a>`}
${next && html`<a class="button plain" rel="next" href="${next}">${next === path ? 'Begin again' : 'More pictures'}</a>`}
</nav>`
    : empty
}`,
  });
}

export const headingOf = (title: string, { pictures }: List, more?: Html): Html =>
  html`<div class="head"><h1>${title}</h1><p class="quiet">${
    pictures.length === 1 ? '1 picture' : `${number.format(pictures.length)} pictures`
  }</p>${more}</div>`;

/** What the wall says before there is a picture. */
export const NOTHING_YET: Html = html`<div class="text"><h1>No pictures here yet</h1>
<p>This page shows what people chose to show. A picture gets here in three steps:</p>
<ol>
<li>An operator switches production mode on, for a channel or a whole server, with <code>/guild production</code> in
Discord.</li>
<li>Somebody asks for a picture there with <code>/imagine</code>.</li>
<li>They press <b>Publish</b> under it, or type <code>/gallery publish</code>, and somebody who looks after the gallery
presses Publish, too.</li>
</ol>
<p>It appears here as soon as both have, and is gone as soon as one of them takes it back.</p></div>`;

function chunk(pictures: readonly PublishedPicture[], before: number, total: number, eager: boolean): Html {
  return html`<div class="chunk">${pictures.map(
    (picture, i) =>
      html`<article class="${ratioClass(picture)} ${blurClass(picture)}" aria-posinset="${before + i + 1}" aria-setsize="${total}"><a href="/pictures/${picture.id}"><picture><source media="${DENSE}" srcset="/img/${picture.id}/dense">${image(
        picture,
        SIZES,
        eager && i < EAGER ? (i < FIRST ? 'first' : 'eager') : 'lazy',
      )}</picture>${captionOf(picture)}</a></article>
`,
  )}</div>`;
}

function captionOf({ maker, shared }: PublishedPicture): Html | false {
  if (maker === null && !shared) return false;
  return html`<span class="cap" aria-hidden="true">${shared && html`<span>${cut(shared.prompt, CAPTION_LENGTH)}</span>`}${maker !== null && html`<b>${maker}</b>`}</span>`;
}

export interface Beside {
  readonly newer: PublishedPicture | undefined;
  readonly older: PublishedPicture | undefined;
  /** pictures to go on with */
  readonly more: readonly PublishedPicture[];
}

export async function picturePage(picture: PublishedPicture, beside: Beside, terms: Terms): Promise<Page> {
  const { id, width, height, publishedAt, maker, shared, collection } = picture;
  const day = date.format(publishedAt);
  const title = shared ? cut(shared.prompt, 70) : `Picture of ${day}`;
  const path = `/pictures/${id}`;
  return layout({
    title,
    path,
    description: shared
      ? cut(shared.prompt, ALT_LENGTH)
      : `A picture that a machine drew${maker === null ? '' : ` for ${maker}`}, published on ${day}.`,
    head: card({ title, path, type: 'article', picture }),
    style: `${WALL_STYLE}${PICTURE_STYLE}${await stylesOf([picture, ...beside.more])}.frame{--w:${width}px;--r:${(width / height).toFixed(4)}}`,
    scripts: [PICTURE_SCRIPT],
    body: html`<article class="photo">
<a class="frame ${blurClass(picture)}" href="/img/${id}/full" aria-label="Show it in its full size">${image(
      picture,
      `(max-width: 52rem) min(${width}px, 97vw), min(${width}px, 70vw)`,
      'first',
    )}</a>
<div class="tells">
<h1${shared ? html` class="unseen"` : null}>${title}</h1>
${shared && html`<p class="prompt">${shared.prompt}</p>`}
${maker !== null && html`<p>by <a href="/makers/${maker}">${maker}</a></p>`}
<p class="acts">${
      shared
        ? html`<a class="button" href="/draw?like=${id}">Draw one like this</a>`
        : html`<a class="button" href="/draw">Draw your own</a>`
    } <a class="button plain" href="/pictures/${id}/report" rel="nofollow">Report</a></p>
${shared && inDiscord(shared)}
<dl>
${shared && parametersOf(shared)}
<dt>Size</dt><dd>${width} × ${height} px</dd>
<dt>Published</dt><dd><time datetime="${publishedAt.toISOString()}">${day.replaceAll(' ', '\u00a0')}</time></dd>
<dt>Collection</dt><dd><a href="/collections/${collection}">${gallery.collections[collection]?.title ?? collection}</a></dd>
<dt>Drawn with</dt><dd>${terms.title}</dd>
</dl>
<p class="note">${terms.standIn && 'That is a small stand-in for tests and demonstrations, not a real model. '}A machine
made this picture, and its file says so. ${!shared && 'What it was asked with is kept by who asked. '}<a href="/about">About the pictures</a></p>
</div>
</article>
<nav class="more" aria-label="Pictures">
${beside.newer && html`<a class="button plain" rel="prev" href="/pictures/${beside.newer.id}">← Newer</a>`}
<a class="button plain" href="/">All pictures</a>
${beside.older && html`<a class="button plain" rel="next" href="/pictures/${beside.older.id}">Older →</a>`}
</nav>
${beside.more.length > 0 && html`<section aria-label="More pictures"><div class="wall">${chunk(beside.more, 0, beside.more.length, false)}</div></section>`}`,
  });
}

function inDiscord({ prompt, seed }: Shared): Html {
  return html`<details><summary>In Discord</summary><p>Type this where Atelier is:</p>
<p><code class="copy">/imagine prompt: ${prompt} seed: ${seed}</code></p>
<p><a href="https://discord.com/channels/@me" rel="noreferrer">Open Discord</a></p></details>`;
}

/** Those that change the picture and are not at their defaults; the seed always. */
function parametersOf({ parameters: values, seed }: Shared): Html[] {
  const shown = [...parameters].flatMap(([name, { title, pixels, default: byDefault }]) => {
    const value = fitting(name, values[name]);
    return pixels && name !== 'seed' && value !== byDefault ? [[title, showValue(name, value)] as const] : [];
  });
  return [['Seed', seed] as const, ...shown].map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`);
}

/** What a link to it looks like where it is posted. */
function card({
  title,
  path,
  type,
  picture,
}: {
  title: string;
  path: string;
  type: 'website' | 'article';
  picture: PublishedPicture | undefined;
}): Html {
  return html`<meta property="og:title" content="${title}">
<meta property="og:type" content="${type}">
<meta property="og:url" content="${urlOf(path)}">
<meta property="og:site_name" content="${gallery.title}">
${
  picture &&
  html`<meta property="og:image" content="${urlOf(`/img/${picture.id}/full.jpg`)}">
<meta property="og:image:type" content="image/jpeg">
<meta property="og:image:width" content="${picture.width}">
<meta property="og:image:height" content="${picture.height}">
<meta property="og:image:alt" content="${altOf(picture)}">
<meta name="twitter:card" content="summary_large_image">`
}`;
}

/** Styles that differ from page to page: placeholders, and the proportions that occur. */
async function stylesOf(pictures: readonly PublishedPicture[]): Promise<string> {
  const ratios = new Map(
    pictures.map((picture) => [
      ratioClass(picture),
      Math.round((ROWS * picture.height) / picture.width) + GAP,
    ]),
  );
  const blurs = await Promise.all(
    pictures.map(async (picture) => {
      const url = await placeholderOf(picture);
      return url ? `.${blurClass(picture)}{background-image:url(${url})}` : '';
    }),
  );
  return [...ratios].map(([name, rows]) => `.${name}{--rows:${rows}}`).join('') + blurs.join('');
}

const ratioClass = ({ width, height }: PublishedPicture) => `r${width}x${height}`;
const blurClass = ({ id }: PublishedPicture) => `p${id.slice(-12)}`;

function image(picture: PublishedPicture, sizes: string, when: 'first' | 'eager' | 'lazy'): Html {
  const { id, width, height } = picture;
  const widths = widthsOf(picture);
  const srcset = widths.map(({ width: name, px }) => `/img/${id}/${name} ${px}w`).join(', ');
  return html`<img src="/img/${id}/${widths.at(-1)?.width ?? 'full'}" srcset="${srcset}" sizes="${sizes}" width="${width}" height="${height}" alt="${altOf(picture)}"${
    {
      first: html` fetchpriority="high"`,
      eager: null,
      lazy: html` loading="lazy"`,
    }[when]
  } decoding="async">`;
}

function altOf({ width, height, publishedAt, shared }: PublishedPicture): string {
  if (shared) return cut(shared.prompt, ALT_LENGTH);
  const shape = width === height ? 'square' : width < height ? 'upright' : 'wide';
  return `AI-made picture, ${shape}, published on ${date.format(publishedAt)}`;
}

/** In whole words, where there are some. */
export function cut(text: string, length: number): string {
  const plain = text.replaceAll(/\s+/g, ' ').trim();
  if (plain.length <= length) return plain;
  const short = [...plain.slice(0, length)].join('').replace(/[\ud800-\udbff]$/, '');
  return `${short.replace(/\s+\S*$/, '')}…`;
}
