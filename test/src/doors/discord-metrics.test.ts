/** How requests to Discord are measured: by routes that hold no id and no secret. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { askDiscord, routeOf } from '#src/doors/discord.ts';
import { metricsText } from '#src/doors/metrics.ts';
import { readScrape } from '#test/support/prometheus.ts';

const id = '1200000000000000001';
const token = 'aW50ZXJhY3Rpb246MTIwMDAw.secret-token';

it.each([
  [`channels/${id}/messages`, '/channels/:id/messages'],
  [`channels/${id}/messages/${id}`, '/channels/:id/messages/:id'],
  [`interactions/${id}/${token}/callback`, '/interactions/:id/:token/callback'],
  [`webhooks/${id}/${token}/messages/%40original`, '/webhooks/:id/:token/messages/@original'],
  [`webhooks/${id}/abc`, '/webhooks/:id/:token'],
  [
    `channels/${id}/messages/${id}/reactions/%F0%9F%91%8D/@me`,
    '/channels/:id/messages/:id/reactions/:other/@me',
  ],
  ['gateway/bot', '/gateway/bot'],
])('%s is measured as %s', (path, route) => {
  expect(routeOf(`https://discord.com/api/v10/${path}?wait=true`)).toBe(route);
});

let answer: (response: ServerResponse) => void;
const server = createServer((_, response) => answer(response));
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => server.close());

it('each request counts by its route and status, and each 429 by whose limit it was', async () => {
  const { port } = server.address() as AddressInfo;
  const ask = (path: string, method: string) =>
    askDiscord(`http://127.0.0.1:${port}/api/v10/${path}`, { method, headers: {} }).catch(() => null);
  const json = (status: number, headers: Record<string, string> = {}) => {
    answer = (response) =>
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end('{}');
  };
  json(200);
  await ask(`channels/${id}/messages`, 'POST');
  json(429, { 'x-ratelimit-scope': 'shared' });
  await ask(`channels/${id}/messages`, 'POST');
  json(429, { 'x-ratelimit-scope': 'whatever they send' });
  await ask(`channels/${id}/messages`, 'POST');
  answer = (response) => response.destroy();
  await ask(`webhooks/${id}/${token}`, 'POST');
  // Last: from then on nobody is asked for a while.
  answer = (response) => response.writeHead(429, { 'content-type': 'text/html' }).end('<h1>1015</h1>');
  await ask('gateway/bot', 'GET');
  await ask('gateway/bot', 'GET');

  const text = await metricsText();
  const { values } = readScrape(text);
  const count = (labels: Record<string, string>) => values('atelier_discord_request_seconds_count', labels);
  const messages = { method: 'POST', route: '/channels/:id/messages' };
  expect(count({ ...messages, status: '200' })).toEqual([1]);
  expect(count({ ...messages, status: '429' })).toEqual([2]);
  expect(count({ method: 'POST', route: '/webhooks/:id/:token', status: 'none' })).toEqual([1]);
  expect(count({ method: 'GET', route: '/gateway/bot', status: '429' })).toEqual([1]);
  for (const scope of ['shared', 'other', 'wall'])
    expect(values('atelier_discord_limited_total', { scope }), scope).toEqual([1]);
  expect(text).not.toContain(id);
  expect(text).not.toContain('secret');
});
