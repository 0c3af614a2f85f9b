/**
 * The few calls to Discord's REST that the courier makes.
 *
 * An error of the library carries the whole request with it, texts and tokens included: nothing here or above logs one, only
 * its code (`faultOf`).
 */
import {
  DiscordAPIError,
  type InternalRequest,
  parseResponse,
  type RawFile,
  REST,
  RequestMethod,
} from '@discordjs/rest';
import {
  type APIContainerComponent,
  type APIGuild,
  type APIGuildChannel,
  type APIMessage,
  type APIMessageTopLevelComponent,
  type APIUnfurledMediaItem,
  ComponentType,
  MessageFlags,
  type RESTPostAPIChannelMessageJSONBody,
  RESTJSONErrorCodes as Refusal,
  Routes,
} from 'discord-api-types/v10';
import { config, required } from '#config/env.ts';
import { askDiscord, LONGEST_REQUEST_MS } from '#src/doors/discord.ts';
import type { ChannelView } from '#src/moderation/privacy.ts';
import { watchToken } from './token.ts';

/** What a message shall be. */
export interface Content {
  readonly container: APIContainerComponent;
  readonly files: readonly { name: string; description?: string; spoiler?: boolean; data: Buffer }[];
  /** ids of files that the message has already and keeps */
  readonly kept: readonly string[];
  /** Discord ids; nobody else is notified */
  readonly mentions: readonly string[];
}

/** A message as far as the courier looks at one. */
export interface Posted {
  readonly id: string;
  readonly files: readonly PostedFile[];
}

/** A message that was just posted or edited. */
export interface Sent extends Posted {
  /** for which its channel takes no other; ms */
  readonly pauseMs: number;
}

/** By its id an edit keeps it. */
export interface PostedFile {
  readonly id: string;
  readonly name: string;
}

/** Where a message is or goes: a channel, as the bot; or by an interaction's token, where the bot is no member. */
export type Destination =
  | { readonly by: 'bot'; readonly channelId: string }
  | { readonly by: 'token'; readonly token: string; readonly channelId: string };

export interface Discord {
  /** A repeated post of one nonce makes one message; followups know no nonce. @param replyTo a message there */
  post(place: Destination, content: Content, nonce: string, replyTo?: string): Promise<Sent>;
  edit(place: Destination, messageId: string, content: Content): Promise<Sent>;
  /** A message of ours whose container has this id, among the latest hundred. */
  find(channelId: string, containerId: number): Promise<Posted | null>;
  /** Whether the interaction's first answer still says "thinking": a followup would fill it. */
  isThinking(token: string): Promise<boolean>;
  /** Starts a thread from a message, or takes the one that is there already. Returns its id. */
  startThread(channelId: string, messageId: string, name: string): Promise<string>;
  reopenThread(threadId: string): Promise<void>;
  directChannel(userId: string): Promise<string>;
  /** Who sees a channel of a guild. */
  look(guildId: string, channelId: string): Promise<{ view: ChannelView; ownerId: string }>;
}

/** Posts carry a nonce and edits are the same twice, so trying three times again does no harm. */
const RETRIES = 3;
/** For one call with all its tries, and waits for the limit of all requests together, beside what an upload may take. ms */
const WAITS_MS = 60_000;
/** The library takes a limit to last a little longer than Discord says, twice 50 ms. */
const LIMIT_MARGIN_MS = 100;
const THREAD_NAME_MAX = 100;
/** How many messages one request sees back. */
const LATEST = 100;

/** @param giveUp called when Discord has refused the token for good */
export function makeRest(giveUp: () => void): REST {
  const token = required(config.discord.token, 'DISCORD_TOKEN');
  return new REST({
    version: '10',
    api: config.discord.apiUrl,
    timeout: LONGEST_REQUEST_MS,
    retries: RETRIES,
    // A channel that is at its limit is waited for in Postgres: see lanes.ts. What all are at is waited for here.
    rejectOnRateLimit: ({ global }) => !global,
    makeRequest: watchToken(askDiscord, giveUp),
  }).setToken(token);
}

