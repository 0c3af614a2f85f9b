/** What the web service tells of all services together: read off rows, by indexes alone, and seldom. */

import { rename, rm, writeFile } from 'node:fs/promises';
import pg from 'pg';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { lastDay } from '#src/backlog/day.ts';
import { waitingNow } from '#src/backlog/flows.ts';
import { changed, dueNow } from '#src/deliveries.ts';
import { db } from '#src/doors/db.ts';
import { metricsText } from '#src/doors/metrics.ts';
import { configuredPlace } from '#src/doors/storage.ts';
import { countMissing } from '#src/generations/images.ts';
import { openReviewsNow } from '#src/moderation/reviews.ts';
import { tellGauges } from '#src/services/web/gauges.ts';
import { openedBatch } from '#test/support/opened.ts';
import { readScrape } from '#test/support/prometheus.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { listen, plannedScans } from '#test/support/statements.ts';
import { makePicture } from './pictures.ts';

let stop = () => {};
beforeEach(async () => {
  stop = tellGauges(0);
  await db.flow.deleteMany();
});
afterEach(() => stop());

const lines = async () => (await metricsText()).split('\n').filter((line) => line && !line.startsWith('#'));
const told = async () => readScrape(await metricsText());

it('count a worker with each bundle that it can draw with, and its networks with theirs', async () => {
  const told = (state: string) => ({ state, hash: null, bytes: 0, loadMs: 1, loras: [] });
  const session = (bundle: string) => ({
    bundle,
    network: 'unet',
    loadSeconds: 2,
    used: [],
    providers: ['cpu'],
  });
  await db.worker.create({
    data: {
      ...{ id: 'several', bundle: 'second', bundleHash: 'h' },
      bundles: { first: told('cold'), second: told('warm'), third: told('failed') },
      sessions: [session('first'), session('second')],
    },
  });
  const found = await lines();
  expect(found.filter((line) => line.startsWith('atelier_workers{'))).toEqual([
    'atelier_workers{bundle="first"} 1',
    'atelier_workers{bundle="second"} 1',
  ]);
  expect(found.filter((line) => line.startsWith('atelier_session_load_seconds'))).toEqual([
    'atelier_session_load_seconds{bundle="first",network="unet"} 2',
    'atelier_session_load_seconds{bundle="second",network="unet"} 2',
  ]);
  await db.worker.deleteMany();
});

it('say which execution provider runs each network, of workers that are alive', async () => {
  const gpu = [
    { provider: 'cuda', nodes: 2_400 },
    { provider: 'cpu', nodes: 12 },
  ];
  const session = (network: string, loadSeconds: number, used: object[]) => ({
    network,
    loadSeconds,
    used,
    providers: ['cuda', 'cpu'],
  });
  const worker = { bundleHash: 'h', bundle: 'sdxl' };
  await db.worker.createMany({
    data: [
      { ...worker, id: 'one', sessions: [session('unet', 2, gpu), session('vaeDecoder', 0.5, [])] },
      { ...worker, id: 'two', sessions: [session('unet', 3.5, gpu.slice(1))] },
      { ...worker, id: 'older', sessions: 'of another version', aside: 'storage_full' },
      { ...worker, id: 'lost', seenAt: new Date(0), sessions: [session('unet', 99, gpu)] },
    ],
  });
  expect((await lines()).filter((line) => !/^atelier_(storage|review|oldest)/.test(line))).toEqual([
    'atelier_workers{bundle="sdxl"} 3',
    'atelier_workers_aside{bundle="sdxl",reason="storage_full"} 1',
    'atelier_session_provider{bundle="sdxl",network="unet",provider="cuda"} 1',
    'atelier_session_provider{bundle="sdxl",network="unet",provider="cpu"} 2',
    'atelier_session_nodes{bundle="sdxl",network="unet",provider="cuda"} 2400',
    'atelier_session_nodes{bundle="sdxl",network="unet",provider="cpu"} 12',
    'atelier_session_load_seconds{bundle="sdxl",network="unet"} 3.5',
    'atelier_session_load_seconds{bundle="sdxl",network="vaeDecoder"} 0.5',
    'atelier_pictures_without_bytes 0',
    'atelier_deliveries_due 0',
  ]);
  await db.worker.deleteMany();
  expect((await told()).values('atelier_workers')).toEqual([]);
});

it('say how many pictures storage has no bytes of', async () => {
  await makePicture(1, { missingAt: new Date() });
  expect((await told()).values('atelier_pictures_without_bytes')).toEqual([1]);
});

it('say how many reviews are open, and for how long the oldest', async () => {
  expect((await told()).values('atelier_oldest_review_seconds')).toEqual([0]);
  const { id: imageId } = (await makePicture(2)).image;
  const createdAt = new Date(Date.now() - 3_600_000);
  await db.review.create({ data: { imageId, cause: 'report', createdAt } });
  const { values } = await told();
  expect(values('atelier_reviews_open')).toEqual([1]);
  expect(values('atelier_oldest_review_seconds')[0]).toBeCloseTo(3_600, -2);
  await db.review.updateMany({ data: { state: 'approved' } });
  expect((await told()).values('atelier_reviews_open')).toEqual([0]);
});

