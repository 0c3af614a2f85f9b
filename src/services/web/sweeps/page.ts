/**
 * A sweep's page. All of it is made here, from its address: links and forms lead from view to view. sweep.js has the next one without
 * the page being loaded again, and keeps it up to date while pictures are drawn.
 */
import type { Told } from '#src/backlog/place.ts';
import { countStates, readable } from '#src/cards/contact-sheet/request.ts';
import { stageOf } from '#src/cards/drawing.ts';
import { listed, readyWords } from '#src/cards/lines.ts';
import { numberOf, stateOf } from '#src/cards/parts.ts';
import { failureSentence } from '#src/errors.ts';
import type { Picture } from '#src/generations/pictures.ts';
import type { Visitor } from '#src/people/sessions.ts';
import { sayIn } from '#src/say.ts';
import { OWN_STYLE, ownNav } from '../account/views.ts';
import { count, said, when } from '../account/words.ts';
import { asset, styles } from '../assets.ts';
import { type Html, html, type Part } from '../html.ts';
import { layout, type Page } from '../layout.ts';
import { type Fact, type Facts, factsOf, hiddenSentence, titleOfAxis } from './facts.ts';
import type { Sight } from './sight.ts';
import type { Cell, Score, Sweep } from './sweep.ts';
import { type Change, inTabs, passes, queryOf, readingOrder, type View } from './view.ts';

const SCRIPT = asset('sweep.js', import.meta.url);
const STYLE = OWN_STYLE + styles('sweeps.css', import.meta.url);
/** Without script, s; sweep.js has a shorter one */
const REFRESH = 10;

const say = sayIn('en');

export interface Shown {
  readonly visitor: Visitor;
  readonly sight: NonNullable<Sight>;
  readonly sweep: Sweep;
  readonly view: View;
  /** of the view's open and compared cells, in their order */
  readonly pictures: readonly Picture[];
  /** of one that is being drawn */
  readonly told: Told | undefined;
}

export const pathOf = ({ batch }: Sweep) => `/sweeps/${batch.id}`;
const addressOf = (sweep: Sweep, view: View, change?: Change) =>
  `${pathOf(sweep)}?${queryOf(view, change).toString()}`;
const pictureUrl = (sweep: Sweep, { id }: Cell, file: string) => `${pathOf(sweep)}/pictures/${id}/${file}`;

export function sweepPage(shown: Shown): Page {
  const { visitor, sweep } = shown;
  const { batch } = sweep;
  const going = batch.endedAt === null && batch.state !== 'planned' && batch.state !== 'discarded';
  const line = lineOf(shown);
  return layout({
    title: batch.title,
    kind: 'owned sweep',
    style: STYLE + shapesOf(sweep),
    head: going ? html`<noscript><meta http-equiv="refresh" content="${REFRESH}"></noscript>` : null,
    scripts: [SCRIPT],
    body: html`${ownNav(visitor, pathOf(sweep))}
<h1>${batch.title}</h1>
<p class="quiet about">${aboutOf(shown)}</p>
<p id="line" role="status">${line}</p>
<div id="view"${going && html` data-going`}>${viewOf(shown)}</div>
<p class="quiet hint">Arrow keys go from picture to picture, Enter opens one, Escape closes it.</p>`,
  });
}

/** Proportions of what is not there yet, which are classes: pages carry no styles on elements. */
function shapesOf({ cells }: Sweep): string {
  const all = new Map(cells.map((cell) => [shapeOf(cell), cell] as const));
  return [...all].map(([name, { width, height }]) => `.${name}{aspect-ratio:${width}/${height}}`).join('');
}

const shapeOf = ({ width, height }: Cell) => `r${width}x${height}`;

function aboutOf({ sweep: { batch, axes, count: total }, sight }: Shown): Html {
  const kind = batch.kind === 'sweep' ? 'Sweep' : 'Face test';
  const varied = axes.map(({ name, labels }) => `${readable(name)} (${labels.length})`).join(' × ');
  const thread = batch.guildId && batch.threadId;
  return html`${kind} of ${count(total, 'picture')}${varied && `: ${varied}`} · tier ${batch.tier}${
    batch.production && ' · production'
  } · ${batch.charged ? count(batch.charged, 'token') : 'free'} · asked for ${when(batch.createdAt)}${
    sight === 'operator' && ' by somebody else: you see it as an operator of the platform'
  }${sight === 'guild' && ' by somebody else: you see it as you look after their server'}${
    thread && html` · <a href="https://discord.com/channels/${batch.guildId}/${thread}">in Discord</a>`
  }`;
}

