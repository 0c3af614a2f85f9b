import { describe, expect, it } from 'vitest';
import { finishGeneration } from '#src/batches/ending.ts';
import { db } from '#src/doors/db.ts';
import { hasFile } from '#src/doors/storage.ts';
import { deleteImage, mayBeShown, reusable } from '#src/generations/images.ts';
import { decide, lookAt, reportImage, reviewFor } from '#src/moderation/reviews.ts';
import { verdictOf } from '#src/moderation/verdicts.ts';
import { drawn } from '#test/support/drawn.ts';
import { filesIn } from '#test/support/files.ts';
import { openedBatch } from '#test/support/opened.ts';
import { actor, cell, origin, request, snowflake } from '#test/support/requests.ts';
import { STAFF_GUILD_ID, STAFF_ID } from '#test/support/staff.ts';
import { startGeneration } from '#test/support/taking.ts';
import { usualPlace } from '#test/support/where.ts';

const code = (code: string) => expect.objectContaining({ code });

/** A drawn picture, and a moderator of its guild. */
async function picture(
  verdict: 'clear' | 'flagged' = 'flagged',
  guildId: string | null = snowflake(),
  botInside = true,
) {
  const person = actor({ guildId });
  const batch = await openedBatch(
    origin({ actor: person, botInside }),
    request([cell({ seed: Number(person.id.slice(-6)) })]),
  );
  const generation = await db.generation.findFirstOrThrow({ where: { batchId: batch.id } });
  const drawing = await startGeneration(generation.id, 'w');
  const scores = { board: { flagged: verdict === 'flagged' ? 0.9 : 0.1 } };
  await finishGeneration(drawing!, 'w', drawn(verdictOf({ scores, ages: [], concepts: {} }, usualPlace)));
  const image = await db.image.findUniqueOrThrow({
    where: { generationId: generation.id },
    include: { review: true },
  });
  return {
    person,
    batch,
    image,
    reviewId: image.review?.id ?? '',
    moderator: actor({ guildId, managesGuild: true }),
  };
}
const imageNow = (id: string) => db.image.findUniqueOrThrow({ where: { id }, include: { review: true } });
/** of a batch, wherever they are kept */
const filesOf = async (batchId: string) =>
  (await filesIn('tests', 'quarantine')).filter((key) => key.includes(batchId));
const strikesOf = async (id: string) => (await db.user.findUniqueOrThrow({ where: { id } })).strikes;

