/**
 * Pools of connections to Postgres: for Prisma in db.ts, for BullMQ in queue.ts.
 *
 * A Postgres that is gone refuses at once. One that hangs (stopped, its disk stuck, the network cut) says nothing, and whoever asked it
 * would wait for ever. How long is too long depends on what was asked: a sweep's 400 rows may take a second. So when something has
 * waited for a while, Postgres is asked for next to nothing on a connection of its own; if that is not answered, all that waits fails.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { z } from 'zod';

/** What waits longer than this makes us ask whether Postgres is there. Together with the next: far less than Discord's 3 s. ms */
const PATIENCE_MS = 700;
const ANSWERS_WITHIN_MS = 1_200;
/** For so long after it did not answer, nobody waits for it again. ms */
const AWAY_FOR_MS = 1_000;

/** Connections that a pool opens at once. */
const FIRST = 2;
/**
 * Each further one is opened where none of those came free in this time: a statement takes one ms, to open a connection ten, and it is
 * 4 MiB of Postgres's memory until nobody has used it for 10 s. ms
 */
const OPENS_AFTER_MS = 25;

/** What Postgres itself ends. A process that is paused in a transaction must not hold others up with its locks. ms */
const LIMITS = {
  lock_timeout: 1_500,
  idle_in_transaction_session_timeout: 5_000,
  statement_timeout: 30_000,
} as const;

/**
 * Opens up to `max` connections as they are needed. For statements of any length; those that wait for a Postgres that hangs fail within
 * two seconds.
 *
 * @param keepsPlans Postgres plans a named statement once, for any values. By itself it plans ours anew each time, as it takes a plan
 *   for the values at hand to be cheaper than it is: 5 ms for what is done in 0.5.
 */
export function openPool(connectionString: string, max: number, keepsPlans = false): pg.Pool {
  const options = keepsPlans ? { options: '-c plan_cache_mode=force_generic_plan' } : {};
  return heard(new WatchedPool({ ...LIMITS, ...options, connectionString, max }));
}

/** For BullMQ, whose statements are all short. Its tables have a schema of their own. */
export function openQueuePool(connectionString: string, max: number): pg.Pool {
  return heard(
    new pg.Pool({
      ...LIMITS,
      connectionString,
      max,
      options: '-c search_path=bullmq',
      connectionTimeoutMillis: 3_000,
      query_timeout: 5_000,
      // One of them only listens: without asking, it would not notice that the other side is gone.
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    }),
  );
}

/** A lost connection fails what was asked on it, which says so. Its `error` event, if nobody heard it, would also end the process. */
function heard(pool: pg.Pool): pg.Pool {
  pool.on('error', () => {});
  pool.on('connect', (client) => void client.on('error', () => {}));
  return pool;
}

type Connected = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  done: (release?: unknown) => void,
) => void;

class WatchedPool extends pg.Pool {
  /** whoever waits for a connection, and connections in use; the oldest first */
  readonly #waiting = new Map<object, { readonly since: number; giveUp(): void }>();
  readonly #url: string;
  readonly #most: number;
  #opening: NodeJS.Timeout | undefined;
  #look: NodeJS.Timeout | undefined;
  #awayUntil = 0;

