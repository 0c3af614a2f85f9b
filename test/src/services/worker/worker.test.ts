/** The worker as a whole: real ONNX sessions, real Postgres, both of BullMQ's backends. */
import { rm } from 'node:fs/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { cellKey } from '#src/batches/cells.ts';
import { endBatch } from '#src/batches/ending.ts';
import { type Batch, db } from '#src/doors/db.ts';
import { connectQueues, type Queues } from '#src/doors/queue.ts';
import { getFile, putFile } from '#src/doors/storage.ts';
import { addPhotos, folderHash, giveConsent, waitForChecks } from '#src/faces.ts';
import { faceFound, picturesOf } from '#src/generations/pictures.ts';
import { startWorker } from '#src/services/worker/worker.ts';
import { readPhoto } from '#src/uploads/photos.ts';
import { removeFolder } from '#src/withdrawal.ts';
import { only } from '#test/support/bundle-copy.ts';
import { openedBatch } from '#test/support/opened.ts';
import { noFacePhoto, portraitPhoto, twoFacesPhoto } from '#test/support/portraits.ts';
import { queueBackends } from '#test/support/queue-backends.ts';
import { rmsBetween } from '#test/support/read-picture.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';

/** However busy this machine is. */
vi.setConfig({ testTimeout: 180_000 });
const WAIT = { timeout: 90_000, interval: 100 };
const small = { steps: 4, detail_steps: 6, shape: 'square' };

const ended = (batch: Batch) =>
  vi.waitFor(async () => {
    const { endedAt } = await db.batch.findUniqueOrThrow({ where: { id: batch.id } });
    expect(endedAt).not.toBeNull();
    return db.generation.findMany({
      where: { batchId: batch.id },
      include: { image: { include: { review: true } } },
      orderBy: { index: 'asc' },
    });
  }, WAIT);

