/**
 * The door to BullMQ: on Redis when REDIS_URL is set, else on Postgres through BullMQ's own backend.
 *
 * A job carries an id and nothing that a person wrote. Postgres is the truth and the queue can be lost: every job
 * here can be made again from a row, and running one twice does no harm, because each step is a conditional update.
 *
 * Queues stay shallow: the backlog waits in Postgres, see `src/backlog/admission.ts`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createPostgresBackend, type Job, Queue, UnrecoverableError, Worker, withBackend } from 'bullmq';
import { Redis } from 'ioredis';
import { z } from 'zod';
import { type Config, config, required } from '#config/env.ts';
import { log, withContext } from './log.ts';

export { UnrecoverableError };

const id = z.uuid();

/** What each kind of job carries. Parsed when it is added, and when it is taken: a payload may be older than the program. */
const payloads = {
  /** one per bundle: `generation.<bundle>` */
  generation: z.object({ generationId: id }),
  idea: z.object({ ideaId: id }),
  delivery: z.object({ deliveryId: id }),
  'face-check': z.object({ photoId: id }),
} as const;

export type JobKind = keyof typeof payloads;
export type Payload<K extends JobKind> = z.output<(typeof payloads)[K]>;

export interface JobContext {
  /** Aborted when the worker closes by force. A lost lock ends nothing: whose work counts is in the rows. */
  readonly signal: AbortSignal;
  /** from 1 */
  readonly attempt: number;
  /** true: an error thrown now is final */
  readonly lastAttempt: boolean;
}

export interface WorkOptions {
  /** jobs at once in this process */
  readonly concurrency?: number;
  /** ms that a job may go on without its lock being renewed; it is renewed at half of it */
  readonly lockMs?: number;
  /** which bundle's queue, for `generation` */
  readonly bundle?: string;
}

export interface AddOptions {
  /** Two jobs of one id are one job, as long as the first has not ended. */
  readonly id?: string;
  readonly delayMs?: number;
  readonly attempts?: number;
  readonly bundle?: string;
}

export interface QueueWorker {
  /** Takes no more jobs. With `wait`, resolves when those in hand have ended. */
  pause(wait?: boolean): Promise<void>;
  /** `force`: does not wait for jobs in hand; they are taken over by others when their locks end. */
  close(force?: boolean): Promise<void>;
}

export interface Queues {
  readonly backend: 'redis' | 'postgres';
  /** @throws {TypeError} saying what is wrong with the payload; nothing is queued then */
  add<K extends JobKind>(kind: K, payload: Payload<K>, options?: AddOptions): Promise<void>;
  /** Removes a waiting job; false when it is in hand or not there. */
  remove(kind: JobKind, jobId: string, bundle?: string): Promise<boolean>;
  /** Ids of the jobs that wait or are in hand. On Postgres one that is moving between the two may be missing. */
  ids(kind: JobKind, bundle?: string): Promise<Set<string>>;
  work<K extends JobKind>(
    kind: K,
    handle: (payload: Payload<K>, context: JobContext) => Promise<void>,
    options?: WorkOptions,
  ): QueueWorker;
  close(): Promise<void>;
}

const BACKOFF_MS = 1_000;
const REACH_WITHIN_MS = 3_000;

/** Checks at the start that Redis answers; later, it is waited for. @throws {Error} naming the variable, never its value */
export async function reachQueues({ redisUrl }: Pick<Config, 'redisUrl'>): Promise<void> {
  if (!redisUrl) return; // on Postgres, which was reached before
  const redis = new Redis(redisUrl, {
    lazyConnect: true,
    connectTimeout: REACH_WITHIN_MS,
    retryStrategy: () => null,
  });
  redis.on('error', () => {}); // told by what fails below
  try {
    await redis.connect();
    await redis.ping();
  } catch (error) {
    throw new Error('Redis cannot be reached: check REDIS_URL.', { cause: error });
  } finally {
    redis.disconnect();
  }
}

/** How long Redis may take to answer when we close, ms. */
const PING_MS = 1_000;

export function connectQueues(from: Pick<Config, 'redisUrl' | 'databaseUrl'>): Queues {
  const { redisUrl } = from;
  return redisUrl
    ? makeQueues('redis', () => {
        const connection = new Redis(redisUrl, { maxRetriesPerRequest: null });
        connection.on('error', (error) => log.warn({ err: error }, 'redis'));
        return {
          queue: (name) => new Queue(name, { connection }),
          worker: (name, run, options) => new Worker(name, run, { connection, ...options }),
          async isAway() {
            if (connection.status !== 'ready') return true;
            // A Redis that has just died still counts as ready; what is asked of it then waits for ever.
            const answer = connection.ping().then(
              () => false,
              () => true,
            );
            return Promise.race([answer, sleep(PING_MS).then(() => true)]);
          },
          end: async () => {
            if (connection.status === 'ready') await connection.quit().catch(() => {});
            connection.disconnect();
          },
        };
      })
    : makeQueues('postgres', () => {
        const backend = withBackend(createPostgresBackend);
        // Each queue opens a pool of its own, each worker one and a connection to LISTEN on. What they ask is short, and one
        // connection is 4 MiB of Postgres's memory: they do with one, and with two where many ask at once.
        const connection = {
          connectionString: required(from.databaseUrl, 'DATABASE_URL'),
          skipMigrations: true,
        };
        return {
          queue: (name) => new backend.Queue(name, { connection: { ...connection, max: 2 } }),
          worker: (name, run, options) =>
            new backend.Worker(name, run, { connection: { ...connection, max: 1 }, ...options }),
          isAway: async () => false,
          end: async () => {},
        };
      });
}

