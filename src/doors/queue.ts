/**
 * The door to BullMQ: on Redis when REDIS_URL is set, else on Postgres through BullMQ's own backend.
 *
 * A job carries an id and nothing that a person wrote. Postgres is the truth and the queue can be lost: every job
 * here can be made again from a row, and running one twice does no harm, because each step is a conditional update.
 *
 * Queues stay shallow: the backlog waits in Postgres, and a job of `generation` only says that something does.
 *
 * While the one that it runs on is away, what is asked of a queue fails within seconds, and workers wait; both go on by themselves.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type Config, config, required } from '#config/env.ts';
import type { Bull, BullHandler, BullQueue, BullWorker } from './bull.ts';
import { log, withContext } from './log.ts';
import { metrics } from './metrics.ts';

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
  /** `force`: does not wait for jobs in hand; they are taken over by others when their locks end. */
  close(force?: boolean): Promise<void>;
}

export interface Queues {
  readonly backend: 'redis' | 'postgres';
  /** @throws {TypeError} saying what is wrong with the payload; nothing is queued then. {Error} when the queue is away */
  add<K extends JobKind>(kind: K, payload: Payload<K>, options?: AddOptions): Promise<void>;
  /**
   * Adds it without anybody waiting: a row says already what is to be done, and a person waits for an answer. What is not added
   * is logged, and found later by whoever looks for such rows.
   */
  addSoon<K extends JobKind>(kind: K, payload: Payload<K>, options?: AddOptions): void;
  /**
   * The same of a job that only says that something is there to be done. The first is added at once; those that come soon after one are
   * one more, `WAKE_AFTER_MS` later, and the longer the more they go on to come.
   */
  wake<K extends JobKind>(kind: K, payload: Payload<K>, options?: AddOptions): void;
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
/** A job costs more than the rows that it tells of. ms */
const WAKE_AFTER_MS = { first: 5, most: 80 };
const REACH_WITHIN_MS = 3_000;
/** What is asked of a queue takes some ms. */
const ANSWERS_WITHIN_MS = 3_000;
/** Pause before a worker asks a queue again that did not answer. ms */
const AGAIN_AFTER_MS = 1_000;

/** BullMQ takes a seventh of a second to load, and a bot is there before somebody asks it for a picture. */
const library = () => import('./bull.ts');

/** Checks at the start that Redis answers; later, it is waited for. @throws {Error} naming the variable, never its value */
export async function reachQueues({ redisUrl }: Pick<Config, 'redisUrl'>): Promise<void> {
  if (!redisUrl) return; // on Postgres, which was reached before
  const { reachRedis } = await library();
  try {
    await reachRedis(redisUrl, REACH_WITHIN_MS);
  } catch (error) {
    throw new Error('Redis cannot be reached: check REDIS_URL.', { cause: error });
  }
}

export function connectQueues(from: Pick<Config, 'redisUrl' | 'databaseUrl'>): Queues {
  const { redisUrl } = from;
  if (redisUrl) return makeQueues('redis', async () => (await library()).bullOnRedis(redisUrl));
  const url = required(from.databaseUrl, 'DATABASE_URL');
  return makeQueues('postgres', async () => (await library()).bullOnPostgres(url));
}

/** @throws {TypeError} naming each field at fault, never its value */
function parsePayload<K extends JobKind>(kind: K, data: unknown): Payload<K> {
  const parsed = payloads[kind].safeParse(data);
  if (parsed.success) return parsed.data as Payload<K>;
  const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'payload'}: ${message}`);
  throw new TypeError(`Not a ${kind} job: ${faults.join('; ')}`);
}

/** The payload of a job in the queue. Trying a bad one again would change nothing. @throws {UnrecoverableError} */
async function taken<K extends JobKind>(kind: K, data: unknown): Promise<Payload<K>> {
  try {
    return parsePayload(kind, data);
  } catch (error) {
    log.error({ err: error }, 'job given up');
    const { UnrecoverableError } = await library();
    throw new UnrecoverableError(error instanceof Error ? error.message : String(error));
  }
}

function makeQueues(backend: Queues['backend'], load: () => Promise<Bull>): Queues {
  let loaded: Promise<Bull> | undefined;
  const bull = () => {
    loaded ??= load();
    return loaded;
  };
  const made = new Set<BullQueue>();
  /** by name, once they are ready */
  const open = new Map<string, Promise<BullQueue>>();
  const workers = new Set<QueueWorker>();
  /** queue's name → the wake that comes after the one on its way */
  const wakes = new Map<string, (() => Promise<void>) | null>();

  const nameOf = (kind: JobKind, bundle?: string) => (bundle ? `${kind}.${bundle}` : kind);

  /** BullMQ keeps it for ever that a queue's first look failed: whoever asks next makes another. */
  async function openQueue(name: string): Promise<BullQueue> {
    const queue = (await bull()).queue(name);
    queue.on('error', (err) => log.warn({ err, queue: name }, 'queue'));
    made.add(queue);
    try {
      await queue.waitUntilReady();
      return queue;
    } catch (error) {
      open.delete(name);
      made.delete(queue);
      await queue.close().catch(() => {});
      throw error;
    }
  }

  async function ask<T>(name: string, what: (queue: BullQueue) => Promise<T>): Promise<T> {
    // To load it is nobody's answer, and takes long on a busy machine.
    const via = await bull();
    const ready = open.get(name) ?? openQueue(name);
    open.set(name, ready);
    return inTime(async () => {
      const queue = await ready;
      if (!via.isConnected()) throw new Error('The queue is away');
      return what(queue);
    });
  }

  const queues: Queues = {
    backend,

    async add(kind, payload, { id: jobId, delayMs, attempts = 3, bundle } = {}) {
      // What the schema does not name stays here: nothing that a person wrote goes into the queue by mistake.
      const carried = parsePayload(kind, payload);
      await ask(nameOf(kind, bundle), (queue) =>
        queue.add(kind, carried, {
          ...(jobId && { jobId }),
          ...(delayMs && { delay: delayMs }),
          attempts,
          backoff: { type: 'exponential', delay: BACKOFF_MS },
          // Rows remember; the queue does not need to. A kept job would also block its id.
          removeOnComplete: true,
          removeOnFail: true,
        }),
      );
    },

    addSoon(kind, payload, options) {
      queues.add(kind, payload, options).catch((err: unknown) => log.warn({ err, kind }, 'job not queued'));
    },

    wake(kind, payload, options = {}) {
      const name = nameOf(kind, options.bundle);
      const next = () =>
        queues.add(kind, payload, options).catch((err: unknown) => log.warn({ err, kind }, 'job not queued'));
      const waiting = wakes.has(name);
      wakes.set(name, waiting ? next : null);
      if (waiting) return;
      void (async () => {
        let afterMs = WAKE_AFTER_MS.first;
        for (let last: typeof next | null | undefined = next; last; last = wakes.get(name)) {
          wakes.set(name, null);
          await Promise.all([last(), sleep(afterMs, undefined, { ref: false })]);
          afterMs = Math.min(2 * afterMs, WAKE_AFTER_MS.most);
        }
        wakes.delete(name);
      })();
    },

    async remove(kind, jobId, bundle) {
      return ask(nameOf(kind, bundle), async (queue) => {
        // On Redis BullMQ says "removed" of what was never there.
        if (!(await queue.getJob(jobId))) return false;
        try {
          return (await queue.remove(jobId)) > 0;
        } catch {
          return false; // locked: a worker has it in hand
        }
      });
    },

    async ids(kind, bundle) {
      const jobs = await ask(nameOf(kind, bundle), (queue) =>
        queue.getJobs(['waiting', 'active', 'delayed', 'prioritized']),
      );
      return new Set(jobs.flatMap((job) => (job?.id ? [job.id] : [])));
    },

    work(kind, handle, { concurrency = 1, lockMs = 30_000, bundle } = {}) {
      const name = nameOf(kind, bundle);
      const run: BullHandler = async (job, _token, signal) => {
        const takenAt = performance.now();
        let outcome = 'failed';
        try {
          await withContext({ job: job.id, queue: name }, async () => {
            const payload = await taken(kind, job.data);
            const attempt = job.attemptsMade + 1;
            await handle(payload, {
              signal: signal ?? new AbortController().signal,
              attempt,
              lastAttempt: attempt >= (job.opts.attempts ?? 1),
            });
          });
          outcome = 'done';
        } finally {
          metrics.job({ kind, outcome }, (performance.now() - takenAt) / 1_000);
        }
      };
      const worker = keepWorking(bull, name, run, { concurrency, lockMs });
      workers.add(worker);
      return {
        async close(force) {
          workers.delete(worker);
          await worker.close(force);
        },
      };
    },

    async close() {
      await Promise.all([...workers].map((worker) => worker.close()));
      await Promise.all([...made].map((queue) => queue.close()));
      await (await loaded)?.end();
    },
  };
  return queues;
}

/** Whoever asks a queue that is away is told so. */
async function inTime<T>(ask: () => Promise<T>): Promise<T> {
  const answer = ask();
  answer.catch(() => {}); // if it fails when nobody waits any more
  const late = new AbortController();
  const tooLate = sleep(ANSWERS_WITHIN_MS, undefined, { signal: late.signal, ref: false }).then(() => {
    throw new Error('The queue does not answer');
  });
  tooLate.catch(() => {});
  try {
    return await Promise.race([answer, tooLate]);
  } finally {
    late.abort();
  }
}

/** A worker from when the queue can be reached, and another in its place if it breaks. */
function keepWorking(
  bull: () => Promise<Bull>,
  name: string,
  run: BullHandler,
  { concurrency, lockMs }: { concurrency: number; lockMs: number },
): QueueWorker {
  const closing = new AbortController();
  const make = (via: Bull) => {
    const worker = via.worker(name, run, {
      concurrency,
      lockDuration: lockMs,
      stalledInterval: Math.max(lockMs / 2, 1_000),
      maxStalledCount: 3,
      runRetryDelay: AGAIN_AFTER_MS,
      autorun: false,
    });
    // Without a listener an error event ends the process.
    worker.on('error', (err) => log.warn({ err, queue: name }, 'queue worker'));
    return worker;
  };

  let worker: BullWorker | undefined;
  const keep = async () => {
    const via = await bull();
    while (!closing.signal.aborted) {
      worker = make(via);
      try {
        await worker.waitUntilReady();
        await worker.run(); // until it is closed
      } catch (err) {
        if (!closing.signal.aborted) log.warn({ err, queue: name }, 'queue worker did not start');
      }
      if (closing.signal.aborted) return;
      await worker.close(true);
      await sleep(AGAIN_AFTER_MS, undefined, { signal: closing.signal }).catch(() => {});
    }
  };
  void keep();

  return {
    async close(force = false) {
      closing.abort();
      if (!worker) return;
      if (force) worker.cancelAllJobs('the worker closes by force');
      // A gentle close would wait for a Redis that may not come back before we are killed.
      await worker.close(force || (await (await bull()).isAway()));
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
