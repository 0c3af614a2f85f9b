import { PermissionFlagsBits as P } from 'discord-api-types/v10';
import { describe, expect, it } from 'vitest';
import { db } from '#src/doors/db.ts';
import {
  changeGuild,
  chooseReviewChannel,
  giveUpReviewChannel,
  meetGuild,
  reviewChannel,
  sayToGuild,
  setThreshold,
} from '#src/guilds.ts';
import { thresholdsIn } from '#src/moderation/guild-thresholds.ts';
import type { ChannelView } from '#src/moderation/privacy.ts';
import { openReview } from '#src/moderation/reviews.ts';
import { STAFF_GUILD_ID } from '#test/support/staff.ts';
import { actor, snowflake } from '../support/requests.ts';
import { makePicture } from './services/web/pictures.ts';

const met = (id: string) => ({ id, ownerId: snowflake(), channelId: snowflake(), locale: 'en-US' });

/** A channel that @everyone sees or not, in a guild without other roles. */
const channelIn = (guildId: string, isPrivate: boolean): ChannelView => ({
  guildId,
  roles: [{ id: guildId, permissions: P.ViewChannel, bot: false }],
  overwrites: isPrivate ? [{ id: guildId, allow: 0n, deny: P.ViewChannel }] : [],
});

describe('a guild', () => {
  it('is met once: nothing is taken by its name, and whoever looks after it is asked', async () => {
    const guild = met(snowflake());
    expect(await meetGuild(guild, snowflake())).toBe(true);
    expect(await db.guildSettings.findUnique({ where: { id: guild.id } })).toMatchObject({
      reviewChannelId: null,
      operatorRoleIds: [],
      moderatorRoleIds: [],
    });
    const greetings = { guildId: guild.id, kind: 'greeting' } as const;
    expect(await db.delivery.findMany({ where: greetings })).toMatchObject([
      { channelId: guild.channelId, userId: guild.ownerId },
    ]);
    const admin = actor({ guildId: guild.id, managesGuild: true });
    await changeGuild(admin, { operatorRoleIds: ['9'] });
    expect(await meetGuild(guild, snowflake())).toBe(false);
    expect(await db.delivery.count({ where: greetings })).toBe(1);
    expect(await db.guildSettings.findUnique({ where: { id: guild.id } })).toMatchObject({
      operatorRoleIds: ['9'],
    });
  });

  it('is spoken to in its language, also after it chose another', async () => {
    const guild = met(snowflake());
    expect((await sayToGuild(guild.id)).language).toBe('en');
    await meetGuild({ ...guild, locale: 'de' }, snowflake());
    expect((await sayToGuild(guild.id)).language).toBe('de');
    await meetGuild({ ...guild, locale: 'es-ES' }, snowflake());
    expect((await sayToGuild(guild.id)).language).toBe('es');
  });

  it('keeps who changed what', async () => {
    const id = snowflake();
    await meetGuild(met(id), snowflake());
    const admin = actor({ guildId: id, managesGuild: true });
    await changeGuild(admin, { moderatorRoleIds: ['3'] });
    await chooseReviewChannel(admin, '7', channelIn(id, true));
    const events = await db.auditEvent.findMany({
      where: { subject: `guild:${id}` },
      orderBy: { id: 'asc' },
    });
    const none = { reviewChannelId: null, operatorRoleIds: [], moderatorRoleIds: [] };
    const roles = { ...none, moderatorRoleIds: ['3'] };
    expect(events).toMatchObject([
      { action: 'guild.meet' },
      { action: 'guild.set', actorId: admin.id, before: none, after: roles },
      { action: 'guild.set', before: roles, after: { ...roles, reviewChannelId: '7' } },
    ]);
  });

  it('may hold more pictures for review than the platform does, score by score, and never less', async () => {
    const admin = actor({ managesGuild: true });
    const id = admin.guildId!;
    expect(await thresholdsIn(id)).toEqual({});
    expect(await thresholdsIn(null)).toEqual({});
    await Promise.all([setThreshold(admin, 'adult', 0.3), setThreshold(admin, 'suggestive', 0.9)]);
    await changeGuild(admin, { previews: false });
    expect(await thresholdsIn(id)).toEqual({ adult: 0.3, suggestive: 0.9 });
    await expect(setThreshold(admin, 'adult', 0.71)).rejects.toMatchObject({
      code: 'threshold_loose',
      userMessage: expect.stringMatching(/from adult 0\.7 on\. .* choose a threshold of 0\.7 or less/),
    });
    await expect(setThreshold(admin, 'adult', 0)).rejects.toMatchObject({ code: 'threshold_loose' });
    await expect(setThreshold(admin, 'other', 0.1)).rejects.toMatchObject({ code: 'gone' });
    await setThreshold(admin, 'adult', null);
    expect(await thresholdsIn(id)).toEqual({ suggestive: 0.9 });
    expect(
      await db.auditEvent.findFirst({ where: { subject: `guild:${id}` }, orderBy: { id: 'desc' } }),
    ).toMatchObject({
      before: { thresholds: { adult: 0.3, suggestive: 0.9 } },
      after: { thresholds: { suggestive: 0.9 } },
    });
    await expect(setThreshold(actor({ guildId: id }), 'adult', 0.1)).rejects.toMatchObject({
      code: 'administrators_only',
    });
  });

  it('is changed by nobody who may not manage it', async () => {
    const refused = { code: 'administrators_only' };
    await expect(changeGuild(actor(), { operatorRoleIds: ['9'] })).rejects.toMatchObject(refused);
    await expect(chooseReviewChannel(actor(), '7', channelIn('1', true))).rejects.toMatchObject(refused);
  });
});

