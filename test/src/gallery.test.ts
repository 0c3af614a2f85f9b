import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { db, type Image } from '#src/doors/db.ts';
import { getFile, hasFile } from '#src/doors/storage.ts';
import {
  clearTakenDown,
  findPublished,
  keepVariant,
  keptVariant,
  originalOf,
  readGallery,
} from '#src/gallery.ts';
import { deleteImage } from '#src/generations/images.ts';
import { reportImage } from '#src/moderation/reviews.ts';
import { verdictOf } from '#src/moderation/verdicts.ts';
import { publishImage, unpublishImage } from '#src/publishing.ts';
import { actor } from '#test/support/requests.ts';
import { STAFF_ID } from '#test/support/staff.ts';
import { makePicture, publisher } from './services/web/pictures.ts';

const originalKey = ({ id }: Image) => `photowall/main/${id}/original.png`;
const auditOf = (id: string) =>
  db.auditEvent.findMany({ where: { subject: `image:${id}`, action: { startsWith: 'image.' } } });

describe('publishing', () => {
  it('copies the bytes, shows the picture and tells the audit log, once', async () => {
    const { image, owner } = await makePicture(1);
    expect(await findPublished(image.id)).toBeNull();
    await publishImage(owner, image.id);
    await publishImage(owner, image.id);
    expect(await findPublished(image.id)).toMatchObject({
      id: image.id,
      collection: 'main',
      bundle: 'reference',
    });
    expect(await getFile(originalKey(image))).toEqual(await getFile(image.storageKey));
    expect(await auditOf(image.id)).toMatchObject([
      { actorId: owner.id, action: 'image.publish', after: { visibility: 'published', collection: 'main' } },
    ]);
  });

  it('takes two people at once for one', async () => {
    const { image, owner } = await makePicture(1);
    await Promise.all([publishImage(owner, image.id), publishImage(owner, image.id)]);
    expect(await auditOf(image.id)).toHaveLength(1);
    expect(await hasFile(originalKey(image))).toBe(true);
  });

  it.each([
    ['a test', {}, { production: false }, 'image_not_production'],
    ['a flagged picture', { verdict: 'flagged' as const }, {}, 'image_flagged'],
    ['a deleted picture', { deletedAt: new Date() }, {}, 'gone'],
  ])('refuses %s, and copies nothing', async (_, changes, options, code) => {
    const { image, owner } = await makePicture(1, changes, options);
    await expect(publishImage(owner, image.id)).rejects.toMatchObject({ code });
    expect(await hasFile(originalKey(image))).toBe(false);
    expect(await findPublished(image.id)).toBeNull();
  });

  it('refuses what is clear among adults alone, and takes what is clear everywhere', async () => {
    const kept = (porn: number) => {
      const where = { ageRestricted: true, faceAsked: false, guild: {} };
      const seen = { scores: { nsfw: { Neutral: 1 - porn, Porn: porn } }, ages: [], concepts: {} };
      const { verdict, scores, judged } = verdictOf(seen, where);
      return { verdict, scores, judged };
    };
    for (const [porn, code] of [
      [0.8, 'image_age_restricted'],
      [0.1, null],
    ] as const) {
      const { image, owner } = await makePicture(1, kept(porn));
      const { batchId } = await db.generation.findUniqueOrThrow({ where: { id: image.generationId } });
      await db.batch.update({ where: { id: batchId }, data: { ageRestricted: true } });
      const published = publishImage(owner, image.id);
      if (code) await expect(published).rejects.toMatchObject({ code });
      else expect(await published).toBe('published');
    }
  });

  it('takes a flagged picture once a moderator has approved it', async () => {
    const { image, owner } = await makePicture(1, { verdict: 'flagged' });
    await db.review.create({ data: { imageId: image.id, cause: 'classifier', state: 'approved' } });
    await publishImage(owner, image.id);
    expect(await findPublished(image.id)).not.toBeNull();
  });

  it('is of pictures that are there', async () => {
    await expect(publishImage(publisher(), randomUUID())).rejects.toMatchObject({ code: 'gone' });
  });
});

