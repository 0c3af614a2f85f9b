/**
 * The demo and `all`: a machine made ready, and on it the services, in as few processes as is good for them.
 *
 *   ours ──┬── courier, mecene, web, bot ──── shards      none of these has much to do
 *          ├── worker                                     draws, and takes what it can get
 *          └── Postgres
 */
import { join } from 'node:path';
import { config } from '#config/env.ts';
import type { Sandbox } from './discord/sandbox.ts';
import { openLogFiles } from './log-files.ts';
import { type MachineOptions, prepareMachine } from './machine.ts';
import { print, printWhile } from './print.ts';
import { serviceProcess } from './processes.ts';

const PROCESSES = [['courier', 'mecene', 'web', 'bot'], ['worker']];

export interface Everything {
  readonly webUrl: string;
  readonly logDir: string;
  readonly sandbox: Sandbox | undefined;
  close(): Promise<void>;
}

/** @throws {Error} in words, with everything closed again */
export async function startEverything(options: MachineOptions = {}): Promise<Everything> {
  const machine = await prepareMachine(options);
  const { dir, env, webUrl, sandbox } = machine;
  const logDir = join(dir, 'logs');
  const logs = await openLogFiles(logDir, PROCESSES.flat());
  const { port } = config.metrics;
  const processes = PROCESSES.map((names, i) =>
    serviceProcess(names, {
      // The first has the port that was set, the second the next.
      env: port ? { ...env, METRICS_PORT: String(port + i) } : env,
      print,
      onLine: (line) => logs.write(names, line),
    }),
  );
  // Services first and side by side; then what they stand on.
  const close = async () => {
    await Promise.all(processes.map((one) => one.stop()));
    await logs.close();
    await machine.close();
  };
  try {
    await printWhile('Starting the services', Promise.all(processes.map((one) => one.start())));
  } catch (error) {
    await close();
    throw error;
  }
  return { webUrl, logDir, sandbox, close };
}
