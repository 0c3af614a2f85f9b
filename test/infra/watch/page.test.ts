/** The page of `npm run watch`, before something that answers as Prometheus does. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { servePage } from '#infra/watch/page-server.ts';
import { findBinary } from '#infra/watch/prometheus.ts';
import { panels } from '#infra/watch/source.ts';
import { findChromium, openBrowser } from '#test/support/browser.ts';

const asked: string[] = [];
let prometheus: Server;
let page: Awaited<ReturnType<typeof servePage>>;

beforeAll(async () => {
  prometheus = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://prometheus');
    asked.push(pathname);
    const [start, end] = ['start', 'end'].map((name) => Number(searchParams.get(name)));
    const metric = { tier: 'fast', outcome: 'soon', slo: 'fast', job: 'web' };
    const result = [{ metric, values: [start, end].map((at) => [at, '2']) }];
    const labels = { alertname: 'NoWorker', severity: 'page' };
    const annotations = {
      summary: 'No worker <b>is</b> alive.',
      runbook: 'infra/watch/runbooks/NoWorker.md',
    };
    const data = pathname.endsWith('alerts')
      ? { alerts: [{ labels, annotations, state: 'firing' }] }
      : { result };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ data }));
  }).listen(0, '127.0.0.1');
  await new Promise((done) => prometheus.once('listening', done));
  page = await servePage(`http://127.0.0.1:${(prometheus.address() as AddressInfo).port}`, 5);
});
afterAll(async () => {
  await page.close();
  prometheus.close();
});

it('asks Prometheus two questions, and passes nothing else on', async () => {
  const status = async (path: string, init?: RequestInit) => (await fetch(page.url + path, init)).status;
  asked.length = 0;
  expect(await status('api/v1/query_range?query=up&start=1&end=2')).toBe(200);
  expect(await status('api/v1/alerts')).toBe(200);
  expect(asked).toEqual(['/api/v1/query_range', '/api/v1/alerts']);
  for (const path of ['api/v1/admin/tsdb/snapshot', 'api/v1/query', '-/quit', 'page/index.html'])
    expect(await status(path), path).toBe(404);
  expect(await status('api/v1/alerts', { method: 'POST' })).toBe(405);
  expect(asked).toHaveLength(2);
});

it.skipIf(!findChromium())('draws every panel, and says what fires', async () => {
  const browser = await openBrowser();
  try {
    const tab = await browser.newPage();
    const wrong: unknown[] = [];
    tab.on('pageerror', (error) => wrong.push(error));
    await tab.goto(page.url);
    await tab.locator('body[data-drawn]').waitFor();
    expect(await tab.locator('figure figcaption').allTextContents()).toEqual(
      panels.map(({ title }) => title),
    );
    expect(await tab.locator('figure canvas').count()).toBe(panels.length);
    expect(await tab.locator('#alerts p').textContent()).toBe(
      'NoWorker No worker <b>is</b> alive. infra/watch/runbooks/NoWorker.md',
    );
    expect(wrong).toEqual([]);
  } finally {
    await browser.close();
  }
});

it('says what to install where there is no Prometheus', () => {
  expect(() => findBinary('prometheus', '/nowhere')).toThrow(
    /Install it first: `apt-get install prometheus`/,
  );
});
