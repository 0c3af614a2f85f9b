/**
 * The gateway's thread: the shards' sockets, and the first answer to what comes by them. An interaction that can be deferred is so
 * here, before any other work and however busy the main thread is, which gets it once Discord has that. What the main thread has in
 * hand is counted here too: whoever asks for more reads so at once, and it hears nothing of them.
 *
 * Nothing here waits for the main thread; so sessions are kept here, and heartbeats go out while it computes.
 */
import { once } from 'node:events';
import { setPriority } from 'node:os';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { DiscordAPIError, REST } from '@discordjs/rest';
import {
  type IContextFetchingStrategy,
  type SessionInfo,
  WebSocketShard,
  WebSocketShardEvents,
} from '@discordjs/ws';
import {
  type APIInteraction,
  type APIInteractionResponse,
  GatewayDispatchEvents,
  InteractionType,
  RESTJSONErrorCodes,
  Routes,
} from 'discord-api-types/v10';
import { languageOf } from '#config/locales.ts';
import { askDiscord } from '#src/doors/discord.ts';
import { log } from '#src/doors/log.ts';
import { metrics } from '#src/doors/metrics.ts';
import { type Full, openPlaces } from '#src/places.ts';
import {
  type Answers,
  type Deferral,
  type Deferred,
  deferralAs,
  deferralOf,
  refusalOf,
  wordFor,
} from './first-answer.ts';
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

const DISCORD_EPOCH_MS = 1_420_070_400_000;
/** Niceness; it has nine times the weight of a thread with none. */
const FIRST = -10;

const port: MessagePort = here(parentPort);
const say = (told: Told) => port.postMessage(told);
// Messages come one by one: what follows is here before the second.
const [told] = await once(port, 'message');
const { shards: ids, options, refusals, api } = told as ThreadData;
const { promise: commands, resolve: knowCommands } = Promise.withResolvers<Answers>();

const rest = new REST({ api, makeRequest: askDiscord });
/** what waits for when it may identify */
const turns = new Map<number, PromiseWithResolvers<void>>();
let lastTurn = 0;
const sessions = new Map<number, SessionInfo>();
const strategy: IContextFetchingStrategy = {
  options,
  retrieveSessionInfo: (shard) => sessions.get(shard) ?? null,
  updateSessionInfo(shard, session) {
    // Its sequence changes with every event, and is of use here alone.
    if (session?.sessionId !== sessions.get(shard)?.sessionId) say({ kind: 'session', shard, session });
    if (session) sessions.set(shard, session);
    else sessions.delete(shard);
  },
  waitForIdentify: mayIdentify,
};
const shards = new Map(ids.map((id) => [id, listenTo(new WebSocketShard(strategy, id))]));

goFirst();

let isStopping = false;
/** what is not handed over yet */
const answering = new Set<Promise<void>>();
const places = openPlaces(IN_HAND);
/** Apart, as whoever types fast is not to be refused what they typed. */
const placesToSuggest = openPlaces(IN_HAND);
/** interaction → gives its place back */
const inHand = new Map<string, () => void>();

port.on('message', (asked: Asked | CommandsKnown | Finished | MayIdentify) => {
  if (asked.what === 'commands') return knowCommands(asked.answers);
  if (asked.what === 'may identify') {
    const turn = turns.get(asked.turn);
    turns.delete(asked.turn);
    if (asked.error) turn?.reject(asked.error);
    else turn?.resolve();
    return;
  }
  if (asked.what === 'finished') {
    inHand.get(asked.interactionId)?.();
    inHand.delete(asked.interactionId);
    return;
  }
  const { id } = asked;
  follow(asked).then(
    (result) => say({ kind: 'done', id, result }),
    (error: unknown) => say({ kind: 'failed', id, error: errorOf(error) }),
  );
});

async function follow(asked: Asked): Promise<unknown> {
  const all = [...shards.values()];
  switch (asked.what) {
    case 'connect':
      return void (await Promise.all(all.map((shard) => shard.connect())));
    case 'destroy':
      return void (await Promise.all(all.map((shard) => shard.destroy(asked.options))));
    case 'stop':
      isStopping = true;
      return void (await Promise.all(answering));
    case 'send':
      return shards.get(asked.shard)?.send(asked.payload);
  }
}