export function openDiscord(rest: REST): Discord {
  const applicationId = required(config.discord.applicationId, 'DISCORD_APPLICATION_ID');
  // Followups have no nonce: one whose answer was lost must not be sent again by itself.
  const once = new REST({ ...rest.options, retries: 0 });
  const signal = () => AbortSignal.timeout(LONGEST_REQUEST_MS + WAITS_MS);
  let me: Promise<string> | undefined;
  const ownId = () => {
    me ??= (rest.get(Routes.user(), { signal: signal() }) as Promise<{ id: string }>).then(({ id }) => id);
    me.catch(() => {
      me = undefined;
    });
    return me;
  };

  return {
    async post(place, content, nonce, replyTo) {
      const { body, files } = requestOf(content);
      if (place.by === 'token') {
        const query = new URLSearchParams({ wait: 'true' });
        const route = Routes.webhook(applicationId, place.token);
        return sent(once, { ...post(route), body, files, auth: false, signal: signal(), query });
      }
      const unique = { nonce, enforce_nonce: true } satisfies RESTPostAPIChannelMessageJSONBody;
      const send = (reply: Pick<RESTPostAPIChannelMessageJSONBody, 'message_reference'>) =>
        sent(rest, {
          ...post(Routes.channelMessages(place.channelId)),
          body: { ...body, ...unique, ...reply },
          files,
          signal: signal(),
        });
      if (!replyTo) return send({});
      try {
        return await send({ message_reference: { message_id: replyTo, fail_if_not_exists: false } });
      } catch (error) {
        // It may not see what it would answer. Said by itself is better than not at all.
        if (!isRefusal(error, Refusal.CannotReplyWithoutPermissionToReadMessageHistory)) throw error;
        return send({});
      }
    },

    async edit(place, messageId, content) {
      const options = { ...requestOf(content), signal: signal() };
      if (place.by === 'token') {
        const route = Routes.webhookMessage(applicationId, place.token, messageId);
        return sent(rest, { ...patch(route), ...options, auth: false });
      }
      return sent(rest, { ...patch(Routes.channelMessage(place.channelId, messageId)), ...options });
    },

    async find(channelId, containerId) {
      const query = new URLSearchParams({ limit: String(LATEST) });
      const [latest, author] = await Promise.all([
        rest.get(Routes.channelMessages(channelId), { query, signal: signal() }) as Promise<APIMessage[]>,
        ownId(),
      ]);
      const ours = latest.find(
        (message) =>
          message.author.id === author &&
          message.components?.some((component) => component.id === containerId),
      );
      return ours ? posted(ours) : null;
    },

    async isThinking(token) {
      const route = Routes.webhookMessage(applicationId, token, '@original');
      try {
        const original = (await rest.get(route, { auth: false, signal: signal() })) as APIMessage;
        return ((original.flags ?? 0) & MessageFlags.Loading) !== 0;
      } catch (error) {
        // It was deleted, or there was none.
        if (isRefusal(error, Refusal.UnknownMessage)) return false;
        throw error;
      }
    },

    async startThread(channelId, messageId, name) {
      try {
        const body = { name: [...name].slice(0, THREAD_NAME_MAX).join('') || 'Pictures' };
        const thread = await rest.post(Routes.threads(channelId, messageId), { body, signal: signal() });
        return (thread as { id: string }).id;
      } catch (error) {
        // Started by a try whose answer was lost: a thread has the id of the message that it was started from.
        if (isRefusal(error, Refusal.ThreadAlreadyCreatedForMessage)) return messageId;
        throw error;
      }
    },

    async reopenThread(threadId) {
      await rest.patch(Routes.channel(threadId), { body: { archived: false }, signal: signal() });
    },

    async directChannel(userId) {
      const channel = await rest.post(Routes.userChannels(), {
        body: { recipient_id: userId },
        signal: signal(),
      });
      return (channel as { id: string }).id;
    },

    async look(guildId, channelId) {
      const [guild, channel] = await Promise.all([
        rest.get(Routes.guild(guildId), { signal: signal() }) as Promise<APIGuild>,
        rest.get(Routes.channel(channelId), { signal: signal() }) as Promise<APIGuildChannel>,
      ]);
      const roles = guild.roles.map(({ id, permissions, tags }) => ({
        id,
        permissions: BigInt(permissions),
        bot: tags?.bot_id !== undefined,
      }));
      const overwrites = (channel.permission_overwrites ?? []).map(({ id, allow, deny }) => ({
        id,
        allow: BigInt(allow),
        deny: BigInt(deny),
      }));
      return { view: { guildId, roles, overwrites }, ownerId: guild.owner_id };
    },
  };
}

function isRefusal(error: unknown, code: Refusal): boolean {
  return error instanceof DiscordAPIError && error.code === code;
}

const post = (fullRoute: InternalRequest['fullRoute']) => ({ fullRoute, method: RequestMethod.Post });
const patch = (fullRoute: InternalRequest['fullRoute']) => ({ fullRoute, method: RequestMethod.Patch });

async function sent(rest: REST, request: InternalRequest): Promise<Sent> {
  const answer = await rest.queueRequest(request);
  const { headers } = answer;
  // A token is limited by itself, whatever channel it is for.
  const isLast = request.auth !== false && headers.get('x-ratelimit-remaining') === '0';
  const resetS = Number(headers.get('x-ratelimit-reset-after'));
  return {
    ...posted(await parseResponse(answer)),
    pauseMs: isLast ? Math.ceil(resetS * 1_000) + LIMIT_MARGIN_MS : 0,
  };
}

function posted(answer: unknown): Posted {
  const { id, components } = answer as APIMessage;
  return { id, files: filesIn(components) };
}

/** Discord's `attachments` leaves out the files that components show; there each has its attachment's id, and its name in the address. */
function filesIn(components: readonly APIMessageTopLevelComponent[] = []): PostedFile[] {
  return components.flatMap((component) => {
    switch (component.type) {
      case ComponentType.Container:
        return filesIn(component.components);
      case ComponentType.MediaGallery:
        return component.items.flatMap(({ media }) => fileOf(media));
      case ComponentType.Section:
        return component.accessory.type === ComponentType.Thumbnail ? fileOf(component.accessory.media) : [];
      case ComponentType.File:
        return fileOf(component.file);
      default:
        return [];
    }
  });
}

function fileOf({ attachment_id: id, url }: APIUnfurledMediaItem): PostedFile[] {
  const name = decodeURIComponent(new URL(url).pathname.split('/').at(-1) ?? '');
  return id ? [{ id, name }] : [];
}

/** Every body of ours is made here: without `allowed_mentions` Discord notifies everyone that a text names. */
function requestOf({ container, files, kept, mentions }: Content) {
  const body = {
    flags: MessageFlags.IsComponentsV2,
    components: [container],
    allowed_mentions: { parse: [], users: [...mentions], replied_user: false },
    attachments: [
      ...kept.map((id) => ({ id })),
      ...files.map(({ name, description, spoiler }, n) => ({
        id: String(n),
        filename: name,
        ...(description && { description }),
        ...(spoiler && { is_spoiler: true }),
      })),
    ],
  };
  return { body, files: files.map(({ name, data }): RawFile => ({ name, data })) };
}
