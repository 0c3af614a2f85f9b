/** A face that was taken back is in no picture that is finished later, whenever that happens. */
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { openBatch } from '#src/batches/batches.ts';
import { failGeneration, finishGeneration, handBack, reuseImage } from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import * as queue from '#src/doors/queue.ts';
import { failureOf, failureSentence } from '#src/errors.ts';
import { addPhotos, faceIn, finishFaceCheck, giveConsent } from '#src/faces.ts';
import { reportProgress } from '#src/generations/generations.ts';
import type { Actor } from '#src/people/people.ts';
import { sayIn } from '#src/say.ts';
import { removeFolder, withdrawConsent } from '#src/withdrawal.ts';
import { drawn } from '#test/support/drawn.ts';
import { filesIn } from '#test/support/files.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { startGeneration } from '#test/support/taking.ts';
import { inTurns } from '#test/support/turns.ts';
import { usualPlace } from '#test/support/where.ts';

vi.mock('#src/doors/storage.ts', async (original) =>
  (await import('#test/support/turns.ts')).gatedStorage(await original()),
);
vi.mock('#src/doors/db.ts', async (original) => {
  const real = await original<typeof import('#src/doors/db.ts')>();
  const { gated } = await import('#test/support/turns.ts');
  return { ...real, inTransaction: gated(real.inTransaction) };
});
beforeAll(async () => {
  await db.worker.create({ data: { id: 'w', bundle: 'reference', bundleHash: 'weights' } });
});
beforeEach(() => {
  vi.spyOn(queue.queues(), 'add').mockResolvedValue();
});

let uploaded = 0;
/** Somebody's folder `ada`, with photos that may be used. */
async function face(person = actor(), count = 2) {
  const photos = Array.from({ length: count }, () => ({
    png: Buffer.from(`photo ${++uploaded}`),
    width: 200,
    height: 300,
  }));
  const { folder, ids } = await addPhotos(person, 'ada', photos);
  for (const id of ids) await finishFaceCheck(id, 1);
  await giveConsent(person, folder.id, 'I agree');
  return { person, folder, ids };
}
/** A batch of pictures with that face, that wait. */
async function asked(person: Actor, faceFolderId: string | null, seeds: readonly number[] = [1]) {
  const batch = await openBatch(
    origin({ actor: person }),
    request(seeds.map((seed) => cell({ seed, faceFolderId, prompt: `portrait of ${person.id}` }))),
  );
  const rows = await db.generation.findMany({ where: { batchId: batch.id }, orderBy: { index: 'asc' } });
  return { batch, ids: rows.map(({ id }) => id) };
}
const rowOf = (id: string) =>
  db.generation.findUniqueOrThrow({ where: { id }, include: { image: true, batch: true } });
const spent = async (batchId: string) =>
  (await db.tokenEntry.findMany({ where: { batchId } })).reduce((sum, { amount }) => sum + amount, 0);
const files = async (batchId: string) =>
  (await filesIn('tests', 'quarantine')).filter((key) => key.includes(batchId));
/** As a worker does it. */
async function draw(id: string, folderId: string, worker = 'w'): Promise<void> {
  const drawing = (await startGeneration(id, worker))!;
  const { photoIds } = await faceIn(folderId);
  await finishGeneration(drawing, worker, drawn({ photoIds }));
}

const ways: readonly [
  string,
  (person: Actor, folderId: string, ids: string[]) => Promise<unknown>,
  string,
  string,
][] = [
  ['the folder is removed', (person) => removeFolder(person, 'ada'), 'gone', 'Its face folder is gone.'],
  [
    'consent is withdrawn',
    (person, folderId) => withdrawConsent(person, folderId),
    'consent_withdrawn',
    'The consent to its face was withdrawn.',
  ],
  [
    'consent to one of its photos is withdrawn',
    (person, folderId, ids) => withdrawConsent(person, folderId, ids.slice(0, 1)),
    'consent_withdrawn',
    'The consent to its face was withdrawn.',
  ],
];