describe('taking down', () => {
  it('is for the owner, and for operators and moderators where it was drawn', async () => {
    const owner = actor();
    const roles = { operatorRoleIds: ['1'], moderatorRoleIds: ['2'] };
    await db.guildSettings.create({ data: { id: owner.guildId!, ...roles } });
    const here = (roleIds: string[]) => actor({ guildId: owner.guildId, roleIds });
    const published = { visibility: 'published', collection: 'main', publishedAt: new Date() } as const;
    const { image } = await makePicture(1, published, { owner });
    for (const nobody of [here([]), actor({ managesGuild: true })])
      await expect(unpublishImage(nobody, image.id)).rejects.toMatchObject({ code: 'not_yours' });
    for (const somebody of [owner, here(['1']), here(['2']), actor({ id: STAFF_ID })]) {
      await unpublishImage(somebody, image.id);
      expect(await findPublished(image.id)).toBeNull();
      await db.image.update({ where: { id: image.id }, data: published });
    }
  });

  it('ends with the bytes gone, and may be undone', async () => {
    const { image, owner } = await makePicture(2);
    await publishImage(owner, image.id);
    const picture = (await findPublished(image.id))!;
    await keepVariant(picture, '320.webp', Buffer.from('x'));
    expect(await keptVariant(picture, '320.webp')).toEqual(Buffer.from('x'));

    await unpublishImage(owner, image.id);
    await expect(unpublishImage(owner, image.id)).rejects.toMatchObject({ code: 'already_done' });
    expect(await findPublished(image.id)).toBeNull();
    expect(await keptVariant(picture, '320.webp')).toBeNull();
    expect(await hasFile(originalKey(image))).toBe(false);
    expect(await hasFile(image.storageKey)).toBe(true);
    expect((await auditOf(image.id)).map(({ action }) => action)).toEqual([
      'image.publish',
      'image.unpublish',
    ]);

    await publishImage(owner, image.id);
    expect(await findPublished(image.id)).not.toBeNull();
  });

  it('keeps nothing of a variant that was made meanwhile', async () => {
    const { image, owner } = await makePicture(2);
    await publishImage(owner, image.id);
    const picture = (await findPublished(image.id))!;
    await unpublishImage(owner, image.id);
    await keepVariant(picture, '320.webp', Buffer.from('x'));
    expect(await keptVariant(picture, '320.webp')).toBeNull();
  });

  it.each<[string, (made: Awaited<ReturnType<typeof makePicture>>) => Promise<unknown>]>([
    ['deleted', ({ image, owner }) => deleteImage(owner, image.generationId)],
    ['reported', ({ image }) => reportImage(actor(), image.id)],
  ])('follows when a picture is %s: not shown from then on, its copies cleared', async (_, end) => {
    const made = await makePicture(3);
    await publishImage(made.owner, made.image.id);
    await end(made);
    expect(await findPublished(made.image.id)).toBeNull();
    expect((await readGallery()).map(({ id }) => id)).not.toContain(made.image.id);
    await clearTakenDown();
    expect(await hasFile(originalKey(made.image))).toBe(false);
    expect(await clearTakenDown()).toBe(0);
  });

  it('restores an original that was cleared by a hair too late', async () => {
    const { image, owner } = await makePicture(2);
    await publishImage(owner, image.id);
    const picture = (await findPublished(image.id))!;
    await db.image.update({ where: { id: image.id }, data: { visibility: 'private' } });
    await clearTakenDown();
    expect(await originalOf(picture)).toEqual(await getFile(image.storageKey));
  });
});

describe('the gallery', () => {
  it('is read from the newest to the oldest, also where times are equal', async () => {
    await db.image.updateMany({ data: { visibility: 'private', publishedAt: null } });
    const publishedAt = new Date('2026-11-20T12:00:00Z');
    const ids: string[] = [];
    for (let n = 0; n < 7; n++) {
      const { image } = await makePicture(n, {
        visibility: 'published',
        collection: 'main',
        publishedAt: new Date(publishedAt.getTime() + Math.floor(n / 3) * 1_000),
      });
      ids.unshift(image.id);
    }
    expect((await readGallery()).map(({ id }) => id)).toEqual(ids);
    expect((await readGallery(ids.slice(2, 4))).map(({ id }) => id)).toEqual(ids.slice(2, 4));
  });
});
