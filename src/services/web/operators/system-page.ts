/** The state of the system on one page. All numbers are in tables; charts.js draws the last day's from its table. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { tierRules } from '#config/tiers.ts';
import type { Busy } from '#src/backlog/overview.ts';
import { failureSentence } from '#src/errors.ts';
import { sayIn } from '#src/say.ts';
import { roughly } from '#src/text.ts';
import { OWN_STYLE } from '../account/views.ts';
import { count, said } from '../account/words.ts';
import { asset, served, styles } from '../assets.ts';
import { type Html, html, type Part } from '../html.ts';
import { layout, type Page } from '../layout.ts';
import type { SystemState } from './state.ts';

const UPLOT = pathToFileURL(createRequire(import.meta.url).resolve('uplot'));
const readUplot = (file: string) => readFileSync(new URL(file, UPLOT), 'utf8');
/** The library as a module: as it comes, only its readable build is one. */
const LIBRARY = served('uplot.js', Buffer.from(`${readUplot('uPlot.iife.min.js')}\nexport default uPlot;\n`));
const CHARTS = asset('charts.js', import.meta.url);
const DESK_STYLE = OWN_STYLE + styles('operators.css', import.meta.url);
/** s; charts.js has the same */
const REFRESH = 10;
const GIB = 2 ** 30;

const say = sayIn('en');

/** @param moderates whether they get to the reviews as well */
export function systemPage(state: SystemState, { moderates }: { readonly moderates: boolean }): Page {
  return layout({
    title: 'System',
    kind: 'owned desk',
    style: readUplot('uPlot.min.css') + DESK_STYLE,
    scripts: [CHARTS],
    head: html`<noscript><meta http-equiv="refresh" content="${REFRESH}"></noscript>`,
    body: html`<h1 class="skip">The state of the system</h1>
<p class="quiet" id="refreshed" role="status">As of <time datetime="${state.readAt.toISOString()}">${state.readAt.toISOString().slice(11, 19)} UTC</time>.</p>
<div id="now" data-part>${nowOf(state, moderates)}</div>
<h2>The last 24 hours</h2>
<div class="charts" data-library="${LIBRARY.path}">${charts.map(
      ({ name, title }) =>
        html`<figure class="chart" data-chart="${name}" hidden><figcaption>${title}</figcaption><div></div></figure>`,
    )}</div>
<details id="hours-details"><summary>As a table</summary><div class="wide" tabindex="0" role="region" aria-label="The last 24 hours by the hour"><div id="hours" data-part>${hoursOf(state)}</div></div></details>`,
  });
}

const charts = [
  { name: 'pictures', title: 'Pictures an hour, by tier' },
  { name: 'waits', title: 'Waits, seconds' },
  { name: 'failures', title: 'Failures an hour' },
  { name: 'tokens', title: 'Tokens an hour' },
] as const;

/** Of messages: those that wait to be tried again are not due yet. */
function oldest({ count, since }: SystemState['due'], now: Date): string {
  if (since) return `oldest ${roughly(now.getTime() - since.getTime())}`;
  return count > 0 ? 'none due yet' : 'none due';
}

