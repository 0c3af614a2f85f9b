/** What one person can put on a shard: everybody else is answered meanwhile. How long each holds it is for `npm run bench -- loop`. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loads } from './loads.ts';
import { type LocalBot, startLocalBot, type Typist } from './local-bot.ts';

let local: LocalBot;
let people: Typist[];
let other: Typist;

beforeAll(async () => {
  local = await startLocalBot();
  const names = ['member', 'operator', 'moderator'] as const;
  people = await Promise.all(names.map((name) => local.as(name)));
  other = await local.as('other');
});
afterAll(() => local?.close());

it.each(loads)('others are answered beside $what', async ({ prepare, says }) => {
  const put = await prepare(people);
  const answers = put();
  expect((await other.type('settings')).content).toMatch(/Guidance scale/);
  const said = (await answers).map(({ content }) => content);
  expect(said.join('\n')).toMatch(says);
});
