/** A Postgres of a test's own, migrated, to be stopped, started again and made to hang. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pauseTree, resumeTree } from '#infra/local/pause.ts';
import { startPostgres } from '#infra/local/postgres.ts';
import { migrate } from '#src/doors/migrate.ts';

export interface OwnPostgres {
  /** stays the same */
  readonly url: string;
  stop(how?: 'fast' | 'immediate'): Promise<void>;
  start(): Promise<void>;
  /** It answers nobody, and takes connections all the same. */
  hang(): void;
  goOn(): void;
  close(): Promise<void>;
}

export async function ownPostgres(): Promise<OwnPostgres> {
  const dir = await mkdtemp(join(tmpdir(), 'atelier-postgres-'));
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
