/**
 * The door to Postgres. Everything else imports `db`, and each table is written by one file.
 *
 * The client is made at the first use, so a module may be imported where there is no database.
 */
import { PrismaPg } from '@prisma/adapter-pg';
import { config, required } from '#config/env.ts';
import { Prisma, PrismaClient } from '#prisma/client/client.ts';
import { openPool } from './postgres.ts';

export type * from '#prisma/client/client.ts';
export { Prisma };

/** Inside `db.$transaction(async (tx) => …)`. */
export type Transaction = Prisma.TransactionClient;

/** Connections of one process; a machine runs about eight processes against 200. */
const POOL_MAX = 8;

function connect(url: string): PrismaClient {
  const adapter = new PrismaPg(openPool(url, POOL_MAX), { disposeExternalPool: true });
  return new PrismaClient({ adapter, transactionOptions: { maxWait: 10_000, timeout: 30_000 } });
}

let client: PrismaClient | undefined;

export const db = new Proxy({} as PrismaClient, {
  get(_, property) {
    client ??= connect(required(config.databaseUrl, 'DATABASE_URL'));
    const value: unknown = Reflect.get(client, property);
    return typeof value === 'function' ? value.bind(client) : value;
  },
});

export async function closeDb(): Promise<void> {
  await client?.$disconnect();
  client = undefined;
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
  for (let tried = 1; ; tried++) {
    try {
      return await db.$transaction(work);
    } catch (error) {
      if (tried >= TRIES || !isDeadlock(error)) throw error;
    }
  }
}

/** Prisma has a code of its own for it, but not of raw SQL. */
function isDeadlock(error: unknown): boolean {
  if (!(error instanceof Prisma.PrismaClientKnownRequestError)) return false;
  return error.code === 'P2034' || (error.code === 'P2010' && error.message.includes('`40P01`'));
}
