/** BullMQ as queue.ts uses it, on Redis or on Postgres. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createPostgresBackend, type Job, type PgPool, Queue, Worker, withBackend } from 'bullmq';
import { Redis } from 'ioredis';
import type { Pool } from 'pg';
import { log } from './log.ts';
import { openQueuePool } from './postgres.ts';

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

/** One connection is 4 MiB of Postgres's memory, and what is asked is short: two do, of which a worker's one only listens. */
const CONNECTIONS = 2;
/** BullMQ asks again at once when something fails, and would keep a core busy with it. ms */
const FAILS_AFTER_MS = 500;

export function bullOnPostgres(url: string): Bull {
  const { Queue, Worker } = withBackend(createPostgresBackend);
  return {
    queue(name) {
      const pool = openQueuePool(url, CONNECTIONS);
      return closesWith(pool, new Queue(name, { connection: slowToFail(pool) }));
    },
    worker(name, run, options) {
      const pool = openQueuePool(url, CONNECTIONS);
      return closesWith(pool, new Worker(name, run, { connection: slowToFail(pool), ...options }));
    },
    isConnected: () => true, // what can't be asked fails by itself
    isAway: async () => false,
    end: async () => {},
  };
}

/** BullMQ leaves it to us to end a pool that we gave it. */
function closesWith<T extends { close(force?: boolean): Promise<void> }>(pool: Pool, made: T): T {
  const close = made.close.bind(made);
  let ended: Promise<void> | undefined;
  made.close = async (force) => {
    await close(force);
    ended ??= pool.end();
    await ended;
  };
  return made;
}

function slowToFail(pool: Pool): PgPool {
  // BullMQ describes pg's pools by types of its own, which say less of their events.
  const described = pool as unknown as PgPool;
  const slowly = async <T>(asked: Promise<T>): Promise<T> => {
    try {
      return await asked;
    } catch (error) {
      await sleep(FAILS_AFTER_MS);
      throw error;
    }
  };
  return Object.assign(Object.create(described) as PgPool, {
    connect: () => slowly(described.connect()),
    query: (text: string, values?: readonly unknown[]) => slowly(described.query(text, values)),
  });
}
