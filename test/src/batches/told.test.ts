/** What becomes of batches, as it is told to Prometheus: once it is committed, and once. */
import { afterEach, expect, it } from 'vitest';
import {
  abandonGeneration,
  endBatch,
  failGeneration,
  finishGeneration,
  handBack,
  reuseImage,
} from '#src/batches/ending.ts';
import { type Batch, db } from '#src/doors/db.ts';
import { metricsText } from '#src/doors/metrics.ts';
import type { Drawing } from '#src/generations/generations.ts';
import { drawn } from '#test/support/drawn.ts';
import { openedBatch } from '#test/support/opened.ts';
import { readScrape } from '#test/support/prometheus.ts';
import { cell, origin, request } from '#test/support/requests.ts';
import { startGeneration } from '#test/support/taking.ts';
import { usualPlace } from '#test/support/where.ts';

const worker = 'w1';
let before = readScrape('');
const scrape = async () => readScrape(await metricsText());
afterEach(async () => {
  before = await scrape();
});
/** By how much it rose in this test. */
async function rise(name: string, labels: Record<string, string> = {}): Promise<number> {
  const of = ({ values }: typeof before) => values(name, labels).reduce((sum, value) => sum + value, 0);
  return of(await scrape()) - of(before);
}

let seed = 0;
const open = async (count: number) => {
  const cells = Array.from({ length: count }, () => cell({ prompt: 'told', seed: ++seed }));
  const batch = await openedBatch(origin(), request(cells));
  return { batch, ids: await idsOf(batch) };
};
const idsOf = async ({ id: batchId }: Batch) =>
  (await db.generation.findMany({ where: { batchId }, orderBy: { index: 'asc' } })).map(({ id }) => id);

it('tokens are counted when they are taken and when they come back, and a picture that fails with its cause', async () => {
  const { batch, ids } = await open(2);
  expect(await rise('atelier_tokens_total', { reason: 'charge' })).toBe(batch.charged);
  for (const id of ids) await startGeneration(id, worker);
  await failGeneration(ids[0]!, worker, 'storage_full');
  expect(await rise('atelier_failures_total', { cause: 'storage_full' })).toBe(1);
  expect(await rise('atelier_pictures_total', { tier: 'fast', outcome: 'failed' })).toBe(1);
  expect(await rise('atelier_tokens_total', { reason: 'refund' })).toBe(batch.charged / 2);

  // Said again, or by somebody else, it changes nothing.
  await failGeneration(ids[0]!, worker, 'internal');
  await failGeneration(ids[1]!, 'another', 'internal');
  expect(await rise('atelier_failures_total')).toBe(1);
  await abandonGeneration(ids[1]!, worker);
  expect(await rise('atelier_pictures_total', { outcome: 'cancelled' })).toBe(1);
  expect(await rise('atelier_tokens_total', { reason: 'refund' })).toBe(batch.charged);
});

it('a batch that is cancelled while it waits ends all of its pictures', async () => {
  const { batch } = await open(3);
  await endBatch(batch.id, 'cancelled');
  expect(await rise('atelier_pictures_total', { tier: 'fast', outcome: 'cancelled' })).toBe(3);
  expect(await rise('atelier_failures_total')).toBe(0);
  expect(await rise('atelier_tokens_total', { reason: 'refund' })).toBe(batch.charged);
});

it('what an interaction asks for is counted once, though it comes twice', async () => {
  const asked = origin();
  const cells = [cell({ prompt: 'told', seed: ++seed })];
  const batch = await openedBatch(asked, request(cells));
  await openedBatch(asked, request(cells));
  expect(await rise('atelier_tokens_total', { reason: 'charge' })).toBe(batch.charged);
});

it('a picture waits until it is begun first, and not again when it was handed back', async () => {
  const { ids } = await open(1);
  const [id = ''] = ids;
  await db.generation.update({ where: { id }, data: { queuedAt: new Date(Date.now() - 45_000) } });
  await startGeneration(id, worker);
  await handBack(id, worker);
  await startGeneration(id, worker);
  expect(await rise('atelier_wait_seconds_count', { tier: 'fast' })).toBe(1);
  expect(await rise('atelier_wait_seconds_bucket', { tier: 'fast', le: '30' })).toBe(0);
  expect(await rise('atelier_wait_seconds_bucket', { tier: 'fast', le: '60' })).toBe(1);
  await abandonGeneration(id, worker);
});

