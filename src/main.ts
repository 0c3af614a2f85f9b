/**
 * Starts one service, or all of them: `node src/main.ts bot|worker|courier|mecene|web|all|demo`.
 *
 * A service runs until SIGTERM or SIGINT, or until the process that started it is gone; then it closes what it opened and
 * ends with 0.
 */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Service {
  /** where it listens, for services that do */
  readonly url?: string;
  close(): Promise<void>;
}

const services = {
  bot: async () => (await import('./services/bot/supervisor.ts')).startBot(),
  worker: async () => (await import('./services/worker/worker.ts')).startWorker(),
  courier: async () => (await import('./services/courier/courier.ts')).startCourier(),
  mecene: async () => (await import('./services/mecene/mecene.ts')).startMecene(),
  web: async () => (await import('./services/web/web.ts')).startWeb(),
  all: async (args) => (await import('#infra/local/demo.ts')).startAll(args),
  demo: async (args) => (await import('#infra/local/demo.ts')).startDemo(args),
} satisfies Record<string, (args: readonly string[]) => Promise<Service>>;

/** A draining worker takes up to 90 s; a stopping machine gives 100. */
const CLOSE_WITHIN_MS = 100_000;

const [name = '', ...args] = process.argv.slice(2);
if (!Object.hasOwn(services, name)) {
  process.stderr.write(`Usage: node src/main.ts ${Object.keys(services).join('|')}\n`);
  process.exit(2);
}

// Not imported above: what they read first, the environment, may be bad, and a person reads why.
const { closeDb, closeQueues, log } = await doors().catch(fail);

let closing = false;
let started: Service | undefined;

async function close(reason: string): Promise<void> {
  if (closing) return;
  closing = true;
  log.info({ service: name, reason }, 'closing');
  const closed = (async () => {
    await started?.close();
    await closeQueues();
    await closeDb();
  })();
  try {
    await Promise.race([
      closed,
      sleep(CLOSE_WITHIN_MS, undefined, { ref: false }).then(() => {
        throw new Error(`${name} did not close within ${CLOSE_WITHIN_MS / 1000} s`);
      }),
    ]);
  } catch (error) {
    log.error({ err: error }, 'closing failed');
    process.exitCode = 1;
  }
  process.exit();
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void close(signal));
// The parent is gone, killed perhaps: without it nobody would ever stop us.
process.on('disconnect', () => void close('parent gone'));

try {
  const service: Service = await services[name as keyof typeof services](args);
  started = service;
  if (!closing) process.send?.({ ready: true, url: service.url });
} catch (error) {
  log.debug({ err: error }, 'did not start');
  fail(error);
}

async function doors() {
  const [{ closeDb }, { closeQueues }, { log }] = await Promise.all([
    import('./doors/db.ts'),
    import('./doors/queue.ts'),
    import('./doors/log.ts'),
  ]);
  return { closeDb, closeQueues, log };
}

/** Tells a person what is wrong, without a stack, and not as JSON. */
function fail(error: unknown): never {
  process.stderr.write(`\n${name}: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
