/** A redis-server of this machine, for tests: nothing on npm ships one. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Redis } from 'ioredis';

/** Path of `redis-server`, or null when there is none on `path`. */
export function findRedis(path: string): string | null {
  const found = path.split(delimiter).map((folder) => join(folder, 'redis-server'));
  return found.find((file) => existsSync(file)) ?? null;
}

export interface LocalRedis {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts one on a loopback port that keeps nothing on disk. @throws {Error} when it does not answer within 5 s */
export async function startRedis(binary: string, port: number): Promise<LocalRedis> {
  const child = spawn(
    binary,
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--daemonize', 'no'],
    { stdio: 'ignore' },
  );
  const ended = new Promise<void>((done) => {
    child.on('exit', () => done());
    child.on('error', () => done());
  });
  const url = `redis://127.0.0.1:${port}`;
  const client = new Redis(url, { retryStrategy: () => 25, maxRetriesPerRequest: 200 });
  client.on('error', () => {});
  try {
    await client.ping();
  } finally {
    client.disconnect();
  }
  return {
    url,
    pid: child.pid ?? 0,
    async stop() {
      child.kill('SIGKILL'); // it has nothing to write
      await ended;
    },
  };
}
