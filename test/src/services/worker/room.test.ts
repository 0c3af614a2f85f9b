/** A worker whose storage is full: a real process, whose files may suddenly have no more than a few bytes. */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, inject, it, vi } from 'vitest';
import { openBatch } from '#src/batches/batches.ts';
import { db } from '#src/doors/db.ts';
import { failureSentence } from '#src/errors.ts';
import { sayIn } from '#src/say.ts';
import { filesIn } from '#test/support/files.ts';
import { cell, origin, request } from '#test/support/requests.ts';
import { endWorkers, useBundle, type WorkerProcess, workerProcess } from '#test/support/worker-process.ts';

const WAIT = { timeout: 60_000, interval: 100 };

let worker: WorkerProcess;
beforeAll(async () => {
  await useBundle(inject('bundleDir'));
  worker = workerProcess();
  await worker.ready;
}, WAIT.timeout);
afterAll(endWorkers);

/** As a full disk and one with room: Linux refuses to write more into a file. */
const mayWrite = (bytes: number | 'unlimited') =>
  execFileSync('prlimit', ['--pid', String(worker.pid), `--fsize=${bytes}:`]);

let asked = 0;
async function ask() {
  const asking = cell({ prompt: `portrait ${++asked}` }, { steps: 2, shape: 'square' });
  const batch = await openBatch(origin(), request([asking]));
  return batch;
}
const asideIs = (aside: string | null) =>
  vi.waitFor(async () => expect(await db.worker.findMany()).toMatchObject([{ aside }]), WAIT);
const is = (batchId: string, state: string) =>
  vi.waitFor(async () => {
    const row = await db.generation.findFirstOrThrow({ where: { batchId } });
    expect(row).toMatchObject({ state });
    return row;
  }, WAIT);

it('gives the tokens of two pictures back and says why, takes no more, and goes on once there is room', async () => {
  await is((await ask()).id, 'done');
  const before = await filesIn('tests');

  mayWrite(1_000);
  const batches: Awaited<ReturnType<typeof ask>>[] = [];
  while (batches.length < 8) batches.push(await ask());
  const of = (state: 'failed' | 'done') =>
    db.generation.findMany({ where: { batchId: { in: batches.map(({ id }) => id) }, state } });
  await vi.waitFor(async () => expect(await of('failed')).toHaveLength(2), WAIT);
  for (const { batchId, failure, attempts } of await of('failed')) {
    expect(failureSentence(sayIn('en'), failure)).toBe('Our storage is full, so it could not be kept.');
    expect(attempts).toBe(1);
    const ledger = await db.tokenEntry.findMany({ where: { batchId } });
    expect(ledger.reduce((sum, { amount }) => sum + amount, 0)).toBe(0);
    expect(ledger).toHaveLength(2);
  }

  await asideIs('storage_full');
  expect(worker.lines.join('\n')).toMatch(/"level":50,.*storage is full: this worker takes no pictures/);
  const kept = await ask();
  // It looks for room again and again, and finds none.
  await new Promise((done) => setTimeout(done, 4_000));
  await is(kept.id, 'queued');
  expect(await filesIn('tests')).toEqual(before);
  // What was drawn in vain beside the two waits for room again.
  expect(await of('failed')).toHaveLength(2);

  mayWrite('unlimited');
  await is(kept.id, 'done');
  await asideIs(null);
  await vi.waitFor(async () => expect(await of('done')).toHaveLength(6), WAIT);
  expect(await filesIn('tests')).toHaveLength(before.length + 7);
}, 180_000);
