/**
 * All of Atelier on this machine with a real Prometheus beside it: each service in a process of its own, as on a fleet, so that each is a
 * job of Prometheus' and can be got at.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { Sandbox } from '../local/discord/sandbox.ts';
import { freePort } from '../local/free-port.ts';
import { openLogFiles } from '../local/log-files.ts';
import { type MachineOptions, prepareMachine } from '../local/machine.ts';
import { print, printWhile } from '../local/print.ts';
import { type ServiceProcess, serviceProcess } from '../local/processes.ts';
import { setUpServers } from '../local/set-up.ts';
import { type Prometheus, type PrometheusOptions, startPrometheus } from './prometheus.ts';

export const SERVICES = ['bot', 'worker', 'courier', 'mecene', 'web'] as const;
export type Service = (typeof SERVICES)[number];

export interface Stage {
  readonly dir: string;
  readonly webUrl: string;
  readonly sandbox: Sandbox;
  readonly prometheus: Prometheus;
  readonly services: Readonly<Record<Service, ServiceProcess>>;
  /** asks Postgres past Atelier */
  readonly sql: (text: string) => Promise<Record<string, unknown>[]>;
  /** of Postgres' first process */
  readonly postgresPid: number;
  close(): Promise<void>;
}

/** @throws {Error} in words, with everything closed again */
export async function setStage(
  options: MachineOptions,
  watched: Pick<PrometheusOptions, 'rules' | 'scrapeS' | 'evaluateS'>,
): Promise<Stage> {
  const closers: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const undo of closers.splice(0).reverse()) await undo();
  };
  try {
    const machine = await prepareMachine(options);
    closers.push(machine.close);
    const { dir, env, sandbox, webUrl } = machine;
    if (!sandbox) throw new Error('DISCORD_TOKEN is set: this is for the local Discord alone.');
    const logs = await openLogFiles(join(dir, 'logs'), SERVICES);
    closers.push(logs.close);

    const targets = new Map<string, number>();
    for (const name of SERVICES) targets.set(name, await freePort());
    const services = Object.fromEntries(
      SERVICES.map((name) => [
        name,
        serviceProcess([name], {
          env: { ...env, METRICS_PORT: String(targets.get(name)) },
          // What is ended on purpose is no news.
          print: () => {},
          onLine: (line) => logs.write([name], line),
        }),
      ]),
    ) as Record<Service, ServiceProcess>;
    closers.push(() => Promise.all(SERVICES.map((name) => services[name].stop())));
    await printWhile('Starting the services', Promise.all(SERVICES.map((name) => services[name].start())));
    await setUpServers(sandbox);

    const client = new pg.Pool({ connectionString: env.DATABASE_URL, max: 1 });
    client.on('error', () => {});
    closers.push(() => client.end());
    const sql = async (text: string) => (await client.query<Record<string, unknown>>(text)).rows;
    const [row] = await sql('SHOW data_directory');
    const pidFile = await readFile(join(String(row?.data_directory), 'postmaster.pid'), 'utf8');

    const prometheus = await startPrometheus({ ...watched, targets, dir: join(dir, 'prometheus') });
    closers.push(prometheus.stop);
    return {
      dir,
      webUrl,
      sandbox,
      prometheus,
      services,
      sql,
      postgresPid: Number.parseInt(pidFile, 10),
      close,
    };
  } catch (error) {
    print('');
    await close();
    throw error;
  }
}
