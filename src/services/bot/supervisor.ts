/**
 * Keeps the bot's shards alive, or those of them that this machine carries, in processes of up to sixteen: one malformed event can end
 * a discord.js process, and then the other processes' guilds notice nothing. A process takes some 200 MiB, a shard in it next to none.
 *
 * A process that ends by itself starts again after a pause that doubles each time, and is short again once it ran well for a
 * minute. What trying again can't mend (a refused token) ends the bot with a sentence. On SIGUSR2 all of them are started anew, one
 * after the other: each is there before the one that it stands in for stops, so that nobody waits. What comes to both is done once, as
 * always, by the interaction's id.
 */
import type { ChildProcess } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { REST } from '@discordjs/rest';
import { type APIGatewayBotInfo, GatewayCloseCodes, Routes } from 'discord-api-types/v10';
import { config, required } from '#config/env.ts';
import { askDiscord, TokenRefused } from '#src/doors/discord.ts';
import { log } from '#src/doors/log.ts';
import { metrics, tellAlso } from '#src/doors/metrics.ts';
import { FIRST_PAUSE_MS, restarts } from '../restarts.ts';
import { endProcess } from '../run.ts';
import { untilDiscordAnswers } from './patience.ts';
import { ShardMessage, sentenceOf } from './protocol.ts';
import { untilAffordable } from './session-budget.ts';
import { metricsOf } from './shard-metrics.ts';
import { shardProcess } from './shard-process.ts';

const SHARDS_PER_PROCESS = 16;
/** A process ends what it has in hand within 20 s. */
const KILL_AFTER_MS = 25_000;

