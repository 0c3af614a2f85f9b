/** The routes about the bot itself, its application and the people it meets. */
import { type APIUser, ChannelType } from 'discord-api-types/v10';
import { refusals } from './discord-error.ts';
import type { IdentifyBudget } from './identify.ts';
import { objectBody, type Route } from './rest.ts';
import { get, getAs, ok, post } from './routing.ts';
import type { State } from './state.ts';

export interface GatewayAdvice {
  readonly url: string;
  readonly shards: number;
  readonly budget: IdentifyBudget;
}

export function accountRoutes(state: State, gateway: GatewayAdvice): Route[] {
  const botId = state.world.applicationId;
  const self = (user: APIUser) => ({
    ...user,
    mfa_enabled: true,
    locale: 'en-US',
    verified: true,
    email: null,
    premium_type: 0,
  });
  const app = () => ({
    id: botId,
    name: 'Atelier',
    icon: null,
    description: 'A stand-in on this machine.',
    type: null,
    bot: state.bot,
    owner: state.user(state.world.guilds[0].ownerId),
    team: null,
    bot_public: true,
    bot_require_code_grant: false,
    verify_key: '0'.repeat(64),
    flags: 0,
    flags_new: '0',
    redirect_uris: [],
    interactions_endpoint_url: null,
    role_connections_verification_url: null,
    approximate_guild_count: state.world.guilds.length,
    approximate_user_install_count: 1,
    approximate_user_authorization_count: 1,
    event_webhooks_url: null,
    event_webhooks_status: 1,
    event_webhooks_types: [],
    eligible_oauth2_scopes: [],
    explicit_content_filter: 0,
    integration_types_config: { 0: {}, 1: {} },
  });

  return [
    get('/gateway', () => ok({ url: gateway.url })),
    get('/gateway/bot', () =>
      ok({ url: gateway.url, shards: gateway.shards, session_start_limit: gateway.budget.left() }),
    ),
    get('/applications/@me', () => ok(app())),
    get('/oauth2/applications/@me', () => ok(app())),

    // Users
    getAs('identify', '/users/@me', ({ bearer }) =>
      ok(self(bearer ? state.user(bearer.userId)! : state.bot)),
    ),
    getAs('guilds', '/users/@me/guilds', ({ bearer }) => {
      const userId = bearer?.userId ?? botId;
      const guilds = bearer
        ? state.world.guilds.filter(({ members }) => members.has(userId))
        : state.guildsOfBot;
      return ok(
        guilds.map((guild) => ({
          id: guild.id,
          name: guild.name,
          icon: null,
          banner: null,
          owner: guild.ownerId === userId,
          permissions: String(
            state.permissions({ id: guild.id, type: ChannelType.GuildText, guildId: guild.id }, userId),
          ),
          features: [],
        })),
      );
    }),
    post('/users/@me/channels', (call) => {
      const { recipient_id } = objectBody(call);
      const person = state.user(String(recipient_id));
      if (!person || person.bot) throw person ? refusals.cannotDm() : refusals.invalidRecipients();
      const recipients = [person.id];
      const known = state.directChannel(person.id);
      return ok(state.apiChannel(known ?? state.createChannel({ type: ChannelType.DM, recipients })));
    }),
    get('/users/{user_id}', ({ params }) => {
      const user = state.user(params.user_id!);
      if (!user) throw refusals.unknownUser();
      return ok(user);
    }),
  ];
}
