/** What each route does. The way in and out is rest.ts's; what is remembered is state.ts's. */
import {
  type APIMessage,
  ChannelType,
  MessageFlags as Flag,
  GatewayIntentBits as Intent,
  MessageReferenceType,
  MessageType,
  PermissionFlagsBits as P,
} from 'discord-api-types/v10';
import { accountRoutes, type GatewayAdvice } from './account-routes.ts';
import { commandRoutes } from './command-routes.ts';
import { invalid, refusals } from './discord-error.ts';
import type { Troubles } from './faults.ts';
import { isObject } from './fields.ts';
import { guildRoutes } from './guild-routes.ts';
import type { Interactions } from './interactions.ts';
import { asBotReads } from './message-content.ts';
import { blankMessage, createMessage, editMessage } from './messages.ts';
import { has } from './permissions.ts';
import { type Answer, type Call, objectBody, type Route } from './rest.ts';
import {
  created,
  del,
  done,
  get,
  ok,
  openDel,
  openGet,
  openPatch,
  openPost,
  overwrite,
  patch,
  post,
  put,
} from './routing.ts';
import { byAge, snowflakeTime } from './snowflake.ts';
import type { State } from './state.ts';
import {
  changedThread,
  createPost,
  createThread,
  isForum,
  mustBeOpen,
  openForWriting,
  showThread,
} from './threads.ts';
import type { StoredChannel } from './world.ts';

interface Parts {
  readonly state: State;
  readonly interactions: Interactions;
  readonly troubles: Troubles;
  readonly gateway: GatewayAdvice;
  /** bits of those that the app was granted */
  readonly privilegedIntents: number;
}