export interface Bot {
  /** One for each process of shards, for tests and for people who look for it. */
  readonly pids: readonly (number | undefined)[];
  /** Starts every process anew, one after the other. @throws {Error} when one does not come: it and those after it stay as they are */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export interface BotOptions {
  /** the module of such a process */
  readonly shard?: string;
  /** most in one process */
  readonly shardsPerProcess?: number;
  /** pause after the first crash, ms */
  readonly pauseMs?: number;
  /** told why the bot can't go on, after it was ready once; ends the process unless given */
  readonly onFatal?: (reason: string) => void;
}

/** Resolves when every shard is connected. @throws {Error} with a sentence for the operator */
export async function startBot(options: BotOptions = {}): Promise<Bot> {
  const { shard: file, pauseMs = FIRST_PAUSE_MS, onFatal = endWith } = options;
  const { shardsPerProcess = SHARDS_PER_PROCESS } = options;
  const token = required(config.discord.token, 'DISCORD_TOKEN');
  required(config.discord.applicationId, 'DISCORD_APPLICATION_ID'); // the shards need it: told at once
  const rest = new REST({ api: config.discord.apiUrl, makeRequest: askDiscord }).setToken(token);

  const ask = async () => (await rest.get(Routes.gatewayBot())) as APIGatewayBotInfo;
  const gateway = await askGateway(ask);
  const count = config.discord.shards === 'auto' ? gateway.shards : config.discord.shards;
  const mine = config.discord.shardIds ?? Array.from({ length: count }, (_, shard) => shard);
  // Discord lets few ask, so what it has just said is the first answer.
  let told: APIGatewayBotInfo | null = gateway;
  const askLimit = async () => {
    const { session_start_limit: limit } = told ?? (await ask());
    told = null;
    return limit;
  };
  metrics.shards([[{}, mine.length]]);
  log.info({ shards: mine.length, of: count }, 'starting shards');

  const closing = new AbortController();
  setMaxListeners(0, closing.signal); // each process has one
  let isReady = false;
  const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>();
  await untilAffordable(mine.length, false, askLimit, closing.signal);
  const processes = evenly(mine, shardsPerProcess).map((shards) =>
    keepAlive({
      start: () => shardProcess({ shards, count }, file),
      affordable: () => untilAffordable(shards.length, true, askLimit, closing.signal),
      shards,
      pauseMs,
      closing: closing.signal,
      onFatal(reason) {
        log.error({ shards }, reason);
        if (!isReady) giveUp(new Error(reason));
        else void close().then(() => onFatal(reason));
      },
    }),
  );
  const stopTelling = processes.map(({ child }) => tellAlso(() => metricsOf(child())));
  let restarting = Promise.resolve();
  const restart = () => {
    restarting = restarting
      .catch(() => {}) // whoever asked for it was told
      .then(async () => {
        for (const { replace } of processes) await replace();
        log.info({ shards: mine.length }, 'all shards run anew');
      });
    return restarting;
  };
  const hear = () => {
    restart().catch((error: unknown) => log.error({ err: error }, 'shards not started anew'));
  };
  const close = async () => {
    process.off('SIGUSR2', hear);
    for (const stop of stopTelling) stop();
    closing.abort();
    await Promise.all(processes.map(({ ended }) => ended));
  };

  try {
    await Promise.race([Promise.all(processes.map(({ ready }) => ready)), givenUp]);
  } catch (error) {
    await close();
    throw error;
  }
  isReady = true;
  process.on('SIGUSR2', hear);
  return {
    get pids() {
      return processes.map(({ child }) => child()?.pid);
    },
    restart,
    close,
  };
}

/** In as few parts as have at most `most` each, and as nearly the same number. */
function evenly(shards: readonly number[], most: number): number[][] {
  const parts = Math.ceil(shards.length / most);
  const first = (part: number) => Math.ceil((part * shards.length) / parts);
  return Array.from({ length: parts }, (_, part) => shards.slice(first(part), first(part + 1)));
}

interface KeptProcess {
  readonly shards: readonly number[];
  readonly pauseMs: number;
  readonly closing: AbortSignal;
  start(): ChildProcess;
  /** Resolves when its shards may start again by themselves. */
  affordable(): Promise<void>;
  /** Trying again would give the same. */
  onFatal(reason: string): void;
}

/** A process that was started. */
interface Running {
  readonly child: ChildProcess;
  readonly startedAt: number;
  /** its shards are connected */
  readonly ready: Promise<void>;
  /** how it ended */
  readonly ended: Promise<string>;
  /** why it must not be started again */
  fatal: string | undefined;
}

/** Runs one process again and again until `closing`. */
function keepAlive({ shards, pauseMs, closing, start, affordable, onFatal }: KeptProcess) {
  const { promise: ready, resolve: becameReady } = Promise.withResolvers<void>();
  const launch = () => {
    const running = watch(start(), closing);
    void running.ready.then(becameReady);
    return running;
  };
  let running = launch();
  /** what takes over once the one before has ended */
  let next: Running | undefined;

  const ended = (async () => {
    const again = restarts(pauseMs);
    for (;;) {
      const how = await running.ended;
      if (closing.aborted) return void (await next?.ended);
      if (!next) {
        if (running.fatal !== undefined) return onFatal(running.fatal);
        const restart = again(Date.now() - running.startedAt);
        log.warn({ shards, how, ...restart }, 'shards ended, starting them again');
        await sleep(restart.pauseMs, undefined, { signal: closing }).catch(() => {});
        await affordable();
        if (closing.aborted) return;
      }
      // One that came meanwhile to stand in for it is enough.
      running = next ?? launch();
      next = undefined;
    }
  })();

  /** @throws {Error} when the new one ends before it is there */
  const replace = async () => {
    await affordable();
    if (closing.aborted) return;
    const before = running;
    const fresh = launch();
    const how = await Promise.race([fresh.ready.then(() => null), fresh.ended]);
    if (how !== null)
      throw new Error(`Shards ${shards.join()} did not start anew: the process ended with ${how}`);
    // Had the one before ended meanwhile, it was started again itself.
    if (running !== before || closing.aborted) return stop(fresh.child);
    next = fresh;
    stop(before.child);
    await before.ended;
  };
  return { ready, ended, replace, child: () => running.child };
}

function watch(child: ChildProcess, closing: AbortSignal): Running {
  const { promise: ready, resolve: becameReady } = Promise.withResolvers<void>();
  const running: Running = {
    child,
    startedAt: Date.now(),
    ready,
    ended: untilExit(child, closing),
    fatal: undefined,
  };
  child.on('message', (raw) => {
    const { success, data } = ShardMessage.safeParse(raw);
    if (!success) return;
    if ('ready' in data) becameReady();
    else running.fatal = data.fatal;
  });
  return running;
}

/** Asks a process to end, then makes it. */
function stop(child: ChildProcess): void {
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
  child.once('exit', () => clearTimeout(late));
}

/** How it ended: a signal's name or an exit code. When `closing` comes first, it is asked to end. */
function untilExit(child: ChildProcess, closing: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const end = () => stop(child);
    closing.addEventListener('abort', end, { once: true });
    const done = (how: string) => {
      closing.removeEventListener('abort', end);
      resolve(how);
    };
    child.once('exit', (code, signal) => done(signal ?? String(code)));
    child.once('error', (error) => done(error.message)); // it could not even be started
  });
}

/** How many shards Discord recommends, and how fast they may start. */
async function askGateway(ask: () => Promise<APIGatewayBotInfo>): Promise<APIGatewayBotInfo> {
  try {
    return await untilDiscordAnswers(ask);
  } catch (error) {
    const isRefused = error instanceof TokenRefused;
    throw isRefused ? new Error(sentenceOf(GatewayCloseCodes.AuthenticationFailed), { cause: error }) : error;
  }
}

function endWith(reason: string): void {
  process.stderr.write(`\nbot: ${reason}\n`);
  endProcess();
}
