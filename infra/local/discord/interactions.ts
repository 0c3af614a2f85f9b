/**
 * The life of an interaction:
 *
 *   asked ──callback within 3 s──▶ answered ──15 min──▶ expired
 *     └──────────3 s─────────────▶ missed
 *
 * A second callback finds 40060; one after 3 s finds 10062, and the person has been told "The application did not respond".
 * The token of an answered interaction edits the answer and posts follow-ups until it expires (50027).
 */
import { randomBytes } from 'node:crypto';
import {
  type APIInteraction,
  type APIMessage,
  InteractionContextType as Context,
  MessageFlags as Flag,
  InteractionType,
  PermissionFlagsBits as P,
  InteractionResponseType as Response,
} from 'discord-api-types/v10';
import { type Asked, askedCommand, askedComponent, askedModal } from './asked.ts';
import { contextOf, readChoices, TypingError } from './commands.ts';
import { readModal } from './components.ts';
import { DiscordError, Faults, invalid, refusals } from './discord-error.ts';
import { isObject, type Json } from './fields.ts';
import { blankMessage, createMessage, type Draft, editMessage, replyTo } from './messages.ts';
import { has } from './permissions.ts';
import type { Ask, Outcome } from './protocol.ts';
import type { Place } from './resolve.ts';
import { signatureOf } from './signature.ts';
import { snowflake, snowflakeTime } from './snowflake.ts';
import type { State, StoredToken } from './state.ts';
import { personIdOf, type StoredChannel } from './world.ts';

const NO_RESPONSE = 'The application did not respond';
/** Follow-ups to an app that only the person has installed. */
const USER_INSTALL_FOLLOWUPS_MAX = 5;

export interface InteractionTimes {
  /** 3 s at Discord */
  readonly answerWithinMs: number;
  /** 15 min at Discord */
  readonly tokenLifeMs: number;
}

/** A moment in the life of one, as it happens. */
export interface Moment {
  readonly interactionId: string;
  /** it goes to the bot; a callback has come that only defers; the answer: a callback has it, or it is edited, or more is posted */
  readonly what: 'sent' | 'deferred' | 'answered';
}

interface Open {
  readonly payload: APIInteraction;
  readonly personId: string;
  readonly channel: StoredChannel;
  readonly source: Asked['source'];
  readonly used: Asked['used'];
  status: 'asked' | 'answering' | 'answered' | 'missed';
  readonly settle: (outcome: Outcome) => void;
}

interface OpenModal {
  readonly modal: ReturnType<typeof readModal>;
  readonly from: Open;
}

const DEFERRALS: readonly number[] = [
  Response.DeferredChannelMessageWithSource,
  Response.DeferredMessageUpdate,
];
const ANSWERS: Partial<Record<InteractionType, readonly number[]>> = {
  [InteractionType.ApplicationCommand]: [
    Response.ChannelMessageWithSource,
    Response.DeferredChannelMessageWithSource,
    Response.Modal,
  ],
  [InteractionType.ApplicationCommandAutocomplete]: [Response.ApplicationCommandAutocompleteResult],
};
const COMPONENT_ANSWERS: readonly number[] = [
  Response.ChannelMessageWithSource,
  Response.DeferredChannelMessageWithSource,
  Response.DeferredMessageUpdate,
  Response.UpdateMessage,
  Response.Modal,
];

export class Interactions {
  readonly #state: State;
  readonly #deliver: (guildId: string | undefined, payload: APIInteraction) => void;
  readonly #times: InteractionTimes;
  readonly #open = new Map<string, Open>();
  readonly #modals = new Map<string, OpenModal>();
  readonly #followups = new Map<string, number>();
  readonly #onMoment: (moment: Moment) => void;

  constructor(
    state: State,
    times: InteractionTimes,
    deliver: (guildId: string | undefined, payload: APIInteraction) => void,
    onMoment: (moment: Moment) => void = () => {},
  ) {
    this.#onMoment = onMoment;
    this.#state = state;
    this.#times = times;
    this.#deliver = deliver;
  }

