/** Who draws what, when workers are killed, paused, stopped and cut off: real processes, real Postgres, both of BullMQ's backends. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { WORKER_LOST_MS } from '#src/backlog/fleet.ts';
import { openBatch } from '#src/batches/batches.ts';
import { db, type Generation } from '#src/doors/db.ts';
import { connectQueues } from '#src/doors/queue.ts';
import { getFile } from '#src/doors/storage.ts';
import { copyBundle } from '#test/support/bundle-copy.ts';
import { filesIn } from '#test/support/files.ts';
import { type Line, lineTo } from '#test/support/line.ts';
import { slowed } from '#test/support/onnx-variants.ts';
import { queueBackends } from '#test/support/queue-backends.ts';
import { cell, origin, request } from '#test/support/requests.ts';
import { endWorkers, useBundle, type WorkerProcess, workerProcess } from '#test/support/worker-process.ts';

const WAIT = { timeout: 60_000, interval: 50 };
const LONG_MS = 180_000;

let dir: string;
let line: Line;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-slow-'));
  line = await lineTo(process.env.DATABASE_URL!);
});
/** Has workers draw with the reference bundle, each step of which takes tenths of a second for every four. */
async function useSlowBundle(products: number): Promise<void> {
  const bundle = await copyBundle(join(dir, String(products)));
  await bundle.bytes('unet/model.onnx', (model) => slowed(model, 'out_sample', 'timestep', products));
  await useBundle(bundle.dir);
}
afterEach(async () => {
  await endWorkers();
  line.mend();
  await db.worker.deleteMany();
});
afterAll(async () => {
  await line.close();
  await rm(dir, { recursive: true, force: true });
});

let asked = 0;
/** Asks for a picture. */
async function ask(steps: number): Promise<string> {
  const asking = cell({ prompt: `portrait ${++asked}` }, { steps, shape: 'square' });
  const batch = await openBatch(origin(), request([asking]));
  return (await db.generation.findFirstOrThrow({ where: { batchId: batch.id } })).id;
}
const rowOf = (id: string) => db.generation.findUniqueOrThrow({ where: { id } });
/** Waits until a row is so. */
const until = (id: string, is: (row: Generation) => boolean) =>
  vi.waitFor(async () => {
    const row = await rowOf(id);
    expect(is(row), `${row.state}, ${row.progress}`).toBe(true);
    return row;
  }, WAIT);
const isDrawn = ({ state, progress }: Generation) => state === 'running' && progress > 0;
const isDone = ({ state }: Generation) => state === 'done';
const says = (worker: WorkerProcess, words: string) =>
  vi.waitFor(() => expect(worker.lines.join('\n')).toContain(words), WAIT);

/** The picture is there, was charged once, and nothing else of it is. */
async function isWhole(id: string): Promise<void> {
  const { batchId, price } = await rowOf(id);
  const { storageKey, bytes } = await db.image.findUniqueOrThrow({ where: { generationId: id } });
  expect(await getFile(storageKey)).toHaveLength(bytes);
  expect((await filesIn('tests')).filter((key) => key.includes(id))).toEqual([storageKey]);
  const ledger = await db.tokenEntry.findMany({ where: { batchId } });
  expect(ledger.map(({ amount }) => amount)).toEqual([-price]);
}

