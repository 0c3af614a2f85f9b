/**
 * Threads, and the posts of forum and media channels, which are threads too: how they begin, and what one that is archived or
 * locked still takes.
 *
 *   active ──archived──▶ a message opens it again, an edit is refused (50083)
 *     └─────locked─────▶ only who may Manage Threads writes, edits or opens it (160005)
 */
import {
  type APIMessage,
  ChannelType,
  MessageFlags as Flag,
  PermissionFlagsBits as P,
} from 'discord-api-types/v10';
import { Faults, refusals } from './discord-error.ts';
import { Fields, type Json } from './fields.ts';
import { createMessage, type Draft } from './messages.ts';
import { has } from './permissions.ts';
import type { State } from './state.ts';
import type { StoredChannel } from './world.ts';

/** Holds posts and no messages of its own. */
export function isForum({ type }: StoredChannel): boolean {
  return type === ChannelType.GuildForum || type === ChannelType.GuildMedia;
}

type ThreadKind =
  | typeof ChannelType.PublicThread
  | typeof ChannelType.PrivateThread
  | typeof ChannelType.AnnouncementThread;

/** What can start in a channel: in a thread nothing, in a forum nothing from a message. */
function kindsOfThread({ type }: StoredChannel, fromMessage: boolean): readonly ThreadKind[] {
  switch (type) {
    case ChannelType.GuildText:
      return fromMessage ? [ChannelType.PublicThread] : [ChannelType.PublicThread, ChannelType.PrivateThread];
    case ChannelType.GuildAnnouncement:
      return [ChannelType.AnnouncementThread];
    case ChannelType.GuildForum:
    case ChannelType.GuildMedia:
      return fromMessage ? [] : [ChannelType.PublicThread];
    default:
      return [];
  }
}

/**
 * Without a message and without a `type` it is private, which is Discord's default for as long as version 10 lasts.
 *
 * @param id of the message that it starts from
 * @throws {DiscordError} 50024 where there can be none, 50035
 */
export function createThread(
  state: State,
  parent: StoredChannel,
  ownerId: string,
  { name, type, auto_archive_duration, rate_limit_per_user }: Json,
  id?: string,
): StoredChannel {
  const possible = kindsOfThread(parent, id !== undefined);
  if (!possible.length) throw refusals.wrongChannelType();
  const faults = new Faults();
  const fields = new Fields(faults);
  fields.text1(['name'], name, 100);
  const kind = id || isForum(parent) ? possible[0] : (type ?? ChannelType.PrivateThread);
  fields.choice(['type'], kind, possible);
  const autoArchiveMinutes = auto_archive_duration ?? 1440;
  fields.choice(['auto_archive_duration'], autoArchiveMinutes, [60, 1440, 4320, 10080]);
  fields.integer(['rate_limit_per_user'], rate_limit_per_user, { min: 0, max: 21_600 });
  faults.throwIfAny();
  return state.createChannel({
    ...(id && { id }),
    type: kind as ThreadKind,
    guildId: parent.guildId!,
    name: String(name),
    parentId: parent.id,
    thread: {
      ownerId,
      members: [ownerId],
      archived: false,
      locked: false,
      autoArchiveMinutes: autoArchiveMinutes as 1440,
    },
  });
}

/** A post: a thread and its first message, which has the thread's id. */
export async function createPost(
  state: State,
  forum: StoredChannel,
  authorId: string,
  thread: Json,
  draft: Draft,
): Promise<{ post: StoredChannel; message: APIMessage }> {
  const post = createThread(state, forum, authorId, thread);
  const author = state.user(authorId)!;
  const message = await createMessage(state, post, draft, {
    author,
    extra: { id: post.id },
    path: ['message'],
  });
  return { post, message };
}

/** Before a message is added. @throws {DiscordError} 50008, 160005 */
export function openForWriting(state: State, channel: StoredChannel, userId: string): void {
  if (isForum(channel)) throw refusals.notATextChannel();
  const { thread } = channel;
  if (!thread) return;
  mustNotBeLocked(state, channel, userId);
  if (thread.archived) state.updateChannel(channel, { thread: { ...thread, archived: false } });
}

/** Before a message is changed. @throws {DiscordError} 50083, 160005 */
export function mustBeOpen(state: State, channel: StoredChannel, userId: string): void {
  if (channel.thread?.archived) throw refusals.threadArchived();
  mustNotBeLocked(state, channel, userId);
}

function mustNotBeLocked(state: State, channel: StoredChannel, userId: string): void {
  if (channel.thread?.locked && !has(state.permissions(channel, userId), P.ManageThreads))
    throw refusals.threadLocked();
}

/** What a PATCH changes of a thread. @throws {DiscordError} 50013, 50083 */
export function changedThread(
  state: State,
  channel: StoredChannel,
  userId: string,
  body: Json,
): NonNullable<StoredChannel['thread']> {
  const thread = channel.thread!;
  const manages = has(state.permissions(channel, userId), P.ManageThreads);
  const { archived = thread.archived, locked = thread.locked } = body;
  if (thread.archived && archived !== false) throw refusals.threadArchived();
  const onlyOpens = thread.archived && Object.keys(body).every((key) => key === 'archived');
  const may = onlyOpens ? !thread.locked : thread.ownerId === userId && !('locked' in body);
  if (!manages && !may) throw refusals.missingPermissions();
  return { ...thread, archived: archived === true, locked: locked === true };
}

/** A message that a thread was started from shows it. */
export function showThread(state: State, message: APIMessage, thread: StoredChannel): void {
  state.updateMessage({
    ...message,
    flags: (message.flags ?? 0) | Flag.HasThread,
    thread: state.apiChannel(thread) as NonNullable<APIMessage['thread']>,
  });
}
