/** Queues and workers while what they run on is away: stopped, or hanging. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, type TestContext, vi } from 'vitest';
import { findRedis } from '#infra/local/redis.ts';
import { connectQueues, type Queues } from '#src/doors/queue.ts';
import { type Own, type OwnPostgres, ownPostgres, ownRedis } from '#test/support/own.ts';

const WAIT = { timeout: 20_000, interval: 50 };
const redisServer = findRedis(process.env.PATH ?? '');
const backends = ['postgres', ...(redisServer ? (['redis'] as const) : [])] as const;

const connect = (backend: (typeof backends)[number], { url }: Own): Queues =>
  connectQueues({ databaseUrl: url, redisUrl: backend === 'redis' ? url : undefined });

/** Servers that no test has now. A Redis is made for each; of Postgres, which takes seconds, there are a few. */
const POSTGRESES = 2;
const free: Promise<OwnPostgres>[] = [];
const all: Promise<Own>[] = [];
const waiting: ((own: Promise<OwnPostgres>) => void)[] = [];
beforeAll(async () => {
  for (let n = 0; n < POSTGRESES; n++) free.push(ownPostgres());
  all.push(...free);
  await Promise.all(all);
});
afterAll(async () => {
  for (const own of await Promise.all(all)) await own.close();
});

/** One that is the test's alone until it ends, and queues on it. */
async function take(
  backend: (typeof backends)[number],
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
): Promise<{ own: Own; open(): Queues; close(): Promise<void> }> {
  const server =
    backend === 'redis'
      ? ownRedis(redisServer ?? '')
      : (free.pop() ?? new Promise<OwnPostgres>((got) => waiting.push((own) => got(own))));
  if (backend === 'redis') all.push(server);
  const own = await server;
  const opened: Queues[] = [];
  const close = async () => {
    await Promise.all(opened.splice(0).map((queues) => queues.close()));
  };
  onTestFinished(async () => {
    own.goOn();
    await close();
    if (backend === 'redis') return;
    const next = waiting.shift();
    if (next) next(server as Promise<OwnPostgres>);
    else free.push(server as Promise<OwnPostgres>);
  });
  return {
    own,
    close,
    open() {
      const queues = connect(backend, own);
      opened.push(queues);
      return queues;
    },
  };
}

