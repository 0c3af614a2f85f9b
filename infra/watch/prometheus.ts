/** A real Prometheus of this machine, on the loopback: nothing on npm ships one. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { env } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { z } from 'zod';
import { freePort } from '../local/free-port.ts';

const STARTS_WITHIN_MS = 20_000;

/** @throws {Error} saying what to install */
export function findBinary(name: 'prometheus' | 'promtool', path = env.PATH ?? ''): string {
  const found = path.split(delimiter).map((folder) => join(folder, name));
  const file = found.find((one) => existsSync(one));
  if (file) return file;
  throw new Error(
    `There is no ${name} on this machine. Install it first: \`apt-get install prometheus\` on Debian and Ubuntu, \`brew install prometheus\` on macOS, or from https://prometheus.io/download/`,
  );
}

export interface PrometheusOptions {
  /** it keeps its data in it, for two days */
  readonly dir: string;
  /** a file of rules, as text */
  readonly rules: string;
  /** job → port on the loopback */
  readonly targets: ReadonlyMap<string, number>;
  /** between two scrapes, and between two evaluations of all rules, s */
  readonly scrapeS: number;
  readonly evaluateS: number;
}

const Alerts = z.object({
  data: z.object({
    alerts: z.array(
      z.object({
        labels: z.record(z.string(), z.string()),
        annotations: z.record(z.string(), z.string()),
        state: z.enum(['pending', 'firing']),
        activeAt: z.coerce.date(),
      }),
    ),
  }),
});
export type FiredAlert = z.output<typeof Alerts>['data']['alerts'][number];

export interface Prometheus {
  readonly url: string;
  /** those that fire, or will when they go on */
  alerts(): Promise<FiredAlert[]>;
  stop(): Promise<void>;
}

/** @throws {Error} saying what to install, or what it wrote when it does not start */
export async function startPrometheus(options: PrometheusOptions): Promise<Prometheus> {
  const { dir, rules, targets, scrapeS, evaluateS } = options;
  const binary = findBinary('prometheus');
  const port = await freePort();
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'rules.yaml'), rules);
  const config = {
    global: {
      scrape_interval: `${scrapeS}s`,
      // A web service whose Postgres hangs answers after two seconds.
      scrape_timeout: `${Math.min(10, scrapeS)}s`,
      evaluation_interval: `${evaluateS}s`,
    },
    rule_files: ['rules.yaml'],
    scrape_configs: [...targets].map(([job, target]) => ({
      job_name: job,
      static_configs: [{ targets: [`127.0.0.1:${target}`] }],
    })),
  };
  await writeFile(join(dir, 'prometheus.yaml'), stringify(config));
  const child = spawn(
    binary,
    [
      `--config.file=${join(dir, 'prometheus.yaml')}`,
      `--storage.tsdb.path=${join(dir, 'data')}`,
      '--storage.tsdb.retention.time=2d',
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let wrote = '';
  child.stderr.on('data', (part: Buffer) => {
    wrote = (wrote + String(part)).slice(-2_000);
  });
  const ended = once(child, 'exit');
  const leave = () => void child.kill('SIGTERM');
  process.on('exit', leave);
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    process.off('exit', leave);
    child.kill('SIGTERM');
    await ended;
  };
  const deadline = Date.now() + STARTS_WITHIN_MS;
  while (
    !(await fetch(`${url}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    ))
  ) {
    if (child.exitCode === null && Date.now() < deadline) await sleep(100);
    else {
      await stop();
      throw new Error(`Prometheus did not start.\n${wrote.trim()}`);
    }
  }
  return {
    url,
    alerts: async () => {
      const response = await fetch(`${url}/api/v1/alerts`);
      return Alerts.parse(await response.json()).data.alerts;
    },
    stop,
  };
}
