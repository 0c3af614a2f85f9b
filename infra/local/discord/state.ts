/**
 * All that the local Discord remembers: channels, messages, attachments, commands and interaction tokens.
 *
 * This file is the only one that changes them, and tells whoever listens of every change: the gateway (the bot) and the
 * people's event streams. With a folder it also keeps them: attachments as files at once, the rest as one JSON snapshot,
 * written beside and renamed at most half a second after a change, so kill -9 loses the last moment and never the whole.
 * Ephemeral messages are seen by one person and are never kept.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type APIApplicationCommand,
  type APIAttachment,
  type APIChannel,
  type APIGuildMember,
  type APIMessage,
  type APIThreadMember,
  type APIUser,
  ChannelType,
  type GuildMemberFlags,
  PermissionFlagsBits as P,
  type ThreadMemberFlags,
} from 'discord-api-types/v10';
import { Attachments } from './attachments.ts';
import { channelAsShown } from './channel-view.ts';
import { has, permissionsIn } from './permissions.ts';
import { byAge, snowflake, snowflakeTime } from './snowflake.ts';
import { type Crowd, createWorld, type Guild, type StoredChannel, type World } from './world.ts';

/** After this long an enforced nonce is forgotten; Discord says "a few minutes". */
const NONCE_LIFE_MS = 5 * 60_000;
const SAVE_AFTER_MS = 500;
/** Bytes of one file without boosts. */
export const FILE_MAX = 10 * 1024 * 1024;
/** Messages a channel keeps over a restart. */
const KEPT_MESSAGES = 1_000;

/** A token that answers an interaction; see interactions.ts. */
export interface StoredToken {
  readonly interactionId: string;
  readonly token: string;
  readonly channelId: string;
  readonly personId: string;
  /** what `@original` means: the answer, or the message whose component was pressed */
  originalId: string | null;
  expiresAt: number;
}

export type Change =
  | { readonly type: 'message_create'; channel: StoredChannel; message: APIMessage; onlyFor?: string }
  | { readonly type: 'message_update'; channel: StoredChannel; message: APIMessage; onlyFor?: string }
  | { readonly type: 'message_delete'; channel: StoredChannel; ids: readonly string[]; onlyFor?: string }
  | { readonly type: 'channel_create' | 'channel_update' | 'channel_delete'; channel: StoredChannel }
  | { readonly type: 'typing'; channel: StoredChannel; userId: string }
  | { readonly type: 'commands' };

interface Snapshot {
  readonly version: 1;
  readonly origin: string;
  readonly applicationId: string;
  readonly channels: StoredChannel[];
  readonly messages: APIMessage[];
  readonly attachments: APIAttachment[];
  /** message → ids of its attachments; absent in the snapshots of older versions */
  readonly files?: [messageId: string, attachmentIds: string[]][];
  readonly commands: APIApplicationCommand[];
  readonly nonces: [key: string, messageId: string][];
  readonly tokens: StoredToken[];
}

export interface StateOptions {
  readonly applicationId: string;
  readonly origin: string;
  /** of attachments' addresses */
  readonly signingKey: string;
  readonly dataDir?: string | undefined;
  readonly crowd?: Crowd | undefined;
}

export class State {
  readonly world: World;
  readonly channels = new Map<string, StoredChannel>();
  /** global ones have no `guild_id` */
  readonly commands = new Map<string, APIApplicationCommand>();
  readonly tokens = new Map<string, StoredToken>();
  /** bytes of one file; more in servers with boosts */
  fileMax = FILE_MAX;
  readonly attachments: Attachments;
  /** `http://127.0.0.1:PORT` */
  readonly origin: string;

  #messages = new Map<string, Map<string, APIMessage>>();
  #ephemeral = new Map<string, { message: APIMessage; personId: string }>();
  /** message → ids of its attachments: what it shows in a component or an embed is not in `message.attachments` */
  #files = new Map<string, readonly string[]>();
  #nonces = new Map<string, string>();
  #listeners = new Set<(change: Change) => void>();
  #dir: string | undefined;
  #saveTimer: NodeJS.Timeout | undefined;
  #saving: Promise<void> = Promise.resolve();

