/**
 * A guild's channels and roles: found by convention when the bot first sees the guild, changed by `/guild`. The only file
 * that writes GuildSettings.
 */
import { audit } from './audit.ts';
import { releaseReviews } from './deliveries.ts';
import { db, type GuildSettings } from './doors/db.ts';
import type { Actor } from './people/people.ts';
import { mustAdminister } from './people/rights.ts';

/** What a guild is called by convention: the names are compared without case. */
export const CONVENTION = { operators: 'operators', moderators: 'moderators', review: 'review' } as const;

export type GuildChoice = Pick<GuildSettings, 'reviewChannelId' | 'operatorRoleIds' | 'moderatorRoleIds'>;

export async function guildSettings(guildId: string): Promise<GuildSettings | null> {
  return db.guildSettings.findUnique({ where: { id: guildId } });
}

/** Where reviews of a guild are shown; null while it has no review channel. */
export async function reviewChannel(guildId: string | null): Promise<string | null> {
  return guildId ? ((await guildSettings(guildId))?.reviewChannelId ?? null) : null;
}

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
  const guildId = mustAdminister(actor);
  const { settings, wake } = await db.$transaction(async (tx) => {
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
    const wake = change.reviewChannelId ? await releaseReviews(tx, guildId) : null;
    return { settings: after, wake };
  });
  await wake?.();
  return settings;
}

function choiceOf({ reviewChannelId, operatorRoleIds, moderatorRoleIds }: GuildChoice): GuildChoice {
  return { reviewChannelId, operatorRoleIds, moderatorRoleIds };
}
