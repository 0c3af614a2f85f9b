/** Pools of connections, on a Postgres that stops and hangs. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { isAway, openPool, openQueuePool } from '#src/doors/postgres.ts';
import { type OwnPostgres, ownPostgres } from '#test/support/own.ts';

let postgres: OwnPostgres;
beforeAll(async () => {
  postgres = await ownPostgres();
  process.env.DATABASE_URL = postgres.url; // of the modules that are imported below
});
const pools: pg.Pool[] = [];
afterEach(async () => {
  vi.useRealTimers();
  postgres.goOn();
  await Promise.all(pools.splice(0).map((pool) => pool.end()));
});
afterAll(() => postgres.close());

function pool(open = openPool, max = 2): pg.Pool {
  const opened = open(postgres.url, max);
  pools.push(opened);
  return opened;
}
/** What became of each: null, or its error. */
const fates = async (asked: readonly Promise<unknown>[]) =>
  (await Promise.allSettled(asked)).map((one) => (one.status === 'fulfilled' ? null : one.reason));
const asked = (from: pg.Pool, times: number) => Array.from({ length: times }, () => from.query('SELECT 1'));

describe('a Postgres that hangs', () => {
  it('lets nobody wait for it: neither for an answer nor for a connection', async () => {
    const from = pool();
    const client = await from.connect();
    await from.query('SELECT 1');
    postgres.hang();
    const inTransaction = client.query('BEGIN');
    const all = await fates([inTransaction, ...asked(from, 20)]);
    client.release();
    expect(all.map(isAway)).toEqual(all.map(() => true));
    // … nor, for a while, even for as long as it takes to find out.
    expect((await fates(asked(from, 1))).map(isAway)).toEqual([true]);

    postgres.goOn();
    await expect.poll(() => fates(asked(from, 20)), { timeout: 10_000 }).toEqual(Array(20).fill(null));
  });

  it('is told from one that has much to do', async () => {
    const from = pool();
    const long = Array.from({ length: 3 }, () => from.query('SELECT pg_sleep(3)'));
    expect(await fates(long)).toEqual([null, null, null]);
  });

  it('is not taken for one when it is us who were too busy to hear', async () => {
    const from = pool();
    const long = from.query('SELECT pg_sleep(6)');
    for (const end = Date.now() + 5_500; Date.now() < end; ) {
      // as when the whole process is suspended now and then
      for (const next = Date.now() + 1_500; Date.now() < next; );
      await new Promise(setImmediate);
    }
    expect(await fates([long])).toEqual([null]);
  });

  it('ends what a queue asks', async () => {
    const from = pool(openQueuePool);
    await from.query('SELECT 1');
    postgres.hang();
    expect((await fates(asked(from, 3))).map(isAway)).toEqual([true, true, true]);
  });
});

describe('a pool', () => {
  it('opens further connections for those alone who have waited, up to the most', async () => {
    // Its clock is ours: to open one may take long where much else is done.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const from = pool(openPool, 4);
    expect(await fates(asked(from, 10))).toEqual(Array(10).fill(null));
    expect(from.totalCount).toBe(2);

    const held = [await from.connect(), await from.connect()];
    const five = fates(asked(from, 5));
    vi.advanceTimersByTime(24);
    expect([from.totalCount, from.options.max]).toEqual([2, 2]);
    vi.advanceTimersByTime(1);
    expect(await five).toEqual(Array(5).fill(null));
    expect(from.totalCount).toBe(3);

    const long = fates(asked(from, 4));
    vi.advanceTimersByTime(1_000);
    expect(await long).toEqual(Array(4).fill(null));
    expect([from.totalCount, from.options.max]).toEqual([4, 4]);
    for (const client of held) client.release();
  });

  it('opens as few again once what was open is gone', async () => {
    const from = pool(openPool, 4);
    await fates(Array.from({ length: 8 }, () => from.query('SELECT pg_sleep(0.3)')));
    expect(from.totalCount).toBe(4);
    let gone = 0;
    from.on('remove', () => gone++);
    const all = await Promise.all(Array.from({ length: from.totalCount }, () => from.connect()));
    for (const client of all) client.release(true);
    await expect.poll(() => gone).toBe(4);
    expect(await fates(asked(from, 2))).toEqual([null, null]);
    expect([from.totalCount, from.options.max]).toEqual([2, 2]);
  });
});

