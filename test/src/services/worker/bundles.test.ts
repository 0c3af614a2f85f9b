/** A worker that is offered several bundles, and has memory for one: rows, queues and threads as in production. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import type { BundleEntry } from '#config/bundles.ts';
import { joinFleet, type PoolState } from '#src/backlog/fleet.ts';
import { placeOf } from '#src/backlog/place.ts';
import { type Batch, db } from '#src/doors/db.ts';
import { connectQueues, type Queues } from '#src/doors/queue.ts';
import { UserError } from '#src/errors.ts';
import type { BundlePlace } from '#src/services/worker/pool/offered.ts';
import { type RunningWorker, startWorker } from '#src/services/worker/worker.ts';
import { type BundleCopy, copyBundle } from '#test/support/bundle-copy.ts';
import { openedBatch } from '#test/support/opened.ts';
import { cell, origin, request } from '#test/support/requests.ts';

vi.hoisted(() => {
  process.env.BUNDLES = 'reference,second,broken';
});
// As config/bundles.yaml would have them.
vi.mock('#config/bundles.ts', async (original) => {
  const config = await original<typeof import('#config/bundles.ts')>();
  const bundles = config.bundles as Map<string, BundleEntry>;
  for (const name of ['second', 'broken']) bundles.set(name, { ...config.entryOf('reference'), path: name });
  return config;
});
vi.setConfig({ testTimeout: 180_000 });
const WAIT = { timeout: 120_000, interval: 100 };
const small = { steps: 2, detail_steps: 2, shape: 'square' };
const MEMORY = 0.3 * 2 ** 30; // a bundle says that it takes 0.2

let dir: string;
let second: BundleCopy;
let broken: BundleCopy;
let queues: Queues;
let places: ReadonlyMap<string, BundlePlace>;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-bundles-'));
  second = await copyBundle(join(dir, 'second'));
  await second.manifest('title: Atelier', 'title: The second');
  broken = await copyBundle(join(dir, 'broken'));
  // Its header is sound.
  await broken.bytes('unet/model.onnx', (bytes) => breakOperator(bytes));
  queues = connectQueues({ redisUrl: undefined, databaseUrl: process.env.DATABASE_URL });
  places = new Map([
    ['reference', { dir: inject('bundleDir'), level: 'warm' }],
    ['second', { dir: second.dir, level: 'demand' }],
    ['broken', { dir: broken.dir, level: 'demand' }],
  ]);
});
afterAll(async () => {
  await queues.close();
  await rm(dir, { recursive: true, force: true });
});

/** Another operator in the place of one, so that onnxruntime refuses the network. */
function breakOperator(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes);
  for (let at = text.indexOf('MatMul'); at >= 0; at = text.indexOf('MatMul', at + 6))
    text.write('NoMuls', at);
  return text;
}

const ended = (batch: Batch) =>
  vi.waitFor(async () => {
    const { endedAt } = await db.batch.findUniqueOrThrow({ where: { id: batch.id } });
    expect(endedAt).not.toBeNull();
    return db.generation.findMany({ where: { batchId: batch.id }, orderBy: { index: 'asc' } });
  }, WAIT);
const told = async (worker: RunningWorker) => db.worker.findUniqueOrThrow({ where: { id: worker.id } });