describe.each(ways)('when %s', (_, takeBack, failure, sentence) => {
  it('what waits for it ends, and its tokens come back', async () => {
    const { person, folder, ids: photos } = await face();
    const { batch, ids } = await asked(person, folder.id, [1, 2]);
    const card = await db.delivery.findFirstOrThrow({ where: { batchId: batch.id } });
    await takeBack(person, folder.id, photos);
    for (const id of ids) {
      const row = await rowOf(id);
      expect(row).toMatchObject({ state: 'failed', failure, faceId: folder.id });
      expect(failureSentence(sayIn('en'), row.failure)).toBe(sentence);
      expect(row.batch.endedAt).not.toBeNull();
      expect(await startGeneration(id, 'w')).toBeNull();
    }
    expect(await spent(batch.id)).toBe(0);
    expect((await db.delivery.findUniqueOrThrow({ where: { id: card.id } })).wanted).toBeGreaterThan(
      card.wanted,
    );
  });

  it('what waits to be copied from an earlier one ends too', async () => {
    const { person, folder, ids: photos } = await face();
    const first = await asked(person, folder.id);
    await draw(first.ids[0]!, folder.id);
    const twin = await asked(person, folder.id);
    expect((await rowOf(twin.ids[0]!)).price).toBe(0);
    await takeBack(person, folder.id, photos);
    expect(await rowOf(twin.ids[0]!)).toMatchObject({ state: 'failed', failure, image: null });
    // What was finished before is there.
    expect(await rowOf(first.ids[0]!)).toMatchObject({ state: 'done', faceId: folder.id });
  });

  it('what is being drawn ends: its worker is told at its next step', async () => {
    const { person, folder, ids: photos } = await face();
    const { batch, ids } = await asked(person, folder.id);
    await startGeneration(ids[0]!, 'w');
    const report = { id: ids[0]!, progress: 0.4, stage: 'base', preview: new Uint8Array([1]) };
    expect([...(await reportProgress('w', [report])).goOn]).toEqual(ids);
    expect(await db.preview.count({ where: { generationId: ids[0]! } })).toBe(1);
    await takeBack(person, folder.id, photos);
    expect(await db.preview.count({ where: { generationId: ids[0]! } })).toBe(0);
    expect((await reportProgress('w', [report])).goOn.size).toBe(0);
    expect(await db.preview.count({ where: { generationId: ids[0]! } })).toBe(0);
    expect(await rowOf(ids[0]!)).toMatchObject({ state: 'failed', failure });
    expect(await spent(batch.id)).toBe(0);
    // Nor does anything bring it back.
    await handBack(ids[0]!, 'w');
    expect((await rowOf(ids[0]!)).state).toBe('failed');
  });

  it('other faces and pictures without one go on', async () => {
    const one = await face();
    const other = await face();
    const [plain, theirs] = [await asked(one.person, null), await asked(other.person, other.folder.id)];
    await takeBack(one.person, one.folder.id, one.ids);
    for (const { ids } of [plain, theirs]) expect((await rowOf(ids[0]!)).state).toBe('queued');
  });
});

it('says how many pictures a removed folder ended', async () => {
  const { person, folder } = await face();
  await asked(person, folder.id, [1, 2, 3]);
  expect(await removeFolder(person, 'ada')).toBe(3);
});

/** Either it was finished before the face was taken back, or it came to nothing. */
async function isDecided(id: string, batchId: string, folderId: string): Promise<'before' | 'ended'> {
  const { state, price, image } = await rowOf(id);
  const { createdAt } = await db.auditEvent.findFirstOrThrow({
    where: { subject: `folder:${folderId}`, action: 'consent.withdrawn' },
  });
  if (state === 'done') {
    expect(image!.createdAt.getTime()).toBeLessThanOrEqual(createdAt.getTime());
    expect(await files(batchId)).toEqual([image!.storageKey]);
    expect(await spent(batchId)).toBe(-price);
    return 'before';
  }
  expect(state).toBe('failed');
  expect(image).toBeNull();
  expect(await files(batchId)).toEqual([]);
  expect(await spent(batchId)).toBe(0);
  return 'ended';
}

