/** Addresses of attachments: signed, good for a day, and fresh whenever a message is read. */
import { REST, Routes } from 'discord.js';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { connectPerson } from '#infra/local/discord/person.ts';
import { type Sandbox, startSandbox } from '#infra/local/discord/sandbox.ts';
import { APPLICATION_ID, picture, TOKEN } from './bot.ts';

const HOUR_MS = 3_600_000;

interface Message {
  id: string;
  attachments: { url: string; proxy_url: string }[];
  embeds: { image?: { url: string } }[];
}

let sandbox: Sandbox;
let rest: REST;
let channelId: string;
let data: Buffer;

beforeAll(async () => {
  sandbox = await startSandbox({ token: TOKEN, applicationId: APPLICATION_ID, rateLimits: false });
  rest = new REST({ api: sandbox.apiUrl }).setToken(TOKEN);
  channelId = [...sandbox.state.channels.values()].find(({ name }) => name === 'portraits')!.id;
  data = await picture(10, 60, 90);
});

afterEach(() => vi.useRealTimers());
afterAll(() => sandbox.close());

const posted = () =>
  rest.post(Routes.channelMessages(channelId), {
    body: { content: 'a picture' },
    files: [{ name: 'a b.png', data }],
  }) as Promise<Message>;
const read = (id: string) => rest.get(Routes.channelMessage(channelId, id)) as Promise<Message>;
const status = async (url: string) => (await fetch(url)).status;

it('they are signed, and good only as they were given', async () => {
  const [file] = (await posted()).attachments;
  expect(file!.url).toMatch(/\/a_b\.png\?ex=[0-9a-f]{8}&is=[0-9a-f]{8}&hm=[0-9a-f]{64}&$/);
  expect(await status(file!.url)).toBe(200);
  expect(await status(file!.proxy_url)).toBe(200);
  expect(await status(file!.url.split('?')[0]!)).toBe(404);
  expect(await status(file!.url.replace(/ex=./, 'ex=f'))).toBe(404);
  expect(await status(file!.url.replace(/hm=.{8}/, 'hm=00000000'))).toBe(404);
});

it('they end after a day; a message that is read again has new ones, and so has the page', async () => {
  const { id, attachments } = await posted();
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 11 * HOUR_MS });
  const sameHalfDay = await read(id);
  expect(sameHalfDay.attachments).toEqual(attachments);

  vi.setSystemTime(Date.now() + 14 * HOUR_MS);
  expect(await status(attachments[0]!.url)).toBe(404);
  const again = await read(id);
  expect(await status(again.attachments[0]!.url)).toBe(200);
  const member = await connectPerson(sandbox.pageUrl, { person: 'member', channel: 'portraits' });
  const seen = (await member.messages()).find((message) => message.id === id);
  expect(seen!.attachments).toEqual(again.attachments);
  member.close();
});

it('one that is sent back names the same file, not what it was signed with', async () => {
  const { id, attachments } = await posted();
  const embeds = [{ image: { url: attachments[0]!.url } }];
  const edited = (await rest.patch(Routes.channelMessage(channelId, id), { body: { embeds } })) as Message;
  expect(edited.embeds[0]!.image).toMatchObject({ url: attachments[0]!.url, width: 60, height: 90 });

  const elsewhere = (await rest.post(Routes.channelMessages(channelId), { body: { embeds } })) as Message;
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 25 * HOUR_MS });
  const later = (await read(elsewhere.id)).embeds[0]!.image!.url;
  expect(later).not.toBe(attachments[0]!.url);
  expect(await status(later)).toBe(200);
});
