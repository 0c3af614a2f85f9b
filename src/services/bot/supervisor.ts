/**
 * Keeps the bot's shards alive, in processes of up to sixteen: one malformed event can end a discord.js process, and then the
 * other processes' guilds notice nothing. A process takes some 200 MiB, a shard in it next to none.
 *
 * A process that ends by itself starts again after a pause that doubles each time, and is short again once it ran well for a
 * minute. What trying again can't mend (a refused token) ends the bot with a sentence.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import inspector from 'node:inspector';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type APIGatewayBotInfo, GatewayCloseCodes, REST, Routes } from 'discord.js';
import { config, required } from '#config/env.ts';
import { askDiscord, TokenRefused } from '#src/doors/discord.ts';
import { log } from '#src/doors/log.ts';
import { tellAlso } from '#src/doors/metrics.ts';
import { FIRST_PAUSE_MS, restarts } from '../restarts.ts';
import { endProcess } from '../run.ts';
import { untilDiscordAnswers } from './patience.ts';
import { ShardMessage, sentenceOf } from './protocol.ts';
import { registerCommands } from './register.ts';
import { metricsOf } from './shard-metrics.ts';

const SHARD = fileURLToPath(new URL('./shard.ts', import.meta.url));
const SHARDS_PER_PROCESS = 16;
/** A process ends what it has in hand within 20 s. */
const KILL_AFTER_MS = 25_000;
/** Discord takes `max_concurrency` new sessions in this time, over all shards. */
const IDENTIFY_EVERY_MS = 5_000;

export interface Bot {
  /** One for each process of shards, for tests and for people who look for it. */
  readonly pids: readonly (number | undefined)[];
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
  const { shard: file = SHARD, pauseMs = FIRST_PAUSE_MS, onFatal = endWith } = options;
  const { shardsPerProcess = SHARDS_PER_PROCESS } = options;
  const token = required(config.discord.token, 'DISCORD_TOKEN');
  const applicationId = required(config.discord.applicationId, 'DISCORD_APPLICATION_ID');
  const rest = new REST({ api: config.discord.apiUrl, makeRequest: askDiscord }).setToken(token);

  const gateway = await askGateway(rest);
  await untilDiscordAnswers(() => registerCommands(rest, applicationId));
  const count = config.discord.shards === 'auto' ? gateway.shards : config.discord.shards;
  const mayIdentify = pacer(gateway.session_start_limit.max_concurrency);
  log.info({ shards: count }, 'starting shards');

  // `--inspect` means the shards, where people are answered. They inherit it, and take the port that is free then.
  if (inspector.url()) inspector.close();

  const closing = new AbortController();
  setMaxListeners(0, closing.signal); // each process has one
  let isReady = false;
  const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>();
  const processes = evenly(count, shardsPerProcess).map((shards) =>
    keepAlive({
      start: async () => {
        await mayIdentify(shards.length, closing.signal);
        return fork(file, [shards.join(), String(count)]);
      },
      shards,
      pauseMs,
      closing: closing.signal,
      onFatal(code) {
        const reason = sentenceOf(code);
        log.error({ shards, code }, reason);
        if (!isReady) giveUp(new Error(reason));
        else void close().then(() => onFatal(reason));
      },
    }),
  );
  const stopTelling = processes.map(({ child }) => tellAlso(() => metricsOf(child())));
  const close = async () => {
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
  return {
    get pids() {
      return processes.map(({ child }) => child()?.pid);
    },
    close,
  };
}

/** 0 … count − 1 in as few parts as have at most `most` each, and as nearly the same number. */
function evenly(count: number, most: number): number[][] {
  const parts = Math.ceil(count / most);
  const first = (part: number) => Math.ceil((part * count) / parts);
  return Array.from({ length: parts }, (_, part) =>
    Array.from({ length: first(part + 1) - first(part) }, (_, i) => first(part) + i),
  );
}

interface KeptProcess {
  readonly shards: readonly number[];
  readonly pauseMs: number;
  readonly closing: AbortSignal;
  start(): Promise<ChildProcess>;
  /** Trying again would give the same. */
  onFatal(code: number): void;
}

/** Runs one process again and again until `closing`. */
function keepAlive({ shards, pauseMs, closing, start, onFatal }: KeptProcess) {
  let child: ChildProcess | undefined;
  const { promise: ready, resolve: becameReady } = Promise.withResolvers<void>();

  const ended = (async () => {
    const again = restarts(pauseMs);
    while (!closing.aborted) {
      const startedAt = Date.now();
      child = await start().catch(() => undefined);
      if (!child || closing.aborted) return void child?.kill('SIGTERM');

      let fatal: number | undefined;
      child.on('message', (raw) => {
        const message = ShardMessage.safeParse(raw);
        if (!message.success) return;
        if ('ready' in message.data) becameReady();
        else fatal = message.data.fatal;
      });
      const how = await untilExit(child, closing);
      if (closing.aborted) return;
      if (fatal !== undefined) return onFatal(fatal);

      const restart = again(Date.now() - startedAt);
      log.warn({ shards, how, ...restart }, 'shards ended, starting them again');
      await sleep(restart.pauseMs, undefined, { signal: closing }).catch(() => {});
    }
  })();
  return { ready, ended, child: () => child };
}

/** How it ended: a signal's name or an exit code. When `closing` comes first, it is asked to end, then made to. */
function untilExit(child: ChildProcess, closing: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    let late: NodeJS.Timeout | undefined;
    const stop = () => {
      child.kill('SIGTERM');
      late = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
    };
    closing.addEventListener('abort', stop, { once: true });
    const done = (how: string) => {
      closing.removeEventListener('abort', stop);
      clearTimeout(late);
      resolve(how);
    };
    child.once('exit', (code, signal) => done(signal ?? String(code)));
    child.once('error', (error) => done(error.message)); // it could not even be started
  });
}

/**
 * Lets a process start when its shards may identify: `concurrency` of all shards in each 5 s. More at once are refused, and each
 * costs one of the day's thousand. The shards of one process pace themselves.
 */
function pacer(concurrency: number): (shards: number, signal: AbortSignal) => Promise<void> {
  /** of the latest identifies, when each was or will be */
  const times: number[] = [];
  let turn = Promise.resolve();
  return (shards, signal) => {
    turn = turn.then(async () => {
      const together = Math.min(shards, concurrency);
      const before = times.at(together - 1 - concurrency);
      const now = Date.now();
      const start = before === undefined ? now : Math.max(now, before + IDENTIFY_EVERY_MS);
      for (let i = 0; i < shards; i++) times.push(start + Math.floor(i / concurrency) * IDENTIFY_EVERY_MS);
      times.splice(0, times.length - concurrency);
      if (start > now) await sleep(start - now, undefined, { signal }).catch(() => {});
    });
    return turn;
  };
}

/** How many shards Discord recommends, and how fast they may start. */
async function askGateway(rest: REST): Promise<APIGatewayBotInfo> {
  try {
    return (await untilDiscordAnswers(() => rest.get(Routes.gatewayBot()))) as APIGatewayBotInfo;
  } catch (error) {
    const isRefused = error instanceof TokenRefused;
    throw isRefused ? new Error(sentenceOf(GatewayCloseCodes.AuthenticationFailed), { cause: error }) : error;
  }
}

function endWith(reason: string): void {
  process.stderr.write(`\nbot: ${reason}\n`);
  endProcess();
}