  // The person's side

  /** @throws {TypingError} when the client itself would not have sent it */
  ask(ask: Ask): Promise<Outcome> {
    const personId = personIdOf(ask.person);
    if (!personId) throw new TypingError(`Nobody is called “${ask.person}”.`);
    const channel = this.#state.channels.get(ask.channel);
    if (!channel || !has(this.#state.permissions(channel, personId), P.ViewChannel)) {
      throw new TypingError('You cannot see this channel.');
    }
    const { type, data, source, used } = this.#asked(ask, { state: this.#state, channel, personId });
    return this.#send(personId, channel, type, data, { source, used, locale: ask.locale });
  }

  #asked(ask: Ask, place: Place): Asked {
    switch (ask.kind) {
      case 'command':
      case 'autocomplete':
        return askedCommand(place, ask);
      case 'component':
        return askedComponent(place, ask);
      case 'modal': {
        const open = this.#modals.get(ask.modal);
        if (!open || open.from.personId !== place.personId)
          throw new TypingError('That dialog is no longer open.');
        const asked = askedModal(place, open.modal, ask.fields);
        this.#modals.delete(ask.modal);
        return { ...asked, source: open.from.source };
      }
    }
  }

  /** Hands the interaction to the bot; resolves with the first answer, or when 3 s are over. */
  #send(
    personId: string,
    channel: StoredChannel,
    type: InteractionType,
    data: Json,
    {
      source,
      used,
      locale = 'en-US',
    }: Partial<Pick<Open, 'source' | 'used'>> & { locale?: string | undefined } = {},
  ): Promise<Outcome> {
    const state = this.#state;
    const id = snowflake();
    const guild = state.guild(channel.guildId);
    const context = contextOf(state, channel.id);
    const permissions = String(state.permissions(channel, personId));
    const { deaf: _, mute: __, ...member } = (guild && state.member(guild, personId)) ?? {};
    const appPermissions =
      context === Context.PrivateChannel
        ? P.EmbedLinks | P.AttachFiles | P.MentionEveryone
        : state.permissionsOfApp(channel);
    const owners = {
      [Context.Guild]: { 0: channel.guildId },
      [Context.BotDM]: { 0: '0' },
      [Context.PrivateChannel]: { 1: personId },
    }[context];
    const payload = {
      id,
      application_id: state.world.applicationId,
      type,
      data,
      token: randomBytes(64).toString('base64url'),
      version: 1,
      channel: { ...state.apiChannel(channel), permissions },
      channel_id: channel.id,
      ...(guild
        ? {
            guild: { id: guild.id, locale: 'en-US', features: [] },
            guild_id: guild.id,
            guild_locale: 'en-US',
            member: { ...member, permissions },
          }
        : { user: state.user(personId) }),
      ...(source && { message: source }),
      app_permissions: String(appPermissions),
      locale,
      entitlements: [],
      authorizing_integration_owners: owners,
      context,
      attachment_size_limit: this.#state.fileMax,
    } as unknown as APIInteraction;

    const { promise, resolve: settle } = Promise.withResolvers<Outcome>();
    const open: Open = { payload, personId, channel, source, used, status: 'asked', settle };
    this.#open.set(id, open);
    setTimeout(() => this.#miss(open), this.#times.answerWithinMs).unref();
    setTimeout(() => {
      this.#open.delete(id);
      this.#modals.delete(id);
    }, this.#times.tokenLifeMs).unref();
    this.#onMoment({ interactionId: id, what: 'sent' });
    this.#deliver(channel.guildId, payload);
    return promise;
  }

  #miss(open: Open): void {
    if (open.status !== 'asked') return;
    open.status = 'missed';
    open.settle({ interactionId: open.payload.id, kind: 'failed', reason: NO_RESPONSE });
  }

  // The bot's side

  /**
   * `POST /interactions/ID/TOKEN/callback`
   *
   * @returns what `with_response=true` shows
   * @throws {DiscordError} 10062, 40060, 50035
   */
  async callback(id: string, token: string, body: Json, files: Draft['files']): Promise<Json> {
    this.#onMoment({
      interactionId: id,
      what: DEFERRALS.includes(Number(body.type)) ? 'deferred' : 'answered',
    });
    const open = this.#open.get(id);
    if (open?.payload.token !== token || open.status === 'missed') throw refusals.unknownInteraction();
    if (open.status !== 'asked') throw refusals.alreadyAcknowledged();
    const { type } = open.payload;
    const allowed = ANSWERS[type] ?? COMPONENT_ANSWERS;
    const updates = body.type === Response.UpdateMessage || body.type === Response.DeferredMessageUpdate;
    const nested = type === InteractionType.ModalSubmit && body.type === Response.Modal;
    if (!allowed.includes(body.type as number) || nested || (updates && !open.source)) {
      throw invalid(
        ['type'],
        'INTERACTION_CALLBACK_INVALID_TYPE',
        'This callback type does not answer this interaction',
      );
    }

    // Taken before any waiting, so that of two callbacks at once one is refused.
    open.status = 'answering';
    try {
      const answered = await this.#answer(open, body, files);
      open.status = 'answered';
      open.settle(answered);
      const message = 'message' in answered ? answered.message : undefined;
      return this.#response(open, body.type as number, message);
    } catch (error) {
      open.status = 'asked';
      const leftMs = snowflakeTime(id) + this.#times.answerWithinMs - Date.now();
      setTimeout(() => this.#miss(open), Math.max(0, leftMs)).unref();
      throw error;
    }
  }

  async #answer(open: Open, body: Json, files: Draft['files']): Promise<Outcome> {
    const interactionId = open.payload.id;
    const data = isObject(body.data) ? body.data : {};
    const draft = { body: data, files };
    switch (body.type) {
      case Response.ChannelMessageWithSource: {
        const message = await createMessage(this.#state, open.channel, draft, {
          author: this.#state.bot,
          path: ['data'],
          extra: this.#signature(open),
          onlyFor: Number(data.flags ?? 0) & Flag.Ephemeral ? open.personId : undefined,
        });
        this.#grant(open, message.id);
        return { interactionId, kind: 'reply', message };
      }
      case Response.DeferredChannelMessageWithSource: {
        const ephemeral = (Number(data.flags ?? 0) & Flag.Ephemeral) !== 0;
        const message = this.#thinking(open, ephemeral);
        this.#grant(open, message.id);
        return { interactionId, kind: 'deferred', message };
      }
      case Response.DeferredMessageUpdate:
        this.#grant(open, open.source!.id);
        return { interactionId, kind: 'acknowledged' };
      case Response.UpdateMessage: {
        const current = this.#state.message(open.channel.id, open.source!.id, open.personId);
        if (!current) throw refusals.unknownMessage();
        const message = await editMessage(this.#state, current, draft, ['data']);
        this.#grant(open, message.id);
        return { interactionId, kind: 'updated', message };
      }
      case Response.ApplicationCommandAutocompleteResult: {
        const choices = readChoices(data.choices);
        return { interactionId, kind: 'choices', choices };
      }
      default: {
        const faults = new Faults();
        const modal = readModal(data, faults);
        faults.throwIfAny();
        this.#modals.set(interactionId, { modal, from: open });
        this.#grant(open, open.source?.id ?? null);
        return { interactionId, kind: 'modal', modal: { ...modal, interactionId } };
      }
    }
  }

  #response({ payload, channel }: Open, type: number, message: APIMessage | undefined): Json {
    const shows =
      type === Response.UpdateMessage ? Response.UpdateMessage : Response.ChannelMessageWithSource;
    return {
      interaction: {
        id: payload.id,
        type: payload.type,
        channel_id: channel.id,
        ...(channel.guildId && { guild_id: channel.guildId }),
        ...(message && {
          response_message_id: message.id,
          response_message_loading: ((message.flags ?? 0) & Flag.Loading) !== 0,
          response_message_ephemeral: ((message.flags ?? 0) & Flag.Ephemeral) !== 0,
        }),
      },
      ...(message && { resource: { type: shows, message } }),
    };
  }

  #thinking(open: Open, ephemeral: boolean): APIMessage {
    const message: APIMessage = {
      ...blankMessage(open.channel, this.#state.bot),
      flags: Flag.Loading | (ephemeral ? Flag.Ephemeral : 0),
      ...this.#signature(open),
    };
    this.#state.addMessage(message, ephemeral ? open.personId : undefined);
    return message;
  }

  #signature(open: Open): Partial<APIMessage> {
    return signatureOf(open, this.#state.user(open.personId)!);
  }

  #grant({ payload, channel, personId }: Open, originalId: string | null): void {
    const { id: interactionId, token } = payload;
    const expiresAt = snowflakeTime(interactionId) + this.#times.tokenLifeMs;
    this.#state.tokens.set(token, {
      interactionId,
      token,
      channelId: channel.id,
      personId,
      originalId,
      expiresAt,
    });
    this.#state.touch();
    // Kept a while longer, to tell one that has expired from one that never was.
    setTimeout(() => {
      this.#state.tokens.delete(token);
      this.#followups.delete(token);
    }, 2 * this.#times.tokenLifeMs).unref();
  }

  /** @throws {DiscordError} 10015 for a token never granted, 50027 for one past its 15 minutes */
  #token(applicationId: string, token: string): StoredToken {
    const granted = this.#state.tokens.get(token);
    if (!granted || applicationId !== this.#state.world.applicationId) throw refusals.unknownWebhook();
    if (granted.expiresAt <= Date.now()) throw refusals.invalidWebhookToken();
    return granted;
  }

  /** `@original`, or an id. */
  webhookMessage(applicationId: string, token: string, which: string): APIMessage {
    const { interactionId, originalId, channelId, personId } = this.#token(applicationId, token);
    this.#onMoment({ interactionId, what: 'answered' });
    const id = which === '@original' ? originalId : which;
    const message = id ? this.#state.message(channelId, id, personId) : undefined;
    if (!message || message.author.id !== this.#state.world.applicationId) throw refusals.unknownMessage();
    return message;
  }

  async followUp(applicationId: string, token: string, draft: Draft): Promise<APIMessage> {
    const granted = this.#token(applicationId, token);
    this.#onMoment({ interactionId: granted.interactionId, what: 'answered' });
    const channel = this.#state.channels.get(granted.channelId);
    if (!channel) throw refusals.unknownChannel();
    const { originalId, personId, interactionId } = granted;
    const original = originalId ? this.#state.message(channel.id, originalId, personId) : undefined;
    // Deprecated at Discord and still so: the first follow-up fills the "thinking" message.
    if (original && (original.flags ?? 0) & Flag.Loading) return editMessage(this.#state, original, draft);

    const sent = (this.#followups.get(token) ?? 0) + 1;
    if (contextOf(this.#state, channel.id) === Context.PrivateChannel && sent > USER_INSTALL_FOLLOWUPS_MAX) {
      throw new DiscordError(400, 40094, 'Maximum number of follow-up messages reached');
    }
    this.#followups.set(token, sent);
    const open = this.#open.get(interactionId);
    // A follow-up answers the first answer; where that was deleted, it says itself which command it belongs to.
    const { type: _, interaction, ...signature } = open ? this.#signature(open) : {};
    const shared = original && !((original.flags ?? 0) & Flag.Ephemeral);
    return createMessage(this.#state, channel, draft, {
      author: this.#state.bot,
      extra: {
        ...signature,
        ...(shared ? replyTo(channel, original.id, original) : interaction && { interaction }),
        application_id: applicationId,
        webhook_id: applicationId,
      },
      onlyFor: Number(draft.body.flags ?? 0) & Flag.Ephemeral ? personId : undefined,
    });
  }

  expireTokens(): void {
    for (const token of this.#state.tokens.values()) token.expiresAt = 0;
  }
}
