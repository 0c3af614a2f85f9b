/**
 * A guild's review channel, and the roles that look after things. Nothing is taken by its name: a guild that is new is asked
 * (`greeting`), and `/guild` changes it. The only file that writes GuildSettings.
 *
 * Only operators and moderators may see a review channel. That is checked when one is chosen, and again before each post: one
 * that was opened to others is given up, and what was flagged waits for the next.
 */
import { config } from '#config/env.ts';
import { safety } from '#config/safety.ts';
import { audit } from './audit.ts';
import { addDelivery, changed, releaseReviews, together, type Wake } from './deliveries.ts';
import { db, type GuildSettings, type Transaction } from './doors/db.ts';
import { UserError } from './errors.ts';
import { dropPreviews } from './generations/previews.ts';
import { type ChannelView, sayRoles, strangersIn } from './moderation/privacy.ts';
import { GuildThresholds } from './moderation/verdicts.ts';
import type { Actor } from './people/people.ts';
import { mustAdminister } from './people/rights.ts';
import { type Say, sayIn } from './say.ts';

export type GuildChoice = Pick<
  GuildSettings,
  'reviewChannelId' | 'operatorRoleIds' | 'moderatorRoleIds' | 'previews'
> & { readonly thresholds: GuildThresholds };

const NONE: GuildChoice = {
  reviewChannelId: null,
  operatorRoleIds: [],
  moderatorRoleIds: [],
  previews: true,
  thresholds: {},
};

export async function guildSettings(guildId: string): Promise<GuildSettings | null> {
  return db.guildSettings.findUnique({ where: { id: guildId } });
}

/** Says things in channels to those who look after a guild. @param guildId null: the platform's own people */
export async function sayToGuild(guildId: string | null): Promise<Say> {
  const id = guildId ?? config.staff.guildId;
  return sayIn(id ? (await guildSettings(id))?.locale : null);
}

/** Where reviews of a guild are shown; null while it has no review channel. @param guildId null: the platform's own */
export async function reviewChannel(guildId: string | null): Promise<string | null> {
  const id = guildId ?? config.staff.guildId;
  return id ? ((await guildSettings(id))?.reviewChannelId ?? null) : null;
}

/** A guild, and how to reach those who look after it. */
interface Reached {
  readonly id: string;
  readonly ownerId: string;
  /** where the bot may post; null: nowhere, so its owner is written to */
  readonly channelId: string | null;
}

/** A guild that was met. */
export interface Met extends Reached {
  /** as Discord names it */
  readonly locale: string;
}

/** Greets a guild that is new, and asks who looks after it. Returns whether it was new. @param by the bot's own id */
export async function meetGuild({ id, ownerId, channelId, locale }: Met, by: string): Promise<boolean> {
  const wake = await db.$transaction(async (tx) => {
    const { count } = await tx.guildSettings.createMany({
      data: [{ id, locale, ...NONE }],
      skipDuplicates: true,
    });
    if (!count) {
      await tx.guildSettings.updateMany({ where: { id, locale: { not: locale } }, data: { locale } });
      return null;
    }
    await audit(tx, { actorId: by, action: 'guild.meet', subject: `guild:${id}`, guildId: id });
    return addDelivery(tx, { kind: 'greeting', userId: ownerId, guildId: id, channelId });
  });
  wake?.();
  return wake !== null;
}

/** Changes what `/guild` names. A review channel comes by `chooseReviewChannel`. @throws {UserError} `administrators_only` */
export async function changeGuild(
  actor: Actor,
  change: Partial<Omit<GuildChoice, 'reviewChannelId' | 'thresholds'>>,
): Promise<GuildSettings> {
  return set(actor, () => change);
}

/**
 * From which score on pictures asked for here are held for review.
 *
 * @param score     of config/safety.yaml
 * @param threshold null: as everywhere
 * @throws {UserError} `administrators_only`; `threshold_loose`: a guild may hold more than the platform does, and not less
 */
export async function setThreshold(
  actor: Actor,
  score: string,
  threshold: number | null,
): Promise<GuildSettings> {
  mustAdminister(actor);
  const { usual: most = 1 } = safety.scores[score] ?? {};
  if (!safety.scores[score]) throw new UserError('gone', {});
  if (threshold !== null && !(threshold > 0 && threshold <= most))
    throw new UserError('threshold_loose', { score, most });
  return set(actor, ({ thresholds: { [score]: _, ...others } }) => ({
    thresholds: threshold === null ? others : { ...others, [score]: threshold },
  }));
}

