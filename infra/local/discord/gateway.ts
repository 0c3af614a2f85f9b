/**
 * The gateway: one socket a shard.
 *
 *   connected ─HELLO─▶ waiting ──IDENTIFY──▶ READY, GUILD_CREATE … ─▶ live
 *                         └─────RESUME─────▶ what was missed, RESUMED ─▶ live
 *
 * A session outlives its socket for a few minutes unless that was closed with 1000 or 1001; meanwhile its events are kept.
 * What an IDENTIFY must be and how often it may come is identify.ts's; how a socket is compressed, gateway-line.ts's.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  type APIMessage,
  GatewayCloseCodes as Close,
  GatewayDispatchEvents as Event,
  GatewayIntentBits as Intent,
  MessageFlags,
  GatewayOpcodes as Op,
  PermissionFlagsBits as P,
} from 'discord-api-types/v10';
import { type WebSocket, WebSocketServer } from 'ws';
import { isObject, type Json } from './fields.ts';
import { type Compression, isCompression, Line } from './gateway-line.ts';
import { authenticate, CloseError, type IdentifyBudget, readIdentify } from './identify.ts';
import { asBotReads } from './message-content.ts';
import { has } from './permissions.ts';
import { shardOf } from './snowflake.ts';
import type { Change, State } from './state.ts';
import { apiGuild, type Guild, type StoredChannel } from './world.ts';

const HEARTBEAT_MS = 41_250;
const SESSION_LIFE_MS = 3 * 60_000;
const REPLAY_MAX = 1_000;
const PAYLOAD_MAX = 4_096;
const EVENTS_PER_MINUTE = 120;

interface Session {
  readonly id: string;
  readonly shard: number;
  readonly shards: number;
  readonly intents: number;
  seq: number;
  readonly kept: { readonly seq: number; readonly text: string }[];
  /** none while its bot is away */
  line: Line | null;
  expiry: NodeJS.Timeout | undefined;
}

export interface GatewayOptions {
  readonly isToken: (token: string | null) => boolean;
  readonly budget: IdentifyBudget;
  /** the day's IDENTIFYs are used up: Discord takes the token away */
  readonly onSpent: () => void;
  /** bits of privileged intents that the app was granted */
  readonly privilegedIntents: number;
  readonly onLog: (line: string) => void;
}

export class Gateway {
  readonly #state: State;
  readonly #options: GatewayOptions;
  readonly #server = new WebSocketServer({ noServer: true, maxPayload: 1024 * 1024 });
  readonly #sessions = new Map<string, Session>();
  readonly #forget: () => void;

  constructor(state: State, options: GatewayOptions) {
    this.#state = state;
    this.#options = options;
    this.#forget = state.onChange((change) => this.#onChange(change));
  }

  get url(): string {
    return `${this.#state.origin.replace('http', 'ws')}/gateway`;
  }

