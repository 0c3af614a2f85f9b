/** What Atelier stands on, to be stopped and started again. Nothing here reads the configuration: the environment is made of it. */
import { freePort } from '#infra/local/free-port.ts';
import { type EmbeddedPostgres, startPostgres } from '#infra/local/postgres.ts';
import { findRedis, type LocalRedis, startRedis } from '#infra/local/redis.ts';
import type { Backend } from './plan.ts';

export interface Outside {
  /** stays the same */
  readonly url: string;
  pid(): number | undefined;
  stop(how?: 'fast' | 'immediate'): Promise<void>;
  start(): Promise<void>;
}

export interface Ground {
  readonly postgres: Outside;
  readonly redis: Outside | null;
}

/** @param dataDir of Postgres; a folder that anyone may enter, as root it runs as nobody */
export async function layGround(backend: Backend, dataDir: string): Promise<Ground> {
  const redis = backend === 'redis' ? await keptRedis() : null;
  return { postgres: await keptPostgres(dataDir), redis };
}

async function keptPostgres(dataDir: string): Promise<Outside> {
  const port = await freePort();
  let running: EmbeddedPostgres | undefined = await startPostgres({ dataDir, port });
  return {
    url: running.url('atelier'),
    pid: () => running?.pid,
    async stop(how) {
      const ending = running;
      running = undefined;
      await ending?.stop(how);
    },
    async start() {
      running ??= await startPostgres({ dataDir, port });
    },
  };
}

/** @throws {Error} in words, where there is none */
async function keptRedis(): Promise<Outside> {
  const binary = findRedis(process.env.PATH ?? '');
  if (!binary) throw new Error('There is no redis-server on this machine: torture on postgres instead.');
  const port = await freePort();
  let running: LocalRedis | undefined = await startRedis(binary, port);
  return {
    url: running.url,
    pid: () => running?.pid,
    async stop() {
      const ending = running;
      running = undefined;
      await ending?.stop();
    },
    async start() {
      running ??= await startRedis(binary, port);
    },
  };
}
