/**
 * What those who run this ask a process, on a port of its own, which those who may see the gallery do not reach:
 *
 *   /metrics   for Prometheus
 *   /healthz   200 while the process answers at all
 *   /readyz    200 once its services have started, 503 before and while they close
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { config } from '#config/env.ts';
import { log } from '#src/doors/log.ts';
import { CONTENT_TYPE, metricsText, watchProcess } from '#src/doors/metrics.ts';

/** Where the first process of a machine is found, when METRICS_PORT does not say. */
const FIRST_PORT = 9464;
/** Processes of one machine that find a port by themselves. */
const PORTS = 100;

export interface Told {
  readonly port: number;
  /** whether all services of the process have started, and are not closing */
  setReady(ready: boolean): void;
  close(): Promise<void>;
}

/**
 * @param services those that run in this process
 * @throws {Error} naming the variable, when the port is taken that was asked for
 */
export async function serveMetrics(
  services: readonly string[],
  { host, port }: { readonly host: string; readonly port: number | undefined } = config.metrics,
): Promise<Told> {
  watchProcess(services);
  let isReady = false;
  const server = createServer((request, response) => {
    const url = request.method === 'GET' ? request.url : undefined;
    if (url === '/healthz' || url === '/readyz') {
      const ok = url === '/healthz' || isReady;
      const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' };
      return void response.writeHead(ok ? 200 : 503, headers).end(JSON.stringify({ ok }));
    }
    if (url !== '/metrics') return void response.writeHead(404).end();
    metricsText().then(
      (text) =>
        response.writeHead(200, { 'content-type': CONTENT_TYPE, 'cache-control': 'no-store' }).end(text),
      (error: unknown) => {
        log.warn({ err: error }, 'no metrics');
        response.writeHead(503).end();
      },
    );
  });
  const taken = port === undefined ? await listenFrom(server, host) : await listen(server, host, port);
  log.info({ service: services.join(' '), host, port: taken }, 'metrics are told');
  return {
    port: taken,
    setReady(ready) {
      isReady = ready;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

async function listenFrom(server: Server, host: string): Promise<number> {
  for (let port = FIRST_PORT; port < FIRST_PORT + PORTS; port++) {
    const isFree = await listen(server, host, port).catch((error: Error) => {
      if (isTaken(error.cause)) return null;
      throw error;
    });
    if (isFree !== null) return port;
  }
  throw new Error(`/metrics found no free port from ${FIRST_PORT} on: set METRICS_PORT.`);
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const which = isTaken(error) ? 'METRICS_PORT' : 'METRICS_PORT or METRICS_HOST';
    throw new Error(`/metrics cannot have its port ${port}: set ${which} to another.`, { cause: error });
  }
  const address = server.address();
  return typeof address === 'object' && address ? address.port : port;
}

function isTaken(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
}
