/** The routes about guilds: their channels, roles, members and active threads. */
import { ChannelType, GatewayIntentBits as Intent, PermissionFlagsBits as P } from 'discord-api-types/v10';
import { invalid, refusals } from './discord-error.ts';
import { has } from './permissions.ts';
import { objectBody, type Route } from './rest.ts';
import { created, get, guildOf, ok, overwrite, post } from './routing.ts';
import type { State } from './state.ts';
import { apiGuild } from './world.ts';

/** @param privilegedIntents bits of those that the app was granted: some routes need them too */
export function guildRoutes(state: State, privilegedIntents: number): Route[] {
  const botId = state.world.applicationId;
  return [
    get('/guilds/{guild_id}', ({ params }) => {
      // Asked for itself, a guild that the bot is not in is like none.
      const guild = state.guildsOfBot.find(({ id }) => id === params.guild_id);
      if (!guild) throw refusals.unknownGuild();
      return ok(apiGuild(guild));
    }),
    get('/guilds/{guild_id}/channels', (call) => {
      const { id } = guildOf(state, call);
      const own = [...state.channels.values()].filter((one) => one.guildId === id && !one.thread);
      return ok(own.map((one) => state.apiChannel(one)));
    }),
    post('/guilds/{guild_id}/channels', (call) => {
      const { id } = guildOf(state, call);
      const anywhere = { id, type: ChannelType.GuildText, guildId: id } as const;
      if (!has(state.permissions(anywhere, botId), P.ManageChannels)) throw refusals.missingPermissions();
      const { name, type = ChannelType.GuildText, topic, permission_overwrites } = objectBody(call);
      if (typeof name !== 'string' || !name || name.length > 100) {
        throw invalid(['name'], 'BASE_TYPE_BAD_LENGTH', 'Must be between 1 and 100 in length.');
      }
      if (type !== ChannelType.GuildText && type !== ChannelType.GuildAnnouncement) {
        throw invalid(['type'], 'BASE_TYPE_CHOICES', 'Only text and announcement channels here.');
      }
      const channel = state.createChannel({
        type,
        guildId: id,
        name: name.toLowerCase().replaceAll(/\s+/g, '-'),
        topic: typeof topic === 'string' ? topic : null,
        position: state.channels.size,
        overwrites: Array.isArray(permission_overwrites) ? permission_overwrites.map(overwrite) : [],
      });
      return created(state.apiChannel(channel));
    }),
    get('/guilds/{guild_id}/roles', (call) => ok(guildOf(state, call).roles)),
    get('/guilds/{guild_id}/members', (call) => {
      if (!(privilegedIntents & Intent.GuildMembers)) throw refusals.missingAccess();
      const guild = guildOf(state, call);
      const limit = Number(call.query.get('limit') ?? 1);
      return ok([...guild.members.keys()].slice(0, limit).map((id) => state.member(guild, id)));
    }),
    get('/guilds/{guild_id}/members/{user_id}', (call) => {
      const guild = guildOf(state, call);
      const userId = call.params.user_id!;
      const member = state.member(guild, userId);
      if (!member) throw state.user(userId) ? refusals.unknownMember() : refusals.unknownUser();
      return ok(member);
    }),
    get('/guilds/{guild_id}/threads/active', (call) => {
      const { id } = guildOf(state, call);
      const active = [...state.channels.values()].filter(
        (one) => one.guildId === id && one.thread?.archived === false,
      );
      return ok({
        threads: active.map((one) => state.apiChannel(one)),
        members: active
          .filter(({ thread }) => thread!.members.includes(botId))
          .map((one) => state.threadMember(one, botId)),
        has_more: false,
      });
    }),
  ];
}
