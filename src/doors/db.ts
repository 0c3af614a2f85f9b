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
