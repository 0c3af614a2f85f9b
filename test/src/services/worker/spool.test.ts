/** Workers as processes, whose S3 is there and away in turns: what they drew is neither lost nor drawn twice. */
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, inject, it, vi } from 'vitest';
import { config } from '#config/env.ts';
import { openBatch } from '#src/batches/batches.ts';
import { endBatch } from '#src/batches/ending.ts';
import { going } from '#src/cards/drawing.ts';
import { db } from '#src/doors/db.ts';
import { picturesOf } from '#src/generations/pictures.ts';
import { sayIn } from '#src/say.ts';
import { openSpool } from '#src/services/worker/spool.ts';
import { clearJudgement } from '#test/support/drawn.ts';
import { cell, origin, request } from '#test/support/requests.ts';
import { S3_KEYS, startS3, type TestS3 } from '#test/support/s3-server.ts';
import { endWorkers, useBundle, type WorkerProcess, workerProcess } from '#test/support/worker-process.ts';

const WAIT = { timeout: 60_000, interval: 100 };

let s3: TestS3;
let worker: WorkerProcess;
const startWorker = async () => {
  worker = workerProcess({
    S3_BUCKET: s3.bucket,
    S3_ENDPOINT: s3.url,
    S3_ACCESS_KEY_ID: S3_KEYS.accessKeyId,
    S3_SECRET_ACCESS_KEY: S3_KEYS.secretAccessKey,
    S3_PATH_STYLE: 'true',
  });
  await worker.ready;
};
beforeAll(async () => {
  await useBundle(inject('bundleDir'));
  s3 = await startS3();
  await startWorker();
}, WAIT.timeout);
afterAll(async () => {
  await endWorkers();
  await s3.stop();
});
beforeEach(() => s3.objects.clear());

let asked = 0;
async function ask(pictures: number): Promise<string> {
  const cells = Array.from({ length: pictures }, (_, i) =>
    cell({ prompt: `portrait ${++asked}`, seed: i + 1 }, { steps: 2, shape: 'square' }),
  );
  return (await openBatch(origin(), request(cells))).id;
}
const rowsOf = (batchId: string) => db.generation.findMany({ where: { batchId }, include: { image: true } });
const spooled = () => readdir(join(config.dataDir, 'spool/drawn')).catch((): string[] => []);
const count = async (batchId: string, state: 'done' | 'running' | 'queued' | 'cancelled') =>
  (await rowsOf(batchId)).filter((row) => row.state === state).length;
const until = (state: Parameters<typeof count>[1], batchId: string, number: number) =>
  vi.waitFor(async () => expect(await count(batchId, state)).toBe(number), WAIT);
/** Each has bytes in the bucket, of what its row says, and nothing else is there. */
async function isWhole(batchId: string): Promise<void> {
  const images = (await rowsOf(batchId)).map(({ image }) => image);
  expect([...s3.objects.keys()].sort()).toEqual(images.map((image) => image?.storageKey).sort());
  for (const image of images)
    expect(s3.objects.get(image?.storageKey ?? '')?.headers['x-amz-meta-sha256']).toBe(image?.sha256);
}

it('a batch in whose middle S3 stops is drawn to its end, and done once S3 is back: each picture once', async () => {
  const batchId = await ask(12);
  await vi.waitFor(async () => expect(await count(batchId, 'done')).toBeGreaterThan(0), WAIT);
  await s3.stop();
  const before = await count(batchId, 'done');
  expect(before).toBeLessThan(12);
  await vi.waitFor(
    async () => expect(await spooled()).toHaveLength(12 - (await count(batchId, 'done'))),
    WAIT,
  );
  expect(await count(batchId, 'running')).toBe((await spooled()).length);
  const pictures = (await picturesOf(batchId)).filter(({ state }) => state === 'running');
  await vi.waitFor(async () => {
    const { lines } = going(
      sayIn('en'),
      (await picturesOf(batchId)).filter(({ id }) => id === pictures[0]?.id),
      true,
    );
    expect(lines[0]).toMatch(/^Drawn. The place where pictures are kept does not answer/);
  }, WAIT);
  await s3.start();
  await until('done', batchId, 12);
  expect(await spooled()).toEqual([]);
  for (const { attempts } of await rowsOf(batchId)) expect(attempts).toBe(1);
  await isWhole(batchId);
});

