/** Asks Prometheus for each panel, by way of whoever serves this page, and draws what it says. */
import Plot from '/uplot.js';

const REFRESH_MS = 5_000;
const HEIGHT = 170;
const POINTS = 180;
/** Okabe and Ito's, which most people tell apart. */
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#8a7f00', '#7a5cc4'];
/** More would hide one another. */
const SERIES_MAX = 12;
/** Bytes are counted in these. */
const POWERS = Array.from({ length: 40 }, (_, i) => 2 ** i);

const minutes = Number(new URLSearchParams(location.search).get('minutes')) || 15;
for (const link of document.querySelectorAll('nav a'))
  if (link.search === `?minutes=${minutes}`) link.setAttribute('aria-current', 'true');

const { panels, rateS } = await (await fetch('/panels.json')).json();
const holders = panels.map((panel) => {
  const figure = document.createElement('figure');
  const caption = document.createElement('figcaption');
  const box = document.createElement('div');
  caption.textContent = panel.title;
  figure.append(caption, box);
  document.getElementById('panels').append(figure);
  return { panel, box, plot: null, names: '' };
});

async function ask(path, query) {
  const answer = await fetch(`${path}?${new URLSearchParams(query)}`);
  if (!answer.ok) throw new Error(`Prometheus answered ${answer.status}`);
  return (await answer.json()).data;
}

const nameOf = (legend, labels) =>
  legend
    .replaceAll(/\{\{(\w+)\}\}/g, (_, label) => labels[label] ?? '')
    .replaceAll(/\s+/g, ' ')
    .trim();

/** name → the values at `times`, null where there is none */
async function seriesOf({ queries, stacked }, times) {
  const step = times[1] - times[0];
  const found = await Promise.all(
    queries.map(async ({ expr, legend }) => {
      const query = expr.replaceAll('$__rate_interval', `${Math.max(rateS, step)}s`);
      const { result } = await ask('/api/v1/query_range', {
        query,
        start: times[0],
        end: times.at(-1),
        step,
      });
      return result.map(({ metric, values }) => {
        const at = new Map(values.map(([time, value]) => [Math.round(time), Number(value)]));
        const own = times.map((time) => {
          const value = at.get(time);
          return value === undefined || !Number.isFinite(value) ? null : value;
        });
        return [nameOf(legend, metric), own];
      });
    }),
  );
  const has = (test) => (values) => values.some(test);
  const all = found.flat().filter(([, values]) => has((value) => value !== null)(values));
  // The same name twice, as of a process that has started anew, is one line.
  const together = new Map();
  for (const [name, values] of all) {
    const known = together.get(name);
    together.set(name, known ? known.map((value, i) => value ?? values[i]) : values);
  }
  // What never was is no part of a whole.
  const some = [...together].filter(([, values]) => !stacked || has((value) => value)(values));
  return (some.length ? some : [...together].slice(0, 1))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, SERIES_MAX);
}

const say = {
  s: (value) => (value < 1 ? `${+(value * 1_000).toPrecision(3)} ms` : `${+value.toPrecision(3)} s`),
  bytes: (value) =>
    value < 2 ** 30 ? `${Math.round(value / 2 ** 20)} MiB` : `${+(value / 2 ** 30).toPrecision(3)} GiB`,
  percentunit: (value) => `${+(value * 100).toPrecision(3)} %`,
  reqps: (value) => `${+value.toPrecision(3)}/s`,
  short: (value) => `${+value.toPrecision(4)}`,
};

/** Each lies on those before it; from the highest down. */
function heaped(series) {
  const sums = series[0][1].map((_, i) => (series.some(([, values]) => values[i] !== null) ? 0 : null));
  return series
    .map(([, values]) =>
      values.map((value, i) => {
        if (sums[i] !== null) sums[i] += value ?? 0;
        return sums[i];
      }),
    )
    .reverse();
}

