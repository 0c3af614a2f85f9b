/** What the courier tells of its messages, and what it keeps of what they promised. */
import { PermissionFlagsBits as P } from 'discord-api-types/v10';
import { afterAll, afterEach, expect, it } from 'vitest';
import { readScrape } from '#test/support/prometheus.ts';
import { drawAll, openCourier, openIn, until } from './local.ts';

const courier = await openCourier();
const { sandbox, settled, deliveryOf, start } = courier;
const { db } = await import('#src/doors/db.ts');
const { metricsText } = await import('#src/doors/metrics.ts');

let before = readScrape('');
afterEach(async () => {
  await courier.tidy();
  before = await scrape();
});
afterAll(courier.close);

const scrape = async () => readScrape(await metricsText());
async function rise(name: string, labels: Record<string, string>): Promise<number> {
  const of = ({ values }: typeof before) => values(name, labels).reduce((sum, value) => sum + value, 0);
  return of(await scrape()) - of(before);
}
const outcome = (what: string, kind = 'card') => rise('atelier_deliveries_total', { kind, outcome: what });

it('what is posted and edited, how late it was, and what the first card said of when it is ready', async () => {
  const { batch } = await openIn(sandbox, { prompt: 'told and kept' });
  await db.delivery.updateMany({
    where: { batchId: batch.id },
    data: { wantedAt: new Date(Date.now() - 20_000) },
  });
  await start();
  await settled(batch.id);
  const { promisedAt, openedAt, told } = await db.batch.findUniqueOrThrow({ where: { id: batch.id } });
  expect(promisedAt!.getTime()).toBeGreaterThan(openedAt!.getTime());
  expect(told).toMatchObject({ aheadBy: { fast: 0 }, workers: expect.any(Number) });
  expect((told as { toAt: number }).toAt).toBeGreaterThan(promisedAt!.getTime());
  expect(await outcome('posted')).toBe(1);
  expect(await rise('atelier_delivery_seconds_bucket', { kind: 'card', le: '10' })).toBe(0);
  expect(await rise('atelier_delivery_seconds_bucket', { kind: 'card', le: '+Inf' })).toBe(1);

  await drawAll(batch.id);
  await settled(batch.id);
  expect(await outcome('edited')).toBeGreaterThan(0);
  // An edit was wanted just now, and was not late.
  expect(await rise('atelier_delivery_seconds_bucket', { kind: 'card', le: '10' })).toBeGreaterThan(0);
  const after = await db.batch.findUniqueOrThrow({ where: { id: batch.id } });
  expect(after.promisedAt).toEqual(promisedAt);
  expect(after.told).toEqual(told);
});

it('a card that says nothing of when it is ready promises nothing', async () => {
  const { batch } = await openIn(sandbox, { prompt: 'drawn before it was posted' });
  await drawAll(batch.id);
  await start();
  await settled(batch.id);
  expect(await db.batch.findUniqueOrThrow({ where: { id: batch.id } })).toMatchObject({ promisedAt: null });
});

it('what is put off, and what reaches nobody', async () => {
  sandbox.misbehave({
    serverError: { next: 4, when: 'before', status: 503, route: 'POST /channels' },
  });
  const { batch } = await openIn(sandbox, { prompt: 'put off' });
  await start();
  await settled(batch.id, 'card', 25_000);
  expect(await outcome('put_off')).toBeGreaterThan(0);
  expect(await outcome('posted')).toBe(1);
  await courier.stop();

  const allow = courier.deny('portraits', P.SendMessages);
  sandbox.misbehave({ refuseDms: true });
  const nowhere = await openIn(sandbox, { prompt: 'nowhere to go' });
  await start();
  await until(async () => (await deliveryOf(nowhere.batch.id)).state === 'undelivered');
  expect(await outcome('undelivered')).toBe(1);
  allow();
});

it('what has to wait for another message is not put off, it is only too early', async () => {
  const { batch } = await openIn(sandbox, { prompt: 'in its thread', kind: 'sweep' });
  await db.delivery.updateMany({
    where: { batchId: batch.id, kind: 'card' },
    data: { notBefore: new Date(Date.now() + 1_500) },
  });
  await start();
  await settled(batch.id, 'status');
  expect(await outcome('not_yet', 'status')).toBeGreaterThan(0);
  expect(await outcome('put_off', 'status')).toBe(0);
});
