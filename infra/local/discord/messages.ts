/** From what a bot sends (JSON and files) to a message as everybody sees it, and how an edit changes one. */
import {
  type APIAttachment,
  type APIEmbed,
  type APIMessage,
  type APIUser,
  AttachmentFlags,
  MessageFlags as Flag,
  MessageReferenceType,
  MessageType,
} from 'discord-api-types/v10';
import { type Upload, unsigned } from './attachments.ts';
import { attachmentNamed, mediaOf, readComponents, walk } from './components.ts';
import { Faults, refusals } from './discord-error.ts';
import { Fields, isObject, type Json } from './fields.ts';
import { mentionsOf, readAllowedMentions } from './mentions.ts';
import { snowflake } from './snowflake.ts';
import type { State } from './state.ts';
import type { StoredChannel } from './world.ts';

/** Bytes of a whole request. */
export const REQUEST_MAX = 25 * 1024 * 1024;
const FILES_MAX = 10;
const EMBEDS_TEXT_MAX = 6_000;

/** What a request to write a message carries. */
export interface Draft {
  readonly body: Json;
  /** by the n of `files[n]` */
  readonly files: ReadonlyMap<number, Upload>;
}

interface ComposeOptions {
  readonly author: APIUser;
  /** fields that a request cannot set itself: type, interaction metadata, webhook id … */
  readonly extra?: Partial<APIMessage>;
  /** where the body sits in the request, for the paths of faults: `['data']` in a callback */
  readonly path?: readonly string[];
  readonly onlyFor?: string | undefined;
}

const SETTABLE = Flag.SuppressEmbeds | Flag.Ephemeral | Flag.SuppressNotifications | Flag.IsComponentsV2;

/** A message that says nothing yet. */
export function blankMessage(channel: StoredChannel, author: APIUser): APIMessage {
  return {
    id: snowflake(),
    channel_id: channel.id,
    author,
    type: MessageType.Default,
    content: '',
    timestamp: new Date().toISOString(),
    edited_timestamp: null,
    tts: false,
    mention_everyone: false,
    mentions: [],
    mention_roles: [],
    attachments: [],
    embeds: [],
    components: [],
    pinned: false,
    flags: 0 as Flag,
  };
}

/** Makes a message and adds it to its channel. @throws {DiscordError} 50035, 50006 or 40005 */
export async function createMessage(
  state: State,
  channel: StoredChannel,
  draft: Draft,
  { author, extra, path = [], onlyFor }: ComposeOptions,
): Promise<APIMessage> {
  const { body } = draft;
  const flags = Number(body.flags ?? 0) & SETTABLE & ~Flag.Ephemeral;
  const empty: APIMessage = {
    ...blankMessage(channel, author),
    flags: flags | (onlyFor ? Flag.Ephemeral : 0),
    ...extra,
  };
  if (isObject(body.message_reference)) {
    const message_id = String(body.message_reference.message_id);
    const target = state.message(channel.id, message_id);
    if (!target && body.message_reference.fail_if_not_exists !== false) {
      const faults = new Faults();
      faults.add([...path, 'message_reference'], 'REPLIES_UNKNOWN_MESSAGE', 'Unknown message');
      faults.throwIfAny();
    }
    Object.assign(empty, replyTo(channel, message_id, target));
  }
  const { message, files } = await write(state, channel, empty, draft, path, onlyFor !== undefined);
  state.keepFiles(message.id, files);
  state.addMessage(message, onlyFor);
  return message;
}

/** @throws {DiscordError} as `createMessage` */
export async function editMessage(
  state: State,
  message: APIMessage,
  draft: Draft,
  path: readonly string[] = [],
): Promise<APIMessage> {
  const channel = state.channels.get(message.channel_id)!;
  const asked = Number(draft.body.flags ?? 0) & (Flag.SuppressEmbeds | Flag.IsComponentsV2);
  // A message that was shown as "thinking" becomes an answer; v2 can be set now and never unset.
  const flags = (((message.flags ?? 0) | asked) & ~Flag.Loading) as Flag;
  const wasLoading = ((message.flags ?? 0) & Flag.Loading) !== 0;
  const hidden = (flags & Flag.Ephemeral) !== 0;
  const { message: edited, files } = await write(state, channel, { ...message, flags }, draft, path, hidden);
  if (!wasLoading) edited.edited_timestamp = new Date().toISOString();
  state.keepFiles(message.id, files);
  state.updateMessage(edited);
  return edited;
}