  private constructor(world: World, { origin, dataDir, signingKey }: StateOptions) {
    this.world = world;
    this.origin = origin;
    this.#dir = dataDir;
    this.attachments = new Attachments({
      origin,
      signingKey,
      dir: dataDir ? join(dataDir, 'attachments') : null,
    });
    for (const channel of world.channels) this.channels.set(channel.id, structuredClone(channel));
  }

  static async open(options: StateOptions): Promise<State> {
    const { applicationId, dataDir, crowd } = options;
    const state = new State(createWorld(applicationId, crowd), options);
    if (!dataDir) return state;
    await mkdir(join(dataDir, 'attachments'), { recursive: true });
    const text = await readFile(join(dataDir, 'state.json'), 'utf8').catch(() => null);
    if (text) state.#restore(text);
    return state;
  }

  /** The port of an earlier run, so that addresses already handed out stay right. */
  static async lastPort(dataDir: string): Promise<number | null> {
    const text = await readFile(join(dataDir, 'state.json'), 'utf8').catch(() => null);
    return text ? Number(new URL((JSON.parse(text) as Snapshot).origin).port) : null;
  }

  onChange(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // People and guilds

  get bot(): APIUser {
    return this.user(this.world.applicationId)!;
  }

  user(id: string): APIUser | undefined {
    return this.world.users.get(id);
  }

  guild(id: string | undefined): Guild | undefined {
    return this.world.guilds.find((guild) => guild.id === id);
  }

  member(guild: Guild, userId: string): APIGuildMember | undefined {
    const roles = guild.members.get(userId);
    const user = this.user(userId);
    if (!roles || !user) return;
    return {
      user,
      roles,
      nick: null,
      avatar: null,
      banner: null,
      joined_at: new Date(snowflakeTime(guild.id)).toISOString(),
      premium_since: null,
      communication_disabled_until: guild.timeouts.get(userId)?.toISOString() ?? null,
      deaf: false,
      mute: false,
      pending: false,
      flags: 0 as GuildMemberFlags,
    };
  }

  /** Those that the bot is a member of. */
  get guildsOfBot(): Guild[] {
    return this.world.guilds.filter(({ members }) => members.has(this.world.applicationId));
  }

  permissions(channel: StoredChannel, userId: string): bigint {
    const place = channel.parentId ? this.channels.get(channel.parentId) : channel;
    if (!channel.guildId) return this.#isIn(channel, userId) ? permissionsIn(undefined, place, userId) : 0n;
    const held = permissionsIn(this.guild(channel.guildId), place, userId);
    const isPrivate = channel.type === ChannelType.PrivateThread;
    const isMember = channel.thread?.members.includes(userId) ?? false;
    return isPrivate && !isMember && !has(held, P.ManageThreads) ? 0n : held;
  }

  /** What the app may do: where the bot is no member, what everyone may. */
  permissionsOfApp(channel: StoredChannel): bigint {
    const guild = this.guild(channel.guildId);
    const isInside = !guild || guild.members.has(this.world.applicationId);
    return isInside
      ? this.permissions(channel, this.world.applicationId)
      : BigInt(guild.roles[0]!.permissions);
  }

  /** The bot is in its direct messages, and in no group chat: there it is only known by a person's install. */
  #isIn(channel: StoredChannel, userId: string): boolean {
    if (userId === this.world.applicationId) return channel.type === ChannelType.DM;
    return channel.recipients?.includes(userId) ?? false;
  }

  // Channels

  directChannel(userId: string): StoredChannel | undefined {
    return [...this.channels.values()].find(
      ({ type, recipients }) => type === ChannelType.DM && recipients?.includes(userId),
    );
  }

  createChannel(channel: Omit<StoredChannel, 'id'> & { id?: string }): StoredChannel {
    const created: StoredChannel = { id: snowflake(), ...channel };
    this.channels.set(created.id, created);
    this.#changed({ type: 'channel_create', channel: created });
    return created;
  }

