import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  beforeTelling,
  declared,
  families,
  metrics,
  metricsText,
  tellAlso,
  watchProcess,
} from '#src/doors/metrics.ts';
import { readScrape } from '#test/support/prometheus.ts';

const told = async () => readScrape(await metricsText());
const undo: (() => void)[] = [];
afterEach(() => {
  for (const one of undo.splice(0)) one();
});

describe('every metric of ours', () => {
  const ours = declared();
  it.each(ours)(
    '$name has a unit, a help and labels as Prometheus wants them',
    ({ name, help, type, labelNames }) => {
      expect(name).toMatch(/^atelier(_[a-z]+)+$/);
      expect(help).toMatch(/^[A-Z][^\n]{15,}\.$/);
      if (type === 'counter') expect(name).toMatch(/_total$/);
      else expect(name).not.toMatch(/_(total|count|sum|bucket)$/);
      if (type === 'histogram') expect(name).toMatch(/_(seconds|bytes|ratio|pictures)$/);
      // Base units alone.
      expect(name).not.toMatch(/_(ms|milli\w*|minutes?|hours?|[km]i?b|percent)(_|$)/);
      for (const label of labelNames) {
        expect(label).toMatch(/^[a-z]+$/);
        // Who and where it was is for the log: there are too many.
        expect(label).not.toMatch(/user|person|guild|channel|owner|prompt|batch|id$/);
      }
    },
  );
  it('is declared once, and there are some', () => {
    expect(ours.length).toBe(Object.keys(metrics).length);
    expect(new Set(ours.map(({ name }) => name)).size).toBe(ours.length);
  });
});

it('nothing is told of what nobody has measured', async () => {
  expect((await told()).samples).toEqual([]);
  metrics.missing([]);
  expect((await told()).samples).toEqual([]);
});

it('a histogram counts in buckets, and neither a NaN nor a clock that stepped back breaks its sum', async () => {
  for (const seconds of [3, -5, Number.NaN, 1_000]) metrics.waited({ tier: 'fast' }, seconds);
  const { values, types } = await told();
  expect(types.get('atelier_wait_seconds')).toBe('histogram');
  expect(values('atelier_wait_seconds_sum', { tier: 'fast' })).toEqual([1_003]);
  const under = (le: string) => values('atelier_wait_seconds_bucket', { tier: 'fast', le });
  expect([under('2'), under('5'), under('1800'), under('+Inf')]).toEqual([[1], [2], [3], [3]]);
});

it('a gauge has what was told last, and nothing of before', async () => {
  metrics.ping([
    [{ shard: 0 }, 0.1],
    [{ shard: 1 }, 0.2],
  ]);
  metrics.ping([[{ shard: 1 }, 0.3]]);
  expect((await told()).samples.filter(({ name }) => name === 'atelier_gateway_ping_seconds')).toEqual([
    { name: 'atelier_gateway_ping_seconds', labels: { shard: '1' }, value: 0.3 },
  ]);
});

it('sets of labels are bounded, whatever becomes a label by mistake', async () => {
  for (let i = 0; i < 2_000; i++) metrics.failed({ cause: `forged-${i}` });
  metrics.failed({ cause: 'forged-1' });
  const { values } = await told();
  expect(values('atelier_failures_total')).toHaveLength(501);
  expect(values('atelier_failures_total', { cause: 'forged-1' })).toEqual([2]);
  expect(values('atelier_failures_total', { cause: 'other' })).toEqual([1_500]);
});

it('what a thread tells is told with ours', async () => {
  const door = JSON.stringify(new URL('../../../src/doors/metrics.ts', import.meta.url).href);
  const source = `
    const { metrics } = await import(${door});
    metrics.warm({ what: 'face', result: 'hit' });
    metrics.poolBytes([[{ what: 'bundle' }, 7]]);`;
  const thread = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
  thread.unref();
  await vi.waitFor(async () => {
    const { values } = await told();
    expect(values('atelier_warm_total', { what: 'face', result: 'hit' })).toEqual([1]);
    expect(values('atelier_pool_bytes', { what: 'bundle' })).toEqual([7]);
  }, 10_000);
});

it('what is known by looking is looked at, and a look that fails spoils nothing', async () => {
  undo.push(
    beforeTelling(() => metrics.due([[{}, 4]])),
    beforeTelling(async () => {
      throw new Error('Postgres is away');
    }),
  );
  expect((await told()).values('atelier_deliveries_due')).toEqual([4]);
});

it('another process is told beside ours, each series once', async () => {
  metrics.gateway({ event: 'ready' });
  const theirs = (await families())
    .filter(({ name }) => name === 'atelier_gateway_events_total')
    .map((family) => ({
      ...family,
      values: family.values.map((one) => ({ ...one, labels: { ...one.labels, shards: '0-3' }, value: 5 })),
    }));
  undo.push(tellAlso(async () => theirs));
  const text = await metricsText();
  expect(text.match(/^# TYPE atelier_gateway_events_total/gm)).toHaveLength(1);
  expect(readScrape(text).samples.filter(({ name }) => name === 'atelier_gateway_events_total')).toEqual([
    { name: 'atelier_gateway_events_total', labels: { event: 'ready' }, value: 1 },
    { name: 'atelier_gateway_events_total', labels: { event: 'ready', shards: '0-3' }, value: 5 },
  ]);
});

it('the process itself is measured: how late its event loop is, its CPU and memory', async () => {
  watchProcess(['worker']);
  watchProcess(['worker']);
  const before = process.cpuUsage();
  while (process.cpuUsage(before).user < 50_000);
  await told();
  const { values, types } = await told();
  for (const name of [
    'nodejs_eventloop_lag_p99_seconds',
    'nodejs_eventloop_lag_max_seconds',
    'nodejs_heap_size_used_bytes',
    'process_resident_memory_bytes',
    'process_start_time_seconds',
  ])
    expect(values(name), name).toHaveLength(1);
  expect(types.get('process_cpu_seconds_total')).toBe('counter');
  expect(values('process_cpu_seconds_total')[0]).toBeGreaterThan(0.03);
  expect(values('atelier_service_info', { service: 'worker' })).toEqual([1]);
});