describe('a worker with memory for one of its bundles', () => {
  let worker: RunningWorker;
  beforeAll(async () => {
    worker = await startWorker({ queues, bundles: places, memory: MEMORY });
  });
  afterAll(() => worker.close());

  it('has loaded the one that is drawn with unless somebody chooses', async () => {
    expect(await told(worker)).toMatchObject({
      bundle: 'reference',
      warm: ['reference'],
      budget: MEMORY,
      bundles: {
        reference: { state: 'warm', hash: expect.any(String), loras: ['golden-hour', 'noir'] },
        second: { state: 'cold', hash: null, bytes: 0 },
      },
    });
  });

  it('draws the pictures of one batch with the bundle that each was asked with', async () => {
    const asked = ['reference', 'second', 'reference', 'second'].map((bundle, seed) =>
      cell({ prompt: 'a woman', seed }, { ...small, bundle }),
    );
    const batch = await openedBatch(origin(), request(asked));
    const drawn = await ended(batch);
    expect(drawn.map(({ state, bundle }) => [state, bundle])).toEqual(
      ['reference', 'second', 'reference', 'second'].map((bundle) => ['done', bundle]),
    );
    // By their weights each is known as its own.
    const hashes = new Set(drawn.map(({ bundle, bundleHash }) => `${bundle} ${bundleHash}`));
    expect(hashes.size).toBe(2);
    expect(new Set(drawn.map(({ bundleHash }) => bundleHash)).size).toBe(2);
    expect(worker.pool.bytes).toBeLessThanOrEqual(MEMORY);
    await vi.waitFor(async () => {
      const { memory, warm, bundle, bundles } = await told(worker);
      expect([memory <= MEMORY, warm, bundle]).toEqual([true, ['second'], 'second']);
      expect(bundles).toMatchObject({ reference: { state: 'cold', loadMs: expect.any(Number) } });
    }, WAIT);

    // Drawn before with weights that are not in memory now, and with those that are: both are free.
    const again = await openedBatch(origin(), request(asked.slice(0, 2)));
    expect(again.charged).toBe(0);
    expect((await ended(again)).map(({ reused }) => reused)).toEqual([true, true]);
  });

  it('gives up what waits for a bundle that loads nowhere, with a sentence, and draws on', async () => {
    const batch = await openedBatch(
      origin(),
      request([
        cell({ prompt: 'a man', seed: 1 }, { ...small, bundle: 'broken' }),
        cell({ prompt: 'a man', seed: 2 }, { ...small, bundle: 'reference' }),
      ]),
    );
    const [failed, drawn] = await ended(batch);
    expect(failed).toMatchObject({ state: 'failed', failure: 'bundle_failed' });
    expect(drawn).toMatchObject({ state: 'done', bundle: 'reference' });
    const entries = await db.tokenEntry.findMany({ where: { batchId: batch.id, reason: 'refund' } });
    expect(entries.map(({ amount }) => amount)).toEqual([failed?.price]);
    expect((await told(worker)).bundles).toMatchObject({ broken: { state: 'failed' } });
  });

  it('leaves what waits for it to another worker that has it', async () => {
    const bundles: PoolState['bundles'] = {
      broken: { state: 'warm', hash: 'h', bytes: 1, loadMs: 1, loras: [] },
    };
    const state = { sessions: [], loras: [], aside: null };
    const pool = { bundle: 'broken', bundleHash: 'h', bundles, memory: 1, budget: null };
    await joinFleet({ id: 'other', bundle: 'broken', bundleHash: 'h' }, { ...state, pool });
    // Alive for as long as this takes.
    await db.worker.update({ where: { id: 'other' }, data: { seenAt: new Date(Date.now() + 600_000) } });
    const batch = await openedBatch(
      origin(),
      request([cell({ prompt: 'a boy', seed: 1 }, { ...small, bundle: 'broken' })]),
    );
    const { failUndrawable } = await import('#src/batches/ending.ts');
    expect(await failUndrawable('broken')).toBe(0);
    await db.worker.delete({ where: { id: 'other' } });
    expect((await ended(batch))[0]).toMatchObject({ state: 'failed', failure: 'bundle_failed' });
  });
});

