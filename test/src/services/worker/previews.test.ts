/** What a worker lets be seen of a picture while it draws: real networks, and every preview that it ever kept. */
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';

// A preview after every step, however quick this machine is.
process.env.EDIT_INTERVAL_MS = '0';
const { db } = await import('#src/doors/db.ts');
const { openBatch } = await import('#src/batches/batches.ts');
const { loadBundle } = await import('#src/bundles/load.ts');
const { connectQueues } = await import('#src/doors/queue.ts');
const { changeGuild } = await import('#src/guilds.ts');
const { mayBeGlimpsed } = await import('#src/moderation/verdicts.ts');
const { openPhoto } = await import('#src/services/worker/easel.ts');
const { startWorker } = await import('#src/services/worker/worker.ts');
const { classifyAll } = await import('#pipelines/safety/classify.ts');
const { only } = await import('#test/support/bundle-copy.ts');
const { queueBackends } = await import('#test/support/queue-backends.ts');
const { actor, cell, origin, request } = await import('#test/support/requests.ts');
const { usualPlace } = await import('#test/support/where.ts');

vi.setConfig({ testTimeout: 180_000 });
const slow = { steps: 40, shape: 'square' };

const queues = connectQueues(queueBackends[0]!.options);
let worker: Awaited<ReturnType<typeof startWorker>>;
beforeAll(async () => {
  // Whatever was kept, and which part of the work was told, if only for a moment.
  await db.$executeRaw`CREATE TABLE seen (id text, webp bytea)`;
  await db.$executeRaw`CREATE TABLE told (id text, stage text)`;
  await db.$executeRawUnsafe(`CREATE FUNCTION note_seen() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO seen VALUES (NEW."generationId", NEW.webp); RETURN NULL; END $$`);
  await db.$executeRawUnsafe(`CREATE FUNCTION note_told() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO told VALUES (NEW.id, NEW.stage); RETURN NULL; END $$`);
  await db.$executeRawUnsafe(
    `CREATE TRIGGER note_seen AFTER INSERT OR UPDATE ON "Preview" FOR EACH ROW EXECUTE FUNCTION note_seen()`,
  );
  await db.$executeRawUnsafe(
    `CREATE TRIGGER note_told AFTER UPDATE OF progress ON "Generation" FOR EACH ROW EXECUTE FUNCTION note_told()`,
  );
  worker = await startWorker({ queues, bundles: only(inject('bundleDir')) });
});
afterAll(async () => {
  await worker.close();
  await queues.close();
});

async function drawnOf(prompt: string, person = actor()) {
  const cells = [1, 2].map((seed) => cell({ prompt, seed }, slow));
  const batch = await openBatch(origin({ actor: person }), request(cells));
  await vi.waitFor(
    async () =>
      expect(await db.batch.findUniqueOrThrow({ where: { id: batch.id } })).toMatchObject({
        endedAt: expect.any(Date),
      }),
    { timeout: 120_000, interval: 100 },
  );
  const ids = (await db.generation.findMany({ where: { batchId: batch.id } })).map(({ id }) => id);
  const seen = await db.$queryRaw<
    { id: string; webp: Uint8Array }[]
  >`SELECT * FROM seen WHERE id = ANY(${ids})`;
  const told = await db.$queryRaw<{ stage: string | null }[]>`
    SELECT DISTINCT stage FROM told WHERE id = ANY(${ids})`;
  return { ids, seen, stages: told.map(({ stage }) => stage) };
}

describe('a worker', () => {
  it('keeps previews of each picture while it draws, tells what it does, and leaves none', async () => {
    const { ids, seen, stages } = await drawnOf('a woman in a red dress');
    expect(new Set(seen.map(({ id }) => id))).toEqual(new Set(ids));
    for (const { webp } of seen) {
      const { format, width = 0, height = 0 } = await sharp(webp).metadata();
      expect(format).toBe('webp');
      expect(Math.max(width, height)).toBeLessThanOrEqual(96);
    }
    expect(stages).toContain('base');
    expect(await db.preview.count()).toBe(0);
    const { msPerStep, memoryMib } = await vi.waitFor(
      async () => {
        const row = await db.worker.findFirstOrThrow();
        expect(row.msPerStep).not.toBeNull();
        return row;
      },
      { timeout: 60_000, interval: 100 },
    );
    expect(msPerStep).toBeGreaterThan(0);
    expect(memoryMib).toBeGreaterThan(10);
  });

  it('keeps none that the classifier does not clear', async () => {
    const { seen } = await drawnOf('portrait of a woman, checkered background');
    const bundle = await loadBundle(inject('bundleDir'), { threads: 1 });
    for (const { webp } of seen) {
      const scores = await classifyAll(bundle.classifiers, await openPhoto(webp));
      expect(mayBeGlimpsed(scores, usualPlace)).toBe(true);
    }
    expect(await db.preview.count()).toBe(0);
  });

  it('makes none where the server wants none', async () => {
    const person = actor({ managesGuild: true });
    await changeGuild(person, { previews: false });
    const { seen, stages } = await drawnOf('a man in a green coat', person);
    expect(seen).toEqual([]);
    expect(stages).toContain('base');
  });
});
