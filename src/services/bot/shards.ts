/** Some of the bot's shards: connected to Discord's gateway, and answering interactions. */
import { setTimeout as sleep } from 'node:timers/promises';
import { REST } from '@discordjs/rest';
import type { WebSocketManager } from '@discordjs/ws';
import {
  ChannelType,
  Client,
  DiscordjsError,
  DiscordjsErrorCodes,
  Events,
  GatewayCloseCodes,
  GatewayIntentBits,
  type Guild,
  Status,
} from 'discord.js';
import { config, required } from '#config/env.ts';
import { closeDb } from '#src/doors/db.ts';
import { askDiscord, TokenRefused } from '#src/doors/discord.ts';
import { log, withContext } from '#src/doors/log.ts';
import { beforeTelling, metrics } from '#src/doors/metrics.ts';
import { closeQueues } from '#src/doors/queue.ts';
import { openTraces } from '#src/doors/traces.ts';
import { FIRST_PAUSE_MS, LONGEST_PAUSE_MS } from '../restarts.ts';
import { endProcess, type Service } from '../run.ts';
import { type Gateway, openGateway } from './gateway.ts';
import { takeIdentifyTurn } from './identify.ts';
import { untilDiscordAnswers } from './patience.ts';
import { isFatal, type ShardMessage, ShardsToStart, sentenceOf } from './protocol.ts';

import { untilAffordable } from './session-budget.ts';
import { tellSupervisor } from './shard-metrics.ts';

const QUEUES_KEPT_MS = 60_000;
/** Interactions in hand get so long to end. ms */
const FINISH_WITHIN_MS = 20_000;

/** that have asked for a session in this process */
const identified = new Set<number>();
/** ids of guilds that are being met */
const meeting = new Set<string>();

export { ShardsToStart };

type Answering = typeof import('./answering.ts');

export const startShards = (asked: ShardsToStart): Promise<Service> =>
  withContext({ service: 'bot' }, () => start(asked));

/** Resolves when all of them are connected, however long Discord is away. */
async function start({ shards, count }: ShardsToStart): Promise<Service> {
  const token = required(config.discord.token, 'DISCORD_TOKEN');
  const inHand = new Set<Promise<void>>();
  const stopping = new AbortController();
  tellSupervisor(shards);
  const closeTraces = await openTraces(['bot']);

  const loading = Promise.withResolvers<Answering>();
  const answering = loading.promise;
  /** all that holds this thread for long is done */
  const prepared = Promise.withResolvers<void>();
  const loadAnswering = async () => {
    import('./answering.ts').then(loading.resolve, loading.reject);
    return (await answering).answers;
  };
  const connected = untilDiscordAnswers(async () => {
    const opened = openGateway({
      answers: loadAnswering,
      api: config.discord.apiUrl,
      async mayIdentify(shard, manager) {
        // A turn counts from when Postgres gave it: nothing may hold this thread until it is used.
        await prepared.promise;
        await mayIdentify(shard, manager);
      },
      onEnd(error) {
        log.error({ err: error }, 'gateway thread ended');
        endProcess();
      },
    });
    const made = makeClient({ shards, count, gateway: opened, answering, stopping: stopping.signal, inHand });
    const isReady = new Promise<void>((ready) => made.on(Events.ClientReady, () => ready()));
    try {
      await made.login(token);
    } catch (error) {
      if (error instanceof DiscordjsError && error.code === DiscordjsErrorCodes.TokenInvalid)
        tell({ fatal: sentenceOf(GatewayCloseCodes.AuthenticationFailed) });
      throw error;
    }
    await isReady;
    return { client: made, gateway: opened };
  }, isOurs);
  connected.catch(() => {}); // told below
  const { keepToRules, prepareRules, registerCommands } = await Promise.race([
    answering,
    connected.then(() => answering),
  ]);
  prepareRules();
  prepared.resolve();
  const stopFollowing = keepToRules();
  // Of all machines the one with the first shard.
  const commandsTold = shards.includes(0) && tellCommands(token, registerCommands);
  const [{ client, gateway }] = await Promise.all([connected, commandsTold]);
  beforeTelling(() => {
    metrics.ping(pingsOf(client));
    metrics.connected(connectedOf(client));
  });
  log.info({ shards, shardCount: count, guilds: client.guilds.cache.size }, 'ready');

  return {
    /** Takes nothing more, and ends what is in hand. */
    async close(reason) {
      stopping.abort();
      log.info({ shards, reason, inHand: inHand.size }, 'shards stopping');
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, FINISH_WITHIN_MS);
      });
      // What is in hand is only known once all that was deferred has come.
      const ended = gateway.stop().then(() => Promise.allSettled(inHand));
      await Promise.race([ended, late]);
      clearTimeout(timer);
      await Promise.allSettled([client.destroy(), closeQueues(), stopFollowing()]);
      await Promise.all([closeDb().catch(() => {}), closeTraces()]);
    },
  };
}

async function tellCommands(token: string, register: Answering['registerCommands']): Promise<void> {
  const { apiUrl: api, applicationId } = config.discord;
  const rest = new REST({ api, makeRequest: askDiscord }).setToken(token);
  try {
    const id = required(applicationId, 'DISCORD_APPLICATION_ID');
    await untilDiscordAnswers(() => register(rest, id));
  } catch (error) {
    const { message } = error instanceof Error ? error : new Error(String(error));
    tell({
      fatal: error instanceof TokenRefused ? message : `Discord did not take the commands: ${message}`,
    });
    throw error;
  }
}

