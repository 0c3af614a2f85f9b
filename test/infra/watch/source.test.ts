/** What is watched names only what there is, and what is committed of it is what the source says. */
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { cases } from '#infra/watch/cases.ts';
import { cloudWatch } from '#infra/watch/cloudwatch.ts';
import { dashboard } from '#infra/watch/dashboard.ts';
import { made } from '#infra/watch/generate.ts';
import { alerts, panels, recordings, slos, workersNeeded } from '#infra/watch/source.ts';
import { declared, watchProcess } from '#src/doors/metrics.ts';

const FOLDER = new URL('../../../infra/watch/', import.meta.url);
/** Of PromQL, as far as it is used. */
const WORDS = new Set(
  'sum max min avg count by on and or unless rate increase absent vector offset changes avg_over_time min_over_time predict_linear delta histogram_quantile'.split(
    ' ',
  ),
);
/** Prometheus adds them to whatever it scrapes. */
const SCRAPED = ['job', 'instance'];
/** Of processes of shards, see shard-metrics.ts. */
const OF_SHARDS = ['shards'];

/** metric → its labels */
const known = new Map<string, ReadonlySet<string>>();
beforeAll(() => {
  watchProcess(['web']);
  for (const { name, type, labelNames } of declared()) {
    const labels = new Set([...labelNames, ...SCRAPED, ...OF_SHARDS]);
    if (type !== 'histogram') known.set(name, labels);
    else {
      for (const part of ['_sum', '_count']) known.set(name + part, labels);
      known.set(`${name}_bucket`, new Set([...labels, 'le']));
    }
  }
  for (const { record, labels } of recordings()) known.set(record, new Set(Object.keys(labels)));
});

interface Used {
  readonly metrics: readonly string[];
  readonly labels: readonly string[];
  readonly values: readonly string[];
}

/** What an expression names. */
function usedIn(expr: string): Used {
  const lists = [...expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/,\s*/));
  const matchers = [...expr.matchAll(/(\w+)=~?"([^"]*)"/g)];
  const bare = expr
    .replaceAll(/\b(?:by|on) \([^)]*\)/g, '')
    .replaceAll(/\{[^}]*\}|\[[^\]]*\]/g, '')
    .replaceAll(/\b\d[\w.]*\b/g, '');
  return {
    metrics: [...bare.matchAll(/[a-z_][\w:]*/gi)].map(([word]) => word).filter((word) => !WORDS.has(word)),
    labels: [...lists, ...matchers.map(([, label = '']) => label)].filter(Boolean),
    values: matchers.flatMap(([, , values = '']) => values.split('|')),
  };
}

const expressions = (): [string, string][] => [
  ...alerts().map(({ name, expr }): [string, string] => [name, expr]),
  ...recordings().map(({ record, labels, expr }): [string, string] => [`${record} ${labels.slo}`, expr]),
  ...panels.flatMap(({ title, queries }) => queries.map(({ expr }): [string, string] => [title, expr])),
  ['workersNeeded', workersNeeded],
];

it.each(expressions())('%s names metrics and labels that there are', (_, expr) => {
  const { metrics, labels } = usedIn(expr);
  expect(metrics.length).toBeGreaterThan(0);
  expect(metrics.filter((name) => !known.has(name))).toEqual([]);
  const theirs = new Set(metrics.flatMap((name) => [...(known.get(name) ?? [])]));
  expect(labels.filter((label) => !theirs.has(label))).toEqual([]);
});

it('a name that is not there would be found', () => {
  expect(usedIn('sum by (tier) (rate(atelier_nothing_total{tier="x"}[5m])) > 0.5 and slo:other')).toEqual({
    metrics: ['atelier_nothing_total', 'slo:other'],
    labels: ['tier', 'tier'],
    values: ['x'],
  });
});

it('values of labels are words that the program says', () => {
  const sources = [...globSync('src/**/*.ts'), 'config/tiers.yaml'].map((file) => readFileSync(file, 'utf8'));
  const says = (word: string) =>
    sources.some((text) => text.includes(`'${word}'`) || text.includes(` ${word}:`));
  const values = new Set(expressions().flatMap(([, expr]) => usedIn(expr).values));
  // Classes of HTTP statuses are made of the number.
  expect([...values].filter((word) => !/^\dxx$|^\d\.\.$/.test(word) && !says(word))).toEqual([]);
});

it('legends and sentences name labels of their own expression alone', () => {
  const said = [
    ...alerts().map(({ expr, summary }) => ({ expr, text: summary.replaceAll('$labels.', '') })),
    ...panels.flatMap(({ queries }) => queries.map(({ expr, legend }) => ({ expr, text: legend }))),
  ];
  for (const { expr, text } of said) {
    const theirs = usedIn(expr).metrics.flatMap((name) => [...(known.get(name) ?? [])]);
    for (const [, label = ''] of text.matchAll(/\{\{ ?(\w+) ?\}\}/g)) expect(theirs, text).toContain(label);
  }
});

