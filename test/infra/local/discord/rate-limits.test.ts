/** Rate limits by the clock that the test sets; and that one is met over REST, and waited for. */
import { REST, Routes } from 'discord.js';
import { expect, it } from 'vitest';
import { RateLimits } from '#infra/local/discord/rate-limits.ts';
import { startSandbox } from '#infra/local/discord/sandbox.ts';
import { snowflake } from '#infra/local/discord/snowflake.ts';
import { APPLICATION_ID, TOKEN } from './bot.ts';

const MESSAGES = '/channels/{channel_id}/messages';
const MESSAGE = `${MESSAGES}/{message_id}`;
const HOOK = '/webhooks/{webhook_id}/{webhook_token}';
const NOW = Date.UTC(2026, 0, 1);

/** `remaining`, or the seconds to wait, of each of so many requests. */
function taken(
  limits: RateLimits,
  times: number,
  route: string,
  params: Record<string, string>,
  nowMs = NOW,
) {
  return Array.from({ length: times }, () => {
    const { headers, retryAfterS } = limits.take(route, params, nowMs);
    return retryAfterS === null ? Number(headers['x-ratelimit-remaining']) : `wait ${retryAfterS}`;
  });
}

it('a channel takes five messages in five seconds, and another channel its own five', () => {
  const limits = new RateLimits();
  expect(taken(limits, 6, `POST ${MESSAGES}`, { channel_id: '1' })).toEqual([4, 3, 2, 1, 0, 'wait 5']);
  expect(taken(limits, 1, `POST ${MESSAGES}`, { channel_id: '2' })).toEqual([4]);
  expect(taken(limits, 1, `POST ${MESSAGES}`, { channel_id: '1' }, NOW + 2_000)).toEqual(['wait 3']);
  expect(taken(limits, 1, `POST ${MESSAGES}`, { channel_id: '1' }, NOW + 5_000)).toEqual([4]);
});

it('new messages and edits have one bucket, and are counted apart', () => {
  const limits = new RateLimits();
  const post = limits.take(`POST ${MESSAGES}`, { channel_id: '1' }, NOW).headers;
  const edit = limits.take(`PATCH ${MESSAGE}`, { channel_id: '1', message_id: '5' }, NOW).headers;
  expect(edit['x-ratelimit-bucket']).toBe(post['x-ratelimit-bucket']);
  expect(edit['x-ratelimit-remaining']).toBe('4');
});

it('old messages are deleted at another pace than new ones', () => {
  const limits = new RateLimits();
  // Ids only ever rise: the oldest is made first.
  const [ancient, old, fresh] = [20 * 86_400, 60, 1].map((ageS) => ({
    channel_id: '1',
    message_id: snowflake(NOW - ageS * 1000),
  }));
  expect(taken(limits, 6, `DELETE ${MESSAGE}`, fresh!).at(-1)).toBe('wait 1');
  expect(taken(limits, 3, `DELETE ${MESSAGE}`, old!)).toEqual([2, 1, 0]);
  expect(taken(limits, 1, `DELETE ${MESSAGE}`, ancient!)).toEqual([29]);
});

it('an interaction’s token has five requests in two seconds, of whatever kind, and no global limit', () => {
  const limits = new RateLimits();
  const params = { webhook_id: '1', webhook_token: 'a' };
  expect(taken(limits, 3, `POST ${HOOK}`, params)).toEqual([4, 3, 2]);
  expect(taken(limits, 3, `PATCH ${HOOK}/messages/@original`, params)).toEqual([1, 0, 'wait 2']);
  for (let i = 0; i < 60; i++) limits.take(`POST ${HOOK}`, { webhook_token: String(i) }, NOW);
  expect(limits.take('GET /users/@me', {}, NOW).global).toBe(false);
});

it('a bot has fifty requests a second; the first answers to interactions are not among them', () => {
  const limits = new RateLimits();
  for (let i = 0; i < 60; i++) {
    const callback = 'POST /interactions/{interaction_id}/{interaction_token}/callback';
    expect(limits.take(callback, {}, NOW)).toEqual({ headers: {}, retryAfterS: null, global: false });
  }
  for (let i = 0; i < 50; i++) limits.take(`GET /guilds/{guild_id}`, { guild_id: String(i) }, NOW);
  expect(limits.take(`GET /guilds/{guild_id}`, { guild_id: '99' }, NOW + 400)).toEqual({
    headers: {},
    retryAfterS: 0.6,
    global: true,
  });
});

it('one request too many is told what to wait, and a library that waits gets through', async () => {
  const sandbox = await startSandbox({ token: TOKEN, applicationId: APPLICATION_ID });
  const channelId = [...sandbox.state.channels.values()].find(({ name }) => name === 'portraits')!.id;
  const headers = { authorization: `Bot ${TOKEN}`, 'content-type': 'application/json' };
  const url = `${sandbox.apiUrl}/v10/channels/${channelId}/messages`;
  const answers: Response[] = [];
  for (let i = 0; i < 6; i++) {
    answers.push(await fetch(url, { method: 'POST', headers, body: '{"content":"x"}' }));
  }
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 429]);
  const limited = answers[5]!;
  expect(await limited.json()).toMatchObject({ global: false, retry_after: expect.any(Number) });
  expect(limited.headers.get('x-ratelimit-scope')).toBe('user');
  expect(limited.headers.get('x-ratelimit-remaining')).toBe('0');

  const rest = new REST({ api: sandbox.apiUrl }).setToken(TOKEN);
  const limits: unknown[] = [];
  rest.on('rateLimited', (info) => limits.push(info));
  await rest.post(Routes.channelMessages(channelId), { body: { content: 'after a wait' } });
  expect(limits).not.toEqual([]);
  await sandbox.close();
});
