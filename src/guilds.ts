/**
 * A guild's channels and roles: found by convention when the bot first sees the guild, changed by `/guild`. The only file
 * that writes GuildSettings.
 */
import { audit } from './audit.ts';
import { announce, releaseReviews, waitingReviews } from './deliveries.ts';
import { db, type GuildSettings } from './doors/db.ts';
import { UserError } from './errors.ts';
import type { Actor } from './people/people.ts';

/** What a guild is called by convention: the names are compared without case. */
export const CONVENTION = { operators: 'operators', moderators: 'moderators', review: 'review' } as const;

export type GuildChoice = Pick<GuildSettings, 'reviewChannelId' | 'operatorRoleIds' | 'moderatorRoleIds'>;

/** Keeps what was found, unless the guild is known already. `by`: the bot's own id. Returns whether it was new. */
export async function meetGuild(id: string, by: string, found: GuildChoice): Promise<boolean> {
  return db.$transaction(async (tx) => {
    const { count } = await tx.guildSettings.createMany({ data: [{ id, ...found }], skipDuplicates: true });
    if (!count) return false;
    await audit(tx, {
      actorId: by,
      action: 'guild.meet',
      subject: `guild:${id}`,
      guildId: id,
      after: { ...found },
    });
    return true;
  });
}

/** Changes what `/guild` names. @throws {UserError} `administrators_only` */
export async function changeGuild(actor: Actor, change: Partial<GuildChoice>): Promise<GuildSettings> {
  const { guildId } = actor;
  if (!guildId || !actor.managesGuild) throw new UserError('administrators_only', {});
  const changed = await db.$transaction(async (tx) => {
    const before = await tx.guildSettings.findUnique({ where: { id: guildId } });
    const none: GuildChoice = { reviewChannelId: null, operatorRoleIds: [], moderatorRoleIds: [] };
    const after = await tx.guildSettings.upsert({
      where: { id: guildId },
      create: { id: guildId, ...none, ...change },
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
    // Flagged pictures wait for a review channel: now they may have one.
    if (change.reviewChannelId) await releaseReviews(tx, guildId);
    return after;
  });
  if (change.reviewChannelId) await announce(waitingReviews(guildId));
  return changed;
}

function choiceOf({ reviewChannelId, operatorRoleIds, moderatorRoleIds }: GuildChoice): GuildChoice {
  return { reviewChannelId, operatorRoleIds, moderatorRoleIds };
}
