/**
 * May this person do this to that: asked here, and nowhere else.
 *
 * Rights are read again at every command and press, so a role taken away counts at once; and with the row at hand, as the id
 * that a button carries can be forged. Whoever manages a server is its operator and moderator, and the platform's staff
 * (STAFF_IDS) are both everywhere. A server's rights end at the server: what the one public gallery shows is decided by staff,
 * and of what was asked for in a server that they trust (TRUSTED_GUILDS), by its own people.
 */
import { config } from '#config/env.ts';
import { type Batch, db } from '#src/doors/db.ts';
import { UserError, type UserErrorCode } from '#src/errors.ts';
import { message } from '#src/say.ts';
import type { Actor, Origin } from './people.ts';

type Role = 'operator' | 'moderator';

/** What can be done to a batch's belongings: whether its owner may, and who else may in the guild where it was asked for. */
const deeds = {
  see: { owner: true, roles: ['operator', 'moderator'], refusal: 'gone' },
  end: { owner: true, roles: ['operator', 'moderator'], refusal: 'not_yours' },
  unpublish: { owner: true, roles: ['operator', 'moderator'], refusal: 'not_yours' },
  delete: { owner: true, roles: ['moderator'], refusal: 'not_yours' },
  review: { owner: false, roles: ['moderator'], refusal: 'moderators_only' },
} as const satisfies Record<string, { owner: boolean; roles: readonly Role[]; refusal: UserErrorCode }>;

export type Deed = keyof typeof deeds;

/** What a deed is done to, as far as rights go. */
export type Belonging = Pick<Batch, 'ownerId' | 'guildId'>;

/** @throws {UserError} `not_yours`, `moderators_only`, or `gone` where somebody is not to learn that it exists */
export async function mustBeAllowed(actor: Actor, deed: Deed, belonging: Belonging): Promise<void> {
  if (!(await isAllowed(actor, deed, belonging))) throw new UserError(deeds[deed].refusal, {});
}

/** The same as a question. */
export async function isAllowed(actor: Actor, deed: Deed, { ownerId, guildId }: Belonging): Promise<boolean> {
  const { owner, roles } = deeds[deed];
  return (owner && actor.id === ownerId) || hasRole(actorIn(actor, guildId), roles);
}

/**
 * People in its channel or thread see a batch's messages; its owner and those who look after the guild see them from anywhere.
 *
 * @throws {UserError} `gone`
 */
export async function mustSee(
  { actor, channelId }: Pick<Origin, 'actor' | 'channelId'>,
  batch: Belonging & Pick<Batch, 'channelId' | 'threadId'>,
): Promise<void> {
  if (channelId !== null && (channelId === batch.channelId || channelId === batch.threadId)) return;
  await mustBeAllowed(actor, 'see', batch);
}

/** Who has a part in a picture that is reviewed. */
export interface Parts {
  readonly ownerId: string;
  readonly publishedBy: string | null;
  readonly reportedBy: string | null;
}

/**
 * Nobody decides on a picture that he has a part in: another moderator must.
 *
 * @param review `guildId` null: the platform's own moderators decide
 * @throws {UserError} `moderators_only`, `own_part`
 */
export async function mustReview(actor: Actor, review: Belonging & Parts): Promise<void> {
  if (!(await decidesOnReviews(actor, review.guildId))) throw new UserError(deeds.review.refusal, {});
  const part = ownPart(actor, review);
  if (part) throw part;
}

/** Whether they decide on reviews of a guild. @param guildId null: on the platform's own */
export async function decidesOnReviews(actor: Actor, guildId: string | null): Promise<boolean> {
  return hasRole(actorIn(actor, guildId ?? config.staff.guildId), deeds.review.roles);
}

/** Why they may not decide on this picture, though they decide on others; null: they may. */
export function ownPart({ id }: Actor, { ownerId, publishedBy, reportedBy }: Parts): UserError | null {
  const parts = [
    [ownerId, message('You asked for this picture, so another moderator must decide on it.')],
    [publishedBy, message('You published this picture, so another moderator must decide on it.')],
    [reportedBy, message('You reported this picture, so another moderator must decide on it.')],
  ] as const;
  const own = parts.find(([partner]) => partner === id);
  return own ? new UserError('own_part', { part: own[1] }) : null;
}

/** Whether they decide for the public gallery on what this batch drew. */
export async function decidesForGallery(actor: Actor, batch: AskedIn): Promise<boolean> {
  return hasRole(actorIn(actor, galleryGuildOf(batch)), ['operator', 'moderator']);
}