describe.each(queueBackends)('a worker on $name', ({ options }) => {
  let queues: Queues;
  let worker: Awaited<ReturnType<typeof startWorker>>;
  const start = async () => {
    worker = await startWorker({ queues, bundles: only(inject('bundleDir')) });
  };
  beforeAll(async () => {
    queues = connectQueues(options);
    await start();
  });
  afterAll(async () => {
    await worker.close();
    await queues.close();
  });
  const drawnAlone = async (asked: ReturnType<typeof cell>) =>
    (await ended(await openedBatch(origin(), request([asked]))))[0];
  /** Somebody's folder `ada`, with so many photos that may be used. */
  async function ada(count: number) {
    const me = actor();
    const files = await Promise.all(Array.from({ length: count }, (_, shot) => portraitPhoto(2, shot)));
    const photos = await Promise.all(files.map((file) => readPhoto(file, 'ada.png')));
    const { folder, ids } = await addPhotos(me, 'ada', photos, queues);
    await waitForChecks(ids, WAIT.timeout);
    await giveConsent(me, folder.id, 'I agree');
    return { me, folder, ids };
  }

  it('says in its row where each network runs', async () => {
    const { sessions } = await db.worker.findFirstOrThrow();
    expect(sessions).toHaveLength(12);
    expect(sessions).toContainEqual({
      network: 'unet',
      bundle: 'reference',
      loadSeconds: expect.any(Number),
      providers: ['cpu'],
      used: [{ provider: 'cpu', nodes: null }],
    });
  });

  it('draws what was asked, and the same request gives the same picture but for its marks', async () => {
    const prompt = `portrait of a woman, red hair, ${options.redisUrl ? 'sea' : 'forest'}`;
    const first = await openedBatch(
      origin(),
      request([cell({ prompt, seed: 1 }, small), cell({ prompt, seed: 2 }, small)]),
    );
    const drawn = await ended(first);
    expect(drawn.map(({ state }) => state)).toEqual(['done', 'done']);
    expect(drawn[0]?.image).toMatchObject({ verdict: 'clear', width: 512, height: 512 });
    expect(drawn[0]?.timings).toMatchObject({ base: expect.any(Number), safety: expect.any(Number) });
    expect(drawn[0]?.image?.sha256).not.toBe(drawn[1]?.image?.sha256);
    const bytes = await getFile(drawn[0]?.image?.storageKey ?? '');

    // Drawn again, not copied: as if it had never been.
    await db.image.deleteMany({ where: { generationId: drawn[0]?.id ?? '' } });
    const again = await ended(await openedBatch(origin(), request([cell({ prompt, seed: 1 }, small)])));
    expect(again[0]).toMatchObject({ state: 'done', reused: false });
    // The watermark has the generation's own digits.
    expect(await rmsBetween(await getFile(again[0]?.image?.storageKey ?? ''), bytes)).toBeLessThan(4);
    expect(await rmsBetween(await getFile(drawn[1]?.image?.storageKey ?? ''), bytes)).toBeGreaterThan(12);
  });

  it('copies an equal picture instead of drawing it again, for free', async () => {
    const same = () =>
      request([cell({ prompt: `portrait of a man, ${options.redisUrl ? 'one' : 'two'}` }, small)]);
    await ended(await openedBatch(origin(), same()));
    const batch = await openedBatch(origin(), same());
    expect(batch.charged).toBe(0);
    expect((await ended(batch))[0]).toMatchObject({ state: 'done', reused: true });
  });

  // What is merged and drawn is the same on either backend.
  if (!options.redisUrl) {
    it('draws with the LoRAs that were asked for, by name and scale, and one set after another', async () => {
      expect((await db.worker.findFirstOrThrow()).loras).toEqual(['golden-hour', 'noir']);
      const prompt = 'a woman, red hair, lime background';
      const asked = [null, 'noir', 'golden-hour:0.8, noir:0.2', 'noir'].map((lora, i) =>
        cell({ prompt: i === 3 ? `${prompt}, smile` : prompt, seed: 3 }, { ...small, lora }),
      );
      const drawn = await ended(await openedBatch(origin(), request(asked)));
      expect(drawn.map(({ state }) => state)).toEqual(['done', 'done', 'done', 'done']);
      expect(new Set(drawn.map(({ image }) => image?.sha256)).size).toBe(4);
      // Equal weights have equal hashes: those of the second and the fourth picture.
      expect(new Set(drawn.map(({ bundleHash }) => bundleHash)).size).toBe(3);
      const colourfulness = await Promise.all(
        drawn.map(async ({ image }) => {
          const { channels } = await sharp(await getFile(image!.storageKey)).stats();
          const means = channels.map(({ mean }) => mean);
          return Math.max(...means) - Math.min(...means);
        }),
      );
      expect(colourfulness[0]).toBeGreaterThan(20);
      expect(colourfulness[1]).toBeLessThan(6);
      expect(drawn[1]!.timings).toMatchObject({ lora: expect.any(Number) });
    });

    it('draws first with LoRAs that are in memory, whoever asked first', async () => {
      // From here on `noir` is what it has beside the plain weights.
      await drawnAlone(cell({ prompt: 'a man, warm', seed: 1 }, { ...small, lora: 'noir' }));
      const slow = await openedBatch(
        origin(),
        request([cell({ prompt: 'a man, slow' }, { ...small, steps: 150 })]),
      );
      await vi.waitFor(async () => {
        const begun = { batchId: slow.id, progress: { gt: 0 } };
        expect(await db.generation.count({ where: begun })).toBe(1);
      }, WAIT);
      // In a tier that is patient for longer than any machine draws the slow one.
      const ask = (lora: string) =>
        openedBatch(
          origin(),
          request([cell({ prompt: 'a man, next' }, { ...small, lora })], { tier: 'relax' }),
        );
      const first = await ask('golden-hour');
      const second = await ask('noir');
      const [cold, warm] = await Promise.all([ended(first), ended(second)]);
      expect(warm[0]!.startedAt!.getTime()).toBeLessThan(cold[0]!.startedAt!.getTime());
    });

    it('gives the tokens back when a LoRA was removed after it was asked for', async () => {
      const batch = await openedBatch(origin(), request([cell({ prompt: 'a woman' }, small)]));
      // As if it had been there then.
      const [drawn] = await ended(batch);
      expect(drawn?.state).toBe('done');
      const paused = await db.worker.findFirstOrThrow();
      const { reference, ...others } = paused.bundles as Record<string, object>;
      const bundles = { ...others, reference: { ...reference, loras: ['noir', 'removed'] } };
      await db.worker.update({ where: { id: paused.id }, data: { bundles } });
      const asked = await openedBatch(
        origin(),
        request([cell({ prompt: 'a man' }, { ...small, lora: 'removed' })]),
      );
      expect(asked.charged).toBeGreaterThan(0);
      const [failed] = await ended(asked);
      expect(failed).toMatchObject({ state: 'failed', failure: 'lora_unknown' });
      const entries = await db.tokenEntry.findMany({ where: { batchId: asked.id } });
      expect(entries.reduce((sum, { amount }) => sum + amount, 0)).toBe(0);
    });
  }

  it('holds a picture with a checkered background back', async () => {
    const batch = await openedBatch(
      origin(),
      request([
        cell({ prompt: 'portrait of a woman, checkered background', seed: 4 }, { ...small, steps: 12 }),
      ]),
    );
    const [held] = await ended(batch);
    expect(held?.image).toMatchObject({ verdict: 'flagged', review: { state: 'pending' } });
    expect(held?.image?.storageKey).toMatch(/^quarantine\//);
  });

  it('takes photos with one face, and no others; then draws that face', async () => {
    const me = actor();
    const files = [
      await portraitPhoto(2, 0),
      await portraitPhoto(2, 1),
      await noFacePhoto(),
      await twoFacesPhoto(),
    ];
    const photos = await Promise.all(files.map((file, i) => readPhoto(file, `${i}.png`)));
    const { folder, ids } = await addPhotos(me, 'ada', photos, queues);
    const checked = await waitForChecks(ids, WAIT.timeout);
    const stateOf = (i: number) => checked.find(({ id }) => id === ids[i]);
    expect([0, 1, 2, 3].map((i) => stateOf(i)?.state)).toEqual([
      'checked',
      'checked',
      'rejected',
      'rejected',
    ]);
    expect([2, 3].map((i) => stateOf(i)?.reason)).toEqual(['face_none', 'face_many']);
    await giveConsent(me, folder.id, 'That is me.');

    const faced = cell(
      // Of the other backend's turn there is a picture of the same photos: another seed is another picture.
      { prompt: 'portrait of a woman, red hair', seed: options.redisUrl ? 5 : 6, faceFolderId: folder.id },
      { ...small, steps: 12, detail_steps: 12 },
    );
    const [drawn] = await ended(await openedBatch(origin({ actor: me }), request([faced])));
    expect(drawn?.state).toBe('done');
    expect(drawn?.timings).toHaveProperty('detail');
    expect(drawn?.image?.likeness).toBeGreaterThan(0.3);

    // Where stage 1 drew nobody there is nothing to detail, and the picture says so.
    const nobody = cell(
      { prompt: 'landscape, forest', seed: options.redisUrl ? 5 : 6, faceFolderId: folder.id },
      small,
    );
    const batch = await openedBatch(origin({ actor: me }), request([nobody]));
    const [empty] = await ended(batch);
    expect(empty).toMatchObject({ state: 'done', image: { likeness: null } });
    const [picture] = await picturesOf(batch.id);
    expect(faceFound(picture!)).toBe(false);
  });

  // Of faces nothing differs between the backends.
  if (!options.redisUrl) {
    it('draws no further with a face that is taken back, and forgets it', async () => {
      const { me, folder, ids } = await ada(1);
      const slow = cell(
        { prompt: 'portrait of a woman, slow', faceFolderId: folder.id },
        { ...small, steps: 150, detail_steps: 150 },
      );
      const batch = await openedBatch(origin({ actor: me }), request([slow]));
      await vi.waitFor(async () => {
        expect(await db.generation.count({ where: { batchId: batch.id, progress: { gt: 0.05 } } })).toBe(1);
      }, WAIT);
      expect(await worker.pool.faces()).toEqual(expect.arrayContaining(ids));
      expect(await removeFolder(me, 'ada')).toBe(1);
      const [ended] = await db.generation.findMany({
        where: { batchId: batch.id },
        include: { image: true },
      });
      expect(ended).toMatchObject({ state: 'failed', failure: 'gone', image: null });
      await vi.waitFor(async () => expect(await worker.pool.faces()).not.toContain(ids[0]), WAIT);
      // It has let go of it, and nothing came of it later.
      const next = await drawnAlone(cell({ prompt: 'a man, next' }, small));
      expect(next).toMatchObject({ state: 'done' });
      expect(await db.image.count({ where: { generationId: ended!.id } })).toBe(0);
    });

    it('draws no picture without the face that it was asked with', async () => {
      await worker.close();
      const batch = await openedBatch(origin(), request([cell({ prompt: 'a woman, alone' }, small)]));
      // As of a folder that is gone, should its removal have missed this one.
      await db.generation.updateMany({ where: { batchId: batch.id }, data: { faceId: 'gone' } });
      await db.flow.updateMany({ where: { userId: batch.ownerId }, data: { faceId: 'gone' } });
      await start();
      expect((await ended(batch))[0]).toMatchObject({ state: 'failed', failure: 'gone', image: null });
    });

    it('takes a picture by the photos it was drawn with, when some were added since it was asked for', async () => {
      const { me, folder } = await ada(1);
      const asked = cell({ prompt: 'portrait of a woman, added to', faceFolderId: folder.id }, small);
      await worker.close();
      const batch = await openedBatch(origin({ actor: me }), request([asked]));
      const before = await folderHash(folder.id);
      const [photo] = await db.facePhoto.findMany({ where: { folderId: folder.id } });
      const { id: _, ...same } = photo!;
      const png = await portraitPhoto(2, 1);
      const storageKey = `faces/${folder.id}/another.png`;
      await putFile(storageKey, png);
      await db.facePhoto.create({ data: { ...same, storageKey, sha256: 'another', createdAt: new Date() } });
      const after = await folderHash(folder.id);
      expect(after).not.toBe(before);
      await start();
      const [drawn] = await ended(batch);
      expect(drawn).toMatchObject({ state: 'done', key: cellKey(asked, before) });
      expect(drawn?.image?.key).toBe(cellKey(asked, after));
    });
  }

  it('ends a running picture when its batch is cancelled', async () => {
    const slow = cell({ prompt: 'portrait, slow', seed: 1 }, { ...small, steps: 150 });
    const batch = await openedBatch(origin(), request([slow]));
    await vi.waitFor(async () => {
      expect(
        await db.generation.count({ where: { batchId: batch.id, state: 'running', progress: { gt: 0 } } }),
      ).toBe(1);
    }, WAIT);
    await endBatch(batch.id, 'cancelled');
    expect((await ended(batch))[0]?.state).toBe('cancelled');
  });

  it('gives up what it cannot draw after three tries, and gives the tokens back', async () => {
    const me = actor();
    await worker.close();
    const batch = await openedBatch(
      origin({ actor: me }),
      request([cell({ prompt: 'never mind', seed: 8 }, small)]),
    );
    await db.generation.updateMany({ where: { batchId: batch.id }, data: { parameters: { steps: 'many' } } });
    await start();
    const [failed] = await ended(batch);
    // Parameters that cannot be read are a fault of ours: tried again, then given up.
    expect(failed).toMatchObject({ state: 'failed', failure: 'internal', attempts: 3 });
    expect(await db.tokenEntry.count({ where: { batchId: batch.id, reason: 'refund' } })).toBe(1);
  });

  it('hands back what it draws when it is told to stop, and another takes it', async () => {
    const batch = await openedBatch(origin(), request([cell({ prompt: 'handed over', seed: 3 }, small)]));
    await worker.close();
    await start();
    expect((await ended(batch))[0]?.state).toBe('done');
  });
});

it('says at the start what is wrong with its bundle', async () => {
  const dir = `${inject('filesDir')}/no-bundle`;
  await rm(dir, { recursive: true, force: true });
  await expect(startWorker({ bundles: only(dir) })).rejects.toThrow(/no bundle\.yaml/);
});
