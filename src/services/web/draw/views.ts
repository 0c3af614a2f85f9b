/** What somebody sees of their pictures: one batch, being drawn or done, and all of them. */
import type { Told } from '#src/backlog/place.ts';
import { stageOf } from '#src/cards/drawing.ts';
import { waitWords } from '#src/cards/lines.ts';
import { stateOf } from '#src/cards/parts.ts';
import { failureSentence } from '#src/errors.ts';
import type { Visitor } from '#src/people/sessions.ts';
import { sayIn } from '#src/say.ts';
import { OWN_STYLE, ownNav } from '../account/views.ts';
import { count, said, when } from '../account/words.ts';
import { asset, styles } from '../assets.ts';
import { type Html, html } from '../html.ts';
import { layout, type Page } from '../layout.ts';
import type { Board, Tile } from './boards.ts';
import type { Parts } from './live.ts';

const LIVE = asset('live.js', import.meta.url);
export const DRAW_STYLE = OWN_STYLE + styles('draw.css', import.meta.url);
/** Of each batch in the list of all. */
const TILES_LISTED = 8;
/** Without script, s. */
const REFRESH = 4;

const say = sayIn('en');

/** A picture's address, for its owner. @param file `320.webp`, `640.webp`, `full.png`, `preview-<ms>.webp` */
export const pictureUrl = ({ id }: Pick<Tile, 'id'>, file: string) => `/draw/pictures/${id}/${file}`;

const numberOf = ({ index }: Tile) => index + 1;
/** A frame of the picture's own proportions, which are a class: pages carry no styles on elements. */
const ratioOf = ({ width, height }: Tile) => `r${width}x${height}`;

/** Proportions of what a page shows. */
export function ratios(boards: readonly Board[]): string {
  const all = new Map(boards.flatMap(({ tiles }) => tiles.map((tile) => [ratioOf(tile), tile] as const)));
  return [...all].map(([name, { width, height }]) => `.${name}{aspect-ratio:${width}/${height}}`).join('');
}

/** A sweep's is a table of its pictures. */
const pageOf = ({ id, kind }: Board) => `/${kind === 'imagine' ? 'draw' : 'sweeps'}/${id}`;

/** What changes of a batch's page while it is drawn. */
export function partsOf(board: Board, told: Told | undefined): Parts {
  return {
    line: lineOf(board, told).html,
    actions: actionsOf(board).html,
    ...Object.fromEntries(board.tiles.map((tile) => [`t-${tile.id}`, tileOf(tile, told).html])),
  };
}

function lineOf(board: Board, told: Told | undefined): Html {
  const of = (state: ReturnType<typeof stateOf>) =>
    board.tiles.filter((tile) => stateOf(tile) === state).length;
  const [done, running, waiting, held] = [of('done'), of('running'), of('waiting'), of('held')];
  if (!board.endedAt) {
    const words = [
      running > 0 && `${count(running, 'picture')} being drawn`,
      waiting > 0 &&
        board.state === 'open' &&
        ['Waiting', ...(told && !running ? waitWords(say, told) : [])].join(' · '),
      running > 0 && told && told.readyMs > 0 && `ready in about ${roughly(told.readyMs)}`,
      board.state === 'cancelled' && 'Cancelled: what is being drawn ends at its next step',
    ].filter((word) => word !== false);
    return html`${words.join(' · ') || 'A moment'}.`;
  }
  const ended = [
    done > 0 && `${count(done, 'picture')} ready`,
    held > 0 && `${held} held for review by the moderators`,
    of('failed') > 0 && `${of('failed')} failed, tokens given back`,
    of('cancelled') > 0 && `${of('cancelled')} not drawn, tokens given back`,
    of('gone') > 0 && `${of('gone')} deleted`,
  ].filter((word) => word !== false);
  return html`${ended.join(' · ')}.`;
}

/** `20 s`, `3 min`, each on one line */
function roughly(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1_000));
  return seconds < 90 ? `${seconds}\u00a0s` : `${Math.round(seconds / 60)}\u00a0min`;
}

function actionsOf(board: Board): Html {
  if (!board.endedAt && board.state !== 'cancelled')
    return html`<form method="post" action="/draw/${board.id}/cancel"><button class="plain">Cancel</button></form>`;
  const image = board.tiles.find((tile) => stateOf(tile) === 'done')?.image;
  return html`<a class="button" href="/draw${image && `?like=${image.id}`}">${image ? 'Draw one like this' : 'Draw another'}</a>`;
}