it('what waits outlives the worker that drew it, and is not drawn again', async () => {
  s3.mood = 'overloaded';
  const batchId = await ask(3);
  await vi.waitFor(async () => expect(await spooled()).toHaveLength(3), WAIT);
  worker.signal('SIGTERM');
  expect(await worker.ended).toBe(0);
  expect(await count(batchId, 'queued')).toBe(3);
  expect(await spooled()).toHaveLength(3);
  s3.mood = 'well';
  await startWorker();
  await until('done', batchId, 3);
  expect(await spooled()).toEqual([]);
  await isWhole(batchId);
  const said = worker.lines.join('\n');
  expect(said.match(/"drawn before: not drawn again"/g)).toHaveLength(3);
  expect(said).not.toMatch(/"msg":"drawn"/);
});

it('also one that is killed', async () => {
  s3.mood = 'hangs';
  const batchId = await ask(2);
  await vi.waitFor(async () => expect(await spooled()).toHaveLength(2), WAIT);
  worker.signal('SIGKILL');
  await worker.ended;
  s3.mood = 'well';
  await startWorker();
  await until('done', batchId, 2);
  await isWhole(batchId);
  expect(worker.lines.join('\n')).not.toMatch(/"msg":"drawn"/);
});

it('what is cancelled while it waits is dropped, and its tokens come back', async () => {
  s3.mood = 'overloaded';
  const batchId = await ask(2);
  await vi.waitFor(async () => expect(await spooled()).toHaveLength(2), WAIT);
  await endBatch(batchId, 'cancelled');
  await until('cancelled', batchId, 2);
  await vi.waitFor(async () => expect(await spooled()).toEqual([]), WAIT);
  const ledger = await db.tokenEntry.findMany({ where: { batchId } });
  expect(ledger.reduce((sum, { amount }) => sum + amount, 0)).toBe(0);
  s3.mood = 'well';
  // Nothing of it is left for later.
  await until('done', await ask(1), 1);
  expect(s3.objects.size).toBe(1);
});

it('what nobody waits for goes at the start, and when as much waits as may, no more is taken', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'spool-'));
  await mkdir(join(dataDir, 'spool/drawn'), { recursive: true });
  await writeFile(join(dataDir, 'spool/drawn', randomUUID()), 'of a picture that is gone');
  const shut = vi.fn();
  const spool = await openSpool({ dataDir, workerId: 'me', room: { shut }, gone: () => {}, most: 10 });
  expect(await readdir(join(dataDir, 'spool/drawn'))).toEqual([]);

  const [row] = await rowsOf(await ask(1));
  const batch = { ...(await db.batch.findFirstOrThrow()), previews: true };
  const drawing = { ...row!, batch, key: 'a key' };
  const drawn = {
    ...{ width: 8, height: 8, sha256: 'b', thumbhash: Uint8Array.of(0, 250), verdict: 'clear' as const },
    ...{
      scores: { a: 0.5 },
      rule: null,
      judged: clearJudgement,
      likeness: 0.25,
      bundleHash: 'c',
      photoIds: ['d'],
    },
    ...{ timings: { base: 3 }, gpuMs: 4 },
  };
  const keep = (bytes: number) => spool.keep(drawing, { ...drawn, png: Buffer.alloc(bytes, '\n') });
  await keep(9);
  expect(shut).not.toHaveBeenCalled();
  await keep(10);
  expect(shut).toHaveBeenCalled();
  const found = { ...drawn, png: Buffer.alloc(10, '\n') };
  expect(await spool.find(drawing, 'c')).toEqual(found);
  await spool.close();
  expect(await spool.find(drawing, 'other weights')).toBeNull();
  await rm(dataDir, { recursive: true });
});
