/** The queue's door, on both of BullMQ's backends. What it promises, its callers build on. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createPostgresBackend, Queue, withBackend } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { config } from '#config/env.ts';
import { freePort } from '#infra/local/free-port.ts';
import { findRedis, startRedis } from '#infra/local/redis.ts';
import {
  connectQueues,
  type JobContext,
  type Queues,
  type QueueWorker,
  reachQueues,
} from '#src/doors/queue.ts';
import { queueBackends } from '#test/support/queue-backends.ts';

const WAIT = { timeout: 20_000, interval: 25 };
/** Something to wait for, and to let go on. */
function gate() {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  return { opened, open };
}

describe.each(queueBackends)('a queue on $name', ({ name, options }) => {
  let queues: Queues;
  /** of the test that runs: ids of jobs are its own, so what another left is told apart */
  let bundle: string;
  const workers: QueueWorker[] = [];
  beforeAll(() => {
    queues = connectQueues(options);
  });
  beforeEach(() => {
    bundle = `b-${randomUUID().slice(0, 8)}`;
  });
  afterAll(async () => {
    await Promise.all(workers.map((worker) => worker.close(true)));
    await queues.close();
  });

  const add = (id: string = randomUUID(), how: { delayMs?: number; attempts?: number } = {}) =>
    queues.add('generation', { generationId: id }, { id, bundle, ...how });
  const ids = async () => [...(await queues.ids('generation', bundle))].sort();
  const work = (
    handle: (generationId: string, context: JobContext) => Promise<void>,
    how: { lockMs?: number; concurrency?: number } = {},
  ) => {
    const worker = queues.work('generation', ({ generationId }, context) => handle(generationId, context), {
      bundle,
      ...how,
    });
    workers.push(worker);
    return worker;
  };
  const emptied = () => vi.waitFor(async () => expect(await ids()).toEqual([]), WAIT);

  /** BullMQ itself, past the door: as a program of another version would write. */
  async function raw<T>(use: (queue: Pick<Queue, 'add' | 'getJob'>) => Promise<T>): Promise<T> {
    const title = `generation.${bundle}`;
    if (name === 'postgres') {
      const connection = { connectionString: options.databaseUrl!, max: 1, skipMigrations: true };
      const queue = new (withBackend(createPostgresBackend).Queue)(title, { connection });
      return use(queue as unknown as Queue).finally(() => queue.close());
    }
    const connection = new Redis(options.redisUrl!, { maxRetriesPerRequest: null });
    const queue = new Queue(title, { connection });
    return use(queue)
      .finally(() => queue.close())
      .finally(() => connection.quit());
  }

  it('says which backend it is on', () => {
    expect(queues.backend).toBe(name);
  });

  it.each([
    ['no id at all', {}, 'Not a generation job: generationId: Invalid input: expected string'],
    ['what is no id', { generationId: '7' }, 'Not a generation job: generationId: Invalid UUID'],
    ['another kind’s id', { photoId: randomUUID() }, 'Not a generation job: generationId:'],
    ['nothing', null, 'Not a generation job: payload: Invalid input: expected object'],
  ])('refuses %s with a sentence, and queues nothing', async (_, payload, says) => {
    await expect(queues.add('generation', payload as never, { bundle })).rejects.toThrow(says);
    expect(await ids()).toEqual([]);
  });

  it('carries the id and nothing else', async () => {
    const generationId = randomUUID();
    const wordy = { generationId, prompt: 'what a person wrote' };
    await queues.add('generation', wordy, { id: generationId, bundle });
    expect((await raw((queue) => queue.getJob(generationId)))?.data).toEqual({ generationId });
    expect(await queues.remove('generation', generationId, bundle)).toBe(true);
  });

  it('gives up a bad payload that is in it already: once, with a reason, and goes on', async () => {
    const bad = randomUUID();
    await raw((queue) => queue.add('generation', { generationId: 7 }, { jobId: bad, attempts: 5 }));
    const good = randomUUID();
    await add(good);
    const seen: string[] = [];
    work(async (id) => void seen.push(id));
    await vi.waitFor(() => expect(seen).toEqual([good]), WAIT);
    await emptied();
    const job = await raw((queue) => queue.getJob(bad));
    expect(job).toMatchObject({
      attemptsMade: 1,
      failedReason: 'Not a generation job: generationId: Invalid input: expected string, received number',
    });
  });

  it('keeps two jobs of one id as one until it has ended, then takes it again', async () => {
    const id = randomUUID();
    await Promise.all([add(id), add(id), add(id)]);
    expect(await ids()).toEqual([id]);
    const { opened, open } = gate();
    let runs = 0;
    work(async () => {
      runs++;
      await opened;
    });
    await vi.waitFor(() => expect(runs).toBe(1), WAIT);
    await add(id); // in hand: still the same job
    open();
    await emptied();
    expect(runs).toBe(1);
    await add(id);
    await vi.waitFor(() => expect(runs).toBe(2), WAIT);
  });

  it('is one for each bundle', async () => {
    const id = randomUUID();
    await add(id);
    expect([...(await queues.ids('generation', `${bundle}-other`))]).toEqual([]);
    expect(await queues.remove('generation', id, `${bundle}-other`)).toBe(false);
    expect(await queues.remove('generation', id, bundle)).toBe(true);
  });

  it('removes what waits, also what waits for its time, and not what is in hand', async () => {
    const [waiting, delayed, taken] = [randomUUID(), randomUUID(), randomUUID()];
    await add(taken);
    const { opened, open } = gate();
    const seen: string[] = [];
    work(async (id) => {
      seen.push(id);
      await opened;
    });
    await vi.waitFor(() => expect(seen).toEqual([taken]), WAIT);
    await add(waiting);
    await add(delayed, { delayMs: 60_000 });
    expect(await ids()).toEqual([waiting, delayed, taken].sort());
    const remove = (id: string) => queues.remove('generation', id, bundle);
    expect(await Promise.all([waiting, delayed, taken, randomUUID()].map(remove))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(await ids()).toEqual([taken]);
    open();
    await emptied();
    expect(seen).toEqual([taken]);
  });

  it('tries again what failed, tells which try is the last, and then forgets it', async () => {
    const tries: [attempt: number, last: boolean][] = [];
    await add(randomUUID(), { attempts: 2 });
    work(async (_, { attempt, lastAttempt }) => {
      tries.push([attempt, lastAttempt]);
      throw new Error('a fault of ours');
    });
    await vi.waitFor(
      () =>
        expect(tries).toEqual([
          [1, false],
          [2, true],
        ]),
      WAIT,
    );
    await emptied();
  });

  it('tries nothing again that is unrecoverable', async () => {
    const { UnrecoverableError } = await import('#src/doors/bull.ts');
    let tries = 0;
    await add();
    work(async () => {
      tries++;
      throw new UnrecoverableError('there is no such row');
    });
    await vi.waitFor(() => expect(tries).toBe(1), WAIT);
    await emptied();
    expect(tries).toBe(1);
  });

  it('closing waits for what is in hand, and takes nothing more', async () => {
    const { opened, open } = gate();
    const ended: string[] = [];
    const [first, second] = [randomUUID(), randomUUID()];
    let begun = false;
    const worker = work(async (id) => {
      begun = true;
      await opened;
      ended.push(id);
    });
    await add(first);
    await vi.waitFor(() => expect(begun).toBe(true), WAIT);
    await add(second);
    let closed = false;
    const closing = worker.close().then(() => {
      closed = true;
    });
    await expect.poll(ids).toHaveLength(2);
    expect([closed, ended]).toEqual([false, []]);
    open();
    await closing;
    expect(ended).toEqual([first]);
    expect(await ids()).toEqual([second]);
  });

  it('closing by force waits for nobody, tells the job in hand, and leaves it to others', async () => {
    const id = randomUUID();
    const [aborted, taken] = [gate(), gate()];
    const worker = work(async (_, { signal }) => {
      signal.addEventListener('abort', () => aborted.open(), { once: true });
      taken.open();
      await new Promise(() => {}); // never ends by itself
    });
    await add(id);
    await taken.opened;
    await worker.close(true);
    await aborted.opened;
    expect(await ids()).toEqual([id]);
  });

  it('closing by force ends a close that waits, once the job in hand heeds it', async () => {
    const taken = gate();
    const worker = work(async (_, { signal }) => {
      taken.open();
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      });
    });
    await add();
    await taken.opened;
    const waiting = worker.close();
    await worker.close(true);
    await waiting;
  });

  it('gives what a killed process had in hand to another, with no try used up', async () => {
    const id = randomUUID();
    const { holder, took } = await holdIn(options, bundle);
    await add(id);
    await took;
    holder.kill('SIGKILL');
    const seen: [id: string, attempt: number][] = [];
    work(async (one, { attempt }) => void seen.push([one, attempt]), { lockMs: 1_000 });
    await vi.waitFor(() => expect(seen).toEqual([[id, 1]]), WAIT);
    await emptied();
  });
});

