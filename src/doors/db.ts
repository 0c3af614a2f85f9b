/**
 * The door to Postgres. Everything else imports `db`, and each table is written by one file.
 *
 * The client is made at the first use, so a module may be imported where there is no database.
 */
import { createHash } from 'node:crypto';
import { PrismaPg } from '@prisma/adapter-pg';
import type { Pool } from 'pg';
import { config, required } from '#config/env.ts';
import { Prisma, PrismaClient } from '#prisma/client/client.ts';
import { openPool } from './postgres.ts';

export type * from '#prisma/client/client.ts';
export { Prisma };

/** Inside `db.$transaction(async (tx) => …)`. */
export type Transaction = Prisma.TransactionClient;

/** Connections of one process, for Prisma and for `ask`; a machine runs about eight processes against 200. */
const POOL_MAX = 6;

interface Connected {
  readonly client: PrismaClient;
  readonly asking: Pool;
}

let connected: Connected | undefined;

function connection(): Connected {
  if (connected) return connected;
  const url = required(config.databaseUrl, 'DATABASE_URL');
  const adapter = new PrismaPg(openPool(url, POOL_MAX), { disposeExternalPool: true });
  const client = new PrismaClient({ adapter, transactionOptions: { maxWait: 10_000, timeout: 30_000 } });
  connected = { client, asking: openPool(url, POOL_MAX, true) };
  return connected;
}

export const db = new Proxy({} as PrismaClient, {
  get(_, property) {
    const { client } = connection();
    const value: unknown = Reflect.get(client, property);
    return typeof value === 'function' ? value.bind(client) : value;
  },
});

/**
 * A statement of every picture's way, in a transaction of its own. Postgres keeps its plan with the connection, and nothing of it is
 * compiled here: it takes a third of what `db.$queryRaw` does. Rows are as `pg` reads them: a bigint is a string. Done again where
 * Postgres ended it to undo a deadlock, as `inTransaction` is.
 */
export async function ask<T>({ text, values }: Prisma.Sql): Promise<T[]> {
  // Postgres cuts a name after 63 characters.
  const name = createHash('sha256').update(text).digest('base64url');
  const { rows } = await again(() => connection().asking.query({ name, text, values }));
  return rows as T[];
}

export async function closeDb(): Promise<void> {
  const closing = connected;
  connected = undefined;
  await Promise.all([closing?.client.$disconnect(), closing?.asking.end()]);
}

/** True when `error` is Postgres saying that a unique row is there already. */
export function isDuplicate(error: unknown): boolean {
  return error instanceof Prisma.PrismaClientKnownRequestError && error.code === 'P2002';
}

/** How often a transaction is tried that Postgres ended to undo a deadlock. */
const TRIES = 3;

/**
 * A transaction that locks what others lock in another order, as where a picture ends while its batch is cancelled. Of two that wait
 * for each other Postgres ends one, and that one is done again.
 */
export async function inTransaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
  return again(() => db.$transaction(work));
}

async function again<T>(work: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await work();
    } catch (error) {
      if (tried >= TRIES || !isDeadlock(error)) throw error;
    }
  }
}

/** Prisma has a code of its own for it, but not of raw SQL. */
function isDeadlock(error: unknown): boolean {
  if (error instanceof Error && 'code' in error && error.code === '40P01') return true;
  if (!(error instanceof Prisma.PrismaClientKnownRequestError)) return false;
  return error.code === 'P2034' || (error.code === 'P2010' && error.message.includes('`40P01`'));
}
