/** How one request goes out to Discord. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { REST } from '@discordjs/rest';
import { expect, it, onTestFinished, vi } from 'vitest';
import { askDiscord, LONGEST_REQUEST_MS } from '#src/doors/discord.ts';

it('an upload has the time that a slow line takes for what it carries', async () => {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.setHeader('content-type', 'application/json').end('{}');
    });
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const rest = new REST({ api, makeRequest: askDiscord, timeout: LONGEST_REQUEST_MS }).setToken('a-token');
  const limits = vi.spyOn(AbortSignal, 'timeout');
  onTestFinished(() => limits.mockRestore());

  const sheet = { name: 'sheet.png', data: Buffer.alloc(25 * 2 ** 20) };
  for (const files of [[], [sheet]]) await rest.post('/channels/1/messages', { body: {}, files });
  const [usual, long] = limits.mock.calls.map(([ms]) => ms);
  expect(usual).toBeLessThan(20_000);
  // 100 kB a second, as over a telephone.
  expect(long).toBeGreaterThan(262_000);
  expect(long).toBeLessThan(LONGEST_REQUEST_MS);
});
