/**
 * `node infra/deploy/inside/hold.ts WHO`: takes the lock on deploys of the database that DATABASE_URL names, says so in a line, and holds
 * it until its input ends. Where another has it: ends with 1 and a sentence. The lock is Postgres's, of this session: it goes with this
 * process, however that ends.
 */
import { once } from 'node:events';
import pg from 'pg';
import { config, required } from '#config/env.ts';

/** Any number, the same in every deploy, and another than that of src/doors/migrate.ts. */
const LOCK = 7_203_119;

const [who = ''] = process.argv.slice(2);
const client = new pg.Client({
  connectionString: required(config.databaseUrl, 'DATABASE_URL'),
  application_name: `atelier deploy ${who}`.slice(0, 63),
});
client.on('error', (error) => fail(`the lock is lost: ${error.message}`));
try {
  await client.connect();
  const { rows } = await client.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1) AS taken', [LOCK]);
  if (rows[0]?.taken) {
    process.stdout.write('locked\n');
    process.stdin.resume();
    await once(process.stdin, 'end');
  } else {
    const { rows: others } = await client.query<{ name: string; since: string }>(
      `SELECT application_name AS name, to_char(backend_start AT TIME ZONE 'UTC', 'HH24:MI') AS since
       FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND objid = $1 AND granted`,
      [LOCK],
    );
    fail(
      `Another deploy is at work${others.map(({ name, since }) => ` (${name}, since ${since} UTC)`).join()}. Wait for it.`,
    );
  }
} catch (error) {
  fail(error instanceof Error ? error.message : String(error));
} finally {
  await client.end();
}

function fail(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
  process.exitCode = 1;
}
