/** The demo and `all`: a machine made ready, and on it each service in a process of its own, its log in a file of its own. */
import { join } from 'node:path';
import type { Sandbox } from './discord/sandbox.ts';
import { type MachineOptions, prepareMachine } from './machine.ts';
import { type RunningService, startProcess } from './processes.ts';
import { say, sayWhile } from './say.ts';

const SERVICES = ['bot', 'worker', 'courier', 'mecene', 'web'];

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
  const running: RunningService[] = [];
  // Services first and side by side; then what they stand on.
  const close = async () => {
    await Promise.all(running.splice(0).map((service) => service.stop()));
    await machine.close();
  };
  try {
    const starting = SERVICES.map(async (name) => {
      running.push(await startProcess(name, { env, logDir, say }));
    });
    await sayWhile('Starting the services', Promise.all(starting));
  } catch (error) {
    await close();
    throw error;
  }
  return { webUrl, logDir, sandbox, close };
}
