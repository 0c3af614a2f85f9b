/** Draws the last day's charts from the page's own table, and has the page's numbers anew every few seconds. */
const REFRESH_MS = 10_000;
const HEIGHT = 190;

const holder = document.querySelector('[data-library]');
const { default: Plot } = await import(holder.dataset.library);

/** chart's name → its plot */
const plots = new Map();

function readHours() {
  const table = document.querySelector('[data-hours]');
  const rows = [...table.tBodies[0].rows].reverse();
  const at = (row, i) => {
    const { value } = row.cells[i].dataset;
    return value === '' ? null : Number(value);
  };
  const x = rows.map((row) => at(row, 0));
  const columns = [...table.tHead.rows[0].cells].slice(1).map(({ dataset }, i) => ({
    chart: dataset.column,
    name: dataset.name,
    values: rows.map((row) => at(row, i + 1)),
  }));
  return { x, columns };
}

/** Bars stand on one another: each is drawn as high as all up to it, the highest first. */
function stacked(columns) {
  const sums = columns[0].values.map(() => 0);
  const raised = columns.map(({ values }) =>
    values.map((value, i) => {
      sums[i] += value ?? 0;
      return sums[i];
    }),
  );
  return raised.reverse();
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return {
    ink: of('--quiet'),
    line: of('--line'),
    series: ['--first', '--second', '--third', '--fourth'].map(of),
  };
}

function draw(figure, { x, columns }) {
  const name = figure.dataset.chart;
  const own = columns.filter(({ chart }) => chart === name);
  const isBars = name !== 'waits';
  const shown = isBars ? [...own].reverse() : own;
  const data = [x, ...(isBars ? stacked(own) : own.map(({ values }) => values))];
  const known = plots.get(name);
  if (known) {
    known.raw = shown;
    known.plot.setData(data);
    return;
  }
  const box = figure.querySelector('div');
  const { ink, line, series } = colours();
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const kept = { raw: shown, plot: null };
  kept.plot = new Plot(
    {
      width: box.clientWidth,
      height: HEIGHT,
      tzDate: (seconds) => Plot.tzDate(new Date(seconds * 1000), 'UTC'),
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(1, (high ?? 1) * 1.08)] } },
      axes: [
        { ...axis, grid: { show: false }, values: '{HH}:{mm}', space: 48 },
        {
          ...axis,
          size: 48,
          space: 32,
          values: (_, all) => all.map((one) => (one % 1 ? '' : one.toLocaleString('en'))),
        },
      ],
      series: [
        { label: 'from', value: '{HH}:{mm}' },
        ...shown.map(({ name: label }, i) => {
          const colour = series[(isBars ? shown.length - 1 - i : i) % series.length];
          return {
            label,
            stroke: colour,
            width: isBars ? 0 : 2,
            fill: isBars ? colour : undefined,
            paths: isBars ? Plot.paths.bars({ size: [0.78], align: 1 }) : undefined,
            points: { show: !isBars, size: 5, fill: colour },
            spanGaps: false,
            // What is drawn is a sum; what is told is the number itself.
            value: (_, __, ___, at) => {
              const value = at === null ? null : kept.raw[i].values[at];
              return value === null || value === undefined ? '–' : value.toLocaleString('en');
            },
          };
        }),
      ],
    },
    data,
    box,
  );
  plots.set(name, kept);
}

function drawAll() {
  const hours = readHours();
  for (const figure of document.querySelectorAll('[data-chart]')) {
    figure.hidden = false;
    draw(figure, hours);
  }
}

function drawAnew() {
  for (const { plot } of plots.values()) plot.destroy();
  plots.clear();
  drawAll();
}

async function refresh() {
  const told = document.getElementById('refreshed');
  try {
    const answer = await fetch(location.href, { redirect: 'error' });
    if (!answer.ok) throw new Error(String(answer.status));
    // Made by our own server, with all that people wrote escaped.
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const part of document.querySelectorAll('[data-part]:not(:focus-within)'))
      part.replaceChildren(...page.getElementById(part.id).childNodes);
    told.replaceChildren(...page.getElementById('refreshed').childNodes);
    told.classList.remove('late');
    drawAll();
  } catch {
    told.classList.add('late');
    if (!told.textContent.includes('could not')) told.append(' Since then it could not be asked again.');
  }
}

drawAll();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAnew);
new ResizeObserver(() => {
  for (const { plot } of plots.values())
    plot.setSize({ width: plot.root.parentElement.clientWidth, height: HEIGHT });
}).observe(holder);

async function keepFresh() {
  if (!document.hidden) await refresh();
  setTimeout(keepFresh, REFRESH_MS);
}
setTimeout(keepFresh, REFRESH_MS);
