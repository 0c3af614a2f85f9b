/** The door to guilds and who is in them: asked of Discord by the bot's token, as nothing of it is kept in rows. */
import { DiscordAPIError, REST } from '@discordjs/rest';
import { RESTJSONErrorCodes as Code, Routes } from 'discord-api-types/v10';
import { z } from 'zod';
import { config } from '#config/env.ts';
import { askDiscord } from './discord.ts';

/** For Discord to answer. ms */
const ANSWERS_WITHIN_MS = 5_000;

const bits = z
  .string()
  .regex(/^\d+$/)
  .transform((text) => BigInt(text));
const Person = z
  .object({ username: z.string(), global_name: z.string().nullish() })
  .transform(({ username, global_name }) => ({ name: global_name ?? username }));
const Member = z
  .object({ roles: z.array(z.string()), communication_disabled_until: z.coerce.date().nullish() })
  .transform(({ roles, communication_disabled_until: until }) => ({ roleIds: roles, timedOutUntil: until }));
const Guild = z
  .object({
    name: z.string(),
    owner_id: z.string(),
    roles: z.array(z.object({ id: z.string(), permissions: bits })),
  })
  .transform(({ owner_id: ownerId, ...guild }) => ({ ownerId, ...guild }));

/** A guild with its roles, @everyone among them, whose id is the guild's; null where the bot is no member. @throws as `askedFor` */
export const askGuild = (id: string) => askedFor(Routes.guild(id), Guild);

/** Somebody in a guild; null where they are no member, or the bot is none. @throws as `askedFor` */
export const askMember = (guildId: string, id: string) => askedFor(Routes.guildMember(guildId, id), Member);

/** What somebody is called; null: nobody has this id. @throws as `askedFor` */
export const askPerson = (id: string) => askedFor(Routes.user(id), Person);

/** What Discord says where there is none of that, or where the bot may not know. */
const NOT_THERE: readonly (string | number)[] = [
  Code.UnknownMember,
  Code.UnknownUser,
  Code.UnknownGuild,
  Code.MissingAccess,
];

let opened: REST | undefined;

/**
 * @returns null where there is no such thing, or no token to ask with
 * @throws what `askDiscord` and the connection throw
 */
async function askedFor<T>(route: `/${string}`, shape: z.ZodType<T>): Promise<T | null> {
  const { token, apiUrl } = config.discord;
  if (token === undefined) return null;
  opened ??= new REST({ version: '10', api: apiUrl, retries: 1, makeRequest: askDiscord }).setToken(token);
  try {
    return shape.parse(await opened.get(route, { signal: AbortSignal.timeout(ANSWERS_WITHIN_MS) }));
  } catch (error) {
    if (error instanceof DiscordAPIError && NOT_THERE.includes(error.code)) return null;
    throw error;
  }
}
