/** What whoever runs this asks: is the process alive, and may it be given visitors. */
import { setTimeout as sleep } from 'node:timers/promises';
import { db } from '#src/doors/db.ts';
import type { Area } from './area.ts';

const HEALTH_WITHIN_MS = 2_000;

/** Its addresses, which no visitor asks for. */
export const HEALTH: readonly string[] = ['/healthz', '/readyz'];

export const health: Area = (app, { isEnding, asked }) => {
  app.get('/healthz', (_, reply) => reply.header('cache-control', 'no-store').send({ ok: true }));
  // The gallery is shown from memory while Postgres is away, but nobody can sign in or draw.
  app.get('/readyz', async (_, reply) => {
    const database = await Promise.race([
      db.$queryRaw`SELECT 1`.then(() => true).catch(() => false),
      sleep(HEALTH_WITHIN_MS, false, { ref: false }),
    ]);
    asked();
    const ok = database && !isEnding();
    return reply
      .code(ok ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ ok, database });
  });
};
