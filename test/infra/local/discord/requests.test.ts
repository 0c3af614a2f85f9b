/** The way in to REST, spoken to with bare requests: paths, methods, versions, types and numbers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sandbox } from '#infra/local/discord/sandbox.ts';
import { PEOPLE } from '#infra/local/discord/world.ts';
import { startJudged, TOKEN } from './bot.ts';

let sandbox: Sandbox;
let channelId: string;

beforeAll(async () => {
  sandbox = await startJudged();
  channelId = [...sandbox.state.channels.values()].find(({ name }) => name === 'portraits')!.id;
});

afterAll(() => sandbox.close());

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

async function ask(method: string, path: string, body?: string, type = 'application/json'): Promise<Answer> {
  const response = await fetch(`${sandbox.apiUrl}${path}`, {
    method,
    headers: { authorization: `Bot ${TOKEN}`, ...(body !== undefined && { 'content-type': type }) },
    ...(body !== undefined && { body: new TextEncoder().encode(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text ? (JSON.parse(text) as Record<string, unknown>) : {} };
}

describe('a request', () => {
  it('to a path that Discord has, by a method that it has not there, finds 405', async () => {
    expect(await ask('PUT', `/v10/channels/${channelId}/messages`)).toMatchObject({
      status: 405,
      body: { code: 0, message: '405: Method Not Allowed' },
    });
    expect((await ask('POST', '/v10/users/@me')).status).toBe(405);
    expect((await ask('GET', '/v10/nowhere')).status).toBe(404);
    // Discord has this, the local one has not: nobody shall think that it is forbidden.
    expect((await ask('GET', `/v10/channels/${channelId}/invites`)).status).toBe(404);
  });

  it.each(['/v5', '/v11'])('of version %s, which is no more or not yet, is refused', async (version) => {
    expect(await ask('GET', `${version}/users/@me`)).toMatchObject({ status: 400, body: { code: 50041 } });
  });

  it('with something else than an id in its path is refused', async () => {
    const { status, body } = await ask('GET', '/v10/channels/portraits');
    expect({ status, body }).toMatchObject({
      status: 400,
      body: {
        code: 50035,
        errors: {
          channel_id: {
            _errors: [{ code: 'NUMBER_TYPE_COERCE', message: 'Value "portraits" is not snowflake.' }],
          },
        },
      },
    });
    expect((await ask('GET', '/v10/channels/%E0%A4%A')).status).toBe(400);
  });

  it('whose body is of another type than its form is refused', async () => {
    const path = `/v10/channels/${channelId}/messages`;
    expect(await ask('POST', path, '{"content":"x"}', 'text/plain')).toMatchObject({
      status: 400,
      body: { code: 50035, errors: { _errors: [{ code: 'CONTENT_TYPE_INVALID' }] } },
    });
    expect(await ask('POST', path, '{"content"')).toMatchObject({ status: 400, body: { code: 50109 } });
  });
});

describe('ids in a body', () => {
  it('may be numbers, however large', async () => {
    const { body: direct } = await ask(
      'POST',
      '/v10/users/@me/channels',
      `{"recipient_id": ${PEOPLE.member.id}}`,
    );
    const first = await ask('POST', `/v10/channels/${String(direct.id)}/messages`, '{"content":"Hello"}');
    const reply = `{"content":"again","message_reference":{"message_id":${String(first.body.id)}}}`;
    const second = await ask('POST', `/v10/channels/${String(direct.id)}/messages`, reply);
    expect(second.body).toMatchObject({ message_reference: { message_id: first.body.id } });

    const mentions = `{"content":"<@${PEOPLE.member.id}>","allowed_mentions":{"users":[${PEOPLE.member.id}]}}`;
    const named = await ask('POST', `/v10/channels/${channelId}/messages`, mentions);
    expect(named.body.mentions).toMatchObject([{ id: PEOPLE.member.id }]);
    const small = `{"content":"x","allowed_mentions":{"users":[7]}}`;
    expect((await ask('POST', `/v10/channels/${channelId}/messages`, small)).status).toBe(200);
    const faults = sandbox.violations.filter(({ route }) => route.startsWith('POST /channels'));
    expect(faults).toEqual([]);
  });
});