export function replyTo(
  channel: StoredChannel,
  message_id: string,
  target: APIMessage | undefined,
): Partial<APIMessage> {
  return {
    type: MessageType.Reply,
    message_reference: {
      type: MessageReferenceType.Default,
      channel_id: channel.id,
      message_id,
      ...(channel.guildId && { guild_id: channel.guildId }),
    },
    ...(target && { referenced_message: { ...target, referenced_message: null } }),
  };
}

/**
 * The shared part of making and editing: only the fields that the body names change.
 *
 * @returns the message as Discord shows it, and all files that it has
 */
async function write(
  state: State,
  channel: StoredChannel,
  before: APIMessage,
  { body, files }: Draft,
  path: readonly string[],
  ephemeral: boolean,
): Promise<{ message: APIMessage; files: APIAttachment[] }> {
  const faults = new Faults();
  const v2 = ((before.flags ?? 0) & Flag.IsComponentsV2) !== 0;
  const at = (...keys: (string | number)[]) => [...path, ...keys];
  const named = (key: string) => key in body && body[key] !== undefined;

  const content = named('content') ? String(body.content ?? '') : before.content;
  if (content.length > 2000)
    faults.add(at('content'), 'BASE_TYPE_MAX_LENGTH', 'Must be 2000 or fewer in length.');

  const entries = Array.isArray(body.attachments) ? body.attachments.filter(isObject) : undefined;
  const keptIds = entries?.map(({ id }) => String(id));
  const kept = state.filesOf(before.id).filter(({ id }) => !keptIds || keptIds.includes(id));
  if (kept.length + files.size > FILES_MAX || (entries?.length ?? 0) > FILES_MAX) {
    faults.add(at('attachments'), 'BASE_TYPE_MAX_LENGTH', `Must be ${FILES_MAX} or fewer in length.`);
  }
  for (const file of files.values()) if (file.data.length > state.fileMax) throw refusals.tooLarge();
  faults.throwIfAny();

  const added = await Promise.all(
    [...files].map(([n, file]) =>
      state.attachments.add(safeFile(file), {
        channelId: channel.id,
        ...described(
          entries?.find(({ id }) => String(id) === String(n)),
          file,
        ),
        ...(ephemeral && { ephemeral }),
      }),
    ),
  );
  const attachments = [...kept, ...added];

  const embeds = named('embeds')
    ? readEmbeds(body.embeds ?? [], attachments, faults, at('embeds'))
    : before.embeds;
  const components = named('components')
    ? readComponents(body.components ?? [], { v2, attachments, faults, path: at('components') })
    : (before.components ?? []);
  if (v2) {
    for (const field of ['content', 'embeds', 'poll', 'sticker_ids'] as const) {
      const value = { content, embeds }[field as 'content' | 'embeds'] ?? body[field] ?? '';
      if (Array.isArray(value) ? value.length : value) {
        const message = `The '${field}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2`;
        faults.add(at(field), 'MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2', message);
      }
    }
  }
  const allowed = readAllowedMentions(new Fields(faults), path, body, before.webhook_id !== undefined);
  faults.throwIfAny();
  if (!content && !embeds.length && !components.length && !attachments.length) throw refusals.emptyMessage();

  const texts = [
    content,
    ...[...walk(components)].map((one) => (typeof one.content === 'string' ? one.content : '')),
  ];
  const written = {
    ...before,
    content,
    embeds,
    components,
    attachments: looseFiles(attachments, embeds, components),
  };
  const message = { ...written, ...mentionsOf(state, channel, written, texts.join('\n'), allowed) };
  return { message, files: attachments };
}

