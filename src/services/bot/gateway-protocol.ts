/** What the gateway's thread and the main one say to each other. */
import type {
  FetchingStrategyOptions,
  SessionInfo,
  WebSocketShardDestroyOptions,
  WebSocketShardEvents,
} from '@discordjs/ws';
import type { GatewaySendPayload } from 'discord-api-types/v10';
import type { Language } from '#config/locales.ts';
import type { Full } from '#src/places.ts';
import type { Answers, Deferred } from './first-answer.ts';

/**
 * What the main thread has in hand at most, of each person and of all. One person alone leaves room for fifteen others who do the same;
 * all of it is done within a second or two, as most of it takes some statements of Postgres, for which there are eight connections.
 */
export const IN_HAND = { each: 4, all: 64 } as const;

/** The first that the thread is told. */
export interface ThreadData {
  readonly shards: readonly number[];
  readonly options: FetchingStrategyOptions;
  /** what somebody reads for whom there is no place */
  readonly refusals: Readonly<Record<Language, Readonly<Record<Full, string>>>>;
  /** base of Discord's REST API, without the version */
  readonly api: string;
}

/** Answered with `done` or `failed` under its id. */
export type Asked = { readonly id: number } & (
  | { readonly what: 'connect' }
  | { readonly what: 'destroy'; readonly options: Omit<WebSocketShardDestroyOptions, 'recover'> }
  /** takes no more interactions; done once what came of those before was told */
  | { readonly what: 'stop' }
  | { readonly what: 'send'; readonly shard: number; readonly payload: GatewaySendPayload }
);

/** What commands there are: interactions wait for it. */
export interface CommandsKnown {
  readonly what: 'commands';
  readonly answers: Answers;
}

/** The main thread has it no longer in hand. */
export interface Finished {
  readonly what: 'finished';
  readonly interactionId: string;
}

/** A shard may identify now, or it can't be said when. */
export interface MayIdentify {
  readonly what: 'may identify';
  readonly turn: number;
  readonly error: Error | null;
}

export type Told =
  | { readonly kind: 'done'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: Error }
  /** for discord.js, as the socket gave it */
  | {
      readonly kind: 'event';
      readonly event: WebSocketShardEvents;
      readonly shard: number;
      readonly data: object;
      /** of an interaction, which is to be `finished` */
      readonly interaction?: Handed;
    }
  /** asks when it may; answered with `MayIdentify` */
  | { readonly kind: 'identify'; readonly shard: number; readonly turn: number }
  | { readonly kind: 'session'; readonly shard: number; readonly session: SessionInfo | null };

export interface Handed {
  readonly id: string;
  /** `wordFor` it */
  readonly command: string;
  /** null: it can't be deferred */
  readonly deferred: Deferred | null;
}
