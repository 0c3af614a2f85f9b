/**
 * Keeps the bot's shards alive. Each is a process of its own: one malformed event can end a discord.js process, and then
 * the other shards' guilds notice nothing.
 *
 * A shard that ends by itself starts again after a pause that doubles each time, and is short again once it ran well for a
 * minute. What trying again can't mend (a refused token) ends the bot with a sentence.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  type APIGatewayBotInfo,
  DiscordAPIError,
  GatewayCloseCodes,
  HTTPError,
  REST,
  Routes,
} from 'discord.js';
import { config, required } from '#config/env.ts';
import { log } from '#src/doors/log.ts';
import { ShardMessage, sentenceOf } from './protocol.ts';
import { registerCommands } from './register.ts';

const SHARD = fileURLToPath(new URL('./shard.ts', import.meta.url));
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** A shard that ran so long was well. */
const HEALTHY_MS = 60_000;
/** A shard ends what it has in hand within 20 s. */
const KILL_AFTER_MS = 25_000;
/** Discord takes `max_concurrency` new sessions in this time, over all shards. */
const IDENTIFY_EVERY_MS = 5_000;

export interface Bot {
  /** One a shard, for tests and for people who look for the process. */
  readonly pids: readonly (number | undefined)[];
  close(): Promise<void>;
}

export interface BotOptions {
  /** the module of a shard's process */
  readonly shard?: string;
  /** pause after the first crash, ms */
  readonly pauseMs?: number;
  /** told why the bot can't go on, after it was ready once; ends the process unless given */
  readonly onFatal?: (reason: string) => void;
}

/** Resolves when every shard is connected. @throws {Error} with a sentence for the operator */
export async function startBot(options: BotOptions = {}): Promise<Bot> {
  const { shard: file = SHARD, pauseMs = FIRST_PAUSE_MS, onFatal = endProcess } = options;
  const token = required(config.discord.token, 'DISCORD_TOKEN');
  const applicationId = required(config.discord.applicationId, 'DISCORD_APPLICATION_ID');
  const rest = new REST({ api: config.discord.apiUrl }).setToken(token);

  const gateway = await askGateway(rest);
  await registerCommands(rest, applicationId);
  const count = config.discord.shards === 'auto' ? gateway.shards : config.discord.shards;
  const mayIdentify = pacer(gateway.session_start_limit.max_concurrency);
  log.info({ shards: count }, 'starting shards');

  const closing = new AbortController();
  setMaxListeners(0, closing.signal); // each shard listens
  let isReady = false;
  const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>();
  const shards = Array.from({ length: count }, (_, id) =>
    keepAlive({
      start: async () => {
        await mayIdentify(closing.signal);
        return fork(file, [String(id), String(count)]);
      },
      id,
      pauseMs,
      closing: closing.signal,
      onFatal(code) {
        const reason = sentenceOf(code);
        log.error({ shard: id, code }, reason);
        if (!isReady) giveUp(new Error(reason));
        else void close().then(() => onFatal(reason));
      },
    }),
  );
  const close = async () => {
    closing.abort();
    await Promise.all(shards.map((shard) => shard.ended));
  };

  try {
    await Promise.race([Promise.all(shards.map((shard) => shard.ready)), givenUp]);
  } catch (error) {
    await close();
    throw error;
  }
  isReady = true;
  return {
    get pids() {
      return shards.map((shard) => shard.pid());
    },
    close,
  };
}

interface KeptShard {
  readonly id: number;
  readonly pauseMs: number;
  readonly closing: AbortSignal;
  start(): Promise<ChildProcess>;
  /** Trying again would give the same. */
  onFatal(code: number): void;
}

/** Runs one shard's process again and again until `closing`. */
function keepAlive({ id, pauseMs, closing, start, onFatal }: KeptShard) {
  let child: ChildProcess | undefined;
  const { promise: ready, resolve: becameReady } = Promise.withResolvers<void>();

  const ended = (async () => {
    for (let failures = 0; !closing.aborted; ) {
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

      failures = Date.now() - startedAt > HEALTHY_MS ? 1 : failures + 1;
      const pause = Math.min(pauseMs * 2 ** (failures - 1), LONGEST_PAUSE_MS);
      log.warn({ shard: id, how, failures, pauseMs: pause }, 'shard ended, starting it again');
      await sleep(pause, undefined, { signal: closing }).catch(() => {});
    }
  })();
  return { ready, ended, pid: () => child?.pid };
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

/** Lets `concurrency` through in each 5 s: more identifies at once are refused, and cost one of the day's thousand. */
function pacer(concurrency: number): (signal: AbortSignal) => Promise<void> {
  const passed: number[] = [];
  let turn = Promise.resolve();
  return (signal) => {
    turn = turn.then(async () => {
      const before = passed.length >= concurrency ? passed.shift() : undefined;
      const wait = before === undefined ? 0 : before + IDENTIFY_EVERY_MS - Date.now();
      if (wait > 0) await sleep(wait, undefined, { signal }).catch(() => {});
      passed.push(Date.now());
    });
    return turn;
  };
}

/** How many shards Discord recommends, and how fast they may start. Waits for a Discord that is away for a moment. */
async function askGateway(rest: REST): Promise<APIGatewayBotInfo> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return (await rest.get(Routes.gatewayBot())) as APIGatewayBotInfo;
    } catch (error) {
      if (error instanceof DiscordAPIError && error.status === 401) {
        throw new Error(sentenceOf(GatewayCloseCodes.AuthenticationFailed), { cause: error });
      }
      if (error instanceof DiscordAPIError || error instanceof HTTPError) {
        log.warn({ status: error.status, pauseMs: pause }, 'Discord does not answer yet');
      } else log.warn({ err: error, pauseMs: pause }, 'Discord is out of reach');
      await sleep(pause);
    }
  }
}

function endProcess(reason: string): void {
  process.stderr.write(`\nbot: ${reason}\n`);
  process.exit(1);
}