/** discord.js was asked for what it can't do. */
function isOurs(error: unknown): boolean {
  return error instanceof DiscordjsError;
}

/** s, by shard; none of one that has heard no heartbeat yet. */
function pingsOf({ ws }: Client) {
  return [...ws.shards.values()]
    .filter(({ ping }) => ping >= 0)
    .map(({ id: shard, ping }) => [{ shard }, ping / 1_000] as const);
}

/** The first session of each was counted by the supervisor. */
async function mayIdentify(shard: number, manager: WebSocketManager): Promise<void> {
  const isAgain = identified.has(shard);
  identified.add(shard);
  const limit = async (force: boolean) => (await manager.fetchGatewayInformation(force)).session_start_limit;
  if (isAgain) await untilAffordable(1, true, () => limit(true));
  await takeIdentifyTurn(shard % (await limit(false)).max_concurrency);
}

/** By shard. */
function connectedOf({ ws }: Client) {
  return [...ws.shards.values()].map(
    ({ id: shard, status }) => [{ shard }, status === Status.Ready ? 1 : 0] as const,
  );
}

interface ClientOptions extends ShardsToStart {
  readonly gateway: Gateway;
  /** there before the first interaction is */
  readonly answering: Promise<Answering>;
  readonly stopping: AbortSignal;
  readonly inHand: Set<Promise<void>>;
}

/** One that is not logged in yet. A client whose login failed is of no further use. */
function makeClient({ shards, count, gateway, answering, stopping, inHand }: ClientOptions): Client {
  const client = new Client({
    // Interactions belong to no intent; guilds tell roles and channels.
    intents: [GatewayIntentBits.Guilds],
    shards,
    shardCount: count,
    rest: {
      api: config.discord.apiUrl,
      makeRequest: askDiscord,
      // Its own 50 a second are for what a bot asks. A shard only answers interactions, which Discord does not count among them.
      globalRequestsPerSecond: Number.POSITIVE_INFINITY,
      // It keeps a queue for each interaction's token, by itself for an hour.
      handlerSweepInterval: QUEUES_KEPT_MS,
    },
    ws: { buildStrategy: gateway.buildStrategy },
    // A prompt may say @everyone: nobody is ever called by what a person wrote.
    allowedMentions: { parse: [], repliedUser: false },
  });

  client.on(Events.InteractionCreate, (interaction) => {
    const handed = gateway.take(interaction.id);
    // "The application did not respond" is better than half a deed.
    if (stopping.aborted && !handed.deferred) return;
    const work = answering
      .then(({ dispatch }) => dispatch(interaction, handed))
      .finally(() => {
        inHand.delete(work);
        gateway.finished(interaction.id);
      });
    inHand.add(work);
  });

  // An "error" event without a listener ends the process.
  client.on(Events.Error, (error) => log.warn({ err: error }, 'discord client'));
  client.on(Events.ShardError, (error, shard) => {
    metrics.gateway({ event: 'error' });
    log.warn({ err: error, shard }, 'gateway');
  });
  client.on(Events.ShardReconnecting, (shard) => {
    if (stopping.aborted) return;
    metrics.gateway({ event: 'reconnecting' });
    log.info({ shard }, 'reconnecting');
  });
  client.on(Events.ShardReady, () => metrics.gateway({ event: 'ready' }));
  client.on(Events.ShardResume, (shard) => {
    metrics.gateway({ event: 'resumed' });
    log.info({ shard }, 'resumed');
  });
  client.on(Events.ShardDisconnect, ({ code }, shard) => {
    if (!isFatal(code)) return;
    log.error({ shard, code }, 'gateway closed for good');
    tell({ fatal: sentenceOf(code) });
    endProcess();
  });

  // Whether all that answers was loaded is told by `start`.
  // One that is not available yet has no roles and channels; it is met when it comes.
  client.on(
    Events.GuildCreate,
    (guild) =>
      void answering.then(
        (by) => meet(guild, by, stopping),
        () => {},
      ),
  );
  client.on(
    Events.GuildAvailable,
    (guild) =>
      void answering.then(
        (by) => meet(guild, by, stopping),
        () => {},
      ),
  );
  return client;
}

/** Greets a guild that is new to us: where it shows who joins, or in the first channel where we may write. */
async function meet(guild: Guild, { POSTING, meetGuild }: Answering, stopping: AbortSignal): Promise<void> {
  if (meeting.has(guild.id)) return;
  meeting.add(guild.id);
  const { id, ownerId, preferredLocale: locale } = guild;
  const me = guild.client.user;
  for (let pause = FIRST_PAUSE_MS; !stopping.aborted; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const channels = guild.channels.cache
      .filter((channel) => channel.type === ChannelType.GuildText)
      .sort((a, b) => a.rawPosition - b.rawPosition);
    const channel = [guild.systemChannel, ...channels.values()].find((one) =>
      one?.permissionsFor(me)?.has(POSTING),
    );
    try {
      await meetGuild({ id, ownerId, channelId: channel?.id ?? null, locale }, me.id);
      break;
    } catch (error) {
      log.warn({ err: error, guildId: guild.id }, 'guild not met yet');
      await sleep(pause, undefined, { signal: stopping }).catch(() => {});
    }
  }
  meeting.delete(guild.id);
}

function tell(message: ShardMessage): void {
  if (process.connected) process.send?.(message);
}
