/** What a process asks Postgres for, and which tables that reads from end to end. */
import pg from 'pg';
import { onTestFinished, vi } from 'vitest';
import { config } from '#config/env.ts';

export interface Statement {
  readonly text: string;
  readonly values: unknown[];
}

/** Notes every statement of this process until the test ends, but for the queue's and a pool's question whether Postgres is there. */
export function listen(): Statement[] {
  const heard: Statement[] = [];
  const { query } = pg.Client.prototype;
  const spy = vi.spyOn(pg.Client.prototype, 'query').mockImplementation(function (
    this: pg.Client & { connectionParameters?: { options?: string } },
    ...args: unknown[]
  ) {
    const [asked] = args as [string | Statement];
    const { text, values = [] } = typeof asked === 'string' ? { text: asked } : asked;
    const isOurs = text !== 'SELECT 1' && !this.connectionParameters?.options?.includes('bullmq');
    if (isOurs) heard.push({ text, values: [...values] });
    return Reflect.apply(query, this, args);
  });
  onTestFinished(() => spy.mockRestore());
  return heard;
}

/** Tables that plans of these read from end to end. */
export async function plannedScans(statements: readonly Statement[]): Promise<string[]> {
  const client = await connect();
  const tables = new Set<string>();
  for (const { text, values } of statements.filter(({ text }) =>
    /^\s*(SELECT|WITH|UPDATE|INSERT|DELETE)\b/i.test(text),
  )) {
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${text}`, values);
    for (const [, table] of rows.map((row) => row['QUERY PLAN'].match(/Seq Scan on "?(\w+)/) ?? []))
      if (table) tables.add(table);
  }
  return [...tables].sort();
}

/**
 * From now on until the test ends, what `ask` sends goes through one connection, which tells what it really read: also of functions,
 * whose plans can't be seen.
 *
 * @returns tables that were read from end to end since the last call
 */
export async function watchScans(): Promise<() => string[]> {
  const client = await connect();
  const tables = new Set<string>();
  let last: Promise<unknown> = Promise.resolve();
  const spy = vi.spyOn(pg.Pool.prototype, 'query').mockImplementation((asked: unknown) => {
    const done = last.then(async () => {
      await client.query('BEGIN');
      try {
        const result = await client.query(asked as pg.QueryConfig);
        const { rows } = await client.query<{ relname: string }>(
          'SELECT relname FROM pg_stat_xact_user_tables WHERE seq_scan > 0',
        );
        for (const { relname } of rows) tables.add(relname);
        return result;
      } finally {
        await client.query('COMMIT');
      }
    });
    last = done.catch(() => {});
    return done;
  });
  onTestFinished(() => spy.mockRestore());
  return () => {
    const scanned = [...tables].sort();
    tables.clear();
    return scanned;
  };
}

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: config.databaseUrl });
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}
