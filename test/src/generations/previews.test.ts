/** A preview is there while its picture is drawn and may be seen, and at no other time. */
import { describe, expect, it } from 'vitest';
import { openBatch } from '#src/batches/batches.ts';
import {
  abandonGeneration,
  endBatch,
  failGeneration,
  finishGeneration,
  handBack,
} from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import { reportProgress } from '#src/generations/generations.ts';
import { dropLostPreviews, type PreviewBytes, previewBytes } from '#src/generations/previews.ts';
import { changeGuild } from '#src/guilds.ts';
import { drawn } from '#test/support/drawn.ts';
import { actor, cell, origin, request } from '#test/support/requests.ts';
import { listen } from '#test/support/statements.ts';
import { startGeneration } from '#test/support/taking.ts';

/** Pictures that a worker draws. */
async function drawing(count = 1, guildId = actor().guildId) {
  const person = actor({ guildId });
  const cells = Array.from({ length: count }, (_, seed) =>
    cell({ seed, prompt: `portrait of ${person.id}` }),
  );
  const batch = await openBatch(origin({ actor: person }), request(cells));
  const rows = await db.generation.findMany({ where: { batchId: batch.id }, orderBy: { index: 'asc' } });
  const taken = [];
  for (const { id } of rows) taken.push(await startGeneration(id, 'w1'));
  return { person, batch, ids: rows.map(({ id }) => id), taken: taken.flatMap((one) => one ?? []) };
}
const webp = (byte: number, length = 900) => new Uint8Array(length).fill(byte);
const report = (id: string, preview?: PreviewBytes, worker = 'w1') =>
  reportProgress(worker, [{ id, progress: 0.3, stage: 'base', ...(preview !== undefined && { preview }) }]);
const firstByte = async (id: string) => (await previewBytes(id))?.[0] ?? null;