it('an estimate is held against what came, however the last picture ended, of a batch that was not stopped', async () => {
  const promised = async (how: (drawing: Drawing) => Promise<unknown>) => {
    const { batch, ids } = await open(1);
    const drawing = await startGeneration(ids[0]!, worker);
    // Asked for 60 s ago; told then that it takes 40.
    const [openedAt, promisedAt] = [60_000, 20_000].map((ms) => new Date(Date.now() - ms));
    await db.batch.update({
      where: { id: batch.id },
      data: { openedAt: openedAt!, promisedAt: promisedAt! },
    });
    await how(drawing!);
    expect(await db.batch.findUniqueOrThrow({ where: { id: batch.id } })).toMatchObject({
      endedAt: expect.any(Date),
    });
  };
  await promised(({ id }) => failGeneration(id, worker, 'internal'));
  await promised((drawing) => finishGeneration(drawing, worker, drawn({ sha256: 'clear' })));
  expect(await rise('atelier_estimate_ratio_count', { tier: 'fast' })).toBe(2);
  expect(await rise('atelier_estimate_ratio_sum', { tier: 'fast' })).toBeCloseTo(3, 0);
  expect(await rise('atelier_pictures_total', { tier: 'fast', outcome: 'drawn' })).toBe(1);

  await promised(async ({ id, batchId }) => {
    await endBatch(batchId, 'cancelled');
    await abandonGeneration(id, worker);
  });
  expect(await rise('atelier_estimate_ratio_count')).toBe(2);
});

it('a request is soon or late by its first picture alone, as its tier promises', async () => {
  const first = async (count: number, secondsAgo: number) => {
    const { ids } = await open(count);
    await db.generation.updateMany({
      where: { id: { in: ids } },
      data: { queuedAt: new Date(Date.now() - secondsAgo * 1_000) },
    });
    for (const id of ids) {
      const drawing = await startGeneration(id, worker);
      await finishGeneration(drawing!, worker, drawn({ sha256: id }));
    }
  };
  // `fast` promises 25 s.
  await first(2, 5);
  expect(await rise('atelier_requests_total', { tier: 'fast', outcome: 'soon' })).toBe(1);
  await first(3, 40);
  expect(await rise('atelier_requests_total', { tier: 'fast', outcome: 'late' })).toBe(1);
  expect(await rise('atelier_requests_total')).toBe(2);
  expect(await rise('atelier_request_seconds_count', { tier: 'fast' })).toBe(2);
  expect(await rise('atelier_request_seconds_bucket', { tier: 'fast', le: '25' })).toBe(1);
});

it('a request that comes to nothing is our failure, or a refusal', async () => {
  for (const cause of ['internal', 'gone'] as const) {
    const { ids } = await open(2);
    for (const id of ids) {
      await startGeneration(id, worker);
      await failGeneration(id, worker, cause);
    }
  }
  expect(await rise('atelier_requests_total', { tier: 'fast', outcome: 'failed' })).toBe(1);
  expect(await rise('atelier_requests_total', { tier: 'fast', outcome: 'refused' })).toBe(1);
  expect(await rise('atelier_requests_total')).toBe(2);
});

it('a copy is counted as one, and what was paid for it as given back', async () => {
  const { batch, ids } = await open(1);
  const drawing = await startGeneration(ids[0]!, worker);
  const { key } = drawing!;
  // Drawn for somebody else meanwhile.
  const other = await open(1);
  const twin = await startGeneration(other.ids[0]!, worker);
  await finishGeneration({ ...twin!, key }, worker, drawn({ sha256: 'equal', bundleHash: 'weights' }));
  expect(await reuseImage(drawing!, worker, 'weights', [], usualPlace)).toBe(true);
  expect(await rise('atelier_pictures_total', { outcome: 'copied' })).toBe(1);
  expect(await rise('atelier_tokens_total', { reason: 'refund' })).toBe(batch.charged);
});
