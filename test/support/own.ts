/** A Postgres, migrated, and a Redis of a test's own: to be stopped, started again and made to hang. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '#infra/local/free-port.ts';
import { pauseTree, resumeTree } from '#infra/local/pause.ts';
import { startPostgres } from '#infra/local/postgres.ts';
import { type LocalRedis, startRedis } from '#infra/local/redis.ts';
import { migrate } from '#src/doors/migrate.ts';

/** Something outside, of a test's own. */
export interface Own {
  /** stays the same */
  readonly url: string;
  stop(): Promise<void>;
  start(): Promise<void>;
  /** It answers nobody, and takes connections all the same. */
  hang(): void;
  goOn(): void;
  close(): Promise<void>;
}

export interface OwnPostgres extends Own {
  stop(how?: 'fast' | 'immediate'): Promise<void>;
}

export async function ownRedis(binary: string): Promise<Own> {
  const port = await freePort();
  let running: LocalRedis | null = await startRedis(binary, port);
  const { url } = running;
  const goOn = () => running && resumeTree(running.pid);
  const stop = async () => {
    await running?.stop();
    running = null;
  };
  return {
    url,
    stop,
    async start() {
      running = await startRedis(binary, port);
    },
    hang: () => running && pauseTree(running.pid),
    goOn,
    close: stop,
  };
}

export async function ownPostgres(): Promise<OwnPostgres> {
  const dir = await mkdtemp(join(tmpdir(), 'atelier-postgres-'));
  await chmod(dir, 0o755); // as root Postgres runs as nobody, and would keep its data elsewhere
  let running = await startPostgres({ dataDir: join(dir, 'postgres') });
  let stopped = false;
  const { port } = running;
  const url = running.url('atelier');
  await migrate(url);
  const stop = async (how?: 'fast' | 'immediate') => {
    stopped = true;
    await running.stop(how);
  };
  return {
    url,
    stop,
    async start() {
      running = await startPostgres({ dataDir: join(dir, 'postgres'), port });
      stopped = false;
    },
    hang: () => pauseTree(running.pid),
    goOn: () => stopped || resumeTree(running.pid),
    async close() {
      if (!stopped) {
        resumeTree(running.pid);
        await stop();
      }
      await rm(dir, { recursive: true, force: true });
    },
  };
}