/** How far it is, and how many pass. */
function lineOf({ sweep, view, told }: Shown): string {
  const { batch, cells } = sweep;
  if (batch.state === 'planned')
    return 'It has not begun: nobody has pressed Run on its plan in Discord yet.';
  if (batch.state === 'discarded') return 'Its plan was thrown away, so nothing was drawn.';
  if (!cells.length) return 'There is nothing in it.';
  const states = countStates(
    say,
    cells.map((cell) => ({
      id: cell.id,
      number: numberOf(cell),
      coordinates: {},
      state: stateOf(cell),
      width: 1,
      height: 1,
    })),
  );
  const going = batch.endedAt === null;
  const looked = inTabs(view, cells);
  const passed = looked.filter((cell) => passes(view, cell));
  const sentences = [
    batch.state === 'cancelled' &&
      (going ? 'Cancelled: what is being drawn ends at its next step' : 'Cancelled before its end'),
    batch.state === 'stopped' &&
      (going ? 'Stopped: what is being drawn is finished' : 'Stopped before its end'),
    [...states.map(({ words }) => words), ...readyOf(batch, told)].join(' · '),
    view.score &&
      (view.min !== null || view.max !== null) &&
      `${passed.length} of ${looked.length} here pass the filter`,
  ];
  return `${sentences.filter(Boolean).join('. ')}.`;
}

function readyOf({ state, endedAt }: Sweep['batch'], told: Told | undefined): string[] {
  return endedAt === null && state === 'open' && told && told.range.toMs > 0
    ? [readyWords(say, told.range)]
    : [];
}

function viewOf(shown: Shown): Html {
  const { sweep, view } = shown;
  const { cells, count: total } = sweep;
  const best = cells.find((cell) => isBestOf(sweep, cell));
  const failed = [
    ...Map.groupBy(
      cells.filter(({ state }) => state === 'failed'),
      ({ failure }) => failureSentence(say, failure),
    ),
  ];
  return html`${view.faults.length > 0 && html`<div class="fault">${view.faults.map((one) => html`<p>${one}</p>`)}</div>`}
${
  best &&
  html`<p class="marked"><b class="best"><span aria-hidden="true">★</span> Best</b>: <a id="to-best" href="${addressOf(sweep, view, { picture: numberOf(best), compare: [], at: best.coordinates })}#open">picture ${numberOf(best)}</a>${namesOf(best)}</p>`
}
${
  cells.length > 0 &&
  html`${controlsOf(sweep, view)}${tabsOf(sweep, view)}
<div class="desk${view.open !== null && ' beside'}">${view.compared.length > 0 ? comparisonOf(shown) : view.open && panelOf(shown)}
${gridOf(sweep, view)}</div>
${failed.length > 0 && html`<ul class="failures">${failed.map(([why, some]) => html`<li>${said(`${some.length === 1 ? 'Picture' : 'Pictures'} ${listed(some.map(numberOf))} failed: ${why}`)}</li>`)}</ul>`}
${total > cells.length && html`<p class="quiet">These are the first ${cells.length.toLocaleString('en')} of ${count(total, 'picture')}.</p>`}`
}`;
}

function namesOf({ coordinates }: Cell): string {
  const names = Object.entries(coordinates).map(([axis, label]) => `${readable(axis)} ${label}`);
  return names.length ? `, ${names.join(', ')}` : '';
}

/** A form of what its address has beside its tabs. */
function controlsOf(sweep: Sweep, view: View): Html {
  const { axes } = sweep;
  const { rows, columns, scores, score, min, max } = view;
  const own: readonly string[] = ['rows', 'columns', 'score', 'min', 'max'];
  const rest = [...queryOf(view)].filter(([name]) => !own.includes(name));
  const choice = (
    name: string,
    label: string,
    options: readonly (readonly [string, string])[],
    chosen?: string,
  ) =>
    html`<label>${label}<select id="${name}" name="${name}">${options.map(
      ([value, text]) =>
        html`<option value="${value}"${value === chosen && html` selected`}>${text}</option>`,
    )}</select></label>`;
  const named = axes.map(({ name }) => [name, titleOfAxis(name)] as const);
  const bound = (name: 'min' | 'max', label: string, value: number | null) =>
    html`<label>${label}<input id="${name}" name="${name}" inputmode="decimal" size="5" maxlength="12" autocomplete="off" value="${value}"></label>`;
  const hasTable = rows !== null && columns !== null;
  if (!hasTable && !score) return html``;
  return html`<form class="controls" action="${pathOf(sweep)}">${rest.map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  )}${
    hasTable &&
    html`${choice('rows', 'Rows', named, rows.name)}${choice('columns', 'Columns', named, columns.name)}`
  }${
    score &&
    html`${choice(
      'score',
      'Score',
      scores.map(({ name, title }) => [name, title] as const),
      score.name,
    )}${bound('min', 'From', min)}${bound('max', 'To', max)}`
  }<button class="plain" id="apply">Apply</button>${
    (min !== null || max !== null) &&
    html`<a class="button plain" id="unfilter" href="${addressOf(sweep, view, { filtered: false })}">Show all</a>`
  }</form>`;
}

