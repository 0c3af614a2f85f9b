import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { admit, readmitLost } from '#src/backlog/admission.ts';
import { openBatch } from '#src/batches/batches.ts';
import { db } from '#src/doors/db.ts';
import { connectQueues, type Queues } from '#src/doors/queue.ts';
import { queueBackends } from '../../support/queue-backends.ts';
import { actor, cell, origin, request } from '../../support/requests.ts';

const BUNDLE = 'reference';
const later = () => new Date(Date.now() + 60_000);

describe.each(queueBackends)('admission on $name', ({ options }) => {
  let queues: Queues;
  beforeEach(async () => {
    queues ??= connectQueues(options);
    await db.batch.deleteMany();
    await db.worker.deleteMany();
    for (const id of await queues.ids('generation', BUNDLE)) await queues.remove('generation', id, BUNDLE);
  });
  afterAll(async () => {
    await queues?.close();
  });

  /** Alive for as long as a test takes. */
  const workers = (count: number) =>
    db.worker.createMany({
      data: Array.from({ length: count }, (_, i) => ({
        id: `w${i}`,
        bundle: BUNDLE,
        bundleHash: 'h',
        seenAt: later(),
      })),
    });
  const ask = async (pictures: number, tier = 'fast', person = actor()) => {
    const cells = Array.from({ length: pictures }, (_, i) =>
      cell({ seed: i, prompt: `${person.id} ${tier}` }),
    );
    await openBatch(origin({ actor: person }), request(cells, { tier }));
    return person.id;
  };
  /** Admits one at a time and ends it, as one worker would; returns who was served. */
  async function served(count: number): Promise<string[]> {
    const order: string[] = [];
    for (let i = 0; i < count; i++) {
      await admit(queues, BUNDLE);
      const next = await db.generation.findMany({
        where: { state: 'queued', admittedAt: { not: null } },
        orderBy: { admittedAt: 'asc' },
      });
      const first = next[0];
      if (!first) break;
      order.push(first.userId);
      await db.generation.update({ where: { id: first.id }, data: { state: 'done', endedAt: new Date() } });
    }
    return order;
  }

  it('keeps BullMQ shallow: two jobs a worker, however many wait', async () => {
    await workers(2);
    await ask(50);
    expect(await admit(queues, BUNDLE)).toBe(4);
    expect(await admit(queues, BUNDLE)).toBe(0);
    expect((await queues.ids('generation', BUNDLE)).size).toBe(4);
  });

  it('admits nothing while no worker is alive', async () => {
    await ask(1);
    expect(await admit(queues, BUNDLE)).toBe(0);
  });

  it('lets people take turns: one who asks for 50 delays another by two', async () => {
    await workers(1);
    const greedy = await ask(50);
    const modest = await ask(1);
    const order = await served(4);
    expect(order).toContain(modest);
    expect(order.filter((id) => id === greedy).length).toBeLessThanOrEqual(3);
  });

  it('lets tiers take turns: a flood of turbo starves nobody', async () => {
    await workers(1);
    await ask(30, 'turbo');
    const relaxed = await ask(1, 'relax');
    expect(await served(4)).toContain(relaxed);
  });

  it('draws an equal picture once: the second waits for the first', async () => {
    await workers(4);
    const same = () => openBatch(origin(), request([cell({ prompt: 'the very same' })]));
    await same();
    await same();
    expect(await admit(queues, BUNDLE)).toBe(1);
    expect(await admit(queues, BUNDLE)).toBe(0);
  });

  it('is done by one of many that try at once', async () => {
    await workers(1);
    await ask(50);
    const admitted = await Promise.all(Array.from({ length: 6 }, () => admit(queues, BUNDLE)));
    expect(admitted.reduce((a, b) => a + b)).toBe(2);
  });

  it('puts back what an emptied queue lost', async () => {
    await workers(1);
    await ask(5);
    await admit(queues, BUNDLE);
    expect(await readmitLost(queues, BUNDLE, later())).toBe(0);

    for (const id of await queues.ids('generation', BUNDLE)) await queues.remove('generation', id, BUNDLE);
    expect(await readmitLost(queues, BUNDLE, later())).toBe(2);
    expect(await admit(queues, BUNDLE)).toBe(2);
  });
});
