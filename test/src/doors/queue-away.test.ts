/** Queues and workers while what they run on is away: stopped, or hanging. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { findRedis } from '#infra/local/redis.ts';
import { connectQueues, type Queues } from '#src/doors/queue.ts';
import { type Own, type OwnPostgres, ownPostgres, ownRedis } from '#test/support/own.ts';

const WAIT = { timeout: 20_000, interval: 50 };
const redisServer = findRedis(process.env.PATH ?? '');
const backends = ['postgres', ...(redisServer ? (['redis'] as const) : [])] as const;

const opened: Queues[] = [];
const open = (backend: (typeof backends)[number], { url }: Own): Queues => {
  const queues = connectQueues({ databaseUrl: url, redisUrl: backend === 'redis' ? url : undefined });
  opened.push(queues);
  return queues;
};

describe.each(backends)('a queue on %s that is away', (backend) => {
  let own: Own;
  beforeAll(async () => {
    own = backend === 'redis' ? await ownRedis(redisServer ?? '') : await ownPostgres();
  });
  afterEach(async () => {
    own.goOn();
    await Promise.all(opened.splice(0).map((queues) => queues.close()));
  });
  afterAll(() => own.close());

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

  it('says so to whoever asks, and works when it is back, also what was first used meanwhile', async () => {
    await own.stop();
    const queues = open(backend, own);
    const bundle = `b-${randomUUID().slice(0, 8)}`;
    const seen = work(queues, bundle);
    await expect(add(queues, bundle)).rejects.toThrow();
    await expect(queues.ids('generation', bundle)).rejects.toThrow();
    await own.start();
    await works(queues, bundle, seen);
  });

  it.each(['stops', 'hangs'] as const)('goes on when it is back after it %s', async (how) => {
    const queues = open(backend, own);
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

  it('lets nobody wait who has something to be added soon', async () => {
    const queues = open(backend, own);
    await own.stop();
    queues.addSoon('idea', { ideaId: randomUUID() });
    await sleep(4_000); // its failing harms nobody
    await own.start();
    const ideaId = randomUUID();
    await vi.waitFor(() => queues.add('idea', { ideaId }, { id: ideaId }), WAIT);
    queues.addSoon('idea', { ideaId });
    await expect.poll(() => queues.ids('idea')).toContain(ideaId);
  });

  it('wakes again after it could not', async () => {
    const queues = open(backend, own);
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

  it.each(['stops', 'hangs'] as const)('lets everything close when it %s', async (how) => {
    const queues = open(backend, own);
    const bundle = `b-${randomUUID().slice(0, 8)}`;
    await works(queues, bundle, work(queues, bundle));
    const other = queues.work('idea', async () => {});
    if (how === 'stops') await own.stop();
    else own.hang();
    await other.close();
    await opened.pop()?.close();
    if (how === 'stops') await own.start();
  });
});

describe('Postgres, of a queue', () => {
  let own: OwnPostgres;
  beforeAll(async () => {
    own = await ownPostgres();
  });
  afterAll(async () => {
    await Promise.all(opened.splice(0).map((queues) => queues.close()));
    await own.close();
  });

  it('may stop at once while the queue takes its first look', async () => {
    const queues = open('postgres', own);
    const holder = new pg.Client({ connectionString: own.url });
    holder.on('error', () => {});
    await holder.connect();
    await holder.query('BEGIN; LOCK TABLE bullmq.migration IN ACCESS EXCLUSIVE MODE');
    const asked = expect(queues.ids('idea')).rejects.toThrow();
    await sleep(300); // it waits for that table now
    await own.stop('immediate');
    await asked;
    await own.start();
    await vi.waitFor(async () => expect(await queues.ids('idea')).toEqual(new Set()), WAIT);
  });

  it('is asked now and then while it is away, not in a loop', async () => {
    const queues = open('postgres', own);
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

  it('may refuse what is asked for a while, which makes no loop either', async () => {
    const queues = open('postgres', own);
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
