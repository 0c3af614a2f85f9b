import { describe, expect, it } from 'vitest';
import { db } from '#src/doors/db.ts';
import { findPublished } from '#src/gallery.ts';
import { deleteImage } from '#src/generations/images.ts';
import { reportImage } from '#src/moderation/reviews.ts';
import { declineImage, publishImage, unpublishImage } from '#src/publishing.ts';
import { actor, snowflake } from '#test/support/requests.ts';
import { STAFF_GUILD_ID, STAFF_ID, TRUSTED_GUILD } from '#test/support/staff.ts';
import { makePicture } from './services/web/pictures.ts';

const member = (guildId: string | null = TRUSTED_GUILD) => actor({ guildId });
const keeper = (guildId = TRUSTED_GUILD) => actor({ guildId, managesGuild: true });
const staff = () => actor({ id: STAFF_ID });

/** A picture that a member asked for in production mode. */
async function offered(owner = member(), n = 1) {
  return makePicture(n, {}, { owner });
}
const imageNow = (id: string) => db.image.findUniqueOrThrow({ where: { id } });
const auditOf = async (id: string) => {
  const where = { subject: `image:${id}`, action: { startsWith: 'image.' } };
  const events = await db.auditEvent.findMany({ where, orderBy: { id: 'asc' } });
  return events.map(({ action, actorId }) => [action, actorId]);
};
const deliveriesOf = async (imageId: string) =>
  (await db.delivery.findMany({ where: { imageId }, orderBy: { id: 'asc' } })).map(({ kind }) => kind);

/** The platform's own guild has a review channel, or has none. */
async function staffChannel(reviewChannelId: string | null) {
  const row = { id: STAFF_GUILD_ID, reviewChannelId };
  await db.guildSettings.upsert({ where: { id: row.id }, create: row, update: row });
}

describe('a member’s picture comes into the gallery by two yeses', () => {
  it('the owner’s, then of somebody who decides there, who is asked in the review channel', async () => {
    const { image, owner } = await offered();
    expect(await publishImage(owner, image.id)).toBe('gallery-next');
    expect(await publishImage(owner, image.id)).toBe('gallery-next');
    expect(await findPublished(image.id)).toBeNull();
    expect(await deliveriesOf(image.id)).toEqual(['request']);
    expect(await db.delivery.findFirst({ where: { imageId: image.id } })).toMatchObject({
      guildId: TRUSTED_GUILD,
      channelId: null,
    });

    const decides = keeper();
    expect(await publishImage(decides, image.id)).toBe('published');
    expect(await findPublished(image.id)).not.toBeNull();
    expect(await imageNow(image.id)).toMatchObject({ publishedBy: decides.id, publishAskedBy: null });
    expect(await deliveriesOf(image.id)).toEqual(['request', 'notice']);
    expect(await auditOf(image.id)).toEqual([
      ['image.offer', owner.id],
      ['image.publish', decides.id],
    ]);
  });

  it('or theirs first, and then the owner’s, who is asked where it was drawn', async () => {
    const { image, owner } = await offered();
    const decides = keeper();
    expect(await publishImage(decides, image.id)).toBe('owner-next');
    expect(await publishImage(keeper(), image.id)).toBe('owner-next');
    expect(await deliveriesOf(image.id)).toEqual(['notice']);
    expect(await db.delivery.findFirst({ where: { imageId: image.id } })).toMatchObject({
      userId: owner.id,
    });
    expect(await publishImage(owner, image.id)).toBe('published');
    // Whose yes was the gallery's has a part in it.
    expect(await imageNow(image.id)).toMatchObject({ publishedBy: decides.id });
  });

  it('also where both press at once', async () => {
    for (let i = 0; i < 6; i++) {
      const { image, owner } = await offered();
      await Promise.all([publishImage(owner, image.id), publishImage(keeper(), image.id)]);
      expect(await findPublished(image.id)).not.toBeNull();
    }
  });

  it('and at once where the owner decides there, or is of the platform’s staff', async () => {
    const own = await offered(keeper());
    expect(await publishImage(own.owner, own.image.id)).toBe('published');
    const ours = await offered({ ...member(snowflake()), id: STAFF_ID });
    expect(await publishImage(ours.owner, ours.image.id)).toBe('published');
  });

  it('of nobody else', async () => {
    const { image } = await offered();
    for (const nobody of [member(), keeper(snowflake()), actor({ guildId: null, managesGuild: true })])
      await expect(publishImage(nobody, image.id)).rejects.toMatchObject({ code: 'publish_others' });
    expect(await imageNow(image.id)).toMatchObject({ publishAskedBy: null });
  });
});