  /** Sessions with an open socket, as `shard/shards`. */
  get connected(): string[] {
    return [...this.#sessions.values()]
      .filter(({ line }) => line)
      .map(({ shard, shards }) => `${shard}/${shards}`);
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#server.handleUpgrade(request, socket, head, (client) => {
      const query = new URL(request.url ?? '/', 'http://localhost').searchParams;
      const [version, encoding, compress] = ['v', 'encoding', 'compress'].map((name) => query.get(name));
      if (version && version !== '10') return client.close(Close.InvalidAPIVersion, 'Invalid API version');
      if (encoding && encoding !== 'json') return client.close(Close.DecodeError, 'Only JSON is spoken here');
      if (compress && !isCompression(compress)) return client.close(Close.DecodeError, 'Unknown compression');
      this.#greet(client, new Line(client, compress ? (compress as Compression) : null));
    });
  }

  /** Op 7: every shard is asked to come back and resume. */
  reconnectAll(): void {
    for (const { line } of this.#sessions.values()) line?.send(control(Op.Reconnect, null));
  }

  /** Op 9. A final one also ends the session. */
  invalidateAll(resumable: boolean): void {
    for (const session of this.#sessions.values()) {
      session.line?.send(control(Op.InvalidSession, resumable));
      if (!resumable) this.#sessions.delete(session.id);
    }
  }

  /** To the shard that hears of the guild; without a guild, to shard 0. */
  dispatch(guildId: string | undefined, type: string, data: unknown, intent?: number): void {
    for (const session of this.#sessions.values()) {
      if ((guildId ? shardOf(guildId, session.shards) : 0) !== session.shard) continue;
      if (intent === undefined || session.intents & intent) this.#send(session, type, data);
    }
  }

  async close(): Promise<void> {
    this.#forget();
    for (const session of this.#sessions.values()) clearTimeout(session.expiry);
    for (const client of this.#server.clients) client.terminate();
    await new Promise((closed) => this.#server.close(closed));
  }

  #greet(client: WebSocket, line: Line): void {
    let session: Session | null = null;
    let lastBeat = Date.now();
    const recent: number[] = [];
    const watch = setInterval(() => {
      if (Date.now() - lastBeat > HEARTBEAT_MS * 2) client.close(Close.SessionTimedOut, 'Session timed out');
    }, HEARTBEAT_MS);

    client.on('message', (raw: Buffer) => {
      const now = Date.now();
      recent.push(now);
      while (recent[0]! < now - 60_000) recent.shift();
      if (recent.length > EVENTS_PER_MINUTE) return line.close(Close.RateLimited, 'Rate limited');
      if (raw.length > PAYLOAD_MAX) return line.close(Close.DecodeError, 'Payload too large');
      const payload = parse(raw);
      if (!payload) return line.close(Close.DecodeError, 'Error while decoding payload');
      const data = isObject(payload.d) ? payload.d : {};
      switch (payload.op) {
        case Op.Heartbeat:
          lastBeat = now;
          return line.send(control(Op.HeartbeatAck, null));
        case Op.Identify:
        case Op.Resume:
          if (session) return line.close(Close.AlreadyAuthenticated, 'Already authenticated');
          try {
            session = payload.op === Op.Identify ? this.#identify(line, data) : this.#resume(line, data);
          } catch (error) {
            if (!(error instanceof CloseError)) throw error;
            this.#options.onLog(`gateway: refused with ${error.code} ${error.message}`);
            line.close(error.code, error.message);
          }
          return;
        case Op.PresenceUpdate:
        case Op.VoiceStateUpdate:
          return session ? undefined : line.close(Close.NotAuthenticated, 'Not authenticated');
        case Op.RequestGuildMembers:
          if (!session) return line.close(Close.NotAuthenticated, 'Not authenticated');
          return this.#sendMembers(session, data);
        default:
          return line.close(Close.UnknownOpcode, 'Unknown opcode');
      }
    });
    client.on('error', () => client.terminate());
    client.on('close', (code) => {
      clearInterval(watch);
      const ended = session;
      if (ended?.line !== line) return;
      ended.line = null;
      this.#options.onLog(`gateway: shard ${ended.shard} left with ${code}`);
      if (code === 1000 || code === 1001) this.#sessions.delete(ended.id);
      else ended.expiry = setTimeout(() => this.#sessions.delete(ended.id), SESSION_LIFE_MS).unref();
    });
    line.send(control(Op.Hello, { heartbeat_interval: HEARTBEAT_MS, _trace: ['["local-discord"]'] }));
  }

  /** @returns nothing where op 9 asks the bot to come again later */
  #identify(line: Line, data: Json): Session | null {
    const { isToken, privilegedIntents, budget } = this.#options;
    const { shard, shards, intents, compress } = readIdentify(data, isToken, privilegedIntents);
    const taken = budget.take(shard);
    if (taken === 'spent') {
      this.#options.onSpent();
      for (const { line: other } of this.#sessions.values()) {
        other?.close(Close.AuthenticationFailed, 'Authentication failed.');
      }
      throw new CloseError(Close.AuthenticationFailed, 'Authentication failed.');
    }
    if (taken === 'too soon') {
      this.#options.onLog(`gateway: shard ${shard} identified too soon`);
      line.send(control(Op.InvalidSession, false));
      return null;
    }
    if (compress) line.compressPayloads();

    const id = randomBytes(16).toString('hex');
    const session: Session = { id, shard, shards, intents, seq: 0, kept: [], line, expiry: undefined };
    this.#sessions.set(id, session);
    const guilds = this.#state.guildsOfBot.filter((guild) => shardOf(guild.id, shards) === shard);
    this.#send(session, Event.Ready, {
      v: 10,
      user: { ...this.#state.bot, verified: true, mfa_enabled: true, email: null },
      user_settings: {},
      relationships: [],
      private_channels: [],
      presences: [],
      guilds: guilds.map((guild) => ({ id: guild.id, unavailable: true })),
      session_id: id,
      session_type: 'normal',
      resume_gateway_url: this.url,
      shard: [shard, shards],
      application: { id: this.#state.world.applicationId, flags: 0 },
    });
    if (intents & Intent.Guilds) {
      for (const guild of guilds) this.#send(session, Event.GuildCreate, this.#guildCreate(guild));
    }
    this.#options.onLog(`gateway: shard ${shard} of ${shards} is ready`);
    return session;
  }

  #resume(line: Line, data: Json): Session | null {
    authenticate(data, this.#options.isToken);
    const session = this.#sessions.get(String(data.session_id));
    const seen = Number(data.seq);
    if (session && !(seen >= 0 && seen <= session.seq)) throw new CloseError(Close.InvalidSeq, 'Invalid seq');
    if (!session || (session.kept[0]?.seq ?? 0) > seen + 1) {
      line.send(control(Op.InvalidSession, false));
      return null;
    }
    clearTimeout(session.expiry);
    session.line?.close(Close.UnknownError, 'Resumed elsewhere');
    session.line = line;
    for (const { seq, text } of session.kept) if (seq > seen) line.send(text);
    this.#send(session, Event.Resumed, { _trace: ['["local-discord"]'] });
    this.#options.onLog(`gateway: shard ${session.shard} resumed after ${session.seq - 1 - seen} missed`);
    return session;
  }

  #send(session: Session, type: string, data: unknown): void {
    session.seq++;
    const text = JSON.stringify(
      { op: Op.Dispatch, d: data, s: session.seq, t: type },
      this.#state.attachments.signing,
    );
    session.kept.push({ seq: session.seq, text });
    if (session.kept.length > REPLAY_MAX) session.kept.shift();
    session.line?.send(text);
  }

  #guildCreate(guild: Guild): Json {
    const state = this.#state;
    const all = [...state.channels.values()].filter(({ guildId }) => guildId === guild.id);
    const isThread = ({ thread }: StoredChannel) => thread !== undefined;
    const botId = state.world.applicationId;
    return {
      ...apiGuild(guild),
      joined_at: state.member(guild, botId)!.joined_at,
      large: false,
      unavailable: false,
      member_count: guild.members.size,
      members: [state.member(guild, botId)],
      channels: all.filter((one) => !isThread(one)).map((one) => state.apiChannel(one)),
      threads: all
        .filter((one) => isThread(one) && !one.thread!.archived)
        .map((one) => state.apiChannel(one)),
      voice_states: [],
      presences: [],
      stage_instances: [],
      guild_scheduled_events: [],
      soundboard_sounds: [],
    };
  }

  #sendMembers(session: Session, { guild_id, user_ids, query, nonce }: Json): void {
    const guild = this.#state.guild(String(guild_id));
    if (!guild) return;
    const wanted = Array.isArray(user_ids) ? user_ids.map(String) : [...guild.members.keys()];
    const members = wanted
      .flatMap((id) => this.#state.member(guild, id) ?? [])
      .filter(({ user }) => typeof query !== 'string' || user.username.startsWith(query));
    this.#send(session, Event.GuildMembersChunk, {
      guild_id,
      members,
      chunk_index: 0,
      chunk_count: 1,
      not_found: [],
      ...(nonce !== undefined && { nonce }),
    });
  }

  /** What the bot hears of a change: only where it can see, and nothing ephemeral. */
  #onChange(change: Change): void {
    if (
      change.type === 'commands' ||
      !has(this.#state.permissions(change.channel, this.#state.world.applicationId), P.ViewChannel)
    )
      return;
    const { channel } = change;
    const { guildId } = channel;
    const place = { channel_id: channel.id, ...(guildId && { guild_id: guildId }) };
    const messages = guildId ? Intent.GuildMessages : Intent.DirectMessages;
    switch (change.type) {
      case 'message_create':
      case 'message_update': {
        if (change.onlyFor) return;
        const type = change.type === 'message_create' ? Event.MessageCreate : Event.MessageUpdate;
        this.dispatch(guildId, type, this.#forBot(change.message, channel), messages);
        return;
      }
      case 'message_delete':
        if (change.onlyFor) return;
        if (change.ids.length > 1) {
          this.dispatch(guildId, Event.MessageDeleteBulk, { ids: change.ids, ...place }, messages);
        } else this.dispatch(guildId, Event.MessageDelete, { id: change.ids[0], ...place }, messages);
        return;
      case 'typing':
        return;
      default: {
        if (!guildId) return;
        const thread = channel.thread !== undefined;
        const type = {
          channel_create: thread ? Event.ThreadCreate : Event.ChannelCreate,
          channel_update: thread ? Event.ThreadUpdate : Event.ChannelUpdate,
          channel_delete: thread ? Event.ThreadDelete : Event.ChannelDelete,
        }[change.type];
        const fresh = thread && change.type === 'channel_create' && { newly_created: true };
        this.dispatch(guildId, type, { ...this.#state.apiChannel(channel), ...fresh }, Intent.Guilds);
      }
    }
  }

  /** With what the gateway adds to a message. */
  #forBot(message: APIMessage, channel: StoredChannel): Json {
    const { guildId } = channel;
    const guild = this.#state.guild(guildId);
    const { user: _, ...member } = (guild && this.#state.member(guild, message.author.id)) ?? {};
    return {
      ...asBotReads(this.#state, this.#options.privilegedIntents, channel, message),
      flags: (message.flags ?? 0) & ~MessageFlags.Ephemeral,
      ...(guildId && { guild_id: guildId, member }),
    };
  }
}

/** A message that is no event. */
function control(op: Op, d: unknown): string {
  return JSON.stringify({ op, d, s: null, t: null });
}

function parse(raw: Buffer): Json | null {
  try {
    const payload: unknown = JSON.parse(raw.toString());
    return isObject(payload) ? payload : null;
  } catch {
    return null;
  }
}
