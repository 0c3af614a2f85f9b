/** Spans as a collector gets them; and that without one nothing of OpenTelemetry is loaded. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Collector, startCollector } from '#test/support/collector.ts';

type Traces = typeof import('#src/doors/traces.ts');

/** The door as a process has it that is started with this collector. */
async function openWith(endpoint: string): Promise<Traces & { close(): Promise<void> }> {
  vi.resetModules();
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = endpoint;
  try {
    const traces = await import('#src/doors/traces.ts');
    return { ...traces, close: await traces.openTraces(['worker']) };
  } finally {
    delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
  }
}

describe('with a collector', () => {
  let collector: Collector;
  beforeAll(async () => {
    collector = await startCollector();
  });
  afterAll(() => collector.close());

  it('spans go there: parts within their trace, what is over with its times, and what failed with its kind alone', async () => {
    const { trace, span, pastSpan, note, traceparent, close } = await openWith(`${collector.url}/`);
    const aDayAgo = Date.now() - 86_400_000;
    let row: string | null = null;
    await trace('interaction', { command: 'imagine' }, async () => {
      await span('accept', {}, async () => {
        row = traceparent();
        note({ batchId: 'b1' });
      });
      pastSpan('wait', aDayAgo, aDayAgo + 5_000, { tier: 'fast' });
      await span('draw', {}, () => sleep(2)).catch(() => {});
      const error = Object.assign(new Error('a prompt, perhaps'), { code: 'storage_full' });
      await expect(span('store', {}, () => Promise.reject(error))).rejects.toBe(error);
    });
    await close();

    const [accept, wait, draw, store, interaction] = collector.spans;
    expect(collector.spans.map(({ name }) => name)).toEqual([
      'accept',
      'wait',
      'draw',
      'store',
      'interaction',
    ]);
    expect(interaction).toMatchObject({
      service: 'worker',
      parentSpanId: undefined,
      facts: { 'atelier.command': 'imagine' },
      error: undefined,
    });
    for (const part of [accept, wait, draw, store])
      expect(part).toMatchObject({ traceId: interaction?.traceId, parentSpanId: interaction?.spanId });
    expect(accept?.facts).toEqual({ 'atelier.batchId': 'b1' });
    expect(row).toBe(`00-${accept?.traceId}-${accept?.spanId}-01`);
    // ns do not fit a number.
    expect([wait!.from, wait!.to].map(Math.round)).toEqual([aDayAgo, aDayAgo + 5_000]);
    expect(store?.error).toBe('storage_full');
    expect(collector.bodies.join()).not.toContain('a prompt');
  });

  it('another process goes on with what a row tells, and begins nothing by itself', async () => {
    const { inTrace, span, traceparent, close } = await openWith(collector.url);
    const row = `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`;
    const before = collector.spans.length;
    await span('draw', {}, async () => expect(traceparent()).toBeNull());
    await inTrace(null, () => span('draw', {}, async () => {}));
    await inTrace('of another version', () => span('odd', {}, async () => {}));
    await inTrace(row, () => span('draw', {}, async () => {}));
    await close();
    const mine = collector.spans.slice(before).filter(({ name }) => name === 'draw');
    expect(mine).toMatchObject([{ traceId: 'ab'.repeat(16), parentSpanId: 'cd'.repeat(8) }]);
  });
});

it('a collector that never answers holds nobody up for longer than seconds', async () => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const address = silent.address();
  const { trace, close } = await openWith(
    `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
  );
  expect(await trace('interaction', {}, async () => 'done')).toBe('done');
  await close();
  silent.closeAllConnections();
  silent.close();
});

it('without a collector work is done as if there were none, and nothing of OpenTelemetry is loaded', async () => {
  // As main.ts and the shards do, with all that observes.
  const script = `
    import { registerHooks } from 'node:module';
    const loaded = [];
    registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
    const { openTraces, trace, span, traceparent } = await import('#src/doors/traces.ts');
    const { serveMetrics } = await import('#src/services/metrics.ts');
    for (const service of ['bot/dispatch', 'worker/worker', 'courier/courier', 'web/web'])
      await import('#src/services/' + service + '.ts');
    const close = await openTraces(['worker']);
    const metrics = await serveMetrics(['worker']);
    const done = await trace('interaction', {}, () => span('accept', {}, async () => String(traceparent())));
    await metrics.close();
    await close();
    const theirs = loaded.filter((url) => url.includes('/@opentelemetry/'));
    process.stdout.write(JSON.stringify({ done, theirs, prom: loaded.filter((url) => url.includes('/prom-client/')).length }));
    process.exit();`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module-typescript', '--eval', script],
    { env: { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: '', METRICS_PORT: '0', LOG_LEVEL: 'silent' } },
  );
  const { done, theirs, prom } = JSON.parse(stdout) as { done: string; theirs: string[]; prom: number };
  expect(done).toBe('null');
  expect(theirs).toEqual([]);
  // The hook sees what is required, too.
  expect(prom).toBeGreaterThan(5);
});
