/** What the processes of the bench say to it. */
import { z } from 'zod';
import { createWorld } from '#infra/local/discord/world.ts';

export const RATES = [50, 200] as const;
export const TOKEN = 'local.a-token-of-thirty-characters-or-more';
export const APPLICATION_ID = '1100000000000000001';
/** More than come in the time that one has in hand. */
export const PEOPLE = 2_000;

export const CROWD = { people: PEOPLE, guilds: 20 };

/** One of each guild of the crowd's. */
export const Channels = z.array(z.object({ id: z.string(), guildId: z.string() }));
const world = createWorld(APPLICATION_ID, CROWD);
const guilds = new Set(world.guilds.slice(3).map(({ id }) => id));
export const channels: z.output<typeof Channels> = world.channels.flatMap(({ id, guildId, name }) =>
  guildId && guilds.has(guildId) && name === 'portraits' ? [{ id, guildId }] : [],
);
export const LocalDiscord = z.object({ apiUrl: z.string(), pageUrl: z.string() });

/** Of the interactions since the last report. */
export const Report = z.object({
  sent: z.int(),
  /** from sent to called back, of those that were; ms */
  acknowledged: z.array(z.number()),
  /** from sent to the last that followed the callback; ms */
  answered: z.array(z.number()),
  /** those that were deferred, and not refused at once */
  worked: z.int(),
});
export type Report = z.output<typeof Report>;

/** channel → the generation of its button */
export const Backlog = z.record(z.string(), z.string());

export const Load = z.object({ rate: z.number(), seconds: z.number() });
export const Loaded = z.object({
  /** the latest, after when it was to be sent; ms */
  latestMs: z.number(),
  /** that the person's client would not send */
  refused: z.array(z.string()),
});