/** Literal paths stand before those with parameters in the same place: the first that fits is taken. */
export function createRoutes(parts: Parts): Route[] {
  const { state, interactions, troubles } = parts;
  const botId = state.world.applicationId;
  /** The channel of the path, where the bot may do these things. */
  function channelOf({ params }: Call, ...wanted: bigint[]): StoredChannel {
    const channel = state.channels.get(params.channel_id!);
    if (!channel) throw refusals.unknownChannel();
    const held = state.permissions(channel, botId);
    if (!has(held, P.ViewChannel)) throw refusals.missingAccess();
    if (!has(held, ...wanted)) throw refusals.missingPermissions();
    return channel;
  }

  /** What a message carries needs rights of its own, at first and in every edit. */
  function mustMayCarry({ body, files }: Call, channel: StoredChannel): void {
    const held = state.permissions(channel, botId);
    const { embeds } = isObject(body) ? body : {};
    if (files.size && !has(held, P.AttachFiles)) throw refusals.missingPermissions();
    if (Array.isArray(embeds) && embeds.length && !has(held, P.EmbedLinks))
      throw refusals.missingPermissions();
  }

  /** As the bot is allowed to read it. */
  const read = (channel: StoredChannel) => (message: APIMessage) =>
    asBotReads(state, parts.privilegedIntents, channel, message);

  function messageOf(call: Call, channel: StoredChannel): APIMessage {
    const message = state.message(channel.id, call.params.message_id!);
    if (!message) throw refusals.unknownMessage();
    return message;
  }

  function threadOf(call: Call, ...wanted: bigint[]) {
    const channel = channelOf(call, ...wanted);
    if (!channel.thread) throw refusals.unknownChannel();
    return { channel, thread: channel.thread };
  }

  function setThreadMember(call: Call, userId: string, present: boolean): Answer {
    const { channel, thread } = threadOf(call);
    const others = thread.members.filter((id) => id !== userId);
    state.updateChannel(channel, { thread: { ...thread, members: present ? [...others, userId] : others } });
    return done;
  }

  return [
    ...accountRoutes(state, parts.gateway),
    ...commandRoutes(state),
    ...guildRoutes(state, parts.privilegedIntents),

    // Interactions: the path's token is the right to answer
    openPost('/interactions/{interaction_id}/{interaction_token}/callback', async (call) => {
      const { interaction_id, interaction_token } = call.params;
      const shown = await interactions.callback(
        interaction_id!,
        interaction_token!,
        objectBody(call),
        call.files,
      );
      return call.query.get('with_response') === 'true' ? ok(shown) : done;
    }),
    openPost('/webhooks/{webhook_id}/{webhook_token}', async (call) => {
      const { webhook_id, webhook_token } = call.params;
      return ok(
        await interactions.followUp(webhook_id!, webhook_token!, {
          body: objectBody(call),
          files: call.files,
        }),
      );
    }),
    ...['@original', '{message_id}'].flatMap((which) => {
      const template = `/webhooks/{webhook_id}/{webhook_token}/messages/${which}`;
      const message = ({ params }: Call) =>
        interactions.webhookMessage(
          params.webhook_id!,
          params.webhook_token!,
          params.message_id ?? '@original',
        );
      return [
        openGet(template, (call) => ok(message(call))),
        openPatch(template, async (call) =>
          ok(await editMessage(state, message(call), { body: objectBody(call), files: call.files })),
        ),
        openDel(template, (call) => {
          state.deleteMessage(message(call));
          return done;
        }),
      ];
    }),

    // Channels
    get('/channels/{channel_id}', (call) => ok(state.apiChannel(channelOf(call)))),
    patch('/channels/{channel_id}', (call) => {
      const body = objectBody(call);
      const channel = channelOf(call);
      const thread = channel.thread && changedThread(state, channel, botId, body);
      if (!thread && !has(state.permissions(channel, botId), P.ManageChannels))
        throw refusals.missingPermissions();
      state.updateChannel(channel, {
        ...(typeof body.name === 'string' && { name: body.name }),
        ...(typeof body.topic === 'string' && { topic: body.topic }),
        ...(Array.isArray(body.permission_overwrites) && {
          overwrites: body.permission_overwrites.map(overwrite),
        }),
        ...(thread && { thread }),
      });
      return ok(state.apiChannel(channel));
    }),
    del('/channels/{channel_id}', (call) => {
      const channel = channelOf(call);
      const may = channel.thread ? P.ManageThreads : P.ManageChannels;
      if (!channel.guildId || !has(state.permissions(channel, botId), may))
        throw refusals.missingPermissions();
      const shown = state.apiChannel(channel);
      state.deleteChannel(channel);
      return ok(shown);
    }),
    put('/channels/{channel_id}/permissions/{overwrite_id}', (call) => {
      const channel = channelOf(call, P.ManageRoles);
      const changed = overwrite({ ...objectBody(call), id: call.params.overwrite_id });
      const others = (channel.overwrites ?? []).filter(({ id }) => id !== changed.id);
      state.updateChannel(channel, { overwrites: [...others, changed] });
      return done;
    }),
    del('/channels/{channel_id}/permissions/{overwrite_id}', (call) => {
      const channel = channelOf(call, P.ManageRoles);
      const left = (channel.overwrites ?? []).filter(({ id }) => id !== call.params.overwrite_id);
      state.updateChannel(channel, { overwrites: left });
      return done;
    }),
    post('/channels/{channel_id}/typing', (call) => {
      state.typing(channelOf(call, P.SendMessages), botId);
      return done;
    }),

    // Messages
    get('/channels/{channel_id}/messages', (call) => {
      const channel = channelOf(call, P.ReadMessageHistory);
      const limit = Math.min(100, Math.max(1, Number(call.query.get('limit') ?? 50)));
      const [before, after] = [call.query.get('before'), call.query.get('after')];
      const fitting = state
        .messages(channel.id)
        .filter(({ id }) => (!before || byAge(id, before) < 0) && (!after || byAge(id, after) > 0));
      // Newest first; with `after`, the ones that come next.
      return ok((after ? fitting.slice(0, limit) : fitting.slice(-limit)).toReversed().map(read(channel)));
    }),
    post('/channels/{channel_id}/messages', async (call) => {
      const body = objectBody(call);
      const channel = channelOf(call);
      const held = state.permissions(channel, botId);
      const sending = channel.thread ? P.SendMessagesInThreads : P.SendMessages;
      if (!has(held, sending)) throw refusals.missingPermissions();
      mustMayCarry(call, channel);
      if (channel.type === ChannelType.DM && troubles.refuseDms) throw refusals.cannotDm();
      if (isObject(body.message_reference) && !has(held, P.ReadMessageHistory)) throw refusals.replyUnread();
      openForWriting(state, channel, botId);

      const nonce = body.nonce === undefined || body.nonce === null ? null : String(body.nonce);
      if (nonce && nonce.length > 25)
        throw invalid(['nonce'], 'BASE_TYPE_MAX_LENGTH', 'Must be 25 or fewer in length.');
      const enforced = nonce !== null && body.enforce_nonce === true;
      const same = enforced ? state.messageOfNonce(channel.id, nonce) : undefined;
      if (same) return ok(same);
      const message = await oneAtATime(enforced ? `${channel.id}:${nonce}` : null, async () => {
        const twin = enforced ? state.messageOfNonce(channel.id, nonce) : undefined;
        if (twin) return twin;
        const made = await createMessage(state, channel, { body, files: call.files }, { author: state.bot });
        if (nonce !== null) state.keepNonce(channel.id, nonce, made.id);
        return made;
      });
      return ok({ ...message, ...(nonce !== null && { nonce }) });
    }),
    get('/channels/{channel_id}/messages/{message_id}', (call) => {
      const channel = channelOf(call, P.ReadMessageHistory);
      return ok(read(channel)(messageOf(call, channel)));
    }),
    patch('/channels/{channel_id}/messages/{message_id}', async (call) => {
      const channel = channelOf(call);
      const message = messageOf(call, channel);
      if (message.author.id !== botId) throw refusals.notYourMessage();
      mustBeOpen(state, channel, botId);
      mustMayCarry(call, channel);
      return ok(await editMessage(state, message, { body: objectBody(call), files: call.files }));
    }),
    post('/channels/{channel_id}/messages/bulk-delete', (call) => {
      const channel = channelOf(call);
      if (!channel.guildId) throw refusals.onDirectChannel();
      if (!has(state.permissions(channel, botId), P.ManageMessages)) throw refusals.missingPermissions();
      const { messages } = objectBody(call);
      const ids = (Array.isArray(messages) ? messages : []).map(String);
      const odd = ids.find((id) => !/^\d{1,20}$/.test(id));
      if (odd) throw invalid(['messages'], 'NUMBER_TYPE_COERCE', `Value "${odd}" is not snowflake.`);
      if (new Set(ids).size < ids.length) {
        throw invalid(['messages'], 'SET_TYPE_ALREADY_CONTAINS_VALUE', 'The set already contains this value');
      }
      if (ids.length < 2 || ids.length > 100) throw refusals.tooFewOrMany();
      const oldest = Date.now() - 14 * 86_400_000;
      if (ids.some((id) => snowflakeTime(id) < oldest)) throw refusals.tooOldToDelete();
      state.deleteMessages(channel, ids);
      return done;
    }),
    post('/channels/{channel_id}/messages/{message_id}/crosspost', (call) => {
      const channel = channelOf(call);
      const message = messageOf(call, channel);
      if (channel.type !== ChannelType.GuildAnnouncement) throw refusals.wrongChannelType();
      const wanted = message.author.id === botId ? P.SendMessages : P.ManageMessages;
      if (!has(state.permissions(channel, botId), wanted)) throw refusals.missingPermissions();
      const flags = message.flags ?? 0;
      if (flags & Flag.Crossposted) throw refusals.alreadyCrossposted();
      const crossposted = { ...message, flags: flags | Flag.Crossposted };
      state.updateMessage(crossposted);
      return ok(crossposted);
    }),
    del('/channels/{channel_id}/messages/{message_id}', (call) => {
      const channel = channelOf(call);
      const message = messageOf(call, channel);
      const own = message.author.id === botId;
      if (!own && !has(state.permissions(channel, botId), P.ManageMessages))
        throw refusals.missingPermissions();
      state.deleteMessage(message);
      return done;
    }),
    put('/channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/@me', (call) => {
      const message = messageOf(call, channelOf(call, P.AddReactions));
      state.updateMessage({ ...message, reactions: reacted(message, call.params.emoji_name!, true) });
      return done;
    }),
    del('/channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/@me', (call) => {
      const message = messageOf(call, channelOf(call));
      state.updateMessage({ ...message, reactions: reacted(message, call.params.emoji_name!, false) });
      return done;
    }),

    // Threads
    post('/channels/{channel_id}/messages/{message_id}/threads', (call) => {
      const channel = channelOf(call, P.CreatePublicThreads);
      const message = messageOf(call, channel);
      if (state.channels.has(message.id)) throw refusals.threadExists();
      const thread = createThread(state, channel, botId, objectBody(call), message.id);
      showThread(state, message, thread);
      return created({ ...state.apiChannel(thread), member: state.threadMember(thread, botId) });
    }),
    post('/channels/{channel_id}/threads', async (call) => {
      const body = objectBody(call);
      if (isForum(channelOf(call))) {
        const forum = channelOf(call, P.SendMessages);
        const draft = { body: isObject(body.message) ? body.message : {}, files: call.files };
        const { post: thread, message } = await createPost(state, forum, botId, body, draft);
        const member = state.threadMember(thread, botId);
        return created({ ...state.apiChannel(thread), member, message });
      }
      const isPrivate = (body.type ?? ChannelType.PrivateThread) === ChannelType.PrivateThread;
      const channel = channelOf(call, isPrivate ? P.CreatePrivateThreads : P.CreatePublicThreads);
      const thread = createThread(state, channel, botId, body);
      if (thread.type !== ChannelType.PrivateThread) noteThread(channel, thread);
      return created({ ...state.apiChannel(thread), member: state.threadMember(thread, botId) });
    }),
    get('/channels/{channel_id}/thread-members', (call) => {
      if (!(parts.privilegedIntents & Intent.GuildMembers)) throw refusals.missingAccess();
      const { channel, thread } = threadOf(call);
      return ok(thread.members.map((id) => state.threadMember(channel, id)));
    }),
    put('/channels/{channel_id}/thread-members/@me', (call) => setThreadMember(call, botId, true)),
    del('/channels/{channel_id}/thread-members/@me', (call) => setThreadMember(call, botId, false)),
    put('/channels/{channel_id}/thread-members/{user_id}', (call) =>
      setThreadMember(call, call.params.user_id!, true),
    ),
    del('/channels/{channel_id}/thread-members/{user_id}', (call) =>
      setThreadMember(call, call.params.user_id!, false),
    ),
  ];

  /** "… started a thread", where it was started. */
  function noteThread(channel: StoredChannel, thread: StoredChannel): void {
    state.addMessage({
      ...blankMessage(channel, state.bot),
      type: MessageType.ThreadCreated,
      content: thread.name ?? '',
      message_reference: {
        type: MessageReferenceType.Default,
        channel_id: thread.id,
        guild_id: channel.guildId!,
      },
    });
  }
}

function reacted(message: APIMessage, emoji: string, add: boolean): NonNullable<APIMessage['reactions']> {
  const others = (message.reactions ?? []).filter((one) => one.emoji.name !== emoji);
  if (!add) return others;
  return [
    ...others,
    {
      emoji: { id: null, name: emoji },
      count: 1,
      count_details: { normal: 1, burst: 0 },
      burst_colors: [],
      me_burst: false,
      burst_me: false,
      me: true,
      burst_count: 0,
    } as unknown as NonNullable<APIMessage['reactions']>[number],
  ];
}

/** Two requests with one nonce at once still make one message. */
const running = new Map<string, Promise<unknown>>();
async function oneAtATime<T>(key: string | null, work: () => Promise<T>): Promise<T> {
  if (key === null) return work();
  const before = running.get(key) ?? Promise.resolve();
  const mine = before.then(work, work);
  running.set(key, mine);
  try {
    return await mine;
  } finally {
    if (running.get(key) === mine) running.delete(key);
  }
}