describe('in a server that the platform does not trust', () => {
  it('its own operators publish nothing: neither of others nor of their own', async () => {
    await staffChannel('7');
    const guildId = snowflake();
    const theirs = await offered(member(guildId));
    await publishImage(theirs.owner, theirs.image.id);
    await expect(publishImage(keeper(guildId), theirs.image.id)).rejects.toMatchObject({
      code: 'publish_others',
    });
    const own = await offered(keeper(guildId));
    expect(await publishImage(own.owner, own.image.id)).toBe('gallery-next');
    expect(await findPublished(own.image.id)).toBeNull();
  });

  it('a picture that its moderators approved comes no further without the platform’s own people', async () => {
    await staffChannel('7');
    const { image, owner } = await offered(keeper(snowflake()));
    await db.review.create({ data: { imageId: image.id, cause: 'classifier', state: 'approved' } });
    expect(await publishImage(owner, image.id)).toBe('gallery-next');
    expect(await findPublished(image.id)).toBeNull();
  });

  it.each([
    ['staff', staff],
    ['a moderator of the platform’s own server', () => keeper(STAFF_GUILD_ID)],
  ])('an offer comes to the platform’s own review channel, where %s decides', async (_, who) => {
    await staffChannel('7');
    for (const guildId of [snowflake(), null]) {
      const { image, owner } = await offered(member(guildId));
      expect(await publishImage(owner, image.id)).toBe('gallery-next');
      expect(await db.delivery.findFirst({ where: { imageId: image.id } })).toMatchObject({
        kind: 'request',
        guildId: STAFF_GUILD_ID,
      });
      expect(await publishImage(who(), image.id)).toBe('published');
    }
  });

  it('without such a channel the person is told so, and nothing is left of it', async () => {
    await staffChannel(null);
    for (const guildId of [snowflake(), null]) {
      const { image, owner } = await offered(member(guildId));
      await expect(publishImage(owner, image.id)).rejects.toMatchObject({ code: 'publish_nobody' });
      expect(await imageNow(image.id)).toMatchObject({ publishAskedBy: null });
      expect(await deliveriesOf(image.id)).toEqual([]);
    }
  });
});

describe('an offer', () => {
  it('is taken back, and made again on the same card', async () => {
    const { image, owner } = await offered();
    await publishImage(owner, image.id);
    await unpublishImage(owner, image.id);
    expect(await imageNow(image.id)).toMatchObject({ publishAskedBy: null });
    // Nothing of the first yes is left: this one is the first again.
    expect(await publishImage(keeper(), image.id)).toBe('owner-next');
    await unpublishImage(owner, image.id);
    await publishImage(owner, image.id);
    expect(await deliveriesOf(image.id)).toEqual(['request', 'notice']);
  });

  it('is declined by those who decide there; the owner is told and can’t ask again, they may change their mind', async () => {
    const { image, owner } = await offered();
    await publishImage(owner, image.id);
    for (const nobody of [owner, member(), keeper(snowflake())])
      await expect(declineImage(nobody, image.id)).rejects.toMatchObject({ code: 'moderators_only' });
    const decides = keeper();
    await declineImage(decides, image.id);
    await expect(declineImage(decides, image.id)).rejects.toMatchObject({ code: 'already_done' });
    expect(await deliveriesOf(image.id)).toEqual(['request', 'notice']);
    await expect(publishImage(owner, image.id)).rejects.toMatchObject({
      code: 'already_done',
      userMessage: expect.stringContaining('declined'),
    });
    expect(await publishImage(keeper(), image.id)).toBe('published');
    expect(await imageNow(image.id)).toMatchObject({ publishDeclinedBy: null });
  });

  it.each<[string, (made: Awaited<ReturnType<typeof offered>>) => Promise<unknown>, string]>([
    ['deleted', ({ image, owner }) => deleteImage(owner, image.generationId), 'gone'],
    ['reported', ({ image }) => reportImage(actor(), image.id), 'image_flagged'],
  ])('of a picture that is %s meanwhile is none', async (_, end, code) => {
    const made = await offered();
    await publishImage(made.owner, made.image.id);
    await end(made);
    await expect(publishImage(keeper(), made.image.id)).rejects.toMatchObject({ code });
    expect(await imageNow(made.image.id)).toMatchObject({ publishAskedBy: null, visibility: 'private' });
  });
});
