/** Whoever is woken types what a runbook says: Postgres must understand it. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { db } from '#src/doors/db.ts';

const FOLDER = new URL('../../../infra/watch/runbooks/', import.meta.url);

const statements = readdirSync(FOLDER).flatMap((page) => {
  const text = readFileSync(new URL(page, FOLDER), 'utf8');
  return [...text.matchAll(/^psql "\$DATABASE_URL" -c "(.*)"$/gm)].map(([, sql = '']): [string, string] => [
    page,
    sql.replaceAll('\\"', '"'),
  ]);
});

it('there are some', () => expect(statements.length).toBeGreaterThan(10));

it.each(statements)('%s: %s', async (_, sql) => {
  // Prisma reads no intervals and no arrays of them; whether it can be asked is all that matters.
  await db.$queryRawUnsafe(`SELECT count(*)::int FROM (${sql}) told`);
});
