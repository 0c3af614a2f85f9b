/**
 * The gateway for discord.js: its shards' sockets are in a thread, gateway-thread.ts, which also answers interactions first. What
 * comes by them arrives here as from sockets of this one.
 */
import type { Worker } from 'node:worker_threads';
import {
  type IShardingStrategy,
  managerToFetchingStrategyOptions,
  type WebSocketManager,
} from '@discordjs/ws';
import { languages } from '#config/locales.ts';
import { UserError } from '#src/errors.ts';
import { message, sayIn } from '#src/say.ts';
import type { Answers } from './first-answer.ts';
import {
  type Asked,
  type CommandsKnown,
  type Finished,
  type Handed,
  IN_HAND,
  type MayIdentify,
  type ThreadData,
  type Told,
} from './gateway-protocol.ts';
import { gatewayThread } from './gateway-worker.ts';

export interface Gateway {
  /** for the client's `ws` */
  buildStrategy(manager: WebSocketManager): IShardingStrategy;
  /** What the thread made of one that has come. Each is taken once, and is to be `finished`. */
  take(interactionId: string): Handed;
  finished(interactionId: string): void;
  /** No more interactions come, once those that were deferred have. */
  stop(): Promise<void>;
}

export interface GatewayOptions {
  /** Asked for when the sockets begin to connect, which takes a while; interactions wait for it. */
  readonly answers: () => Promise<Answers>;
  /** base of Discord's REST API, without the version */
  readonly api: string;
  /** resolves when a shard may identify */
  readonly mayIdentify: (shard: number, manager: WebSocketManager) => Promise<void>;
  /** the thread ended by itself: nothing comes any more */
  readonly onEnd: (error: Error) => void;
}

type Question<A = Asked> = A extends Asked ? Omit<A, 'id'> : never;

export function openGateway({ answers, api, mayIdentify, onEnd }: GatewayOptions): Gateway {
  /** what discord.js was handed and we did not take yet */
  const handed = new Map<string, Handed>();
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let thread: Worker | undefined;
  let lastId = 0;

  function ask(question: Question): Promise<unknown> {
    if (!thread) return Promise.resolve();
    const id = ++lastId;
    const answer = Promise.withResolvers<unknown>();
    waiting.set(id, answer);
    thread.postMessage({ ...question, id } satisfies Asked);
    return answer.promise;
  }

  function hear(manager: WebSocketManager, told: Told): void {
    switch (told.kind) {
      case 'done':
      case 'failed': {
        const answer = waiting.get(told.id);
        waiting.delete(told.id);
        if (told.kind === 'done') answer?.resolve(told.result);
        else answer?.reject(told.error);
        return;
      }
      case 'identify': {
        const say = (error: Error | null) =>
          thread?.postMessage({ what: 'may identify', turn: told.turn, error } satisfies MayIdentify);
        return void mayIdentify(told.shard, manager).then(() => say(null), say);
      }
      case 'session':
        return void manager.options.updateSessionInfo(told.shard, told.session);
      case 'event': {
        const { event, data, shard, interaction } = told;
        if (interaction) handed.set(interaction.id, interaction);
        manager.emit(event, { ...data, shardId: shard } as never);
        // Of a kind that discord.js does not know, or kept until all shards are there.
        if (interaction && handed.has(interaction.id)) finished(interaction.id);
      }
    }
  }

  function finished(interactionId: string): void {
    thread?.postMessage({ what: 'finished', interactionId } satisfies Finished);
  }

  const buildStrategy = (manager: WebSocketManager): IShardingStrategy => ({
    async spawn(shards) {
      const options = await managerToFetchingStrategyOptions(manager);
      const started = gatewayThread();
      started.postMessage({ shards, options, refusals: refusals(), api } satisfies ThreadData);
      thread = started;
      let fault: Error | undefined;
      started.on('error', (error) => {
        fault = error;
      });
      started.on('message', (told: Told) => hear(manager, told));
      started.once('exit', (code) => {
        const error = fault ?? new Error(`The gateway's thread ended with ${code}`);
        for (const { reject } of waiting.values()) reject(error);
        waiting.clear();
        if (thread !== started) return;
        thread = undefined;
        onEnd(error);
      });
    },
    async connect() {
      const connected = ask({ what: 'connect' });
      const to = thread;
      const tell = (known: Answers) =>
        to?.postMessage({ what: 'commands', answers: known } satisfies CommandsKnown);
      answers().then(tell, () => {}); // whoever promised them tells
      await connected;
    },
    async destroy(options = {}) {
      const ended = thread;
      try {
        await ask({ what: 'destroy', options });
      } finally {
        thread = undefined;
        await ended?.terminate();
      }
    },
    send: async (shard, payload) => void (await ask({ what: 'send', shard, payload })),
    fetchStatus: () => Promise.reject(new Error('discord.js does not ask for it')),
  });

  return {
    buildStrategy,
    take(interactionId) {
      const one = handed.get(interactionId);
      handed.delete(interactionId);
      if (!one) throw new Error('An interaction that did not come by the gateway');
      return one;
    },
    finished,
    stop: async () => void (await ask({ what: 'stop' })),
  };
}

/** As data: the thread is spared all sentences but these. */
function refusals(): ThreadData['refusals'] {
  const each = new UserError('turns_taken', { what: message('requests'), max: IN_HAND.each });
  const all = new UserError('crowded', {});
  const pairs = languages.map((language) => {
    const say = sayIn(language);
    return [language, { each: each.in(say), all: all.in(say) }];
  });
  return Object.fromEntries(pairs) as ThreadData['refusals'];
}
