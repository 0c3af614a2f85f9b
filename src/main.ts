/**
 * Starts services in this process, one or several: `node src/main.ts bot|worker|courier|mecene|web …`. Each is loaded only
 * where it is started.
 */
import { run, type Service } from './services/run.ts';

const services = {
  bot: async () => (await import('./services/bot/supervisor.ts')).startBot(),
  worker: async () => (await import('./services/worker/worker.ts')).startWorker(),
  courier: async () => (await import('./services/courier/courier.ts')).startCourier(),
  mecene: async () => (await import('./services/mecene/mecene.ts')).startMecene(),
  web: async () => (await import('./services/web/web.ts')).startWeb(),
} satisfies Record<string, () => Promise<Service>>;

type Name = keyof typeof services;
const isName = (text: string): text is Name => Object.hasOwn(services, text);

const names = process.argv.slice(2);
if (names.length && names.every(isName)) {
  await run(names.join(' '), () => startTogether(names));
} else {
  process.stderr.write(`Usage: node [--inspect[=port]] src/main.ts ${Object.keys(services).join('|')} …\n`);
  process.exitCode = 2;
}

/** Side by side; every line that one of them logs says its name. */
async function startTogether(wanted: readonly Name[]): Promise<Service> {
  if (wanted.includes('bot')) (await import('./services/bot/shard-process.ts')).prepareShardProcess();
  const [{ log, withContext }, { openTraces }, { serveMetrics }, { checkStorage, closeStorage }] =
    await Promise.all([
      import('./doors/log.ts'),
      import('./doors/traces.ts'),
      import('./services/metrics.ts'),
      import('./doors/storage.ts'),
    ]);
  await checkStorage();
  const closeTraces = await openTraces(wanted);
  const metrics = await serveMetrics(wanted);
  const started: readonly Service[] = await Promise.all(
    wanted.map((name) => withContext({ service: name }, services[name])),
  );
  metrics.setReady(true);
  return {
    url: started.find(({ url }) => url)?.url,
    async close(reason) {
      metrics.setReady(false);
      log.info({ service: wanted.join(' '), reason }, 'closing');
      const closed = await Promise.allSettled(started.map((service) => service.close(reason)));
      const [{ closeDb }, { closeQueues }] = await Promise.all([
        import('./doors/db.ts'),
        import('./doors/queue.ts'),
      ]);
      await closeQueues();
      await closeDb();
      await Promise.all([closeTraces(), metrics.close(), closeStorage()]);
      for (const one of closed) if (one.status === 'rejected') throw one.reason;
    },
  };
}