/** All processes of the bot take turns: the main thread knows when. A socket that is closed meanwhile has lost its turn. */
function mayIdentify(shard: number, signal: AbortSignal): Promise<void> {
  const turn = ++lastTurn;
  const waiting = Promise.withResolvers<void>();
  turns.set(turn, waiting);
  signal.addEventListener('abort', () => {
    turns.delete(turn);
    waiting.reject(signal.reason);
  });
  say({ kind: 'identify', shard, turn });
  return waiting.promise;
}

function listenTo(shard: WebSocketShard): WebSocketShard {
  const pass = (event: WebSocketShardEvents, data: object = {}, interaction?: Handed) =>
    say({ kind: 'event', event, shard: shard.id, data, ...(interaction && { interaction }) });
  const { Closed, Dispatch, Error: Failed, HeartbeatComplete, Hello, Ready, Resumed } = WebSocketShardEvents;

  for (const event of [Closed, Failed, HeartbeatComplete, Hello, Ready, Resumed] as const)
    shard.on(event, (data?: object) => pass(event, data));
  shard.on(Dispatch, (told) => {
    const { data: packet } = told;
    if (packet.t !== GatewayDispatchEvents.InteractionCreate) return pass(Dispatch, told);
    if (isStopping) return; // "The application did not respond" is better than half a deed
    const work = hear(packet.d, (handed) => pass(Dispatch, told, handed));
    answering.add(work);
    void work.then(() => answering.delete(work));
  });
  return shard;
}

/** Never rejects. @param handOver to the main thread */
async function hear(interaction: APIInteraction, handOver: (handed: Handed) => void): Promise<void> {
  const { id, type, user, member } = interaction;
  if (inHand.has(id)) return; // a shard that comes back may be told again
  const personId = (member?.user ?? user)?.id ?? '';
  const room = type === InteractionType.ApplicationCommandAutocomplete ? placesToSuggest : places;
  const full = room.take(personId);
  if (full) return refuse(interaction, full, await commands);
  inHand.set(id, () => room.leave(personId));
  const answers = await commands;
  const deferral = deferralOf(interaction, answers);
  const deferred = deferral && (await defer(interaction, deferral));
  handOver({ id, command: wordFor(interaction, answers), deferred });
}

/** Never rejects. */
async function defer(interaction: APIInteraction, by: Deferral): Promise<Deferred> {
  try {
    await callBack(interaction, deferralAs(by));
    return { by, at: Date.now() };
  } catch (error) {
    return { error: errorOf(error) };
  }
}

/** There is no place for it. Never rejects. */
async function refuse(interaction: APIInteraction, full: Full, answers: Answers): Promise<void> {
  const { id, type, guild_id: guildId } = interaction;
  const command = wordFor(interaction, answers);
  let answer: 'refused' | 'unanswered' = 'refused';
  try {
    await callBack(interaction, refusalOf(interaction, refusals[languageOf(localeOf(interaction))][full]));
    const by = type === InteractionType.ApplicationCommandAutocomplete ? 'choices' : 'reply';
    metrics.acknowledged({ by }, (Date.now() - madeAt(interaction)) / 1_000);
  } catch (err) {
    log.warn({ err, service: 'bot', interactionId: id, guildId, command }, 'interaction not answered');
    answer = 'unanswered';
  }
  metrics.interaction({ command, answer });
  log.debug({ service: 'bot', interactionId: id, guildId, command, type, answer, full }, 'interaction');
}

async function callBack({ id, token }: APIInteraction, body: APIInteractionResponse): Promise<void> {
  try {
    await rest.post(Routes.interactionCallback(id, token), { body, auth: false });
  } catch (error) {
    const done = RESTJSONErrorCodes.InteractionHasAlreadyBeenAcknowledged;
    // A first try came through although it was answered with a 5xx. Or another process has this interaction too: what
    // follows happens once all the same, by the interaction's id and by the conditions of each update.
    if (!(error instanceof DiscordAPIError && error.code === done)) throw error;
  }
}

/** ms since the epoch, as its id has it */
function madeAt({ id }: APIInteraction): number {
  return Number(BigInt(id) >> 22n) + DISCORD_EPOCH_MS;
}

function localeOf(interaction: APIInteraction): string | undefined {
  return 'locale' in interaction ? interaction.locale : undefined;
}

/** Where there is too little CPU for all: what it does takes less than a ms each time. Linux has niceness by thread. */
function goFirst(): void {
  if (process.platform !== 'linux') return;
  try {
    setPriority(0, FIRST);
  } catch {
    // Not everybody may: then it is one among others.
  }
}

function errorOf(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

function here(found: MessagePort | null): MessagePort {
  if (!found) throw new Error('gateway-thread.ts runs as a worker thread');
  return found;
}