describe.concurrent.each(backends)('a queue on %s that is away', (backend) => {
  const add = (queues: Queues, bundle: string) => {
    const id = randomUUID();
    return queues.add('generation', { generationId: id }, { id, bundle }).then(() => id);
  };
  /** A worker, and the ids that it has seen. */
  const work = (queues: Queues, bundle: string) => {
    const seen: string[] = [];
    queues.work('generation', async ({ generationId }) => void seen.push(generationId), { bundle });
    return seen;
  };
  /** Adds one until that works, and waits until it was seen. */
  async function works(queues: Queues, bundle: string, seen: readonly string[]): Promise<void> {
    const id = await vi.waitFor(() => add(queues, bundle), WAIT);
    await vi.waitFor(() => expect(seen).toContain(id), WAIT);
  }

  it('says so to whoever asks, and works when it is back, also what was first used meanwhile', async (context) => {
    const { own, open } = await take(backend, context);
    await own.stop();
    const queues = open();
    const bundle = `b-${randomUUID().slice(0, 8)}`;
    const seen = work(queues, bundle);
    await expect(add(queues, bundle)).rejects.toThrow();
    await expect(queues.ids('generation', bundle)).rejects.toThrow();
    await own.start();
    await works(queues, bundle, seen);
  });

  it.for(['stops', 'hangs'] as const)('goes on when it is back after it %s', async (how, context) => {
    const { own, open } = await take(backend, context);
    const queues = open();
    const bundle = `b-${randomUUID().slice(0, 8)}`;
    const seen = work(queues, bundle);
    await works(queues, bundle, seen);
    if (how === 'stops') await own.stop();
    else own.hang();
    await expect(add(queues, bundle)).rejects.toThrow();
    if (how === 'stops') await own.start();
    else own.goOn();
    await works(queues, bundle, seen);
  });

  it('lets nobody wait who has something to be added soon', async (context) => {
    const { own, open } = await take(backend, context);
    const queues = open();
    await own.stop();
    queues.addSoon('idea', { ideaId: randomUUID() });
    await sleep(4_000); // its failing harms nobody
    await own.start();
    const ideaId = randomUUID();
    await vi.waitFor(() => queues.add('idea', { ideaId }, { id: ideaId }), WAIT);
    queues.addSoon('idea', { ideaId });
    await vi.waitFor(async () => expect(await queues.ids('idea')).toContain(ideaId), WAIT);
  });

  it('wakes again after it could not', async (context) => {
    const { own, open } = await take(backend, context);
    const queues = open();
    const wake = (id: string) => queues.wake('idea', { ideaId: randomUUID() }, { id });
    await own.stop();
    for (const id of ['a', 'b', 'c']) wake(id);
    await sleep(4_000);
    await own.start();
    await vi.waitFor(async () => {
      wake('woken');
      expect(await queues.ids('idea')).toContain('woken');
    }, WAIT);
  });

  it.for(['stops', 'hangs'] as const)('lets everything close when it %s', async (how, context) => {
    const { own, open, close } = await take(backend, context);
    const queues = open();
    const bundle = `b-${randomUUID().slice(0, 8)}`;
    await works(queues, bundle, work(queues, bundle));
    const other = queues.work('idea', async () => {});
    if (how === 'stops') await own.stop();
    else own.hang();
    await other.close();
    await close();
    if (how === 'stops') await own.start();
  });
});

describe('Postgres, of a queue', () => {
  it('may stop at once while the queue takes its first look', async (context) => {
    const { own, open } = await take('postgres', context);
    const queues = open();
    const holder = new pg.Client({ connectionString: own.url });
    holder.on('error', () => {});
    await holder.connect();
    await holder.query('BEGIN; LOCK TABLE bullmq.migration IN ACCESS EXCLUSIVE MODE');
    const asked = expect(queues.ids('idea')).rejects.toThrow();
    await sleep(300); // it waits for that table now
    await (own as OwnPostgres).stop('immediate');
    await asked;
    await own.start();
    await vi.waitFor(() => queues.ids('idea'), WAIT);
  });

  it('is asked now and then while it is away, not in a loop', async (context) => {
    const { own, open } = await take('postgres', context);
    const queues = open();
    const seen: string[] = [];
    queues.work('idea', async ({ ideaId }) => void seen.push(ideaId));
    const connect = vi.spyOn(pg.Client.prototype, 'connect');
    await own.stop();
    await sleep(3_000);
    expect(connect.mock.calls.length).toBeGreaterThan(0);
    expect(connect.mock.calls.length).toBeLessThan(40);
    connect.mockRestore();
    await own.start();
    const ideaId = randomUUID();
    await vi.waitFor(() => queues.add('idea', { ideaId }, { id: ideaId }), WAIT);
    await vi.waitFor(() => expect(seen).toContain(ideaId), WAIT);
  });

  it('may refuse what is asked for a while, which makes no loop either', async (context) => {
    const { own, open } = await take('postgres', context);
    const queues = open();
    queues.work('idea', async () => {});
    const admin = new pg.Client({ connectionString: own.url });
    await admin.connect();
    await vi.waitFor(async () => expect(await queues.ids('idea')).toEqual(new Set()), WAIT);
    const query = vi.spyOn(pg.Client.prototype, 'query');
    await admin.query('ALTER SCHEMA bullmq RENAME TO elsewhere');
    query.mockClear();
    await sleep(3_000);
    expect(query.mock.calls.length).toBeLessThan(80);
    query.mockRestore();
    await admin.query('ALTER SCHEMA elsewhere RENAME TO bullmq');
    await admin.end();
  });
});
