/**
 * `/metrics`, in Prometheus' text format: what the workers that are alive said of their networks, and pictures without bytes. It has a
 * port of its own, which those who may see the gallery do not reach.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { z } from 'zod';
import { workersAlive } from '#src/backlog/fleet.ts';
import { log } from '#src/doors/log.ts';
import { countMissing } from '#src/generations/images.ts';

/** What `src/doors/onnx.ts` reports of each network, as far as it is shown. */
const Sessions = z.array(
  z.object({
    network: z.string(),
    loadSeconds: z.number(),
    used: z.array(z.object({ provider: z.string(), nodes: z.number().nullable() })),
  }),
);

interface Gauge {
  readonly help: string;
  /** labels → value */
  readonly values: Map<string, number>;
}

/** @throws {Error} naming the variable when the port is taken */
export async function startMetrics({ host, port }: { host: string; port: number }) {
  const server = createServer((request, response) => {
    const isAsked = request.method === 'GET' && request.url === '/metrics';
    if (!isAsked) return void response.writeHead(404).end();
    metrics().then(
      (text) =>
        response
          .writeHead(200, {
            'content-type': 'text/plain; version=0.0.4; charset=utf-8',
            'cache-control': 'no-store',
          })
          .end(text),
      (error: unknown) => {
        log.warn({ err: error }, 'no metrics');
        response.writeHead(503).end();
      },
    );
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new Error(`/metrics cannot have its port ${port}: set METRICS_PORT to another.`, { cause: error });
  }
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : port,
    async close() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

async function metrics(): Promise<string> {
  const workers = await workersAlive();
  const gauge = (help: string): Gauge => ({ help, values: new Map() });
  const alive = gauge('Workers that are alive.');
  const aside = gauge('Workers that are alive and take no pictures, by why.');
  const provider = gauge('Workers that run nodes of this network on this execution provider.');
  const nodes = gauge('Nodes of this network that the execution provider ran, where there was a choice.');
  const load = gauge('Longest time that a worker took to load this network.');
  const missing = gauge('Pictures whose bytes are not in storage, though their row says so.');

  missing.values.set('', await countMissing());
  for (const { bundle, sessions, aside: reason } of workers) {
    add(alive, { bundle });
    if (reason) add(aside, { bundle, reason });
    for (const { network, loadSeconds, used } of Sessions.catch([]).parse(sessions)) {
      raise(load, { bundle, network }, loadSeconds);
      for (const one of used) {
        add(provider, { bundle, network, provider: one.provider });
        if (one.nodes !== null) raise(nodes, { bundle, network, provider: one.provider }, one.nodes);
      }
    }
  }
  return Object.entries({
    atelier_workers: alive,
    atelier_workers_aside: aside,
    atelier_session_provider: provider,
    atelier_session_nodes: nodes,
    atelier_session_load_seconds: load,
    atelier_pictures_without_bytes: missing,
  })
    .flatMap(([name, { help, values }]) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} gauge`,
      ...[...values].map(([labels, value]) => `${name}${labels && `{${labels}}`} ${value}`),
    ])
    .join('\n')
    .concat('\n');
}

function add({ values }: Gauge, labels: Record<string, string>): void {
  const key = text(labels);
  values.set(key, (values.get(key) ?? 0) + 1);
}

function raise({ values }: Gauge, labels: Record<string, string>, value: number): void {
  const key = text(labels);
  values.set(key, Math.max(values.get(key) ?? 0, value));
}

/** `bundle="reference",network="unet"` */
function text(labels: Record<string, string>): string {
  const escaped = (value: string) => value.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n');
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(',');
}