/** Files that an embed or a component shows are told of there alone. */
function looseFiles(
  files: readonly APIAttachment[],
  embeds: readonly APIEmbed[],
  components: readonly unknown[],
): APIAttachment[] {
  const inComponents = new Set([...walk(components)].flatMap(mediaOf).map((media) => media.attachment_id));
  const inEmbeds = new Set(embeds.flatMap(({ image, thumbnail }) => [image?.url, thumbnail?.url]));
  return files.filter(({ id, url }) => !inComponents.has(id) && !inEmbeds.has(url));
}

/** Discord keeps letters, digits, dots, dashes and underscores of a file's name. */
function safeFile(file: Upload): Upload {
  return { ...file, filename: file.filename.replaceAll(/[^\p{L}\p{N}._-]/gu, '_') || 'unknown' };
}

/** What the request says of one file beside its bytes. */
function described(entry: Json | undefined, { filename }: Upload): Partial<APIAttachment> {
  const spoiler = entry?.is_spoiler === true || filename.startsWith('SPOILER_');
  return {
    ...(typeof entry?.description === 'string' && entry.description && { description: entry.description }),
    ...(typeof entry?.title === 'string' && { title: entry.title }),
    ...(spoiler && { flags: AttachmentFlags.IsSpoiler }),
  };
}

const EMBED_TEXT = { title: 256, description: 4096 } as const;

function readEmbeds(
  input: unknown,
  attachments: readonly APIAttachment[],
  faults: Faults,
  path: readonly (string | number)[],
): APIEmbed[] {
  const list = Array.isArray(input) ? input : [];
  if (list.length > 10) faults.add(path, 'BASE_TYPE_MAX_LENGTH', 'Must be 10 or fewer in length.');
  let total = 0;
  const check = (value: unknown, max: number, ...keys: (string | number)[]) => {
    if (typeof value !== 'string') return;
    total += value.length;
    if (value.length > max)
      faults.add([...path, ...keys], 'BASE_TYPE_MAX_LENGTH', `Must be ${max} or fewer in length.`);
  };
  const media = (value: unknown) => {
    if (!isObject(value)) return;
    const found = attachmentNamed(String(value.url), attachments);
    const address = unsigned(String(value.url));
    if (!found) return { ...value, url: address, proxy_url: address };
    const { url, proxy_url, width, height } = found;
    return { url, proxy_url, ...(width && height && { width, height }) };
  };
  const embeds = list.map((one, i) => {
    const embed = isObject(one) ? one : {};
    for (const [key, max] of Object.entries(EMBED_TEXT)) check(embed[key], max, i, key);
    if (isObject(embed.footer)) check(embed.footer.text, 2048, i, 'footer', 'text');
    if (isObject(embed.author)) check(embed.author.name, 256, i, 'author', 'name');
    const fields = Array.isArray(embed.fields) ? embed.fields.filter(isObject) : undefined;
    if (fields && fields.length > 25) {
      faults.add([...path, i, 'fields'], 'BASE_TYPE_MAX_LENGTH', 'Must be 25 or fewer in length.');
    }
    for (const [n, field] of (fields ?? []).entries()) {
      check(field.name, 256, i, 'fields', n, 'name');
      check(field.value, 1024, i, 'fields', n, 'value');
    }
    const shown = Object.entries({ ...embed, image: media(embed.image), thumbnail: media(embed.thumbnail) });
    return {
      // Fields set to null or left out are not there at all in what Discord shows.
      ...Object.fromEntries(shown.filter(([, value]) => value !== null && value !== undefined)),
      ...(fields && { fields: fields.map((field) => ({ ...field, inline: field.inline === true })) }),
      type: 'rich',
    };
  });
  if (total > EMBEDS_TEXT_MAX) {
    faults.add(path, 'MAX_EMBED_SIZE_EXCEEDED', `Embed size exceeds maximum size of ${EMBEDS_TEXT_MAX}`);
  }
  return embeds as unknown as APIEmbed[];
}
