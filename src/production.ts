/**
 * Production mode: whether what somebody asks for is kept and may be published, or is a test. An operator says so for himself
 * (`/set production_mode`), or for everybody in a channel or a server (`/guild production`). The only file that writes
 * ProductionSwitch.
 */
import { audit } from './audit.ts';
import { db, type Prisma } from './doors/db.ts';
import { UserError } from './errors.ts';
import { fitting } from './parameters/definitions.ts';
import type { Origin } from './people/people.ts';
import { isOperator, mustOperate } from './people/rights.ts';

/** Where somebody asks; in a thread, its channel. */
export type AskedAt = Pick<Origin, 'actor' | 'channelId' | 'botInside'>;

export interface ProductionMode {
  readonly on: boolean;
  /** whose word counts; null: nobody's, so it is off */
  readonly by: 'person' | 'channel' | 'server' | null;
}

/** What counts for what is asked here and now. */
export async function productionMode(asked: AskedAt): Promise<ProductionMode> {
  const [own, switches] = await Promise.all([ownMode(asked), switchesFor(asked)]);
  return modeOf(own, switches);
}

/**
 * An operator's own word counts first, then the channel's, then the server's.
 *
 * @param own null: not said, or by somebody who is no operator, or none any more
 */
export function modeOf(own: boolean | null, { channel, server }: ProductionSwitches): ProductionMode {
  if (own !== null) return { on: own, by: 'person' };
  if (channel !== null) return { on: channel, by: 'channel' };
  if (server !== null) return { on: server, by: 'server' };
  return { on: false, by: null };
}

async function ownMode({ actor }: AskedAt): Promise<boolean | null> {
  const key = { userId_name: { userId: actor.id, name: 'production_mode' } };
  const stored = await db.parameterValue.findUnique({ where: key });
  return stored && (await isOperator(actor)) ? fitting('production_mode', stored.value) === true : null;
}

/** null: nobody said */
export interface ProductionSwitches {
  readonly channel: boolean | null;
  readonly server: boolean | null;
}

const SERVER = 'server';

export async function switchesFor({ actor, channelId, botInside }: AskedAt): Promise<ProductionSwitches> {
  if (!actor.guildId || !botInside || channelId === null) return { channel: null, server: null };
  const where = { guildId: actor.guildId, place: { in: [channelId, SERVER] } };
  const found = await db.productionSwitch.findMany({ where });
  const at = (place: string) => found.find((one) => one.place === place)?.on ?? null;
  return { channel: at(channelId), server: at(SERVER) };
}

/** Ids of the channels of a guild that have a word of their own. */
export async function switchedChannels(guildId: string): Promise<{ id: string; on: boolean }[]> {
  const found = await db.productionSwitch.findMany({
    where: { guildId, place: { not: SERVER } },
    orderBy: { place: 'asc' },
  });
  return found.map(({ place, on }) => ({ id: place, on }));
}

/**
 * Switches it for the channel or the whole server. @param on null: no word of its own any more
 *
 * @throws {UserError} `operators_only`
 */
export async function switchProduction(
  { actor, channelId, botInside }: AskedAt,
  where: keyof ProductionSwitches,
  on: boolean | null,
): Promise<void> {
  const guildId = await mustOperate(actor, botInside);
  if (channelId === null) throw new UserError('operators_only', {});
  const place = where === 'server' ? SERVER : channelId;
  await db.$transaction(async (tx) => {
    // Two at once take turns: else both would note the same `before`.
    await tx.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${`production:${guildId}`}, 0))`;
    const key: Prisma.ProductionSwitchWhereUniqueInput = { guildId_place: { guildId, place } };
    const before = (await tx.productionSwitch.findUnique({ where: key }))?.on ?? null;
    if (on === null) await tx.productionSwitch.deleteMany({ where: { guildId, place } });
    else await tx.productionSwitch.upsert({ where: key, create: { guildId, place, on }, update: { on } });
    await audit(tx, {
      actorId: actor.id,
      action: 'production_mode.set',
      subject: where === 'server' ? `guild:${guildId}` : `channel:${channelId}`,
      guildId,
      before,
      after: on,
    });
  });
}
