import { defineConfig } from 'prisma/config';
import { config } from './config/env.ts';

export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  // `generate` and `validate` need no database; the other commands are run by infra/ with one.
  ...(config.databaseUrl && { datasource: { url: config.databaseUrl } }),
});