/** @throws {UserError} `gallery_deciders` unless they decide for the public gallery on what this batch drew */
export async function mustDecideForGallery(actor: Actor, batch: AskedIn): Promise<void> {
  if (!(await decidesForGallery(actor, batch))) throw new UserError('gallery_deciders', {});
}

/** Where something was asked for, as far as rights go. */
export type AskedIn = Pick<Batch, 'guildId' | 'botInside'>;

/**
 * The guild, where its own people decide on what is the platform's, as the gallery and tokens are: the platform's own guild, and those
 * that it trusts. null: they don't, also where the bot is no member, as nobody there could be asked.
 */
export function trustedGuildOf({ guildId, botInside }: AskedIn): string | null {
  const { trustedGuilds, guildId: ours } = config.staff;
  const isTrusted = guildId !== null && (guildId === ours || trustedGuilds.includes(guildId));
  return isTrusted && botInside ? guildId : null;
}

/** Whose people decide for the gallery: the guild's where it is trusted, else the platform's own. null: staff alone. */
export function galleryGuildOf(batch: AskedIn): string | null {
  return trustedGuildOf(batch) ?? config.staff.guildId;
}

/** Whether parameters for operators count for them. */
export async function isOperator(actor: Actor): Promise<boolean> {
  return hasRole(actor, ['operator']);
}

/** @returns the guild in which they are an operator. @throws {UserError} `operators_only` */
export async function mustOperate(actor: Actor, botInside: boolean): Promise<string> {
  if (!actor.guildId || !botInside || !(await isOperator(actor))) throw new UserError('operators_only', {});
  return actor.guildId;
}

/**
 * Tokens are good everywhere, so they are given by staff, and by operators of trusted guilds: never by whoever adds the bot to a server.
 *
 * @throws {UserError} `tokens_managers_only`
 */
export async function mustManageTokens({
  actor,
  botInside,
}: Pick<Origin, 'actor' | 'botInside'>): Promise<void> {
  if (config.staff.ids.includes(actor.id)) return;
  const here = trustedGuildOf({ guildId: actor.guildId, botInside });
  if (here === null || !(await isOperator(actor))) throw new UserError('tokens_managers_only', {});
}

/**
 * Whose waiting pictures they may see, beside their own. How much waits in all is no secret to operators; who waits in other servers,
 * and what machines there are, is for the platform's own people.
 *
 * @returns the guild in which they are an operator; null: everybody's
 * @throws {UserError} `operators_only`
 */
export async function mustSeeQueue(actor: Actor, botInside: boolean): Promise<string | null> {
  const { ids, guildId: ours } = config.staff;
  if (ids.includes(actor.id)) return null;
  const guildId = await mustOperate(actor, botInside);
  return guildId === ours ? null : guildId;
}

/** Whether somebody is one of the platform's own operators. @param actor with the roles that they have in the platform's own guild */
export async function operatesPlatform(actor: Actor): Promise<boolean> {
  const { ids, guildId } = config.staff;
  return ids.includes(actor.id) || hasRole(actorIn(actor, guildId), ['operator']);
}

/** @throws {UserError} `platform_only` */
export async function mustOperatePlatform(actor: Actor): Promise<void> {
  if (!(await operatesPlatform(actor))) throw new UserError('platform_only', {});
}

/** @returns the guild that they administer. @throws {UserError} `administrators_only` */
export function mustAdminister({ guildId, managesGuild }: Actor): string {
  if (!guildId || !managesGuild) throw new UserError('administrators_only', {});
  return guildId;
}

/** Whether they have one of these roles: as staff, or by the guild. */
async function hasRole(actor: Actor, roles: readonly Role[]): Promise<boolean> {
  if (actor.managesGuild || config.staff.ids.includes(actor.id)) return true;
  const guild = actor.guildId && (await db.guildSettings.findUnique({ where: { id: actor.guildId } }));
  if (!guild) return false;
  const given = { operator: guild.operatorRoleIds, moderator: guild.moderatorRoleIds };
  return roles.some((role) => given[role].some((id) => actor.roleIds.includes(id)));
}

/** The same person, with only the rights that count in this guild: what another guild gives them does not. */
function actorIn(actor: Actor, guildId: string | null): Actor {
  if (guildId !== null && guildId === actor.guildId) return actor;
  return { ...actor, guildId: null, roleIds: [], managesGuild: false };
}
