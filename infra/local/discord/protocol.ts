/**
 * What a person's side (the channel page, the driver) and the local Discord say to each other. HTTP and JSON under
 * `/sandbox/`; changes arrive as server-sent events. Nothing of this exists at Discord: it stands for its client.
 *
 *   GET  /sandbox/view?person=member                          → View
 *   GET  /sandbox/channels/ID/messages?person=member          → Message[], oldest first
 *   GET  /sandbox/channels/ID/commands?person=member&locale=de → APIApplicationCommand[], with `name_localized` and the like
 *   POST /sandbox/channels/ID/messages   { person, content }  → Message; in a forum, the first of a new post
 *   POST /sandbox/uploads?person&channel&filename  (the bytes) → APIAttachment
 *   POST /sandbox/interactions           Ask                  → Outcome
 *   POST /sandbox/dismiss                { person, channel, message }
 *   GET  /sandbox/events?person=member                        → PersonEvent, one a `data:` line
 *   POST /sandbox/misbehave              Misbehaviour         → what is in force now
 */
import type {
  APIApplicationCommandOptionChoice,
  APIMessage,
  APIModalInteractionResponseCallbackData,
} from 'discord-api-types/v10';
import type { OptionValue } from './commands.ts';
import type { CrowdName, PersonName } from './world.ts';

export type { PersonName } from './world.ts';
export type { OptionValue };

export type Modal = APIModalInteractionResponseCallbackData & { readonly interactionId: string };

/** What a person does with an app. `person` and `channel` say who and where; `locale` what their client is set to, else English. */
export type Ask = {
  readonly person: PersonName | CrowdName;
  readonly channel: string;
  readonly locale?: string;
} & (
  | {
      readonly kind: 'command';
      readonly command: string;
      readonly path?: readonly string[];
      readonly options?: Readonly<Record<string, OptionValue>>;
      /** of a context menu: the message's or user's id */
      readonly target?: string;
    }
  | {
      readonly kind: 'autocomplete';
      readonly command: string;
      readonly path?: readonly string[];
      readonly options: Readonly<Record<string, OptionValue>>;
      readonly focused: string;
    }
  | {
      readonly kind: 'component';
      readonly message: string;
      readonly customId: string;
      readonly values?: readonly string[];
    }
  | { readonly kind: 'modal'; readonly modal: string; readonly fields: Readonly<Record<string, FieldValue>> }
);

/** Of a modal's field: a text, chosen values or uploaded attachments' ids, or a checkbox. */
export type FieldValue = string | readonly string[] | boolean;

/** How an interaction was first answered. What follows arrives as messages. */
export type Outcome = { readonly interactionId: string } & (
  | { readonly kind: 'reply'; readonly message: APIMessage }
  /** "thinking …": the message will be edited */
  | { readonly kind: 'deferred'; readonly message: APIMessage }
  | { readonly kind: 'updated'; readonly message: APIMessage }
  | { readonly kind: 'acknowledged' }
  | { readonly kind: 'choices'; readonly choices: readonly APIApplicationCommandOptionChoice[] }
  | { readonly kind: 'modal'; readonly modal: Modal }
  /** nobody answered in time: "The application did not respond" */
  | { readonly kind: 'failed'; readonly reason: string }
);

export interface ViewChannel {
  readonly id: string;
  readonly name: string;
  readonly kind: 'text' | 'forum' | 'thread' | 'dm' | 'group';
  readonly topic: string | null;
  readonly parentId: string | null;
  readonly canSend: boolean;
}

export interface ViewUser {
  readonly id: string;
  readonly name: string;
  readonly bot: boolean;
  readonly colour: string;
}

/** What one person's client knows before it opens a channel. */
export interface View {
  readonly me: ViewUser & { readonly key: PersonName };
  readonly people: readonly { readonly key: PersonName; readonly name: string; readonly colour: string }[];
  readonly users: readonly ViewUser[];
  readonly guilds: readonly {
    readonly id: string;
    readonly name: string;
    readonly roles: readonly { readonly id: string; readonly name: string; readonly color: number }[];
    readonly channels: readonly ViewChannel[];
  }[];
  readonly direct: readonly ViewChannel[];
}

export type PersonEvent =
  | { readonly type: 'ready' }
  | { readonly type: 'message_create' | 'message_update'; readonly message: APIMessage }
  | { readonly type: 'message_delete'; readonly channelId: string; readonly ids: readonly string[] }
  /** the list of channels changed: ask for the view again */
  | { readonly type: 'view' }
  | { readonly type: 'commands' }
  | { readonly type: 'typing'; readonly channelId: string; readonly userId: string };

/**
 * How to misbehave from now on; a field left out stays as it is, `null` or 0 ends it. `route` limits a fault to requests
 * whose `METHOD /template` contains it, such as `POST /channels/{channel_id}/messages`.
 */
export interface Misbehaviour {
  /** every REST answer waits this long */
  readonly answerAfterMs?: number;
  /** the bot hears of each interaction this late: above 3 s, its answer is too late */
  readonly deliverAfterMs?: number;
  /** so many of the next interactions reach the bot two times, as when a shard comes back and is told again */
  readonly deliverTwice?: number;
  readonly rateLimit?: {
    readonly next: number;
    readonly retryAfterS?: number;
    readonly global?: boolean;
    readonly route?: string;
  } | null;
  /** `after`: the work is done, and the bot does not learn of it */
  readonly serverError?: {
    readonly next: number;
    readonly when: 'before' | 'after';
    readonly status?: 500 | 502 | 503;
    readonly route?: string;
  } | null;
  /** a wall before Discord answers with a page of its own: 403, 413, 429 (Cloudflare's 1015), 502, 520 … */
  readonly wall?: {
    readonly next: number;
    readonly status: number;
    readonly retryAfterS?: number;
    readonly route?: string;
  } | null;
  /** the bot's token is refused, whatever it is */
  readonly refuseToken?: { readonly next: number } | null;
  /** a request with files is read only after so long, as over a slow line */
  readonly slowUpload?: { readonly next: number; readonly ms: number } | null;
  /** bytes that one file may have at most; Discord's own limit when 0 */
  readonly fileMax?: number;
  readonly refuseDms?: boolean;
  /** at once, to every shard: op 7 */
  readonly reconnect?: true;
  /** at once, to every shard: op 9, resumable or not */
  readonly invalidSession?: 'resumable' | 'final';
  /** at once: every interaction token given so far is past its 15 minutes */
  readonly expireTokens?: true;
}