function tabsOf(sweep: Sweep, view: View): Html {
  return html`${view.tabs.map(
    ({ axis, label }, a) =>
      html`<nav class="tabs" aria-label="${titleOfAxis(axis.name)}"><span aria-hidden="true">${titleOfAxis(axis.name)}</span>${axis.labels.map(
        (one, i) =>
          html`<a id="tab-${a}-${i}" href="${addressOf(sweep, view, { at: { [axis.name]: one } })}"${one === label && html` aria-current="true"`}>${one}</a>`,
      )}</nav>`,
  )}`;
}

// The grid

function gridOf(sweep: Sweep, view: View): Html {
  const { rows, columns, score } = view;
  const cells = inTabs(view, sweep.cells);
  const one = (cell: Cell) => cellOf(sweep, view, cell);
  if (!rows || !columns)
    return html`<ul class="loose">${cells
      .filter((cell) => passes(view, cell))
      .map(
        (cell) => html`<li>${one(cell)}${rows && html`<p>${cell.coordinates[rows.name]}</p>`}</li>`,
      )}</ul>`;
  const places = Map.groupBy(cells, ({ coordinates }) =>
    placeOf(coordinates[rows.name], coordinates[columns.name]),
  );
  const size = columns.labels.length <= 4 ? 'few' : columns.labels.length <= 7 ? 'some' : 'many';
  const mean = (some: readonly Cell[]) => meanOf(score, some);
  const headed = (label: string, name: string) =>
    html`${label}${mean(cells.filter(({ coordinates }) => coordinates[name] === label))}`;
  return html`<div class="wide" id="grid" tabindex="0" role="region" aria-label="Pictures of the sweep"><table class="sheet ${size}">
<caption class="skip">${titleOfAxis(rows.name)} from row to row, ${titleOfAxis(columns.name)} from column to column.${
    score &&
    ` Below each picture stands its number and its score, ${score.title}; beside a row's or column's name their mean.`
  }</caption>
<thead><tr><td class="corner"><span>${titleOfAxis(columns.name)} →</span><span>${titleOfAxis(rows.name)} ↓</span></td>${columns.labels.map(
    (label) => html`<th scope="col">${headed(label, columns.name)}</th>`,
  )}</tr></thead>
<tbody>${rows.labels.map(
    (row) =>
      html`<tr><th scope="row">${headed(row, rows.name)}</th>${columns.labels.map(
        (column) =>
          html`<td>${places.get(placeOf(row, column))?.map(one) ?? html`<span class="none">Not asked for</span>`}</td>`,
      )}</tr>`,
  )}</tbody></table></div>`;
}

const placeOf = (row: string | undefined, column: string | undefined) => JSON.stringify([row, column]);

/** Beside the name of a row or column: what its pictures have in the middle. */
function meanOf(score: Score | null, cells: readonly Cell[]): Part {
  const values = cells.flatMap((cell) => score?.of(cell) ?? []);
  if (!score) return null;
  // Its line is there before it is.
  if (values.length < 2) return html` <small>\u00a0</small>`;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return html` <small title="Mean of ${count(values.length, 'picture')}">mean ${score.show(mean)}</small>`;
}

function cellOf(sweep: Sweep, view: View, cell: Cell): Html {
  const { score, open, compared } = view;
  const number = numberOf(cell);
  const [first] = compared;
  // While pictures are compared the first stays, and what is pressed takes the place of the second.
  const change: Change =
    first && first !== cell ? { compare: [numberOf(first), number] } : { picture: number, compare: [] };
  const chosen = cell === open || compared.includes(cell);
  const value = score?.of(cell) ?? null;
  const isBest = isBestOf(sweep, cell);
  const out = !passes(view, cell);
  return html`<a class="cell${out && ' out'}" id="c${number}" href="${addressOf(sweep, view, change)}#open"${chosen && html` aria-current="true"`}><span class="frame ${shapeOf(cell)}">${
    out && html`<span class="skip">Does not pass the filter. </span>`
  }${insideOf(sweep, cell)}</span><span class="tell"><span>${number}</span>${isBest && html`<b class="best"><span aria-hidden="true">★</span> Best</b>`}${
    value !== null && score && html`<span class="value">${score.show(value)}</span>`
  }</span></a>`;
}

