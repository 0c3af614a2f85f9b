/** `allowed_mentions`: what it may say, and whom a message then names. */
import { REST, Routes } from 'discord.js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Faults } from '#infra/local/discord/discord-error.ts';
import { Fields } from '#infra/local/discord/fields.ts';
import { readAllowedMentions } from '#infra/local/discord/mentions.ts';
import { connectPerson } from '#infra/local/discord/person.ts';
import type { Sandbox } from '#infra/local/discord/sandbox.ts';
import { PEOPLE } from '#infra/local/discord/world.ts';
import { APPLICATION_ID, startJudged, TOKEN } from './bot.ts';

interface Message {
  id: string;
  mentions: { id: string }[];
  mention_roles: string[];
  mention_everyone: boolean;
}

let sandbox: Sandbox;
let rest: REST;
let channelId: string;
let moderators: string;
const [member, operator] = [PEOPLE.member.id, PEOPLE.operator.id];

beforeAll(async () => {
  sandbox = await startJudged();
  rest = new REST({ api: sandbox.apiUrl }).setToken(TOKEN);
  channelId = [...sandbox.state.channels.values()].find(({ name }) => name === 'portraits')!.id;
  moderators = sandbox.state.world.guilds[0].roles.find(({ name }) => name === 'Moderators')!.id;
});

afterAll(() => sandbox.close());

const send = (allowed_mentions?: object, extra: object = {}) =>
  rest.post(Routes.channelMessages(channelId), {
    body: { content: `<@${member}> <@${operator}> <@&${moderators}> @everyone`, allowed_mentions, ...extra },
  }) as Promise<Message>;
const named = async (allowed?: object) => {
  const { mentions, mention_roles } = await send(allowed);
  return [...mentions.map(({ id }) => id), ...mention_roles];
};

it('names whom it allows: all, kinds, or some of a kind', async () => {
  expect(await named()).toEqual([member, operator, moderators]);
  expect(await named({ parse: [] })).toEqual([]);
  expect(await named({ parse: ['roles'] })).toEqual([moderators]);
  expect(await named({ parse: ['roles'], users: [operator] })).toEqual([operator, moderators]);
  expect(await named({ parse: ['users'], users: [] })).toEqual([member, operator]);
});

it('an answer to an interaction names only people, unless it says more', () => {
  const allowed = (body: object) =>
    readAllowedMentions(new Fields(new Faults()), [], { ...body }, true).parse;
  expect(allowed({})).toEqual(['users']);
  expect(allowed({ allowed_mentions: { parse: ['roles'] } })).toEqual(['roles']);
});

it('@everyone is named only by who may name everyone', async () => {
  expect((await send()).mention_everyone).toBe(false);
  const allowed = { type: 1, allow: String(1 << 17), deny: '0' };
  await rest.put(Routes.channelPermission(channelId, APPLICATION_ID), { body: allowed });
  expect((await send()).mention_everyone).toBe(true);
  expect((await send({ parse: ['users'] })).mention_everyone).toBe(false);
  await rest.delete(Routes.channelPermission(channelId, APPLICATION_ID));
});

it('a reply names whom it answers, unless that is not allowed', async () => {
  const other = await connectPerson(sandbox.pageUrl, { person: 'other', channel: 'portraits' });
  const said = await other.say('Hello');
  const reply = (allowed?: object) =>
    send(allowed, { content: 'x', message_reference: { message_id: said.id } });
  expect((await reply()).mentions.map(({ id }) => id)).toEqual([PEOPLE.other.id]);
  expect((await reply({ parse: [] })).mentions).toEqual([]);
  expect((await reply({ parse: [], replied_user: true })).mentions).toHaveLength(1);
  other.close();
});

it.each([
  [
    'people as a kind and one by one',
    { parse: ['users'], users: ['1'] },
    'MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE',
  ],
  [
    'roles as a kind and one by one',
    { parse: ['roles'], roles: ['1'] },
    'MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE',
  ],
  ['a kind that is none', { parse: ['here'] }, 'BASE_TYPE_CHOICES'],
  ['101 people', { users: Array.from({ length: 101 }, (_, i) => String(i)) }, 'BASE_TYPE_BAD_LENGTH'],
])('%s are refused, of new messages and of edits', async (_, allowed, code) => {
  const refused = { code: 50035, message: expect.stringContaining(code) };
  await expect(send(allowed)).rejects.toMatchObject(refused);
  const { id } = await send();
  const edit = rest.patch(Routes.channelMessage(channelId, id), {
    body: { content: 'x', allowed_mentions: allowed },
  });
  await expect(edit).rejects.toMatchObject(refused);
});
