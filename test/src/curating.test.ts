/**
 * Where in the gallery a picture is shown: who decides it, and that its bytes are there at every moment, whatever is done to it at once,
 * in whatever order, and wherever a process is killed.
 */
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { db } from '#src/doors/db.ts';
import { deleteFolder, getFile, putFile } from '#src/doors/storage.ts';
import { checkFiles } from '#src/file-check.ts';
import { clearTakenDown, findPublished, keepVariant, keptVariant, originalOf } from '#src/gallery.ts';
import { curateImage, moveToCollection, publishImage, unpublishImage } from '#src/publishing.ts';
import { filesIn } from '#test/support/files.ts';
import { actor, snowflake } from '#test/support/requests.ts';
import { STAFF_ID, TRUSTED_GUILD } from '#test/support/staff.ts';
import { inTurns } from '#test/support/turns.ts';
import { makePicture } from './services/web/pictures.ts';

vi.mock('#src/doors/storage.ts', async (original) => {
  const real = await original<typeof import('#src/doors/storage.ts')>();
  const { gated, gatedStorage } = await import('#test/support/turns.ts');
  const { copyFile, deleteFolder } = real;
  return { ...gatedStorage(real), copyFile: gated(copyFile), deleteFolder: gated(deleteFolder) };
});
vi.mock('#src/doors/db.ts', async (original) =>
  (await import('#test/support/turns.ts')).gatedDb(await original()),
);

const HOUR_MS = 60 * 60_000;
const SHOWN = ['photowall', 'curated'];
const staff = () => actor({ id: STAFF_ID });

async function published(n = 1) {
  const made = await makePicture(n, {}, { owner: actor({ guildId: TRUSTED_GUILD }) });
  await publishImage(made.owner, made.image.id);
  await publishImage(staff(), made.image.id);
  return made;
}
const rowOf = (id: string) => db.image.findUniqueOrThrow({ where: { id } });
const auditOf = async (id: string) => {
  const events = await db.auditEvent.findMany({ where: { subject: `image:${id}` }, orderBy: { id: 'asc' } });
  return events.slice(2).map(({ actorId, action, before, after }) => [actorId, action, before, after]);
};
const shownOf = async (id: string) => (await filesIn(...SHOWN)).filter((key) => key.includes(id));

describe('a picture of the gallery', () => {
  it('is chosen as one of the best, and moves to a collection, with its variants, and back', async () => {
    const { image } = await published();
    const original = await getFile(image.storageKey);
    await keepVariant((await findPublished(image.id))!, '320.webp', Buffer.from('x'));
    await curateImage(staff(), image.id, true);
    expect(await shownOf(image.id)).toEqual([
      `curated/main/${image.id}/320.webp`,
      `curated/main/${image.id}/original.png`,
    ]);
    await moveToCollection(staff(), image.id, 'landscapes');
    const now = (await findPublished(image.id))!;
    expect(now).toMatchObject({ collection: 'landscapes', curatedAt: expect.any(Date) });
    expect(await originalOf(now)).toEqual(original);
    expect(await keptVariant(now, '320.webp')).toEqual(Buffer.from('x'));
    await curateImage(staff(), image.id, false);
    expect(await shownOf(image.id)).toEqual([
      `photowall/landscapes/${image.id}/320.webp`,
      `photowall/landscapes/${image.id}/original.png`,
    ]);
    const [main, landscapes] = ['main', 'landscapes'] as const;
    expect(await auditOf(image.id)).toEqual([
      [STAFF_ID, 'image.curate', { collection: main, curated: false }, { collection: main, curated: true }],
      [
        ...[STAFF_ID, 'image.collection'],
        ...[
          { collection: main, curated: true },
          { collection: landscapes, curated: true },
        ],
      ],
      [
        ...[STAFF_ID, 'image.uncurate'],
        ...[
          { collection: landscapes, curated: true },
          { collection: landscapes, curated: false },
        ],
      ],
    ]);
  });

  it('that is taken down is nothing of that any more, and leaves no copy', async () => {
    const { image, owner } = await published();
    await curateImage(staff(), image.id, true);
    await unpublishImage(owner, image.id);
    expect(await shownOf(image.id)).toEqual([]);
    expect(await rowOf(image.id)).toMatchObject({ curatedAt: null, collection: null, visibility: 'private' });
    await expect(curateImage(staff(), image.id, true)).rejects.toMatchObject({ code: 'already_done' });
    await publishImage(owner, image.id);
    await publishImage(staff(), image.id);
    expect(await findPublished(image.id)).toMatchObject({ collection: 'main', curatedAt: null });
  });

  it('is placed by those who decide for the gallery, not by its owner, nor by whoever runs some server', async () => {
    const { image, owner } = await published();
    const others = [owner, actor(), actor({ guildId: snowflake(), managesGuild: true })];
    for (const nobody of others) {
      for (const deed of [
        curateImage(nobody, image.id, true),
        moveToCollection(nobody, image.id, 'landscapes'),
      ])
        await expect(deed).rejects.toMatchObject({ code: 'gallery_deciders' });
    }
    await curateImage(actor({ guildId: TRUSTED_GUILD, managesGuild: true }), image.id, true);
    expect(await findPublished(image.id)).toMatchObject({ curatedAt: expect.any(Date) });
  });

  it('goes into no collection that config/gallery.yaml does not name, and nowhere twice', async () => {
    const { image, owner } = await published();
    for (const name of ['../main', 'Main', 'nowhere', '__proto__', 'constructor', ''])
      await expect(moveToCollection(staff(), image.id, name)).rejects.toMatchObject({
        code: 'collection_unknown',
      });
    await expect(publishImage(owner, image.id, { collection: 'nowhere' })).rejects.toMatchObject({
      code: 'collection_unknown',
    });
    await expect(moveToCollection(staff(), image.id, 'main')).rejects.toMatchObject({ code: 'already_done' });
    await expect(curateImage(staff(), image.id, false)).rejects.toMatchObject({ code: 'already_done' });
    const [one, two] = await Promise.allSettled([
      curateImage(staff(), image.id, true),
      curateImage(staff(), image.id, true),
    ]);
    expect([one.status, two.status].sort()).toEqual(['fulfilled', 'rejected']);
    expect(await shownOf(image.id)).toEqual([`curated/main/${image.id}/original.png`]);
  });
});

