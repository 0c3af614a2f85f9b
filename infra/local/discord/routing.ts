/** The words that routes are written in: `get('/users/@me', () => ok(self))`. */
import type { APIOverwrite } from 'discord-api-types/v10';
import { refusals } from './discord-error.ts';
import { isObject } from './fields.ts';
import type { Answer, Call, Route } from './rest.ts';
import type { Scope } from './scopes.ts';
import type { State } from './state.ts';
import type { Guild } from './world.ts';

const route =
  (method: string, bot: boolean) =>
  (template: string, run: Route['run']): Route => ({ method, template, bot, run });

export const get = route('GET', true);
export const post = route('POST', true);
/** A person's bearer token does as well, if it has the scope. */
export const getAs = (scope: Scope, template: string, run: Route['run']): Route => ({
  ...get(template, run),
  scope,
});
export const put = route('PUT', true);
export const patch = route('PATCH', true);
export const del = route('DELETE', true);
/** The path itself carries a token. */
export const openGet = route('GET', false);
export const openPost = route('POST', false);
export const openPatch = route('PATCH', false);
export const openDel = route('DELETE', false);

export const ok = (body: unknown): Answer => ({ status: 200, body });
export const created = (body: unknown): Answer => ({ status: 201, body });
export const done: Answer = { status: 204 };

/** The guild of the path, for what belongs to it. Where the bot is no member, Discord says that there is such a guild all the same. */
export function guildOf(state: State, { params }: Call): Guild {
  const guild = state.guildsOfBot.find(({ id }) => id === params.guild_id);
  if (guild) return guild;
  throw state.guild(params.guild_id) ? refusals.missingAccess() : refusals.unknownGuild();
}

/** A permission overwrite as a request gives it. */
export function overwrite(input: unknown): APIOverwrite {
  const { id, type, allow, deny } = isObject(input) ? input : {};
  return { id: String(id), type: Number(type ?? 0), allow: String(allow ?? 0), deny: String(deny ?? 0) };
}