describe('a flagged picture', () => {
  it('is kept apart, and waits in the guild for a moderator', async () => {
    const { image, batch, reviewId } = await picture();
    expect(image.storageKey).toMatch(/^quarantine\//);
    expect(mayBeShown(image, image.review)).toBe(false);
    expect(image.review).toMatchObject({ state: 'pending', cause: 'classifier', guildId: batch.guildId });
    expect(await db.delivery.findFirst({ where: { reviewId } })).toMatchObject({
      kind: 'review',
      state: 'active',
      guildId: batch.guildId,
      channelId: null,
    });
  });

  it('approved moves to its folder, may be shown, and reaches its batch and its asker', async () => {
    const { image, batch, reviewId, moderator, person } = await picture();
    const card = await db.delivery.findFirstOrThrow({ where: { batchId: batch.id, kind: 'card' } });
    await decide(moderator, reviewId, 'approved', null);
    const now = await imageNow(image.id);
    expect(now.storageKey).toMatch(/^tests\//);
    expect([await hasFile(now.storageKey), await hasFile(image.storageKey)]).toEqual([true, false]);
    expect(now).toMatchObject({
      verdict: 'flagged',
      review: { state: 'approved', moderatorId: moderator.id },
    });
    expect(mayBeShown(now, now.review)).toBe(true);
    expect((await db.delivery.findUniqueOrThrow({ where: { id: card.id } })).wanted).toBeGreaterThan(
      card.wanted,
    );
    expect(await db.delivery.findFirst({ where: { reviewId, kind: 'review' } })).toMatchObject({ wanted: 2 });
    expect(await db.delivery.findFirst({ where: { reviewId, kind: 'notice' } })).toMatchObject({
      userId: person.id,
    });
    expect(await strikesOf(person.id)).toBe(0);
    expect(await db.auditEvent.findFirst({ where: { subject: `image:${image.id}` } })).toMatchObject({
      action: 'review.approve',
      actorId: moderator.id,
    });
  });

  it('rejected is deleted, and gives its asker one strike', async () => {
    const { image, reviewId, moderator, person } = await picture();
    await decide(moderator, reviewId, 'rejected', '  too much  ');
    const now = await imageNow(image.id);
    expect(now.deletedAt).toBeInstanceOf(Date);
    expect(now.review).toMatchObject({ state: 'rejected', reason: 'too much' });
    expect(mayBeShown(now, now.review)).toBe(false);
    expect(await hasFile(image.storageKey)).toBe(false);
    expect(await strikesOf(person.id)).toBe(1);
    expect(await db.delivery.count({ where: { reviewId, kind: 'notice' } })).toBe(1);
  });

  it('is decided once, by whoever is first; the others are told who', async () => {
    for (let i = 0; i < 8; i++) {
      const { image, batch, reviewId, moderator, person } = await picture();
      const other = { ...moderator, id: snowflake() };
      const presses = await Promise.allSettled([
        decide(moderator, reviewId, 'approved', null),
        decide(other, reviewId, 'rejected', null),
        decide(moderator, reviewId, 'approved', null),
      ]);
      expect(presses.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const now = await imageNow(image.id);
      for (const press of presses)
        if (press.status === 'rejected')
          expect(press.reason).toMatchObject({
            code: 'already_reviewed',
            userMessage: expect.stringContaining(`${now.review?.state} by <@${now.review?.moderatorId}>`),
          });
      const approved = now.review?.state === 'approved';
      expect(await filesOf(batch.id)).toEqual(approved ? [now.storageKey] : []);
      expect(await strikesOf(person.id)).toBe(approved ? 0 : 1);
      expect(await db.auditEvent.count({ where: { subject: `image:${image.id}` } })).toBe(1);
    }
  });

  it('is looked at by who may decide on it; each look is noted, and after a decision there is none', async () => {
    for (let i = 0; i < 4; i++) {
      const { image, reviewId, moderator, person } = await picture();
      const looks = () =>
        db.auditEvent.count({ where: { action: 'review.look', subject: `image:${image.id}` } });
      await expect(lookAt(person, reviewId)).rejects.toEqual(code('moderators_only'));
      expect((await lookAt(moderator, reviewId)).png).toEqual(Buffer.from('the bytes'));
      expect(await looks()).toBe(1);
      const [look] = await Promise.allSettled([
        lookAt(moderator, reviewId),
        decide(moderator, reviewId, i % 2 ? 'approved' : 'rejected', null),
      ]);
      expect(await looks()).toBe(look.status === 'fulfilled' ? 2 : 1);
      if (look.status === 'rejected') expect(look.reason).toEqual(code('already_reviewed'));
      await expect(lookAt(moderator, reviewId)).rejects.toEqual(code('already_reviewed'));
    }
  });

  it('is for moderators of its own guild, and from a DM for our own', async () => {
    const { reviewId, person } = await picture();
    const elsewhere = actor({ managesGuild: true });
    for (const nobody of [person, actor({ guildId: person.guildId }), elsewhere])
      await expect(decide(nobody, reviewId, 'approved', null)).rejects.toEqual(code('moderators_only'));

    const direct = await picture('flagged', null);
    for (const nobody of [elsewhere, actor({ guildId: null, managesGuild: true })])
      await expect(decide(nobody, direct.reviewId, 'approved', null)).rejects.toEqual(
        code('moderators_only'),
      );
    const ours = actor({ id: STAFF_ID });
    await decide(ours, direct.reviewId, 'approved', null);
    await decide(ours, reviewId, 'rejected', null);
  });

  it('from a DM, or from where the bot is no member, is for the moderators of the platform’s own guild', async () => {
    const ours = actor({ guildId: STAFF_GUILD_ID, managesGuild: true });
    const direct = await picture('flagged', null);
    await decide(ours, direct.reviewId, 'approved', null);

    const foreign = await picture('flagged', snowflake(), false);
    expect(foreign.image.review).toMatchObject({ guildId: null });
    expect(await db.delivery.findFirst({ where: { reviewId: foreign.reviewId } })).toMatchObject({
      guildId: null,
    });
    await expect(decide(foreign.moderator, foreign.reviewId, 'approved', null)).rejects.toEqual(
      code('moderators_only'),
    );
    await decide(ours, foreign.reviewId, 'rejected', null);
  });

  it('is decided on by nobody who asked for it, published or reported it: another moderator must', async () => {
    const refusal = (what: string) => ({
      code: 'own_part',
      userMessage: `You ${what} this picture, so another moderator must decide on it.`,
    });
    const { reviewId, person, moderator } = await picture();
    const asker = { ...person, managesGuild: true };
    for (const decision of ['approved', 'rejected'] as const)
      await expect(decide(asker, reviewId, decision, null)).rejects.toMatchObject(refusal('asked for'));
    await expect(reviewFor(asker, reviewId)).rejects.toMatchObject(refusal('asked for'));
    await decide(moderator, reviewId, 'approved', null);

    const other = await picture('clear');
    const publisher = { ...other.moderator, id: snowflake() };
    await db.image.update({ where: { id: other.image.id }, data: { publishedBy: publisher.id } });
    await reportImage(other.moderator, other.image.id);
    const { review } = await imageNow(other.image.id);
    await expect(decide(other.moderator, review!.id, 'rejected', null)).rejects.toMatchObject(
      refusal('reported'),
    );
    await expect(decide(publisher, review!.id, 'approved', null)).rejects.toMatchObject(refusal('published'));
    expect((await imageNow(other.image.id)).review?.state).toBe('pending');
    await decide({ ...publisher, id: snowflake() }, review!.id, 'approved', null);
  });

  it('whose moderator lost the role between seeing and pressing stays undecided', async () => {
    const { reviewId, person } = await picture();
    const moderator = actor({ guildId: person.guildId, roleIds: ['9'] });
    const roles = { moderatorRoleIds: ['9'] };
    await db.guildSettings.create({ data: { id: person.guildId!, ...roles } });
    await db.guildSettings.update({ where: { id: person.guildId! }, data: { moderatorRoleIds: [] } });
    await expect(decide(moderator, reviewId, 'approved', null)).rejects.toEqual(code('moderators_only'));
    await db.guildSettings.update({ where: { id: person.guildId! }, data: roles });
    await decide(moderator, reviewId, 'approved', null);
  });

  it('that its asker deleted meanwhile is not shown, whatever is decided', async () => {
    const { image, reviewId, moderator, person } = await picture();
    await deleteImage(person, image.generationId);
    await decide(moderator, reviewId, 'approved', null);
    const now = await imageNow(image.id);
    expect(mayBeShown(now, now.review)).toBe(false);
  });

  it('with a forged review id is gone, and says so to moderators only', async () => {
    const id = crypto.randomUUID();
    const ours = actor({ id: STAFF_ID });
    await expect(decide(ours, id, 'approved', null)).rejects.toEqual(code('gone'));
    await expect(decide(actor({ managesGuild: true }), id, 'approved', null)).rejects.toEqual(
      code('moderators_only'),
    );
  });
});

describe('a reported picture', () => {
  it('is out of sight and stands for no other until it is decided', async () => {
    const { image, batch, moderator } = await picture('clear');
    await db.image.update({
      where: { id: image.id },
      data: { visibility: 'published', publishedAt: new Date() },
    });
    expect(await db.image.count({ where: { id: image.id, ...reusable } })).toBe(1);
    const reporter = actor({ guildId: batch.guildId });
    await reportImage(reporter, image.id);
    const now = await imageNow(image.id);
    expect(now).toMatchObject({
      verdict: 'flagged',
      visibility: 'private',
      publishedAt: null,
      review: { state: 'pending', cause: 'report', reportedBy: reporter.id },
    });
    expect(mayBeShown(now, now.review)).toBe(false);
    expect(await db.image.count({ where: { id: image.id, ...reusable } })).toBe(0);

    await decide(moderator, now.review!.id, 'approved', null);
    const decided = await imageNow(image.id);
    expect(mayBeShown(decided, decided.review)).toBe(true);
    expect(await hasFile(decided.storageKey)).toBe(true);
    await expect(reportImage(reporter, image.id)).rejects.toMatchObject({
      userMessage: 'That was done already: the moderators have approved it.',
    });
  });

  it('by several at once has one review', async () => {
    const { image } = await picture('clear');
    const reports = await Promise.allSettled([1, 2, 3].map(() => reportImage(actor(), image.id)));
    expect(reports.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const report of reports)
      if (report.status === 'rejected') expect(report.reason).toEqual(code('already_done'));
    expect(await db.review.count({ where: { imageId: image.id } })).toBe(1);
  });

  it('rejected is deleted from where it was', async () => {
    const { image, moderator } = await picture('clear');
    await reportImage(actor(), image.id);
    await decide(moderator, (await imageNow(image.id)).review!.id, 'rejected', null);
    expect(await hasFile(image.storageKey)).toBe(false);
    await expect(reportImage(actor(), image.id)).rejects.toEqual(code('gone'));
  });
});