describe.each(['fast', 'immediate'] as const)('a Postgres that stops (%s)', (how) => {
  it.each([
    ['Prisma’s', openPool],
    ['a queue’s', openQueuePool],
  ])('fails what is asked on %s connections, and ends no process', async (_, open) => {
    const from = pool(open);
    const [held, busy] = [await from.connect(), await from.connect()];
    const long = busy.query('SELECT pg_sleep(60)');
    const failed = expect(long).rejects.toSatisfy(isAway);
    await sleep(200);
    await postgres.stop(how);
    await failed;
    busy.release(true);
    held.release(true);
    expect((await fates(asked(from, 1))).map(isAway)).toEqual([true]);
    await postgres.start();
    await expect.poll(() => fates(asked(from, 1)), { timeout: 10_000 }).toEqual([null]);
  });
});

describe('a transaction', () => {
  it('that is idle holds nobody up for long: who waits for its lock is told, and it is ended', async () => {
    const from = pool();
    const holder = await from.connect();
    await holder.query('BEGIN; LOCK TABLE "User" IN ACCESS EXCLUSIVE MODE');
    const refused = await from.query('SELECT count(*) FROM "User"').catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: '55P03' });
    expect(isAway(refused)).toBe(true);
    await expect
      .poll(() => fates([from.query('SELECT count(*) FROM "User"')]), { timeout: 20_000 })
      .toEqual([null]);
    expect(isAway(await holder.query('COMMIT').catch((error: unknown) => error))).toBe(true);
    holder.release(true);
  });
});

describe('what Prisma says of it', () => {
  /** each way to ask */
  const ways = async () => {
    const { db } = await import('#src/doors/db.ts');
    return [
      () => db.user.count(),
      () => db.$queryRaw`SELECT 1`,
      () => db.$transaction(async (tx) => tx.user.count()),
      () => db.$transaction([db.user.count(), db.batch.count()]),
    ];
  };
  const all = async () => fates((await ways()).map((ask) => ask()));
  afterAll(async () => (await import('#src/doors/db.ts')).closeDb());

  it('when it hangs', async () => {
    expect(await all()).toEqual([null, null, null, null]);
    postgres.hang();
    expect((await all()).map(isAway)).toEqual([true, true, true, true]);
    postgres.goOn();
    await expect.poll(all, { timeout: 10_000 }).toEqual([null, null, null, null]);
  });

  it('when it hangs in the middle of a transaction', async () => {
    const { db } = await import('#src/doors/db.ts');
    const failed = await db
      .$transaction(async (tx) => {
        await tx.user.count();
        postgres.hang();
        await tx.user.count();
      })
      .catch((error: unknown) => error);
    expect(isAway(failed)).toBe(true);
  });

  it.each(['fast', 'immediate'] as const)('when it stops (%s)', async (how) => {
    await expect.poll(all, { timeout: 10_000 }).toEqual([null, null, null, null]);
    const { db } = await import('#src/doors/db.ts');
    const long = fates([
      db.$queryRaw`SELECT pg_sleep(60)`,
      db.$transaction((tx) => tx.$queryRaw`SELECT pg_sleep(60)`),
    ]);
    await sleep(500);
    await postgres.stop(how);
    expect((await long).map(isAway)).toEqual([true, true]);
    expect((await all()).map(isAway)).toEqual([true, true, true, true]);
    await postgres.start();
    await expect.poll(all, { timeout: 10_000 }).toEqual([null, null, null, null]);
  });
});

it('a fault of ours is none of Postgres’s', () => {
  expect([new Error('no such row'), new TypeError('x'), 'a string', undefined].map(isAway)).toEqual([
    false,
    false,
    false,
    false,
  ]);
});