describe('a preview', () => {
  it('is kept with a report, and replaced by the next; a report without one leaves it', async () => {
    const { ids } = await drawing();
    const [id] = ids as [string];
    expect([...(await report(id, webp(1))).goOn]).toEqual([id]);
    expect(await firstByte(id)).toBe(1);
    const first = await db.preview.findUniqueOrThrow({ where: { generationId: id } });
    await report(id, webp(2));
    await report(id);
    expect(await firstByte(id)).toBe(2);
    const second = await db.preview.findUniqueOrThrow({ where: { generationId: id } });
    expect(second.at.getTime()).toBeGreaterThan(first.at.getTime());
    expect(await db.generation.findUnique({ where: { id } })).toMatchObject({ progress: 0.3, stage: 'base' });
  });

  it('goes when the classifier would not clear a newer one, or one is far too large', async () => {
    const { ids } = await drawing(2);
    const [one, other] = ids as [string, string];
    await reportProgress('w1', [
      { id: one, progress: 0.1, stage: 'base', preview: webp(1) },
      { id: other, progress: 0.1, stage: 'base', preview: webp(2) },
    ]);
    await reportProgress('w1', [
      { id: one, progress: 0.2, stage: 'base', preview: null },
      { id: other, progress: 0.2, stage: 'base' },
    ]);
    expect([await firstByte(one), await firstByte(other)]).toEqual([null, 2]);
    await report(other, webp(3, 100_000));
    expect(await firstByte(other)).toBeNull();
  });

  it('is taken from nobody but the worker that draws it', async () => {
    const { ids } = await drawing();
    const [id] = ids as [string];
    await report(id, webp(1));
    expect((await report(id, webp(9), 'another')).goOn.size).toBe(0);
    expect((await report(id, null, 'another')).goOn.size).toBe(0);
    expect(await firstByte(id)).toBe(1);
  });

  it.each<[string, (one: Awaited<ReturnType<typeof drawing>>) => Promise<unknown>]>([
    ['done', ({ taken }) => finishGeneration(taken[0]!, 'w1', drawn())],
    ['flagged', ({ taken }) => finishGeneration(taken[0]!, 'w1', drawn({ verdict: 'flagged' }))],
    ['failed', ({ ids }) => failGeneration(ids[0]!, 'w1', 'internal')],
    [
      'cancelled',
      async ({ batch, ids }) => {
        await endBatch(batch.id, 'cancelled');
        await abandonGeneration(ids[0]!, 'w1');
      },
    ],
    ['handed back', ({ ids }) => handBack(ids[0]!, 'w1')],
    ['deleted with its batch', ({ batch }) => db.batch.delete({ where: { id: batch.id } })],
  ])('is gone with a picture that is %s, and nothing brings it back', async (_, end) => {
    const one = await drawing();
    const [id] = one.ids as [string];
    await report(id, webp(1));
    expect(await firstByte(id)).toBe(1);
    await end(one);
    expect(await db.preview.count({ where: { generationId: id } })).toBe(0);
    expect((await db.generation.findUnique({ where: { id } }))?.stage ?? null).toBeNull();
    await report(id, webp(2));
    expect(await db.preview.count({ where: { generationId: id } })).toBe(0);
  });

  it('is not kept where the server wants none, and goes when it says so; its card is shown anew', async () => {
    const { person, batch, ids, taken } = await drawing();
    const [id] = ids as [string];
    expect(taken[0]!.batch.previews).toBe(true);
    await report(id, webp(1));
    const before = await db.delivery.findFirstOrThrow({ where: { batchId: batch.id } });
    const other = await drawing();
    await report(other.ids[0]!, webp(1));

    await changeGuild({ ...person, managesGuild: true }, { previews: false });
    expect(await firstByte(id)).toBeNull();
    const after = await db.delivery.findFirstOrThrow({ where: { batchId: batch.id } });
    expect(after.wanted).toBe(before.wanted + 1);
    // A worker that took it before goes on giving them.
    expect((await report(id, webp(2))).goOn.has(id)).toBe(true);
    expect(await firstByte(id)).toBeNull();
    expect(await firstByte(other.ids[0]!)).toBe(1);
    expect((await drawing(1, person.guildId)).taken[0]!.batch.previews).toBe(false);
    expect(
      await db.auditEvent.findFirst({ where: { guildId: person.guildId, action: 'guild.set' } }),
    ).toMatchObject({ actorId: person.id, after: { previews: false } });

    await changeGuild({ ...person, managesGuild: true }, { previews: true });
    await report(id, webp(3));
    expect(await firstByte(id)).toBe(3);
  });

  it('that was left behind is found', async () => {
    const { ids } = await drawing(2);
    const [lost, seen] = ids as [string, string];
    await report(seen, webp(1));
    await failGeneration(lost, 'w1', 'internal');
    await db.preview.create({ data: { generationId: lost, webp: Buffer.from(webp(1)) } });
    expect(await dropLostPreviews()).toBe(1);
    expect([await firstByte(lost), await firstByte(seen)]).toEqual([null, 1]);
  });

  it('is in no write-ahead log, so in no replica or base backup', async () => {
    const [table] = await db.$queryRaw<{ relpersistence: string }[]>`
      SELECT relpersistence::text FROM pg_class WHERE relname = 'Preview'`;
    expect(table).toEqual({ relpersistence: 'u' });
  });
});

describe('a report', () => {
  it('is one statement for all pictures of a turn, with previews and without', async () => {
    const { ids } = await drawing(4);
    const heard = listen();
    const all = (preview?: PreviewBytes) =>
      ids.map((id, n) => ({
        id,
        progress: n / 10,
        stage: 'base',
        ...(preview !== undefined && { preview }),
      }));
    for (const preview of [undefined, webp(1), null]) {
      heard.length = 0;
      expect([...(await reportProgress('w1', all(preview))).goOn].sort()).toEqual([...ids].sort());
      expect(heard).toHaveLength(1);
    }
    const rows = await db.generation.findMany({ where: { id: { in: ids } }, orderBy: { index: 'asc' } });
    expect(rows.map(({ progress }) => progress)).toEqual([0, 0.1, 0.2, 0.3]);
  });
});