describe('a review channel', () => {
  it('that others see is refused, naming them, and the one before stays', async () => {
    const admin = actor({ managesGuild: true });
    const guildId = admin.guildId!;
    await chooseReviewChannel(admin, '7', channelIn(guildId, true));
    await expect(chooseReviewChannel(admin, '8', channelIn(guildId, false))).rejects.toMatchObject({
      code: 'review_channel_open',
      userMessage: expect.stringMatching(/<#8> can't be .* seen by @everyone\./),
    });
    expect(await reviewChannel(guildId)).toBe('7');
  });

  it('that was opened is given up once, and said so; what was flagged waits, and comes with the next', async () => {
    const admin = actor({ managesGuild: true });
    const id = admin.guildId!;
    await chooseReviewChannel(admin, '7', channelIn(id, true));
    const { image, owner } = await makePicture(1, { verdict: 'flagged' }, { owner: actor({ guildId: id }) });
    const batch = { guildId: id, botInside: true };
    await openReview(db, { imageId: image.id, batch, cause: 'classifier', ownerId: owner.id });

    const seen = { id, ownerId: snowflake(), channelId: '7' };
    expect(await Promise.all([giveUpReviewChannel(seen, [id]), giveUpReviewChannel(seen, [id])])).toContain(
      false,
    );
    expect(await reviewChannel(id)).toBeNull();
    const warnings = { guildId: id, kind: 'warning' } as const;
    expect(await db.delivery.findMany({ where: warnings })).toMatchObject([
      { channelId: '7', userId: seen.ownerId, wanted: 1 },
    ]);
    const review = { guildId: id, kind: 'review' } as const;
    expect(await db.delivery.findFirst({ where: review })).toMatchObject({
      state: 'active',
      messageId: null,
    });

    await db.delivery.updateMany({ where: review, data: { notBefore: new Date(Date.now() + 60_000) } });
    await chooseReviewChannel(admin, '9', channelIn(id, true));
    const released = await db.delivery.findFirstOrThrow({ where: review });
    expect(released.notBefore.getTime()).toBeLessThanOrEqual(Date.now());
    expect(await db.delivery.findFirst({ where: warnings })).toMatchObject({ wanted: 2 });
    expect(await db.guildSettings.findUnique({ where: { id } })).toMatchObject({ reviewSeenBy: [] });
  });

  it('of the platform’s own guild shows what was drawn where the bot is no member', async () => {
    const { image, owner } = await makePicture(2, { verdict: 'flagged' }, { owner: actor() });
    const foreign = { guildId: snowflake(), botInside: false };
    await openReview(db, { imageId: image.id, batch: foreign, cause: 'classifier', ownerId: owner.id });
    const review = await db.review.findUniqueOrThrow({ where: { imageId: image.id } });
    const where = { reviewId: review.id, guildId: null, messageId: null };
    await db.delivery.updateMany({ where, data: { notBefore: new Date(Date.now() + 60_000) } });

    const admin = actor({ guildId: STAFF_GUILD_ID, managesGuild: true });
    await chooseReviewChannel(admin, '7', channelIn(STAFF_GUILD_ID, true));
    expect(await reviewChannel(null)).toBe('7');
    const released = await db.delivery.findFirstOrThrow({ where });
    expect(released.notBefore.getTime()).toBeLessThanOrEqual(Date.now());
  });
});