function draw(holder, times, series) {
  const { panel, box } = holder;
  if (!series.length) {
    holder.plot?.destroy();
    Object.assign(holder, { plot: null, names: '' });
    box.innerHTML = '<p class="none">Nothing yet</p>';
    return;
  }
  const order = panel.stacked ? [...series].reverse() : series;
  const data = [times, ...(panel.stacked ? heaped(series) : series.map(([, values]) => values))];
  holder.raw = order.map(([, values]) => values);
  const names = order.map(([name]) => name).join('\n');
  if (holder.plot && holder.names === names) return holder.plot.setData(data);
  holder.plot?.destroy();
  box.replaceChildren();
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ['--quiet', '--line'].map((name) => style.getPropertyValue(name).trim());
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const tell = (value) => (value === null || value === undefined ? '–' : say[panel.unit](value));
  holder.names = names;
  holder.plot = new Plot(
    {
      width: box.clientWidth,
      height: HEIGHT,
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: 'all' } },
      scales: {
        y: { range: (_, _low, high) => [0, Math.max(panel.unit === 'short' ? 1 : 1e-3, (high ?? 0) * 1.1)] },
      },
      axes: [
        { ...axis, values: '{HH}:{mm}', space: 60 },
        {
          ...axis,
          ...(panel.unit === 'bytes' && { incrs: POWERS }),
          size: 62,
          space: 34,
          values: (_, all) => all.map(tell),
        },
      ],
      series: [
        { label: 'at', value: '{HH}:{mm}:{ss}' },
        ...order.map(([label], i) => {
          const colour = COLOURS[(panel.stacked ? order.length - 1 - i : i) % COLOURS.length];
          return {
            label,
            stroke: colour,
            width: 1.75,
            // Between it and the next below, by the bands; the lowest down to nothing.
            fill: panel.stacked && i === order.length - 1 ? `${colour}66` : undefined,
            points: { show: false },
            // What is drawn of a stack is a sum; what is told is the number itself.
            value: (_, __, ___, at) => tell(holder.raw[i][at ?? times.length - 1]),
          };
        }),
      ],
      bands: panel.stacked
        ? order.slice(1).map((_, i) => ({
            series: [i + 1, i + 2],
            fill: `${COLOURS[(order.length - 1 - i) % COLOURS.length]}66`,
          }))
        : [],
      hooks: {
        draw: [
          (plot) => {
            if (panel.limit === undefined || panel.limit > plot.scales.y.max) return;
            const y = plot.valToPos(panel.limit, 'y', true);
            const { left, width } = plot.bbox;
            plot.ctx.strokeStyle = style.getPropertyValue('--bad').trim();
            plot.ctx.setLineDash([6, 4]);
            plot.ctx.beginPath();
            plot.ctx.moveTo(left, y);
            plot.ctx.lineTo(left + width, y);
            plot.ctx.stroke();
            plot.ctx.setLineDash([]);
          },
        ],
      },
    },
    data,
    box,
  );
}

async function showAlerts() {
  const { alerts } = await ask('/api/v1/alerts', {});
  const lines = alerts.map(({ labels, annotations, state }) => {
    const line = document.createElement('p');
    const name = document.createElement('strong');
    name.textContent = labels.alertname;
    line.append(name, ` ${state === 'firing' ? '' : '(soon) '}${annotations.summary} `, annotations.runbook);
    return line;
  });
  const quiet = document.createElement('p');
  quiet.className = 'quiet';
  quiet.textContent = 'No alert fires.';
  document.getElementById('alerts').replaceChildren(...(lines.length ? lines : [quiet]));
}

async function refresh() {
  const asked = document.getElementById('asked');
  try {
    const step = Math.max(1, Math.round((minutes * 60) / POINTS));
    // On the same grid each time, so that lines do not shimmer.
    const end = Math.floor(Date.now() / 1_000 / step) * step;
    const times = Array.from({ length: POINTS + 1 }, (_, i) => end - (POINTS - i) * step);
    await Promise.all([
      showAlerts(),
      ...holders.map(async (holder) => draw(holder, times, await seriesOf(holder.panel, times))),
    ]);
    asked.textContent = `as of ${new Date().toLocaleTimeString()}`;
    document.body.dataset.drawn = 'true';
  } catch (error) {
    asked.textContent = error.message;
  }
  setTimeout(refresh, REFRESH_MS);
}

await refresh();
new ResizeObserver(() => {
  for (const { plot, box } of holders) plot?.setSize({ width: box.clientWidth, height: HEIGHT });
}).observe(document.body);