  constructor(options: pg.PoolConfig & { readonly connectionString: string; readonly max: number }) {
    super({ ...options, max: Math.min(FIRST, options.max) });
    this.#url = options.connectionString;
    this.#most = options.max;
    this.on('release', (_, client) => this.#waiting.delete(client));
    this.on('remove', () => {
      this.options.max = Math.max(this.totalCount, Math.min(FIRST, this.#most));
    });
  }

  #openMore(due: number): void {
    this.#opening = undefined;
    if (!this.waitingCount || this.options.max >= this.#most || this.ending) return;
    // What came free could not be handed on, as this process was busy itself.
    if (performance.now() <= due + OPENS_AFTER_MS) {
      this.options.max++;
      // Given back at once, it goes to whoever waits.
      super.connect((_error, _client, done) => done());
    }
    this.#openSoon();
  }

  #openSoon(): void {
    if (!this.waitingCount || this.options.max >= this.#most) return;
    const due = performance.now() + OPENS_AFTER_MS;
    this.#opening ??= setTimeout(() => this.#openMore(due), OPENS_AFTER_MS).unref();
  }

  #watch(what: object, giveUp: () => void): void {
    this.#waiting.set(what, { since: performance.now(), giveUp });
    this.#look ??= setTimeout(() => void this.#lookAtOldest(), PATIENCE_MS).unref();
  }

  async #lookAtOldest(): Promise<void> {
    let [oldest] = this.#waiting.values();
    let left = oldest ? oldest.since + PATIENCE_MS - performance.now() : 0;
    if (oldest && left <= 0) {
      if (!(await answers(this.#url))) this.#giveUp();
      [oldest] = this.#waiting.values();
      left = PATIENCE_MS;
    }
    this.#look = oldest && setTimeout(() => void this.#lookAtOldest(), left).unref();
  }

  #giveUp(): void {
    this.#awayUntil = performance.now() + AWAY_FOR_MS;
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { giveUp } of all) giveUp();
  }

  override connect(): Promise<pg.PoolClient>;
  override connect(connected: Connected): void;
  override connect(connected?: Connected): Promise<pg.PoolClient> | undefined {
    if (!connected) {
      return new Promise((resolve, reject) => {
        this.connect((error, client) => (client ? resolve(client) : reject(error)));
      });
    }
    const fail = () => connected(new Error('Postgres does not answer'), undefined, () => {});
    if (performance.now() < this.#awayUntil) {
      process.nextTick(fail);
      return;
    }
    const place = {};
    this.#watch(place, fail);
    super.connect((error, client, done) => {
      if (!this.#waiting.delete(place)) return done(); // given up
      if (client) this.#watch(client, () => void client.end());
      connected(error, client, done);
    });
    this.#openSoon();
    return;
  }
}

/** Whether Postgres answers somebody new. "Too many connections" is an answer too. */
async function answers(connectionString: string): Promise<boolean> {
  const client = new pg.Client({
    connectionString,
    connectionTimeoutMillis: ANSWERS_WITHIN_MS,
    query_timeout: ANSWERS_WITHIN_MS,
  });
  client.on('error', () => {});
  const askedAt = performance.now();
  const asked = client
    .connect()
    .then(() => client.query('SELECT 1'))
    .then(
      () => true,
      (error: unknown) => error instanceof pg.DatabaseError,
    );
  const answered = await Promise.race([asked, sleep(ANSWERS_WITHIN_MS, false, { ref: false })]);
  void client.end().catch(() => {});
  // We were stopped ourselves, or too busy to hear the answer: that says nothing about Postgres.
  const isLate = performance.now() - askedAt > 1.2 * ANSWERS_WITHIN_MS;
  return answered || isLate;
}

/** Postgres's own codes for "not now" (locks, shutting down, starting, too many), Prisma's for the same, and the sockets'. */
const AWAY = new Set([
  ...['55P03', '57014', '57P01', '57P02', '57P03', '25P03', '53300', '08006'],
  ...['P1001', 'P1002', 'P1008', 'P1017', 'P2024', 'P2028', 'P2037'],
  ...['DatabaseNotReachable', 'ConnectionClosed', 'SocketTimeout', 'TooManyConnections'],
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EHOSTUNREACH'],
]);
/** What pg says without a code, and we. */
const LOST =
  /^(Connection terminated|Client (was closed|has encountered a connection error)|timeout exceeded|Postgres does not answer|Query read timeout)/;

const something = z.unknown().optional();
const Failure = z.object({
  code: something,
  message: something,
  cause: something,
  /** Prisma's: what went wrong below it, with the driver's code in its own way */
  meta: z.object({ driverAdapterError: something }).optional().catch(undefined),
  originalCode: something,
  kind: something,
});

/** Whether an error says that Postgres was out of reach, or too busy: what was asked may be asked again. */
export function isAway(error: unknown): boolean {
  return is(error, (code) => AWAY.has(code), LOST);
}

/** NUL, in a text or in JSON. */
const NO_TEXT: readonly string[] = ['22021', '22P05'];

/** Whether an error says that Postgres was given what it can't keep as text: whoever sent it sent no text of ours. Nothing was done. */
export function isNoText(error: unknown): boolean {
  return is(error, (code) => NO_TEXT.includes(code));
}

/** Whether an error, or one below it, has such a code, or says so. */
function is(error: unknown, isCode: (code: string) => boolean, says?: RegExp): boolean {
  const { success, data } = Failure.safeParse(error);
  if (!success) return false;
  const { code, originalCode, kind, message, cause, meta } = data;
  if (typeof message === 'string' && says?.test(message)) return true;
  const codes = [code, originalCode, kind].filter((one) => typeof one === 'string');
  return codes.some(isCode) || is(cause, isCode, says) || is(meta?.driverAdapterError, isCode, says);
}
