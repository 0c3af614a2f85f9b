/** Both of BullMQ's backends, or Postgres alone where there is no Redis: for `describe.each`. */
import { inject } from 'vitest';
import type { Config } from '#config/env.ts';
import { config } from '#config/env.ts';

export interface QueueBackend {
  readonly name: 'postgres' | 'redis';
  readonly options: Pick<Config, 'redisUrl' | 'databaseUrl'>;
}

const redisUrl = inject('redisUrl');
/** One Redis serves all test files: each takes a logical database, told apart by its process and worker. */
const redisDatabase = Number(process.env.VITEST_POOL_ID ?? 1) % 16;

export const queueBackends: readonly QueueBackend[] = [
  { name: 'postgres', options: { redisUrl: undefined, databaseUrl: config.databaseUrl } },
  ...(redisUrl
    ? [
        {
          name: 'redis' as const,
          options: { redisUrl: `${redisUrl}/${redisDatabase}`, databaseUrl: config.databaseUrl },
        },
      ]
    : []),
];