describe('a picture that is finished', () => {
  it('while its face is taken back is finished before that or not at all, wherever it is overtaken', async () => {
    const seen = new Set<string>();
    for (let gates = 0; gates < 10; gates++) {
      const { person, folder } = await face();
      const { batch, ids } = await asked(person, folder.id);
      const [id] = ids as [string];
      const drawing = (await startGeneration(id, 'w'))!;
      const { photoIds } = await faceIn(folder.id);
      const finish = async () => {
        await finishGeneration(drawing, 'w', drawn({ photoIds })).catch((error: unknown) =>
          failGeneration(id, 'w', failureOf(error)),
        );
      };
      const order = [...Array(gates).fill(0), ...Array(40).fill(1)];
      await inTurns(
        [finish, () => removeFolder(person, 'ada')],
        order.map((who) => ({ who, fate: 'goes on' })),
      );
      seen.add(await isDecided(id, batch.id, folder.id));
    }
    expect([...seen].sort()).toEqual(['before', 'ended']);
  });

  it('at the same time as its face is taken back, the same', async () => {
    for (let i = 0; i < 12; i++) {
      const { person, folder } = await face();
      const { batch, ids } = await asked(person, folder.id);
      const [id] = ids as [string];
      const drawing = (await startGeneration(id, 'w'))!;
      const { photoIds } = await faceIn(folder.id);
      await Promise.all([
        finishGeneration(drawing, 'w', drawn({ photoIds })).catch((error: unknown) =>
          failGeneration(id, 'w', failureOf(error)),
        ),
        withdrawConsent(person, folder.id),
      ]);
      await isDecided(id, batch.id, folder.id);
    }
  });

  it('or copied asks for the consent itself, should the withdrawal have missed it', async () => {
    const { person, folder } = await face();
    const first = await asked(person, folder.id);
    await draw(first.ids[0]!, folder.id);
    const { batch, ids } = await asked(person, folder.id, [1, 2]);
    const [copy, other] = ids as [string, string];
    const { photoIds } = await faceIn(folder.id);
    const [copying, drawing] = [(await startGeneration(copy, 'w'))!, (await startGeneration(other, 'w'))!];
    // As if these two had been accepted between two statements of the withdrawal.
    await db.facePhoto.updateMany({ where: { id: photoIds[0]! }, data: { state: 'rejected' } });
    const withdrawn = expect.objectContaining({ code: 'consent_withdrawn' });
    await expect(reuseImage(copying, 'w', 'weights', photoIds, usualPlace)).rejects.toEqual(withdrawn);
    await expect(finishGeneration(drawing, 'w', drawn({ photoIds }))).rejects.toEqual(withdrawn);
    expect(
      failureOf(await finishGeneration(drawing, 'w', drawn({ photoIds })).catch((e: unknown) => e)),
    ).toBe('consent_withdrawn');
    expect(await files(batch.id)).toEqual([]);
  });
});

it('a picture that is asked for while its face is taken back is refused, or ends', async () => {
  for (let i = 0; i < 12; i++) {
    const { person, folder } = await face();
    const results = await Promise.allSettled([asked(person, folder.id), removeFolder(person, 'ada')]);
    expect(results[1]).toMatchObject({ status: 'fulfilled' });
    if (results[0]!.status === 'rejected')
      expect(['gone', 'folder_empty']).toContain((results[0]!.reason as { code: string }).code);
    expect(await db.generation.count({ where: { faceId: folder.id, state: { not: 'failed' } } })).toBe(0);
  }
});