it('say whether storage answers, and what it has room for', async () => {
  const { values } = await told();
  expect(values('atelier_storage_up')).toEqual([1]);
  expect(values('atelier_storage_free_bytes')[0]).toBeGreaterThan(2 ** 20);
  const { dir } = configuredPlace() as { dir: string };
  await rename(dir, `${dir}.aside`);
  await writeFile(dir, 'no folder any more');
  try {
    const away = await told();
    expect(away.values('atelier_storage_up')).toEqual([0]);
    expect(away.values('atelier_storage_free_bytes')).toEqual([]);
  } finally {
    await rm(dir);
    await rename(`${dir}.aside`, dir);
  }
});

it('say who waits in each tier, how many pictures and for how long, and which messages are due', async () => {
  const ada = actor();
  const cells = (...seeds: number[]) => seeds.map((seed) => cell({ prompt: 'waiting', seed }));
  await openedBatch(origin({ actor: ada }), request(cells(1, 2)));
  await openedBatch(origin({ actor: ada }), request(cells(3), { tier: 'relax' }));
  const batch = await openedBatch(origin(), request(cells(4)));
  await db.flow.updateMany({ where: { userId: ada.id }, data: { since: new Date(Date.now() - 60_000) } });
  const { values } = await told();
  const fast = { bundle: 'reference', tier: 'fast' };
  expect(values('atelier_waiting_pictures', fast)).toEqual([3]);
  expect(values('atelier_waiting_people', fast)).toEqual([2]);
  expect(values('atelier_waiting_pictures', { ...fast, tier: 'relax' })).toEqual([1]);
  expect(values('atelier_longest_wait_seconds', fast)[0]).toBeCloseTo(60, -1);
  expect(values('atelier_deliveries_due')).toEqual([3]);

  const { wantedAt } = await db.delivery.findFirstOrThrow({ where: { batchId: batch.id } });
  await db.delivery.updateMany({ where: { batchId: batch.id }, data: { posted: 1, wantedAt: new Date(0) } });
  expect((await told()).values('atelier_deliveries_due')).toEqual([2]);
  // Whoever raises what is wanted, Postgres notes when.
  await changed(db, { batchId: batch.id });
  const again = await db.delivery.findFirstOrThrow({ where: { batchId: batch.id } });
  expect(again.wantedAt.getTime()).toBeGreaterThanOrEqual(wantedAt.getTime());
  expect((await told()).values('atelier_deliveries_due')).toEqual([3]);
});

it('are read again only after a while, and gone while Postgres is away', async () => {
  stop();
  stop = tellGauges(60_000);
  const before = (await told()).values('atelier_pictures_without_bytes');
  const count = vi.spyOn(db.image, 'count');
  expect((await told()).values('atelier_pictures_without_bytes')).toEqual(before);
  expect(count).not.toHaveBeenCalled();
  count.mockRestore();
  stop();

  stop = tellGauges(0);
  const broken = vi.spyOn(pg.Pool.prototype, 'connect').mockImplementation((done?: unknown) => {
    const error = new Error('Postgres does not answer');
    if (typeof done === 'function') done(error, undefined, () => {});
    else return Promise.reject(error);
    return undefined;
  });
  try {
    expect((await told()).values('atelier_deliveries_due')).toEqual([]);
  } finally {
    broken.mockRestore();
  }
  expect((await told()).values('atelier_deliveries_due')).toHaveLength(1);
});

it('no statement of theirs reads a table from end to end, however much there was', async () => {
  const batch = await openedBatch(origin(), request([cell({ seed: 9 })]));
  const userId = batch.ownerId;
  await db.$executeRaw`
    INSERT INTO "Flow" (bundle, tier, "userId", loras, "faceId", waiting, "waitingMs", "givenMs", since)
    SELECT 'reference', 'fast', 'u' || n, '', '', 0, 0, 0, now() FROM generate_series(1, 20000) n`;
  await db.$executeRaw`
    INSERT INTO "Delivery" (id, kind, "batchId", "userId", wanted, posted, nonce)
    SELECT 'd' || n, 'card', ${batch.id}, ${userId}, 3, 3, 'n' || n FROM generate_series(1, 20000) n`;
  await db.$executeRaw`
    INSERT INTO "Generation" (id, "batchId", index, state, "userId", tier, bundle, prompt, parameters, seed, width, height, steps, key, coordinates,
      "queuedAt", "startedAt", "endedAt")
    SELECT 'g' || n, ${batch.id}, n, 'done', ${userId}, 'fast', 'reference', '', '{}', 1, 64, 64, 1, 'k' || n, '{}',
      now() - n * interval '3 minutes', now() - n * interval '3 minutes', now() - n * interval '3 minutes'
    FROM generate_series(1, 20000) n`;
  await db.$executeRaw`
    INSERT INTO "Image" (id, "generationId", key, "bundleHash", "storageKey", sha256, width, height, bytes, thumbhash, verdict)
    SELECT 'i' || n, 'g' || n, 'k' || n, 'h', 's' || n, '', 64, 64, 1, '', 'clear' FROM generate_series(1, 20000) n`;
  await db.$executeRaw`
    INSERT INTO "Review" (id, "imageId", state, cause) SELECT 'r' || n, 'i' || n, 'approved', 'report' FROM generate_series(1, 20000) n`;
  await db.$executeRaw`ANALYZE`;

  const heard = listen();
  await Promise.all([waitingNow(), dueNow(), countMissing(), openReviewsNow(), lastDay()]);
  // Again, of what may still change alone.
  const hours = await lastDay();
  expect(hours.map(({ pictures }) => pictures.get('fast'))).toEqual([
    ...Array(23).fill(20),
    expect.any(Number),
  ]);
  expect(heard).toHaveLength(6);

  expect(await plannedScans(heard)).toEqual([]);
});
