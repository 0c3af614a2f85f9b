/** Serves the page that draws the panels, and asks Prometheus for it: a browser reads no other origin. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { panels } from './source.ts';

const UPLOT = dirname(createRequire(import.meta.url).resolve('uplot'));
const ours = (file: string) => new URL(`page/${file}`, import.meta.url);
/** path → file and type */
const FILES: Readonly<Record<string, readonly [URL | string, string]>> = {
  '/': [ours('index.html'), 'text/html'],
  '/page.js': [ours('page.js'), 'text/javascript'],
  '/page.css': [ours('page.css'), 'text/css'],
  '/uplot.js': [join(UPLOT, 'uPlot.esm.js'), 'text/javascript'],
  '/uplot.css': [join(UPLOT, 'uPlot.min.css'), 'text/css'],
};
/** Questions alone: whoever reaches the page changes nothing. */
const ASKED = ['/api/v1/query_range', '/api/v1/alerts'];

/** @param scrapeS between two scrapes, s */
export async function servePage(prometheusUrl: string, scrapeS: number) {
  const server = createServer(async (request, response) => {
    const { pathname, search } = new URL(request.url ?? '/', 'http://page');
    const send = (status: number, type: string, body: string | Buffer) =>
      response
        .writeHead(status, { 'content-type': `${type}; charset=utf-8`, 'cache-control': 'no-store' })
        .end(body);
    try {
      const [file, type = ''] = FILES[pathname] ?? [];
      if (request.method !== 'GET') send(405, 'text/plain', 'GET alone');
      else if (file) send(200, type, await readFile(file));
      else if (pathname === '/panels.json')
        send(200, 'application/json', JSON.stringify({ panels, rateS: scrapeS * 4 }));
      else if (ASKED.includes(pathname)) {
        const answer = await fetch(prometheusUrl + pathname + search);
        send(answer.status, 'application/json', await answer.text());
      } else send(404, 'text/plain', 'There is nothing here');
    } catch (error) {
      send(502, 'text/plain', error instanceof Error ? error.message : String(error));
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