function tileOf(tile: Tile, _told: Told | undefined): Html {
  const state = stateOf(tile);
  switch (state) {
    case 'done':
      return html`<a href="${pictureUrl(tile, 'full.png')}">${imgOf(tile, 640)}</a>`;
    case 'running': {
      const step = Math.min(tile.steps, Math.round(tile.progress * tile.steps));
      return html`${
        tile.previewAt !== null &&
        html`<img class="preview" src="${pictureUrl(tile, `preview-${tile.previewAt}.webp`)}" alt="Picture ${numberOf(tile)} as it is so far">`
      }<div class="over"><span>${stageOf(say, tile)}</span><progress value="${step}" max="${tile.steps}" aria-label="Steps of picture ${numberOf(tile)}"></progress><span class="steps">${step} / ${tile.steps}</span></div>`;
    }
    case 'waiting':
      return html`<div class="over"><span>Waiting</span></div>`;
    case 'held':
      return html`<div class="over"><span>Held for review by the moderators</span></div>`;
    case 'failed':
      return html`<div class="over"><span>${said(failureSentence(say, tile.failure))} Its tokens are back.</span></div>`;
    case 'cancelled':
      return html`<div class="over"><span>Cancelled. Its tokens are back.</span></div>`;
    case 'gone':
      return html`<div class="over"><span>${tile.image?.review?.state === 'rejected' ? 'Kept back by the moderators' : 'Deleted'}</span></div>`;
  }
}

function imgOf(tile: Tile, width: 320 | 640): Html {
  return html`<img src="${pictureUrl(tile, `${width}.webp`)}" width="${tile.width}" height="${tile.height}" alt="Picture ${numberOf(tile)}: ${tile.prompt.slice(0, 120)}" loading="lazy" decoding="async">`;
}

export function boardPage(visitor: Visitor, board: Board, told: Told | undefined): Page {
  const going = board.endedAt === null;
  const parts = partsOf(board, told);
  const [first] = board.tiles;
  return layout({
    title: going ? 'Being drawn' : board.title,
    kind: 'owned',
    style: DRAW_STYLE + ratios([board]),
    head: going ? html`<noscript><meta http-equiv="refresh" content="${REFRESH}"></noscript>` : null,
    scripts: going ? [LIVE] : [],
    body: html`${ownNav(visitor, `/draw/${board.id}`)}
<section class="board"${going && html` data-live="/draw/${board.id}/events"`}>
<h1 class="prompt">${first?.prompt}</h1>
<p class="quiet" id="line" role="status">${{ html: parts.line ?? '' }}</p>
<ul class="tiles n${Math.min(4, board.tiles.length)}">${board.tiles.map(
      (tile) =>
        html`<li class="tile ${ratioOf(tile)}" id="t-${tile.id}">${{ html: parts[`t-${tile.id}`] ?? '' }}</li>`,
    )}</ul>
${board.count > board.tiles.length && html`<p class="quiet">And ${board.count - board.tiles.length} more: <a href="/sweeps/${board.id}">see all of them as a table</a>.</p>`}
<p class="quiet">${board.charged === 0 ? 'Free' : count(board.charged, 'token')} · tier ${board.tier} · asked for ${when(board.createdAt)}</p>
<div class="actions" id="actions">${{ html: parts.actions ?? '' }}</div>
</section>`,
  });
}

/** @param before of the next page: pictures that were asked for earlier; null: there are none */
export function picturesPage(
  visitor: Visitor | null,
  boards: readonly Board[],
  { before, first }: { before: Date | null; first: boolean },
): Page {
  return layout({
    title: 'My pictures',
    kind: 'owned',
    style: DRAW_STYLE + ratios(boards),
    body: html`${ownNav(visitor, '/draw/pictures')}
<h1 class="skip">My pictures</h1>
${
  boards.length === 0 &&
  html`<div class="column"><h2>${first ? 'No pictures yet' : 'No more pictures'}</h2>
<p>${first ? 'What you ask for, here or in Discord, is found here.' : 'These were all.'} ${visitor?.isGuest !== false && first && 'Sign in to see what you asked for in Discord.'}</p>
<p><a class="button" href="/draw">Draw one</a></p></div>`
}
${boards.map((board) => {
  const shown = board.tiles.filter((tile) => stateOf(tile) === 'done').slice(0, TILES_LISTED);
  const [prompt] = board.tiles.map((tile) => tile.prompt);
  const more = board.count - shown.length;
  return html`<section class="row"><h2><a href="${pageOf(board)}">${prompt?.slice(0, 140) ?? board.title}</a></h2>
<p class="quiet">${lineOf(board, undefined)} Asked for ${when(board.createdAt)}.</p>
<ul class="strip">${shown.map(
    (tile) => html`<li class="tile ${ratioOf(tile)}"><a href="${pageOf(board)}">${imgOf(tile, 320)}</a></li>`,
  )}</ul>${shown.length > 0 && more > 0 && html`<p class="quiet">And ${more} more.</p>`}</section>`;
})}
<nav class="actions" aria-label="Pages">${!first && html`<a class="button plain" href="/draw/pictures">Newest</a>`}${
      before &&
      html`<a class="button plain" rel="next" href="/draw/pictures?before=${before.getTime()}">Older pictures</a>`
    }</nav>`,
  });
}