it('refuses LoRAs that the bundle has not, whatever another one has', async () => {
  const has = (loras: string[]): PoolState['bundles'][string] => ({
    state: 'cold',
    hash: null,
    bytes: 0,
    loadMs: 1,
    loras,
  });
  const pool = {
    bundle: 'reference',
    bundleHash: 'h',
    bundles: { reference: has(['noir']), second: has(['ink']) },
    memory: 0,
    budget: null,
  };
  await joinFleet(
    { id: 'w', bundle: 'reference', bundleHash: 'h' },
    { sessions: [], loras: [], aside: null, pool },
  );
  const asked = (bundle: string, lora: string) =>
    openedBatch(origin(), request([cell({ prompt: 'a girl' }, { ...small, bundle, lora })]));
  await expect(asked('second', 'noir')).rejects.toThrow(UserError);
  await expect(asked('second', 'ink')).resolves.toBeDefined();
  await expect(asked('reference', 'ink')).rejects.toMatchObject({
    userMessage: 'There is no LoRA `ink`; there is `noir`.',
  });
  await db.worker.deleteMany();
});

it('tells a wait with the loading in it, and with the turns of what waits for another bundle', async () => {
  await db.flow.deleteMany();
  await db.generation.updateMany({ data: { state: 'done', endedAt: new Date() } });
  const tell = (state: 'cold' | 'warm') =>
    joinFleet(
      { id: 'w', bundle: 'reference', bundleHash: 'h' },
      {
        ...{ sessions: [], loras: [], aside: null },
        pool: {
          ...{ bundle: 'reference', bundleHash: 'h', memory: 0, budget: null },
          bundles: {
            reference: { state: 'warm', hash: null, bytes: 0, loadMs: 9_000, loras: [] },
            second: { state, hash: null, bytes: 0, loadMs: 5_000, loras: [] },
          },
        },
      },
    );
  const ask = (bundle: string, count: number) =>
    openedBatch(
      origin(),
      request(
        Array.from({ length: count }, (_, seed) => cell({ prompt: 'waits', seed }, { ...small, bundle })),
      ),
    );
  await tell('cold');
  const batch = await ask('second', 2);
  const { _sum } = await db.generation.aggregate({ where: { batchId: batch.id }, _sum: { costMs: true } });
  const own = _sum.costMs ?? 0;
  const readyMs = async () => Math.round((await placeOf(batch.id)).readyMs);
  expect(await readyMs()).toBe(Math.round(own + 5_000));
  // Turns are shared, as long as anything waits for the other one.
  await ask('reference', 1);
  const others = await db.flow.aggregate({ where: { bundle: 'reference' }, _sum: { waitingMs: true } });
  const theirs = Math.min(own, others._sum.waitingMs ?? 0);
  expect(theirs).toBeGreaterThan(0);
  expect(await readyMs()).toBe(Math.round(own + theirs + 5_000));
  await ask('reference', 20);
  expect(await readyMs()).toBe(Math.round(own * 2 + 5_000));
  await tell('warm');
  expect(await readyMs()).toBe(Math.round(own * 2));
  await db.worker.deleteMany();
});

describe('says at the start', () => {
  it('that memory has no room for a bundle, in numbers', async () => {
    await expect(startWorker({ queues, bundles: places, memory: 0.1 * 2 ** 30 })).rejects.toThrow(
      'WORKER_MEMORY is 0.1 GiB, and bundle reference needs 0.2 GiB.',
    );
    const pinned = new Map([...places, ['second', { dir: second.dir, level: 'pinned' as const }]]);
    await expect(startWorker({ queues, bundles: pinned, memory: MEMORY })).rejects.toThrow(
      'WORKER_MEMORY is 0.3 GiB, and bundle reference needs 0.2 GiB beside second, which is pinned and needs 0.2 GiB.',
    );
    expect(await db.worker.count()).toBe(0);
  });

  it('that a bundle which is named is not there, when there is no other', async () => {
    const nowhere = new Map([['second', { dir: join(dir, 'nowhere'), level: 'warm' as const }]]);
    await expect(startWorker({ queues, bundles: nowhere })).rejects.toThrow(
      /There is no bundle\.yaml in .*nowhere/,
    );
  });
});
