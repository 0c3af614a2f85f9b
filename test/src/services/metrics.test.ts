/** `/metrics` as Prometheus meets it: ports, and nothing else on them. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { metrics } from '#src/doors/metrics.ts';
import { serveMetrics } from '#src/services/metrics.ts';
import { scrape } from '#test/support/prometheus.ts';

const host = '127.0.0.1';
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});
async function serve(port: number | undefined) {
  const served = await serveMetrics(['worker'], { host, port });
  closers.push(() => served.close());
  return served;
}

it('are told in the form that Prometheus reads, with the services of the process', async () => {
  const { port } = await serve(0);
  metrics.tokens({ reason: 'charge' }, 3);
  const response = await fetch(`http://${host}:${port}/metrics`);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  const { values } = await scrape(port);
  expect(values('atelier_tokens_total', { reason: 'charge' })).toEqual([3]);
  expect(values('atelier_service_info', { service: 'worker' })).toEqual([1]);
});

it('are alone on their port', async () => {
  const { port } = await serve(0);
  for (const path of ['/', '/health', '/metrics/x'])
    expect((await fetch(`http://${host}:${port}${path}`)).status).toBe(404);
  expect((await fetch(`http://${host}:${port}/metrics`, { method: 'POST' })).status).toBe(404);
});

it('beside them is said whether the process answers, and whether its services have started', async () => {
  const told = await serve(0);
  const ask = async (path: string) => (await fetch(`http://${host}:${told.port}${path}`)).status;
  expect([await ask('/healthz'), await ask('/readyz')]).toEqual([200, 503]);
  told.setReady(true);
  expect([await ask('/healthz'), await ask('/readyz')]).toEqual([200, 200]);
  told.setReady(false);
  expect([await ask('/healthz'), await ask('/readyz')]).toEqual([200, 503]);
});

it('of several processes on one machine each take a port that is free, from 9464 on', async () => {
  const ports = [(await serve(undefined)).port, (await serve(undefined)).port];
  expect(ports[0]).toBeGreaterThanOrEqual(9464);
  expect(ports[1]).toBeGreaterThan(ports[0]!);
  for (const port of ports) expect((await scrape(port)).samples.length).toBeGreaterThan(0);
});

it('want the very port that was asked for, or say which variable is wrong', async () => {
  const other = createServer().listen(0, host);
  closers.push(() => other.close());
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  await expect(serve(port)).rejects.toThrow(
    `/metrics cannot have its port ${port}: set METRICS_PORT to another.`,
  );
  await expect(serveMetrics(['worker'], { host: '203.0.113.7', port: 0 })).rejects.toThrow('METRICS_HOST');
});
