/** What goes wrong on request, as a bot meets it. */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { REST, Routes } from 'discord.js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '#infra/local/discord/sandbox.ts';
import { APPLICATION_ID, TOKEN } from './bot.ts';

let sandbox: Sandbox;
let rest: REST;
let messages: string;

beforeAll(async () => {
  sandbox = await startSandbox({ token: TOKEN, applicationId: APPLICATION_ID, rateLimits: false });
  rest = new REST({ api: sandbox.apiUrl, retries: 0 }).setToken(TOKEN);
  const { id } = [...sandbox.state.channels.values()].find(({ name }) => name === 'portraits')!;
  messages = Routes.channelMessages(id);
});
afterAll(() => sandbox.close());

const post = (body: string | FormData, signal?: AbortSignal) =>
  fetch(`${sandbox.apiUrl}/v10${messages}`, {
    method: 'POST',
    headers: {
      authorization: `Bot ${TOKEN}`,
      ...(typeof body === 'string' && { 'content-type': 'application/json' }),
    },
    body,
    ...(signal && { signal }),
  });
const withFile = (bytes: number): FormData => {
  const form = new FormData();
  form.append('files[0]', new Blob([Buffer.alloc(bytes)]), 'a.bin');
  form.append('payload_json', JSON.stringify({ content: 'with a file' }));
  return form;
};
const channelId = () => messages.split('/')[2]!;
const sent = () => sandbox.state.messages(channelId()).length;

it('a wall answers with a page of its own, so many times, and says when it opens', async () => {
  sandbox.misbehave({ wall: { next: 2, status: 429, retryAfterS: 7, route: 'POST /channels' } });
  const answer = await post('{"content":"x"}');
  expect(answer.status).toBe(429);
  expect(answer.headers.get('content-type')).toMatch(/^text\/html/);
  expect(answer.headers.get('retry-after')).toBe('7');
  expect(await answer.text()).toMatch(/^<!DOCTYPE html>/);
  // Of other routes it knows nothing.
  await rest.get(Routes.user());
  expect((await post('{"content":"x"}')).status).toBe(429);
  expect((await post('{"content":"x"}')).status).toBe(200);
  expect(sent()).toBe(1);
});

it('refuses the token so many times, and a token in the path never', async () => {
  sandbox.misbehave({ refuseToken: { next: 1 } });
  const stranger = await fetch(`${sandbox.apiUrl}/v10/webhooks/${APPLICATION_ID}/no-such-token/messages/1`);
  expect(await stranger.json()).toMatchObject({ code: 10015 });
  expect(await (await post('{"content":"x"}')).json()).toMatchObject({
    code: 0,
    message: '401: Unauthorized',
  });
  await rest.get(Routes.user());
});

it('takes no file above the limit that was set, until that is lifted', async () => {
  sandbox.misbehave({ fileMax: 1_000 });
  expect((await post(withFile(1_000))).status).toBe(200);
  const refused = await post(withFile(1_001));
  expect(refused.status).toBe(413);
  expect(await refused.json()).toMatchObject({ code: 40005 });
  sandbox.misbehave({ fileMax: 0 });
  expect((await post(withFile(1_001))).status).toBe(200);
});

it('reads an upload slowly; of one that is given up half-way nothing is posted', async () => {
  const before = sent();
  sandbox.misbehave({ slowUpload: { next: 1, ms: 300 } });
  expect((await post('{"content":"without files"}')).status).toBe(200);
  const half = request(`${sandbox.apiUrl}/v10${messages}`, {
    method: 'POST',
    headers: {
      authorization: `Bot ${TOKEN}`,
      'content-type': 'multipart/form-data; boundary=x',
      'content-length': 1_000,
    },
  });
  half.on('error', () => {});
  half.write('--x\r\n');
  await sleep(50);
  half.destroy();
  await sleep(400);
  expect(sent()).toBe(before + 1);
});

it('tells what is in force', async () => {
  const wall = { next: 3, status: 502 };
  sandbox.misbehave({ wall });
  expect(sandbox.misbehave({})).toMatchObject({ wall, fileMax: 0 });
  expect(sandbox.misbehave({ wall: null }).wall).toBeNull();
});