describe('a picture', () => {
  beforeAll(() => useSlowBundle(4));

  describe.each(queueBackends)('on $name', ({ options }) => {
    /** Two workers, the one that draws a picture first. */
    async function drawing(id: string): Promise<[WorkerProcess, WorkerProcess]> {
      const [one, other] = [1, 2].map(() => workerProcess({ REDIS_URL: options.redisUrl ?? '' })) as [
        WorkerProcess,
        WorkerProcess,
      ];
      await Promise.all([one.ready, other.ready]);
      const { workerId } = await until(id, isDrawn);
      return one.isMine(workerId) ? [one, other] : [other, one];
    }

    it(
      'of a killed worker goes on at another before BullMQ has missed it',
      async () => {
        const id = await ask(15);
        const [killed, other] = await drawing(id);
        killed.signal('SIGKILL');
        await until(id, (row) => other.isMine(row.workerId));
        const queues = connectQueues(options);
        // The dead worker's job is still locked.
        await vi.waitFor(async () =>
          expect((await queues.ids('generation', 'reference')).size).toBeGreaterThan(0),
        );
        await queues.close();
        expect((await until(id, isDone)).attempts).toBe(2);
        await isWhole(id);
      },
      LONG_MS,
    );

    it(
      'of a paused worker is drawn by another; the one that wakes drops its own',
      async () => {
        const id = await ask(15);
        const [sleeper, other] = await drawing(id);
        sleeper.signal('SIGSTOP');
        const { workerId } = await until(id, isDone);
        expect(other.isMine(workerId)).toBe(true);
        other.signal('SIGKILL');
        sleeper.signal('SIGCONT');
        // It is of use again once it has let go.
        const next = await ask(2);
        expect(sleeper.isMine((await until(next, isDone)).workerId)).toBe(true);
        await isWhole(id);
        await isWhole(next);
      },
      LONG_MS,
    );
  });

  it(
    'that ended while Postgres was away is drawn again, though its worker lives',
    async () => {
      const worker = workerProcess({ DATABASE_URL: line.url });
      const id = await ask(12);
      await until(id, isDrawn);
      line.cut();
      await says(worker, 'not ended: its row is put right later');
      expect(await rowOf(id)).toMatchObject({ state: 'running', attempts: 1 });
      line.mend();
      const drawn = await until(id, isDone);
      expect(worker.isMine(drawn.workerId)).toBe(true);
      expect(drawn.attempts).toBe(2);
    },
    LONG_MS,
  );

  it(
    'waits for a worker that waits for Postgres',
    async () => {
      line.cut();
      const worker = workerProcess({ DATABASE_URL: line.url });
      await says(worker, 'Postgres is away: a worker waits for it');
      line.mend();
      await until(await ask(2), isDone);
    },
    LONG_MS,
  );

  it(
    'is ended by a worker that is told to stop, if that takes no longer than it may',
    async () => {
      const worker = workerProcess();
      const id = await ask(12);
      await until(id, isDrawn);
      worker.signal('SIGTERM');
      expect(await worker.ended).toBe(0);
      expect((await rowOf(id)).state).toBe('done');
      await isWhole(id);
    },
    LONG_MS,
  );
});

describe('a worker that is told to stop', () => {
  beforeAll(() => useSlowBundle(4));

  it(
    'while it opens its networks ends as it should',
    async () => {
      const worker = workerProcess();
      await says(worker, 'a network runs');
      worker.signal('SIGTERM');
      expect(await worker.ended).toBe(0);
      expect(worker.lines.filter((said) => !said.startsWith('{'))).toEqual([]);
    },
    LONG_MS,
  );

  it(
    'while Postgres is away ends as it should',
    async () => {
      const worker = workerProcess({ DATABASE_URL: line.url });
      await worker.ready;
      line.cut();
      worker.signal('SIGTERM');
      expect(await worker.ended).toBe(0);
      expect(worker.lines.join()).toContain('worker not signed off');
    },
    LONG_MS,
  );
});

describe('a picture that takes a minute', () => {
  beforeAll(() => useSlowBundle(20));

  it(
    'stays with its worker when Postgres is away from all for longer than a lease',
    async () => {
      const workers = [1, 2].map(() => workerProcess({ DATABASE_URL: line.url }));
      await Promise.all(workers.map(({ ready }) => ready));
      // One after the other: of two that wait one worker would make one turn.
      const before: Awaited<ReturnType<typeof rowOf>>[] = [];
      for (const _ of workers) before.push(await until(await ask(150), isDrawn));
      line.cut();
      await sleep(WORKER_LOST_MS + 2_000);
      line.mend();
      // Whoever was to be rescued would have been.
      await sleep(2 * WORKER_LOST_MS);
      const after = await Promise.all(
        before.map(({ id, progress }) => until(id, (row) => row.progress > progress)),
      );
      expect(after.map(({ attempts, workerId }) => [attempts, workerId])).toEqual(
        before.map(({ workerId }) => [1, workerId]),
      );
      expect(new Set(after.map(({ workerId }) => workerId)).size).toBe(2);
    },
    LONG_MS,
  );

  it(
    'is handed back by a worker that is told to stop, and that ends by itself',
    async () => {
      const worker = workerProcess({}, 2_000);
      const id = await ask(150);
      await until(id, isDrawn);
      worker.signal('SIGTERM');
      // 0: it was not ended by its own clock, which gives it 25 s.
      expect(await worker.ended).toBe(0);
      expect(await rowOf(id)).toMatchObject({ state: 'queued', workerId: null });
      expect(await db.worker.count()).toBe(0);
    },
    LONG_MS,
  );
});