interface BullQueue {
  add(name: string, data: object, options: object): Promise<unknown>;
  getJob(jobId: string): Promise<Job | undefined>;
  remove(jobId: string): Promise<number>;
  getJobs(types: ('wait' | 'waiting' | 'active' | 'delayed' | 'prioritized')[]): Promise<(Job | undefined)[]>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  close(): Promise<void>;
}
interface BullWorker {
  cancelAllJobs(reason?: string): void;
  pause(doNotWaitActive?: boolean): Promise<void>;
  close(force?: boolean): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
}
interface Bull {
  queue(name: string): BullQueue;
  worker(
    name: string,
    run: (job: Job, token?: string, signal?: AbortSignal) => Promise<void>,
    options: { concurrency: number; lockDuration: number; stalledInterval: number; maxStalledCount: number },
  ): BullWorker;
  /** True: whatever is asked of it now waits until it is back. */
  isAway(): Promise<boolean>;
  end(): Promise<void>;
}

/** @throws {TypeError} naming each field at fault, never its value */
function parsePayload<K extends JobKind>(kind: K, data: unknown): Payload<K> {
  const parsed = payloads[kind].safeParse(data);
  if (parsed.success) return parsed.data as Payload<K>;
  const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'payload'}: ${message}`);
  throw new TypeError(`Not a ${kind} job: ${faults.join('; ')}`);
}

/** The payload of a job in the queue. Trying a bad one again would change nothing. @throws {UnrecoverableError} */
function taken<K extends JobKind>(kind: K, data: unknown): Payload<K> {
  try {
    return parsePayload(kind, data);
  } catch (error) {
    log.error({ err: error }, 'job given up');
    throw new UnrecoverableError(error instanceof Error ? error.message : String(error));
  }
}

function makeQueues(backend: Queues['backend'], connect: () => Bull): Queues {
  const bull = connect();
  const open = new Map<string, BullQueue>();
  const workers = new Set<BullWorker>();

  const nameOf = (kind: JobKind, bundle?: string) => (bundle ? `${kind}.${bundle}` : kind);
  const queueOf = (name: string) => {
    let queue = open.get(name);
    if (!queue) {
      queue = bull.queue(name);
      queue.on('error', (error) => log.warn({ err: error, queue: name }, 'queue'));
      open.set(name, queue);
    }
    return queue;
  };

  return {
    backend,

    async add(kind, payload, { id: jobId, delayMs, attempts = 3, bundle } = {}) {
      // What the schema does not name stays here: nothing that a person wrote goes into the queue by mistake.
      const carried = parsePayload(kind, payload);
      await queueOf(nameOf(kind, bundle)).add(kind, carried, {
        ...(jobId && { jobId }),
        ...(delayMs && { delay: delayMs }),
        attempts,
        backoff: { type: 'exponential', delay: BACKOFF_MS },
        // Rows remember; the queue does not need to. A kept job would also block its id.
        removeOnComplete: true,
        removeOnFail: true,
      });
    },

    async remove(kind, jobId, bundle) {
      const queue = queueOf(nameOf(kind, bundle));
      // On Redis BullMQ says "removed" of what was never there.
      if (!(await queue.getJob(jobId))) return false;
      try {
        return (await queue.remove(jobId)) > 0;
      } catch {
        return false; // locked: a worker has it in hand
      }
    },

    async ids(kind, bundle) {
      const jobs = await queueOf(nameOf(kind, bundle)).getJobs([
        'waiting',
        'active',
        'delayed',
        'prioritized',
      ]);
      return new Set(jobs.flatMap((job) => (job?.id ? [job.id] : [])));
    },

    work(kind, handle, { concurrency = 1, lockMs = 30_000, bundle } = {}) {
      const name = nameOf(kind, bundle);
      const worker = bull.worker(
        name,
        async (job, _token, signal) => {
          await withContext({ job: job.id, queue: name }, async () => {
            const payload = taken(kind, job.data);
            const attempt = job.attemptsMade + 1;
            await handle(payload, {
              signal: signal ?? new AbortController().signal,
              attempt,
              lastAttempt: attempt >= (job.opts.attempts ?? 1),
            });
          });
        },
        {
          concurrency,
          lockDuration: lockMs,
          stalledInterval: Math.max(lockMs / 2, 1_000),
          maxStalledCount: 3,
        },
      );
      // Without a listener an error event ends the process.
      worker.on('error', (error) => log.warn({ err: error, queue: name }, 'queue worker'));
      workers.add(worker);
      return {
        pause: (wait = false) => worker.pause(!wait),
        async close(force = false) {
          workers.delete(worker);
          if (force) worker.cancelAllJobs('the worker closes by force');
          // A gentle close would wait for a Redis that may not come back before we are killed.
          await worker.close(force || (await bull.isAway()));
        },
      };
    },

    async close() {
      const away = await bull.isAway();
      await Promise.all([...workers].map((worker) => worker.close(away)));
      await Promise.all([...open.values()].map((queue) => queue.close()));
      await bull.end();
    },
  };
}

let connected: Queues | undefined;

/** This process's queues, connected at the first use. */
export function queues(): Queues {
  connected ??= connectQueues(config);
  return connected;
}

export async function closeQueues(): Promise<void> {
  await connected?.close();
  connected = undefined;
}