function nowOf(
  { waiting, workers, hours, due, reviews, storage, missing, readAt }: SystemState,
  moderates: boolean,
): Html {
  const sum = (numbers: Iterable<number>) => [...numbers].reduce((all, one) => all + one, 0);
  const failures = new Map<string, number>();
  for (const hour of hours)
    for (const [cause, times] of hour.failures) failures.set(cause, (failures.get(cause) ?? 0) + times);
  const failed = sum(failures.values());
  const drawn = sum(hours.flatMap(({ pictures }) => [...pictures.values()]));
  const aside = workers.filter((worker) => worker.aside !== null).length;
  const tiles: [label: string, value: string, note: Part][] = [
    ['Waiting', sum(waiting.map(({ pictures }) => pictures)).toLocaleString('en'), 'pictures'],
    ['Workers', String(workers.length), aside > 0 ? `${aside} aside` : 'alive'],
    ['Drawn', drawn.toLocaleString('en'), 'in 24 hours'],
    [
      'Failed',
      failed.toLocaleString('en'),
      drawn + failed > 0 ? `${percent(failed / (drawn + failed))} of all` : 'in 24 hours',
    ],
    ['Messages due', due.count.toLocaleString('en'), oldest(due, readAt)],
    ['Reviews', String(reviews), moderates ? html`<a href="/reviews">open</a>` : 'open'],
  ];
  return html`<dl class="tiles-of-state">${tiles.map(
    ([label, value, note]) => html`<div><dt>${label}</dt><dd>${value} <small>${note}</small></dd></div>`,
  )}</dl>
<div class="pair-of-tables"><section><h2>Waiting</h2>${
    waiting.length === 0
      ? html`<p class="quiet">Nothing waits.</p>`
      : table(
          ['Tier', 'Bundle', 'Pictures', 'People', 'Longest wait'],
          tierRules.flatMap(({ name }) =>
            waiting
              .filter(({ tier }) => tier === name)
              .map(({ tier, bundle, pictures, people, seconds }) => [
                tier,
                bundle,
                pictures.toLocaleString('en'),
                people.toLocaleString('en'),
                roughly(seconds * 1_000),
              ]),
          ),
          2,
        )
  }</section>
<section><h2>Failures in 24 hours</h2>${
    failures.size === 0
      ? html`<p class="quiet">None.</p>`
      : table(
          ['Cause', 'Pictures'],
          [...failures]
            .sort(([, a], [, b]) => b - a)
            .map(([cause, times]) => [
              html`<code>${cause}</code> ${said(failureSentence(say, cause))}`,
              times.toLocaleString('en'),
            ]),
          1,
        )
  }</section></div>
<section><h2>Workers</h2>${
    workers.length === 0
      ? html`<p class="quiet">None is alive: what is asked for waits.</p>`
      : html`<div class="wide" tabindex="0" role="region" aria-label="Workers">${table(
          ['Worker', 'Bundle', 'State', 'Speed', 'Memory', 'Bundles and faces'],
          workers.map((worker) => [
            html`<code>${worker.id.slice(0, 12)}</code>`,
            [worker.bundle, ...worker.warm.filter((name) => name !== worker.bundle)].join(', '),
            doing(worker),
            worker.msPerStep === null
              ? '–'
              : `${Math.round(worker.msPerStep).toLocaleString('en')} ms a step`,
            worker.memoryMib === null ? '–' : `${(worker.memoryMib / 1_024).toFixed(1)} GiB`,
            `${(worker.memory / GIB).toFixed(1)}${worker.budget === null ? '' : ` of ${(worker.budget / GIB).toFixed(1)}`} GiB`,
          ]),
          3,
        )}</div>`
  }</section>
<section><h2>Storage</h2><dl class="facts"><dt>Where</dt><dd>${storage.name}</dd><dt>State</dt><dd>${
    storage.answers ? 'answers' : 'does not answer: pictures wait on the workers’ disks'
  }</dd>${storage.free !== null && html`<dt>Free</dt><dd>${(storage.free / GIB).toFixed(1)} GiB</dd>`}<dt>Missing</dt><dd>${
    missing === 0 ? 'no picture is without its bytes' : `${count(missing, 'picture')} without bytes`
  }</dd></dl></section>`;
}

const percent = (share: number) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;

function doing({ aside, pictures, tiers }: Busy): string {
  if (aside === 'storage_full') return 'aside: storage is full';
  if (aside !== null) return `aside: ${aside}`;
  return pictures > 0 ? `draws ${pictures} (${tiers.join(', ')})` : 'idle';
}

/** @param texts columns that are no numbers, from the first */
function table(head: readonly string[], rows: readonly (readonly Part[])[], texts: number): Html {
  const number = (i: number) => i >= texts && html` class="number"`;
  return html`<table><thead><tr>${head.map(
    (name, i) => html`<th scope="col"${number(i)}>${name}</th>`,
  )}</tr></thead><tbody>${rows.map(
    (cells) => html`<tr>${cells.map((cell, i) => html`<td${number(i)}>${cell}</td>`)}</tr>`,
  )}</tbody></table>`;
}

/** Every number of the charts. `data-chart` says in which one a column is drawn, `data-value` the number itself. */
function hoursOf({ hours }: SystemState): Html {
  const known = tierRules.map(({ name }) => name);
  const tiers = [...new Set([...known, ...hours.flatMap(({ pictures }) => [...pictures.keys()])])];
  const seconds = (ms: number | null) => (ms === null ? null : Math.round(ms / 100) / 10);
  const columns = [
    ...tiers.map((tier) => ({
      chart: 'pictures',
      name: tier,
      values: hours.map(({ pictures }) => pictures.get(tier) ?? 0),
    })),
    { chart: 'waits', name: 'half, s', values: hours.map(({ waitP50 }) => seconds(waitP50)) },
    { chart: 'waits', name: 'nine of ten, s', values: hours.map(({ waitP90 }) => seconds(waitP90)) },
    {
      chart: 'failures',
      name: 'failed',
      values: hours.map(({ failures }) => [...failures.values()].reduce((all, one) => all + one, 0)),
    },
    { chart: 'tokens', name: 'tokens', values: hours.map(({ tokens }) => tokens) },
  ];
  return html`<table data-hours><caption>Hours begin at the time that is said, UTC. Waits are of pictures that were drawn: half of them, and nine of ten, waited no longer.</caption>
<thead><tr><th scope="col">Hour</th>${columns.map(
    ({ chart, name }) =>
      html`<th scope="col" class="number" data-column="${chart}" data-name="${name}">${chart === 'waits' ? `waits, ${name}` : name}</th>`,
  )}</tr></thead>
<tbody>${hours
    .map(
      ({ from }, row) =>
        html`<tr><th scope="row" data-value="${from.getTime() / 1_000}">${from.toISOString().slice(11, 16)}</th>${columns.map(
          ({ values }) => {
            const value = values[row] ?? null;
            return html`<td class="number" data-value="${value}">${value === null ? '–' : value.toLocaleString('en')}</td>`;
          },
        )}</tr>`,
    )
    .reverse()}</tbody></table>`;
}