const deeds = {
  curate: (id: string) => curateImage(staff(), id, true),
  uncurate: (id: string) => curateImage(staff(), id, false),
  landscapes: (id: string) => moveToCollection(staff(), id, 'landscapes'),
  main: (id: string) => moveToCollection(staff(), id, 'main'),
  unpublish: (id: string) => unpublishImage(staff(), id),
  clear: (id: string) => clearTakenDown({ id }),
  publish: async (id: string) => publishImage(staff(), id),
} as const;
type Deed = keyof typeof deeds;

it('whatever is done to it at once, and wherever a process is killed, what is shown has its bytes, and nothing else stays', async () => {
  const owner = actor({ id: STAFF_ID });
  const { image } = await makePicture(1, {}, { owner });
  const { id } = image;
  const original = await getFile(image.storageKey);
  const fate = fc.oneof(
    { weight: 8, arbitrary: fc.constant('goes on' as const) },
    { weight: 1, arbitrary: fc.constantFrom('killed' as const, 'thrown' as const) },
  );
  const choices = fc.array(fc.record({ who: fc.nat(4), fate }), { maxLength: 60, size: 'max' });
  const asked = fc.array(fc.constantFrom(...(Object.keys(deeds) as Deed[])), { minLength: 2, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(asked, choices, fc.boolean(), async (together, order, isCurated) => {
      await publishImage(owner, id);
      if (isCurated) await curateImage(owner, id, true).catch(() => {});
      // Somebody who looks all the time sees the picture whenever it is in the gallery.
      let looks = 0;
      const look = async () => {
        for (; looks < 20; looks++) {
          const seen = await findPublished(id);
          if (seen) expect((await originalOf(seen)).equals(original)).toBe(true);
        }
      };
      await inTurns([...together.map((deed) => () => deeds[deed](id)), look], order);
      // What killed processes left goes with the file check; what the row names stays.
      for await (const _ of checkFiles(() => new Date(Date.now() + 1.1 * HOUR_MS)));
      const now = await findPublished(id);
      const row = await rowOf(id);
      if (now) {
        expect((await originalOf(now)).equals(original)).toBe(true);
        expect(await shownOf(id)).toEqual([
          `${now.curatedAt ? 'curated' : 'photowall'}/${now.collection}/${id}/original.png`,
        ]);
      } else {
        await clearTakenDown({ id });
        expect(await shownOf(id)).toEqual([]);
        expect(row.curatedAt).toBeNull();
      }
    }),
    { numRuns: 40 },
  );
}, 120_000);

it('wherever its move is broken off, the copies that its row names are there', async () => {
  const { image } = await published(3);
  const seen = new Set<string>();
  for (let steps = 0; steps < 16; steps++) {
    await db.image.update({ where: { id: image.id }, data: { curatedAt: null } });
    await putFile(`photowall/main/${image.id}/original.png`, await getFile(image.storageKey));
    await deleteFolder(`curated/main/${image.id}`);
    const order = Array.from({ length: steps }, () => ({ who: 0, fate: 'goes on' as const }));
    await inTurns([() => curateImage(staff(), image.id, true)], [...order, { who: 0, fate: 'killed' }]);
    const place = (await rowOf(image.id)).curatedAt ? 'curated' : 'photowall';
    expect(await shownOf(image.id)).toContain(`${place}/main/${image.id}/original.png`);
    seen.add(`${place}: ${(await shownOf(image.id)).length}`);
  }
  // One copy, both, both and the row, and only the new one.
  expect([...seen]).toEqual(['photowall: 1', 'photowall: 2', 'curated: 2', 'curated: 1']);
});

it('a stale variant, of a place that it has left, is not kept', async () => {
  const { image } = await published(2);
  const before = (await findPublished(image.id))!;
  await curateImage(staff(), image.id, true);
  await keepVariant(before, '640.webp', Buffer.from('late'));
  expect(await shownOf(image.id)).toEqual([`curated/main/${image.id}/original.png`]);
  await putFile(`curated/other/${image.id}/original.png`, Buffer.from('x'));
  for await (const _ of checkFiles(() => new Date(Date.now() + 1.1 * HOUR_MS)));
  expect(await shownOf(image.id)).toEqual([`curated/main/${image.id}/original.png`]);
});
