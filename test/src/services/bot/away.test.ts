/** The bot while Postgres or Redis are away: everybody gets a sentence, and nothing is half done. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { findRedis } from '#infra/local/redis.ts';
import { type Own, type OwnPostgres, ownPostgres, ownRedis } from '#test/support/own.ts';
import type { LocalBot, Typist } from './local-bot.ts';

const redisServer = findRedis(process.env.PATH ?? '');
const AWAY = /^My database does not answer right now\. Try again in a minute/;

let postgres: OwnPostgres;
let redis: Own | null = null;
let local: LocalBot;
let reader: pg.Pool;
beforeAll(async () => {
  postgres = await ownPostgres();
  redis = redisServer ? await ownRedis(redisServer) : null;
  process.env.DATABASE_URL = postgres.url;
  if (redis) process.env.REDIS_URL = redis.url;
  local = await (await import('./local-bot.ts')).startLocalBot();
  reader = new pg.Pool({ connectionString: postgres.url });
  reader.on('error', () => {});
});
afterEach(() => {
  postgres.goOn();
  redis?.goOn();
});
afterAll(async () => {
  await local?.close();
  await reader?.end();
  await redis?.close();
  await postgres?.close();
});

const count = async (table: string) =>
  Number((await reader.query(`SELECT count(*) FROM "${table}"`)).rows[0].count);
const works = (person: Typist) =>
  expect
    .poll(async () => (await person.type('settings').catch(() => ({ content: '' }))).content, {
      timeout: 20_000,
    })
    .toMatch(/Guidance scale/);
/** What people type and press, one after the other, as a person's answers can only be told apart that way. */
async function answers(person: Typist): Promise<string[]> {
  const said: string[] = [];
  const commands: [string, Record<string, string | number>][] = [
    ['imagine', { prompt: 'portrait of a weaver' }],
    ['imagine', { prompt: 'portrait of a weaver', face: 'ada' }],
    ['set', { parameter: 'steps', value: '20' }],
    ['settings', {}],
    ['queue', {}],
    ['faces list', {}],
    ['sweep', { config: '{prompt: portrait, seeds: 3}' }],
  ];
  for (const [command, options] of commands) said.push((await person.type(command, options)).content);
  return said;
}

describe('Postgres', () => {
  it('hangs, and whoever asks for something reads so; nothing was accepted', async () => {
    const me = await local.as('member');
    await works(me);
    const batches = await count('Batch');
    postgres.hang();
    expect(await answers(me)).toEqual(Array(7).fill(expect.stringMatching(AWAY)));
    const all = await Promise.all(
      (['member', 'operator', 'moderator', 'other'] as const).map(async (name) => {
        const person = await local.as(name, 'sweeps', 1);
        return (await person.type('imagine', { prompt: `portrait of ${name}` })).content;
      }),
    );
    expect(all).toEqual(Array(4).fill(expect.stringMatching(AWAY)));
    postgres.goOn();
    await works(me);
    expect(await count('Batch')).toBe(batches);
    expect((await me.type('imagine', { prompt: 'portrait of a weaver' })).content).toMatch(/^Accepted/);
  });

  it.each(['fast', 'immediate'] as const)('stops (%s), and it is the same', async (how) => {
    const me = await local.as('member');
    await postgres.stop(how);
    expect(await answers(me)).toEqual(Array(7).fill(expect.stringMatching(AWAY)));
    await postgres.start();
    await works(me);
  });

  it('offers nothing to complete a word with while it hangs', async () => {
    const me = await local.as('member');
    await works(me);
    postgres.hang();
    expect(await me.suggest('imagine', { prompt: 'x', face: 'a' }, 'face')).toEqual([]);
  });

  it('opens no form while it hangs: a sentence comes in its place', async () => {
    const me = await local.as('member');
    await works(me);
    const card = await me.type('sweep', { config: '{prompt: portrait, seeds: 3}' });
    postgres.hang();
    expect((await me.press(card, 'v1:plan.edit')).content).toMatch(AWAY);
  });
});

describe.skipIf(!redisServer)('Redis', () => {
  it.each(['stops', 'hangs'] as const)('%s, and pictures are accepted all the same', async (how) => {
    const me = await local.as('member');
    await works(me);
    const batches = await count('Batch');
    if (how === 'stops') await redis?.stop();
    else redis?.hang();
    for (let i = 1; i <= 3; i++) {
      expect((await me.type('imagine', { prompt: 'portrait of a diver' })).content).toMatch(/^Accepted/);
      expect(await count('Batch')).toBe(batches + i);
    }
    if (how === 'stops') await redis?.start();
  });
});
