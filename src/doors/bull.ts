/** BullMQ as queue.ts uses it, on Redis or on Postgres. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createPostgresBackend, type Job, type PgPool, Queue, Worker, withBackend } from 'bullmq';
import { Redis } from 'ioredis';
import type { Pool, PoolClient } from 'pg';
import { log } from './log.ts';
import { openQueuePool } from './postgres.ts';

export { UnrecoverableError } from 'bullmq';

export interface Bull {
  queue(name: string): BullQueue;
  worker(name: string, run: BullHandler, options: BullWorkerOptions): BullWorker;
  /** false: what is asked of a queue now would wait until it is back, however long that is */
  isConnected(): boolean;
  /** true: whatever is asked of it now waits until it is back */
  isAway(): Promise<boolean>;
  end(): Promise<void>;
}

export type BullHandler = (job: Job, token?: string, signal?: AbortSignal) => Promise<void>;

export interface BullQueue {
  waitUntilReady(): Promise<unknown>;
  add(name: string, data: object, options: object): Promise<unknown>;
  getJob(jobId: string): Promise<Job | undefined>;
  remove(jobId: string): Promise<number>;
  getJobs(types: ('wait' | 'waiting' | 'active' | 'delayed' | 'prioritized')[]): Promise<(Job | undefined)[]>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  close(): Promise<void>;
}

export interface BullWorkerOptions {
  readonly concurrency: number;
  readonly lockDuration: number;
  readonly stalledInterval: number;
  readonly maxStalledCount: number;
  readonly runRetryDelay: number;
  readonly autorun: boolean;
}

export interface BullWorker {
  waitUntilReady(): Promise<unknown>;
  /** until it is closed */
  run(): Promise<void>;
  cancelAllJobs(reason?: string): void;
  close(force?: boolean): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** How long Redis may take to answer when we close, ms. */
const PING_MS = 1_000;

/** @throws {Error} what Redis, or the way to it, said */
export async function reachRedis(url: string, withinMs: number): Promise<void> {
  const redis = new Redis(url, { lazyConnect: true, connectTimeout: withinMs, retryStrategy: () => null });
  redis.on('error', () => {}); // told by what fails below
  try {
    await redis.connect();
    await redis.ping();
  } finally {
    redis.disconnect();
  }
}

export function bullOnRedis(url: string): Bull {
  const connection = new Redis(url, { maxRetriesPerRequest: null });
  connection.on('error', (error) => log.warn({ err: error }, 'redis'));
  async function isAway(): Promise<boolean> {
    if (connection.status !== 'ready') return true;
    // A Redis that has just died still counts as ready; what is asked of it then waits for ever.
    const answer = connection.ping().then(
      () => false,
      () => true,
    );
    return Promise.race([answer, sleep(PING_MS).then(() => true)]);
  }
  return {
    queue: (name) => new Queue(name, { connection }),
    worker: (name, run, options) => new Worker(name, run, { connection, ...options }),
    isConnected: () => connection.status === 'ready',
    isAway,
    async end() {
      if (!(await isAway())) await connection.quit().catch(() => {});
      connection.disconnect();
    },
  };
}

/** Besides one for each worker, which only listens. What is asked is short, and a connection is 4 MiB of Postgres's memory. */
const CONNECTIONS = 2;
/** BullMQ asks again at once when something fails, and would keep a core busy with it. ms */
const FAILS_AFTER_MS = 500;

export function bullOnPostgres(url: string): Bull {
  const { Queue, Worker } = withBackend(createPostgresBackend);
  const pool = openQueuePool(url, CONNECTIONS);
  return {
    queue(name) {
      const part = partOf(pool);
      return closesWith(part, new Queue(name, { connection: part.pool }));
    },
    worker(name, run, options) {
      const part = partOf(pool, 1);
      return closesWith(part, new Worker(name, run, { connection: part.pool, ...options }));
    },
    isConnected: () => true, // what can't be asked fails by itself
    isAway: async () => false,
    end: () => pool.end(),
  };
}

/** A pool as one queue or worker has it. */
interface Part {
  readonly pool: PgPool;
  /** Nothing of it is asked any more; connections that were not given back are closed. */
  end(): void;
}

/** @param listening how many connections it keeps to itself */
function partOf(pool: Pool, listening = 0): Part {
  const taken = new Set<PoolClient>();
  let isEnded = false;
  pool.options.max += listening;
  const connect = async () => {
    const client = isEnded ? null : await pool.connect();
    // BullMQ may ask for the one that it listens on while it closes, and would not give it back.
    if (!client || isEnded) {
      client?.release(true);
      throw new Error('The queue is closed');
    }
    taken.add(client);
    const { release } = client;
    client.release = (error) => {
      taken.delete(client);
      release.call(client, error);
    };
    return client;
  };
  const part = {
    connect: () => slowly(connect()),
    query: (text: string, values?: readonly unknown[]) => slowly(pool.query(text, values && [...values])),
    end: async () => {},
    // Whoever asks or listens is told by what fails: each would listen to the pool for as long as that is there.
    on: () => part,
    removeAllListeners: () => part,
  };
  return {
    // BullMQ describes pg's pools and connections by types of its own, which say less of their events.
    pool: part as unknown as PgPool,
    end() {
      if (isEnded) return;
      isEnded = true;
      pool.options.max -= listening;
      for (const client of taken) client.release(true);
    },
  };
}

function closesWith<T extends { close(force?: boolean): Promise<void> }>(part: Part, made: T): T {
  const close = made.close.bind(made);
  made.close = async (force) => {
    await close(force);
    part.end();
  };
  return made;
}

async function slowly<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    await sleep(FAILS_AFTER_MS);
    throw error;
  }
}