/** @throws {UserError} `administrators_only`; `review_channel_open` naming who sees it */
export async function chooseReviewChannel(
  actor: Actor,
  reviewChannelId: string,
  view: ChannelView,
): Promise<GuildSettings> {
  const guildId = mustAdminister(actor);
  const strangers = strangersIn(view, await guildSettings(guildId));
  if (strangers.length)
    throw new UserError('review_channel_open', {
      channelId: reviewChannelId,
      roles: sayRoles(guildId, strangers),
    });
  return set(actor, () => ({ reviewChannelId, reviewSeenBy: [] }));
}

async function set(
  actor: Actor,
  changeOf: (before: GuildChoice) => Partial<GuildChoice & Pick<GuildSettings, 'reviewSeenBy'>>,
) {
  const guildId = mustAdminister(actor);
  const { settings, wake } = await db.$transaction(async (tx) => {
    await tx.$executeRaw`SELECT 1 FROM "GuildSettings" WHERE id = ${guildId} FOR UPDATE`;
    const before = await tx.guildSettings.findUnique({ where: { id: guildId } });
    const change = changeOf(before ? choiceOf(before) : NONE);
    const after = await tx.guildSettings.upsert({
      where: { id: guildId },
      create: { id: guildId, ...NONE, ...change },
      update: change,
    });
    await audit(tx, {
      actorId: actor.id,
      action: 'guild.set',
      subject: `guild:${guildId}`,
      guildId,
      before: before && choiceOf(before),
      after: choiceOf(after),
    });
    const wakes = [
      ...(change.reviewChannelId ? [await chosen(tx, guildId)] : []),
      ...(change.previews === false ? [await hidePreviews(tx, guildId)] : []),
    ];
    return { settings: after, wake: together(...wakes) };
  });
  wake();
  return settings;
}

/** What is being drawn here is not seen any more before it is done. */
async function hidePreviews(tx: Transaction, guildId: string): Promise<Wake> {
  const batchIds = await dropPreviews(tx, guildId);
  return changed(tx, { batchId: { in: batchIds }, kind: { in: ['card', 'status'] } });
}

/** Flagged pictures wait for a review channel: now they may have one, and cards say so. */
async function chosen(tx: Transaction, guildId: string): Promise<Wake> {
  return together(
    // The platform's own shows those of nobody else's as well.
    await releaseReviews(tx, guildId === config.staff.guildId ? [guildId, null] : [guildId]),
    await changed(tx, { guildId, kind: { in: ['greeting', 'warning'] } }),
  );
}

/**
 * Gives up a review channel that others can see, and says so in it, or to the guild's owner where that can't be.
 *
 * @param seenBy ids of roles that see it
 * @returns false when it was not the review channel any more
 */
export async function giveUpReviewChannel(
  { id, ownerId, channelId }: Reached & { channelId: string },
  seenBy: readonly string[],
): Promise<boolean> {
  const wake = await db.$transaction(async (tx) => {
    const { count } = await tx.guildSettings.updateMany({
      where: { id, reviewChannelId: channelId },
      data: { reviewChannelId: null, reviewSeenBy: [...seenBy] },
    });
    if (!count) return null;
    await audit(tx, {
      actorId: config.discord.applicationId ?? 'bot',
      action: 'guild.review_channel_given_up',
      subject: `guild:${id}`,
      guildId: id,
      before: { reviewChannelId: channelId },
      after: { reviewChannelId: null, seenBy: [...seenBy] },
    });
    return addDelivery(tx, { kind: 'warning', userId: ownerId, guildId: id, channelId });
  });
  wake?.();
  return wake !== null;
}

function choiceOf(settings: GuildSettings): GuildChoice {
  const { reviewChannelId, operatorRoleIds, moderatorRoleIds, previews } = settings;
  const thresholds = GuildThresholds.parse(settings.thresholds);
  return { reviewChannelId, operatorRoleIds, moderatorRoleIds, previews, thresholds };
}