it('what is committed is what the source makes: else run `node infra/watch/generate.ts`', () => {
  for (const [file, text] of made()) expect(readFileSync(new URL(file, FOLDER), 'utf8'), file).toBe(text);
});

it('each alert has series for promtool that it fires on', () => {
  const tried = new Set(cases.map(({ alert }) => alert));
  expect(alerts().filter(({ name }) => !tried.has(name))).toEqual([]);
});

describe('runbooks', () => {
  const pages = readdirSync(new URL('runbooks/', FOLDER)).filter((file) => file !== 'README.md');
  it('each alert has one, and none is of an alert that is gone', () => {
    expect(pages.sort()).toEqual(
      alerts()
        .map(({ name }) => `${name}.md`)
        .sort(),
    );
  });
  it.each(pages)('%s says what it means, three commands, and how to make it stop', (page) => {
    const text = readFileSync(new URL(`runbooks/${page}`, FOLDER), 'utf8');
    expect(text.startsWith(`# ${page.replace('.md', '')}\n`)).toBe(true);
    const [, commands = ''] =
      /\*\*What it means\.\*\* [\s\S]+\*\*First three commands\.\*\*\n\n```sh\n([\s\S]+?)\n```\n\n\*\*How to make it stop\.\*\* /.exec(
        text,
      ) ?? [];
    expect(commands.split('\n')).toHaveLength(3);
    for (const [, other = ''] of text.matchAll(/\]\(([^)]+)\)/g)) expect(pages).toContain(other);
    for (const [name] of text.matchAll(/\batelier_\w+/g))
      expect(
        [...known.keys()].some((one) => one.startsWith(name.replace(/_$/, ''))),
        name,
      ).toBe(true);
  });
});

describe('CloudWatch', () => {
  const { Resources, collected, notSaid } = cloudWatch();

  it('has the metrics and labels that there are, or says why it cannot say an alert', () => {
    for (const { metric, dimensions } of collected)
      for (const label of dimensions.flat()) expect([...(known.get(metric) ?? [])], metric).toContain(label);
    for (const { name } of alerts()) {
      const isSaid = Object.keys(Resources).some((own) => own.startsWith(name));
      expect(isSaid || name in notSaid, name).toBe(true);
    }
  });

  it('keeps to what an alarm may be', () => {
    const names = Object.values(Resources).map(({ Properties }) => Properties.AlarmName);
    expect(new Set(names).size).toBe(names.length);
    for (const [name, { Type, Properties, Metadata }] of Object.entries(Resources)) {
      expect(name).toMatch(/^[A-Za-z0-9]+$/);
      if (Type === 'AWS::CloudWatch::CompositeAlarm') {
        for (const [, part] of String(Properties.AlarmRule).matchAll(/ALARM\("([^"]+)"\)/g))
          expect(names).toContain(part);
        continue;
      }
      // Periods of a minute or more, a week in all; a day where they are shorter than an hour; ten metrics.
      const metrics = (Properties.Metrics ?? []) as { Id: string; MetricStat?: { Period: number } }[];
      const period = Number(
        Properties.Period ?? metrics.find(({ MetricStat }) => MetricStat)?.MetricStat?.Period,
      );
      const looksAt = period * Number(Properties.EvaluationPeriods);
      expect(period % 60, name).toBe(0);
      expect(looksAt, name).toBeLessThanOrEqual(period < 3_600 ? 86_400 : 7 * 86_400);
      expect(metrics.length, name).toBeLessThanOrEqual(10);
      expect(Number.isFinite(Properties.Threshold), name).toBe(true);
      expect([null, 'page', 'ticket']).toContain(Metadata.Severity);
    }
  });
});

it('the dashboard shows every panel once, beside and below one another', () => {
  const { panels: shown } = dashboard();
  expect(shown).toHaveLength(panels.length);
  const places = shown.map(({ gridPos: { x, y } }) => `${x} ${y}`);
  expect(new Set(places).size).toBe(shown.length);
  expect(Math.max(...shown.map(({ gridPos: { x, w } }) => x + w))).toBe(24);
  for (const { targets } of shown)
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
});

it('each tier has a service level, and nobody else’s fault counts against it', () => {
  expect(slos.map(({ name }) => name)).toEqual(['turbo', 'fast', 'relax', 'interactions', 'web']);
  for (const { bad, all } of slos) expect(`${bad} ${all}`).not.toContain('refused');
});