/** A mark is seen for as long as the picture is. */
const isBestOf = ({ batch }: Sweep, cell: Cell) => batch.best === cell.index && stateOf(cell) === 'done';

function insideOf(sweep: Sweep, cell: Cell): Html {
  const number = numberOf(cell);
  switch (stateOf(cell)) {
    case 'done': {
      const [small, large] = ['320.webp', '640.webp'].map((file) => pictureUrl(sweep, cell, file));
      return html`<img src="${small}" srcset="${small} 320w, ${large} 640w" sizes="11.5rem" width="${cell.width}" height="${cell.height}" alt="${altOf(cell)}" loading="lazy" decoding="async">`;
    }
    case 'running':
      return html`${
        cell.previewAt !== null &&
        html`<img class="preview" src="${pictureUrl(sweep, cell, `preview-${cell.previewAt}.webp`)}" width="${cell.width}" height="${cell.height}" alt="">`
      }<span class="word">${stageOf(say, cell)}<progress value="${Math.round(cell.progress * cell.steps)}" max="${cell.steps}" aria-label="Steps of picture ${number}"></progress></span>`;
    default:
      return html`<span class="word">${WORDS[stateOf(cell)]}<span class="skip"> (picture ${number})</span></span>`;
  }
}

const WORDS = {
  waiting: 'Not drawn yet',
  running: 'Being drawn',
  held: 'Held for review',
  failed: 'Failed',
  cancelled: 'Not drawn',
  gone: 'Gone',
  done: '',
} as const;

function altOf(cell: Cell): string {
  return `Picture ${numberOf(cell)}${namesOf(cell) || `: ${cell.prompt}`}`;
}

// One picture, and two

function panelOf({ sweep, view, visitor, sight, pictures: [picture] }: Shown): Html | null {
  const { open } = view;
  if (!open || !picture) return null;
  const facts = factsOf(picture, open, view.scores, visitor.userId);
  const order = readingOrder(view, inTabs(view, sweep.cells)).filter(
    (cell) => cell === open || passes(view, cell),
  );
  const at = order.indexOf(open);
  const beside = (cell: Cell | undefined, rel: 'prev' | 'next', sign: string, word: string) =>
    at >= 0 &&
    cell &&
    html`<a class="button plain step" id="${rel}" rel="${rel}" aria-label="${word}" title="${word}" href="${addressOf(sweep, view, { picture: numberOf(cell) })}#open">${sign}</a>`;
  return html`<section class="panel one" id="panel-${numberOf(open)}" aria-labelledby="open"><header><h2 id="open" tabindex="-1">Picture ${numberOf(open)}${
    isBestOf(sweep, open) && html` <b class="best"><span aria-hidden="true">★</span> Best</b>`
  }</h2><span class="actions">${beside(order[at - 1], 'prev', '←', 'Previous picture')}${beside(order[at + 1], 'next', '→', 'Next picture')}<a class="button plain close" id="close" data-back="c${numberOf(open)}" href="${addressOf(sweep, view, { picture: null })}">Close</a></span></header>
${largeOf(sweep, open)}
<div><div class="actions">${bestForm(sweep, view, open)}<a class="button plain" id="compare" href="${addressOf(sweep, view, { compare: [numberOf(open)] })}#open">Compare with…</a>${waysOf(sweep, open, sight)}</div>
${factsList(facts.first)}
<h3>Prompt</h3><p class="words">${facts.prompt}</p>
${facts.negative !== null && html`<h3>Negative prompt</h3><p class="words">${facts.negative}</p>`}
<h3>Changed from the default</h3>${facts.changed.length ? factsList(facts.changed) : html`<p class="quiet said">Nothing else.</p>`}
<details id="more"><summary>All of it</summary>${factsList([...facts.usual, ...facts.technical])}</details></div>
</section>`;
}

function largeOf(sweep: Sweep, cell: Cell): Html {
  const hidden = hiddenSentence(cell);
  if (hidden !== null)
    return html`<div class="frame large ${shapeOf(cell)}">${stateOf(cell) === 'running' ? insideOf(sweep, cell) : html`<span class="word">${said(hidden)}</span>`}</div>`;
  return html`<a class="frame large ${shapeOf(cell)}" href="${pictureUrl(sweep, cell, 'full.png')}"><img src="${pictureUrl(sweep, cell, '640.webp')}" width="${cell.width}" height="${cell.height}" alt="${altOf(cell)}"></a>`;
}