  updateChannel(
    channel: StoredChannel,
    change: Partial<Pick<StoredChannel, 'name' | 'topic' | 'overwrites' | 'thread'>>,
  ): void {
    Object.assign(channel, change);
    this.#changed({ type: 'channel_update', channel });
  }

  deleteChannel(channel: StoredChannel): void {
    this.channels.delete(channel.id);
    this.#messages.delete(channel.id);
    this.#changed({ type: 'channel_delete', channel });
  }

  /** A channel as REST and the gateway show it. */
  apiChannel(channel: StoredChannel): APIChannel {
    const recipients = (channel.recipients ?? []).map((one) => this.user(one)!);
    return channelAsShown(channel, recipients, [...(this.#messages.get(channel.id)?.keys() ?? [])]);
  }

  threadMember(
    channel: StoredChannel,
    userId: string,
  ): Required<Pick<APIThreadMember, 'id' | 'user_id'>> & APIThreadMember {
    return {
      id: channel.id,
      user_id: userId,
      join_timestamp: new Date(snowflakeTime(channel.id)).toISOString(),
      flags: 0 as ThreadMemberFlags,
    };
  }

  // Messages

  /** @param personId of whoever looks: their own ephemeral messages are found too */
  message(channelId: string, id: string, personId?: string): APIMessage | undefined {
    const hidden = this.#ephemeral.get(id);
    if (hidden)
      return hidden.personId === personId && hidden.message.channel_id === channelId
        ? hidden.message
        : undefined;
    return this.#messages.get(channelId)?.get(id);
  }

  /** Oldest first. */
  messages(channelId: string, personId?: string): APIMessage[] {
    const shared = [...(this.#messages.get(channelId)?.values() ?? [])];
    if (!personId) return shared;
    const own = [...this.#ephemeral.values()]
      .filter((one) => one.personId === personId && one.message.channel_id === channelId)
      .map(({ message }) => message);
    return own.length ? [...shared, ...own].sort((a, b) => byAge(a.id, b.id)) : shared;
  }

  /** @param onlyFor makes it ephemeral: seen by this person alone */
  addMessage(message: APIMessage, onlyFor?: string): void {
    const channel = this.channels.get(message.channel_id)!;
    if (onlyFor) this.#ephemeral.set(message.id, { message, personId: onlyFor });
    else {
      const list = this.#messages.get(channel.id) ?? new Map<string, APIMessage>();
      this.#messages.set(channel.id, list.set(message.id, message));
    }
    this.#changed({ type: 'message_create', channel, message, ...(onlyFor && { onlyFor }) });
  }

  updateMessage(message: APIMessage): void {
    const channel = this.channels.get(message.channel_id)!;
    const onlyFor = this.#ephemeral.get(message.id)?.personId;
    if (onlyFor) this.#ephemeral.set(message.id, { message, personId: onlyFor });
    else this.#messages.get(channel.id)?.set(message.id, message);
    this.#changed({ type: 'message_update', channel, message, ...(onlyFor && { onlyFor }) });
  }

  deleteMessage(message: APIMessage): void {
    const channel = this.channels.get(message.channel_id)!;
    const onlyFor = this.#ephemeral.get(message.id)?.personId;
    this.#ephemeral.delete(message.id);
    this.#forget(channel, [message.id]);
    this.#changed({ type: 'message_delete', channel, ids: [message.id], ...(onlyFor && { onlyFor }) });
  }

  /** Told as one change; ids of nothing are passed over. */
  deleteMessages(channel: StoredChannel, ids: readonly string[]): void {
    this.#forget(channel, ids);
    this.#changed({ type: 'message_delete', channel, ids });
  }

  #forget(channel: StoredChannel, messageIds: readonly string[]): void {
    for (const messageId of messageIds) {
      this.#messages.get(channel.id)?.delete(messageId);
      for (const { id } of this.filesOf(messageId)) this.attachments.forget(id);
      this.#files.delete(messageId);
    }
  }

  typing(channel: StoredChannel, userId: string): void {
    this.#changed({ type: 'typing', channel, userId });
  }

  /** The message that was already made under this nonce in the last minutes. */
  messageOfNonce(channelId: string, nonce: string): APIMessage | undefined {
    const id = this.#nonces.get(`${channelId}:${nonce}`);
    if (!id || snowflakeTime(id) < Date.now() - NONCE_LIFE_MS) return;
    return this.message(channelId, id);
  }

  keepNonce(channelId: string, nonce: string, messageId: string): void {
    this.#nonces.set(`${channelId}:${nonce}`, messageId);
  }

  /** All files of a message, wherever it shows them. */
  filesOf(messageId: string): APIAttachment[] {
    return (this.#files.get(messageId) ?? []).flatMap((id) => this.attachments.get(id) ?? []);
  }

  keepFiles(messageId: string, files: readonly APIAttachment[]): void {
    this.#files.set(
      messageId,
      files.map(({ id }) => id),
    );
  }

  // Commands

  /** @param replaced every command of this guild (or every global one) that is not in `commands` goes */
  setCommands(
    guildId: string | undefined,
    commands: readonly APIApplicationCommand[],
    replaced: boolean,
  ): void {
    if (replaced) {
      for (const old of this.commands.values()) if (old.guild_id === guildId) this.commands.delete(old.id);
    }
    for (const command of commands) this.commands.set(command.id, command);
    this.#changed({ type: 'commands' });
  }

  deleteCommand(id: string): void {
    this.commands.delete(id);
    this.#changed({ type: 'commands' });
  }

  // Keeping

  touch(): void {
    if (!this.#dir || this.#saveTimer) return;
    this.#saveTimer = setTimeout(() => {
      this.#saveTimer = undefined;
      this.#saving = this.#saving.then(() => this.#save());
    }, SAVE_AFTER_MS);
  }

  async close(): Promise<void> {
    clearTimeout(this.#saveTimer);
    this.#saveTimer = undefined;
    await this.#saving;
    await this.#save();
    this.#listeners.clear();
  }

  #changed(change: Change): void {
    this.touch();
    for (const listener of this.#listeners) listener(change);
  }

  async #save(): Promise<void> {
    if (!this.#dir) return;
    const now = Date.now();
    const messages = [...this.#messages.values()].flatMap((list) => [...list.values()].slice(-KEPT_MESSAGES));
    const snapshot: Snapshot = {
      version: 1,
      origin: this.origin,
      applicationId: this.world.applicationId,
      channels: [...this.channels.values()],
      messages,
      attachments: this.attachments.kept(),
      files: messages.map(({ id }) => [id, this.filesOf(id).map((file) => file.id)]),
      commands: [...this.commands.values()],
      nonces: [...this.#nonces].filter(([, id]) => snowflakeTime(id) > now - NONCE_LIFE_MS),
      tokens: [...this.tokens.values()].filter(({ expiresAt }) => expiresAt > now),
    };
    const file = join(this.#dir, 'state.json');
    await writeFile(`${file}.new`, JSON.stringify(snapshot));
    await rename(`${file}.new`, file);
  }

  #restore(text: string): void {
    const { origin } = JSON.parse(text) as Snapshot;
    // Attachments live under this run's address, whichever port it got.
    const moved = text.replaceAll(`${origin}/attachments/`, `${this.origin}/attachments/`);
    const kept = JSON.parse(moved) as Snapshot;
    if (kept.applicationId !== this.world.applicationId) return;
    for (const channel of kept.channels) this.channels.set(channel.id, channel);
    for (const message of kept.messages) {
      this.keepFiles(message.id, message.attachments);
      const list = this.#messages.get(message.channel_id) ?? new Map<string, APIMessage>();
      this.#messages.set(message.channel_id, list.set(message.id, message));
    }
    this.attachments.restore(kept.attachments);
    for (const [id, files] of kept.files ?? []) this.#files.set(id, files);
    for (const command of kept.commands) this.commands.set(command.id, command);
    for (const [key, id] of kept.nonces) this.#nonces.set(key, id);
    for (const token of kept.tokens) this.tokens.set(token.token, token);
  }
}
