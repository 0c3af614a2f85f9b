/**
 * A worker whose bundle asks about a concept: what comes near is held, and nothing of it is seen on the way. In the reference world, whose
 * text encoder knows no more of the phrases for children than "young", young people stand for it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { safety } from '#config/safety.ts';

// A preview after every step, however quick this machine is.
process.env.EDIT_INTERVAL_MS = '0';
const { db } = await import('#src/doors/db.ts');
const { openBatch } = await import('#src/batches/batches.ts');
const { reviewCard } = await import('#src/cards/review.ts');
const { connectQueues } = await import('#src/doors/queue.ts');
const { startWorker } = await import('#src/services/worker/worker.ts');
const { copyBundle, only } = await import('#test/support/bundle-copy.ts');
const { queueBackends } = await import('#test/support/queue-backends.ts');
const { cell, origin, request } = await import('#test/support/requests.ts');

vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });

const YOUNG = 'portrait of a young youthful woman';
const OLD = 'portrait of an old man, beard, forest';

const queues = connectQueues(queueBackends[0]!.options);
let worker: Awaited<ReturnType<typeof startWorker>>;
let dir: string;
beforeAll(async () => {
  await db.$executeRaw`CREATE TABLE seen (id text)`;
  await db.$executeRawUnsafe(`CREATE FUNCTION note_seen() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO seen VALUES (NEW."generationId"); RETURN NULL; END $$`);
  await db.$executeRawUnsafe(
    `CREATE TRIGGER note_seen AFTER INSERT OR UPDATE ON "Preview" FOR EACH ROW EXECUTE FUNCTION note_seen()`,
  );
  dir = await mkdtemp(join(tmpdir(), 'atelier-concepts-'));
  const copy = await copyBundle(join(dir, 'bundle'));
  await copy.manifest('ageError: 7', 'ageError: 7\nconcepts: { minors: 0.55 }');
  worker = await startWorker({ queues, bundles: only(copy.dir) });
});
afterAll(async () => {
  await worker.close();
  await queues.close();
  await rm(dir, { recursive: true, force: true });
});

/** One picture of each prompt, drawn together. */
async function drawnOf(prompts: readonly string[], seed: number) {
  const cells = prompts.map((prompt) => cell({ prompt, seed }, { steps: 12, shape: 'square' }));
  const batch = await openBatch(origin(), request(cells));
  await vi.waitFor(
    async () =>
      expect(await db.batch.findUniqueOrThrow({ where: { id: batch.id } })).toMatchObject({
        endedAt: expect.any(Date),
      }),
    { timeout: 120_000, interval: 100 },
  );
  const generations = await db.generation.findMany({
    where: { batchId: batch.id },
    include: { image: { include: { review: true } } },
  });
  return new Map(generations.map((one) => [one.prompt, { ...one, image: one.image! }]));
}

it('holds the picture of a prompt that comes near to it, and no other, with its name and how near', async () => {
  const drawn = await drawnOf([YOUNG, OLD], 1);
  const [young, old] = [drawn.get(YOUNG)!, drawn.get(OLD)!];
  expect(old.image).toMatchObject({ verdict: 'clear', rule: null, review: null });
  expect(old.image.judged).toMatchObject({ concepts: { minors: { threshold: 0.55 } } });
  expect(young.image).toMatchObject({
    verdict: 'flagged',
    rule: 'concept-minors',
    review: { cause: 'concept' },
  });
  expect(young.image.storageKey).toMatch(/^quarantine\//);

  const seen = (await db.$queryRaw<{ id: string }[]>`SELECT DISTINCT id FROM seen`).map(({ id }) => id);
  expect(seen).toContain(old.id);
  expect(seen).not.toContain(young.id);

  const told = JSON.stringify((await reviewCard(young.image.review!.id))?.container);
  expect(told).toMatch(/Held for what its prompt means · rule concept\\*-minors/);
  expect(told).toMatch(
    new RegExp(`the prompt comes near to ${safety.concepts.minors!.title}: 0\\.\\d{3}, held from 0\\.550 on`),
  );
});

it('copies no picture of such a prompt, whatever became of it', async () => {
  const before = await drawnOf([YOUNG, OLD], 2);
  await db.image.update({
    where: { id: before.get(YOUNG)!.image.id },
    data: { verdict: 'clear', review: { delete: true } },
  });
  const again = await drawnOf([YOUNG, OLD], 2);
  expect(again.get(OLD)).toMatchObject({ reused: true, image: { verdict: 'clear' } });
  expect(again.get(YOUNG)).toMatchObject({ reused: false, image: { rule: 'concept-minors' } });
});
