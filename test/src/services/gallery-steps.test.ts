/** What the empty gallery page tells a member to do, done as it stands there: bot, courier and web as they run. */
import type { APIMessage } from 'discord.js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectPerson, filesOf, type Person, textOf } from '#infra/local/discord/person.ts';
import { type LocalBot, startLocalBot } from './bot/local-bot.ts';
import { drawAll } from './courier/local.ts';

let local: LocalBot;
let courier: { close(): Promise<void> };
let web: { url: string; close(): Promise<void> };
let db: typeof import('#src/doors/db.ts').db;
const people: Person[] = [];

beforeAll(async () => {
  local = await startLocalBot();
  // Only now: `config` is read when the first of our modules is imported.
  ({ db } = await import('#src/doors/db.ts'));
  courier = await (await import('#src/services/courier/courier.ts')).startCourier();
  web = await (await import('#src/services/web/web.ts')).startWeb({ port: 0 });
});
afterAll(async () => {
  for (const person of people) person.close();
  await web?.close();
  await courier?.close();
  await local?.close();
});

async function as(person: Person['name'], channel: string): Promise<Person> {
  const connected = await connectPerson(local.sandbox.pageUrl, { person, channel });
  people.push(connected);
  return connected;
}
/** Each web process asks for changes now and then. */
const SOON = { timeout: 10_000 };
const gallery = async () => (await fetch(web.url)).text();
const has = (message: APIMessage, customId: string) => JSON.stringify(message.components).includes(customId);
/** Presses it, and gives what the person then reads. */
async function press(person: Person, message: APIMessage, button: string): Promise<string> {
  await person.press(message, button);
  return textOf(await person.waitForReply());
}

it('the steps on the empty page bring a member’s picture there', async () => {
  const steps = [...(await gallery()).matchAll(/<li>([\s\S]*?)<\/li>/g)].map(([, step = '']) => step);
  expect(steps.map((step) => /<(?:code|b)>(.*?)<\//.exec(step)?.[1])).toEqual([
    '/guild production',
    '/imagine',
    'Publish',
  ]);

  const operator = await as('operator', 'portraits');
  const greeting = await operator.waitForMessage((message) => has(message, 'guild.setup'));
  await operator.press(greeting, 'Set up');
  await operator.press(await operator.waitForReply(), 'Use these');
  await operator.waitForEdit(greeting, (message) => !has(message, 'guild.setup'));
  await operator.command('guild production', { mode: 'on' });
  expect(textOf(await operator.waitForReply())).toContain('may be published');

  const member = await as('member', 'portraits');
  await member.command('imagine', { prompt: 'portrait of a ferryman' });
  expect(textOf(await member.waitForReply())).toMatch(/^Accepted/);
  const { id: batchId } = await db.batch.findFirstOrThrow({ where: { ownerId: member.id } });
  await drawAll(batchId);
  const isCard = (message: APIMessage) => textOf(message).includes('ferryman') && has(message, 'publish');
  const card = await member.waitForMessage(isCard);

  const other = await as('other', 'portraits');
  expect(await press(other, card, 'Publish')).toContain('Only the person who asked');
  expect(await press(member, card, 'Publish')).toContain('offered to the gallery');
  await member.waitForEdit(card, (message) =>
    textOf(message).includes('somebody who looks after the gallery presses Publish'),
  );
  expect(await gallery()).not.toContain('/pictures/');

  const moderator = await as('moderator', 'review');
  const request = await moderator.waitForMessage((message) => textOf(message).includes('For the gallery'));
  expect(filesOf(request)).toHaveLength(1);
  expect(await press(moderator, request, 'Publish')).toContain('in the gallery now');
  await moderator.waitForEdit(request, (message) => textOf(message).includes('In the gallery, by'));
  await member.waitForMessage(
    ({ mentions, ...message }) =>
      mentions.some(({ id }) => id === member.id) &&
      textOf({ mentions, ...message } as APIMessage).includes('your picture is in the gallery now'),
  );
  const image = await db.image.findFirstOrThrow({ where: { generation: { batchId } } });
  await expect.poll(gallery, SOON).toContain(`/pictures/${image.id}`);

  await member.command('gallery unpublish');
  expect(textOf(await member.waitForReply())).toContain('is off the gallery page');
  await expect.poll(gallery, SOON).not.toContain('/pictures/');
});

it('a picture that an operator would like there asks its owner', async () => {
  const member = await as('member', 'portraits');
  await member.command('imagine', { prompt: 'portrait of a weaver' });
  await member.waitForReply();
  const { id: batchId } = await db.batch.findFirstOrThrow({
    where: { ownerId: member.id },
    orderBy: { createdAt: 'desc' },
  });
  await drawAll(batchId);
  const isCard = (message: APIMessage) => textOf(message).includes('weaver') && has(message, 'picture.again');
  const card = await member.waitForMessage(isCard);
  const operator = await as('operator', 'portraits');
  expect(await press(operator, card, 'Publish')).toContain('is asked');
  const offer = await member.waitForMessage((message) =>
    textOf(message).includes('unless you press Publish'),
  );
  expect(await press(member, offer, 'Publish')).toContain('in the gallery now');
  const image = await db.image.findFirstOrThrow({ where: { generation: { batchId } } });
  await expect.poll(gallery, SOON).toContain(`/pictures/${image.id}`);
});

it('all of it is as Discord describes its API', () => {
  expect(local.sandbox.violations).toEqual([]);
});