const redisServer = findRedis(process.env.PATH ?? '');
describe.skipIf(!redisServer)('a Redis that is away', () => {
  it('is told at the start by its variable, without the password', async () => {
    const redisUrl = `redis://:hidden-password@127.0.0.1:${await freePort()}`;
    const told = await reachQueues({ redisUrl }).catch(String);
    expect(told).toBe('Error: Redis cannot be reached: check REDIS_URL.');
    await expect(reachQueues({ redisUrl: undefined })).resolves.toBeUndefined();
  });

  it('does not keep a process from closing', async () => {
    const redis = await startRedis(redisServer ?? '', await freePort());
    await reachQueues({ redisUrl: redis.url });
    const away = connectQueues({ redisUrl: redis.url, databaseUrl: undefined });
    const worker = away.work('idea', async () => {});
    await away.add('idea', { ideaId: randomUUID() });
    await vi.waitFor(async () => expect(await away.ids('idea')).toEqual(new Set()), WAIT);
    await redis.stop();
    await worker.close();
    await away.close();
  });
});

it('takes few of Postgres’s connections: one for each worker, which listens, and two to ask with', async () => {
  const own = connectQueues({ redisUrl: undefined, databaseUrl: config.databaseUrl });
  const open = vi.spyOn(pg.Client.prototype, 'connect');
  const bundles = ['a', 'b', 'c', 'd'].map((letter) => `${letter}-${randomUUID().slice(0, 8)}`);
  const seen: string[] = [];
  for (const bundle of bundles)
    own.work('generation', async ({ generationId }) => void seen.push(generationId), { bundle });
  const added = bundles.map(async (bundle) => {
    const id = randomUUID();
    await own.add('generation', { generationId: id }, { id, bundle });
    return id;
  });
  const ids = await Promise.all(added);
  await vi.waitFor(() => expect(seen.sort()).toEqual(ids.sort()), WAIT);
  expect(open.mock.calls.length).toBeLessThanOrEqual(bundles.length + 2);
  open.mockRestore();
  await own.close();
});

/** A process that takes one job and never ends it. */
async function holdIn(
  { redisUrl, databaseUrl }: { redisUrl?: string | undefined; databaseUrl?: string | undefined },
  bundle: string,
): Promise<{ holder: ChildProcess; took: Promise<unknown> }> {
  const source = `
    import { connectQueues } from '#src/doors/queue.ts';
    connectQueues(${JSON.stringify({ redisUrl, databaseUrl })}).work('generation', () => {
      process.send('took');
      return new Promise(() => {});
    }, { bundle: ${JSON.stringify(bundle)}, lockMs: 1_000 });
    process.send('ready');`;
  const holder = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  await once(holder, 'message');
  return { holder, took: once(holder, 'message') };
}