function bestForm(sweep: Sweep, view: View, cell: Cell): Html | null {
  if (stateOf(cell) !== 'done') return null;
  const isBest = isBestOf(sweep, cell);
  return html`<form method="post" action="${pathOf(sweep)}/best?${queryOf(view).toString()}"><input type="hidden" name="picture" value="${isBest ? '' : numberOf(cell)}"><button id="best-${numberOf(cell)}"${isBest && html` class="plain"`}>${isBest ? 'Not the best any more' : 'Mark as the best'}</button></form>`;
}

function waysOf(sweep: Sweep, cell: Cell, sight: Sight): Html | null {
  const { image } = cell;
  if (!image || stateOf(cell) !== 'done') return null;
  return html`<a class="button plain" href="${pictureUrl(sweep, cell, 'full.png')}">Full size</a>${
    image.visibility === 'published' &&
    html`<a class="button plain" href="/pictures/${image.id}">Its page in the gallery</a>`
  }${sight === 'owner' && html`<a class="button plain" href="/draw?like=${image.id}">Draw one like this</a>`}`;
}

const factsList = (facts: readonly Fact[]) =>
  html`<dl class="facts">${facts.map(({ name, value }) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

function comparisonOf(shown: Shown): Html {
  const { sweep, view, visitor, pictures } = shown;
  const [a, b] = view.compared;
  if (!a) return html``;
  const close = html`<a class="button plain close" id="close" data-back="c${numberOf(a)}" href="${addressOf(sweep, view, { compare: [], picture: numberOf(a) })}#open">Close</a>`;
  if (!b)
    return html`<section class="panel" id="panel" aria-labelledby="open"><header><h2 id="open" tabindex="-1">Compare picture ${numberOf(a)} with which?</h2>${close}</header><p class="said">Press another picture${view.tabs.length > 0 && ', in any tab'}. It is shown beside this one, and what differs is told.</p></section>`;
  const [one, other] = [a, b].map(
    (cell, i) => pictures[i] && factsOf(pictures[i], cell, view.scores, visitor.userId),
  );
  if (!one || !other) return html``;
  const all = together(one, other);
  const table = (caption: string, rows: typeof all) =>
    html`<table class="pairs"><caption>${caption}</caption><thead><tr><td></td><th scope="col">Picture ${numberOf(a)}</th><th scope="col">Picture ${numberOf(b)}</th></tr></thead><tbody>${rows.map(
      ({ name, values }) =>
        html`<tr><th scope="row">${name}</th>${values.map((value) => html`<td>${value ?? '–'}</td>`)}</tr>`,
    )}</tbody></table>`;
  const same = all.filter(({ values: [x, y] }) => x === y);
  const differing = all.filter(({ values: [x, y] }) => x !== y);
  return html`<section class="panel two" id="panel-${numberOf(a)}-${numberOf(b)}" aria-labelledby="open"><header><h2 id="open" tabindex="-1">Pictures ${numberOf(a)} and ${numberOf(b)}</h2><span class="actions"><a class="button plain" id="swap" href="${addressOf(sweep, view, { compare: [numberOf(b), numberOf(a)] })}#open">Swap</a>${close}</span></header>
<div class="both">${[a, b].map(
    (cell) =>
      html`<figure>${largeOf(sweep, cell)}<figcaption><a id="to-${numberOf(cell)}" href="${addressOf(sweep, view, { compare: [], picture: numberOf(cell) })}#open">Picture ${numberOf(cell)}</a>${
        isBestOf(sweep, cell) && html` <b class="best"><span aria-hidden="true">★</span> Best</b>`
      }${bestForm(sweep, view, cell)}</figcaption></figure>`,
  )}</div>
${differing.length ? table('What differs', differing) : html`<p class="quiet said">Nothing that is known of them differs.</p>`}
<details id="same"><summary>The same in both (${same.length})</summary>${table('The same in both', same)}</details>
<p class="quiet said">Press another picture to compare it with picture ${numberOf(a)}.</p></section>`;
}

/** Of two pictures, fact by fact. */
function together(
  one: Facts,
  other: Facts,
): { name: string; values: [string | undefined, string | undefined] }[] {
  const listOf = ({ first, changed, usual, technical, prompt, negative }: Facts) =>
    new Map(
      [
        ...first,
        { name: 'Prompt', value: prompt },
        { name: 'Negative prompt', value: negative ?? 'none' },
        ...changed,
        ...usual,
        ...technical,
      ].map(({ name, value }) => [name, value]),
    );
  const [a, b] = [listOf(one), listOf(other)];
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter((name) => name !== 'Id' && name !== 'SHA-256')
    .map((name) => ({ name, values: [a.get(name), b.get(name)] }));
}
