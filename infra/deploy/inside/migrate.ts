/** `node infra/deploy/inside/migrate.ts`: brings the database that DATABASE_URL names up to date, before the services are. */
import { config, required } from '#config/env.ts';
import { migrate } from '#src/doors/migrate.ts';

try {
  const applied = await migrate(required(config.databaseUrl, 'DATABASE_URL'));
  process.stdout.write(`${applied.length ? `Applied ${applied.join(', ')}` : 'Nothing to migrate'}.\n`);
} catch (error) {
  process.stderr.write(`migrate: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
