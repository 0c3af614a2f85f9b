/** All of Atelier on this machine, in as many processes as there are services, with two workers; each can be got at. */
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Sandbox } from '#infra/local/discord/sandbox.ts';
import { prepareMachine } from '#infra/local/machine.ts';
import { descendants } from '#infra/local/pause.ts';
import { type ServiceProcess, serviceProcess } from '#infra/local/processes.ts';
import { setUpServers } from '#infra/local/set-up.ts';
import type { Ground, Outside } from './ground.ts';
import { SERVICES, type Target } from './plan.ts';
import type { Account } from './reader/discord.ts';

export type Service = (typeof SERVICES)[number];

export interface Stage {
  readonly databaseUrl: string;
  readonly filesDir: string;
  readonly logDir: string;
  readonly discord: Account;
  readonly sandbox: Sandbox;
  readonly webUrl: string;
  readonly postgres: Outside;
  readonly redis: Outside | null;
  /** one for each time that a service ended, and we had not ended it */
  readonly ends: readonly string[];
  /** of a running process; undefined between two starts */
  pidOf(target: Target): number | undefined;
  /** Ends it; that it ends is no fault then. */
  signal(target: Target, signal: 'SIGKILL' | 'SIGTERM'): boolean;
  service(name: Service): ServiceProcess;
  /** Its shards have said that they are connected, and nobody has told them to end. */
  isBotReady(): boolean;
  close(): Promise<void>;
}

/** Prepared once, kept between runs. */
const BUNDLES = resolve('.atelier/torture/bundles');

/** @param root an empty folder, which DATA_DIR is set to */
export async function setStage(root: string, { postgres, redis }: Ground): Promise<Stage> {
  const closers: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const undo of closers.splice(0).reverse()) await undo();
  };
  try {
    const dir = join(root, '1');
    await mkdir(BUNDLES, { recursive: true });
    await mkdir(dir);
    await symlink(BUNDLES, join(dir, 'bundles'));
    const machine = await prepareMachine({ dataDir: root, bundles: ['reference', 'noir'] });
    closers.push(machine.close);
    const { sandbox, webUrl } = machine;
    // For one of the two.
    const env: Readonly<Record<string, string>> = { ...machine.env, WORKER_MEMORY: '0.3' };
    if (!sandbox) throw new Error('DISCORD_TOKEN is set: this types into the local Discord alone.');

    const logDir = join(dir, 'logs');
    await mkdir(logDir);
    const ends: string[] = [];
    const kept = Object.fromEntries(
      SERVICES.map((name) => {
        const log = createWriteStream(join(logDir, `${name}.log`));
        closers.push(() => new Promise((done) => log.end(done)));
        return [name, keep(name, env, log, ends)];
      }),
    ) as Record<Service, Kept>;
    closers.push(() => Promise.all(SERVICES.map((name) => kept[name].process.stop())));
    await Promise.all(SERVICES.map((name) => kept[name].process.start()));
    await setUpServers(sandbox);

    /** pids */
    const ending = new Set<number>();
    const pidOf = (target: Target) => {
      const pid = kept[target === 'shards' ? 'bot' : target].pid();
      return target === 'shards' && pid ? descendants(pid)[0] : pid;
    };
    return {
      ...{ databaseUrl: postgres.url, logDir, sandbox, webUrl, postgres, redis, ends, close, pidOf },
      filesDir: join(dir, 'files'),
      discord: { apiUrl: sandbox.apiUrl, token: env.DISCORD_TOKEN ?? '' },
      signal(target, signal) {
        const pid = pidOf(target);
        if (!pid) return false;
        if (target === 'shards') kept.bot.shardsEnded++;
        else kept[target].ended++;
        ending.add(pid);
        process.kill(pid, signal);
        return true;
      },
      isBotReady() {
        const [bot, shards] = [pidOf('bot'), pidOf('shards')];
        if (!bot || !shards || ending.has(bot) || ending.has(shards)) return false;
        return kept.bot.readyShards === shards;
      },
      service: (name) => kept[name].process,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Kept {
  readonly process: ServiceProcess;
  /** how often we ended it, and were not told of it yet */
  ended: number;
  /** of the bot: the same of the process that it keeps itself */
  shardsEnded: number;
  /** pid of the one that was connected last */
  readyShards: number | undefined;
  pid(): number | undefined;
}

function keep(name: Service, env: Readonly<Record<string, string>>, log: WriteStream, ends: string[]): Kept {
  const service = name.replace(/-\d$/, '');
  const own: Kept = {
    ended: 0,
    shardsEnded: 0,
    readyShards: undefined,
    pid: () => (own.process.pid && isAlive(own.process.pid) ? own.process.pid : undefined),
    process: serviceProcess([service], {
      env,
      onLine(line) {
        log.write(`${line}\n`);
        const [, ready] = /"pid":(\d+).*"guilds":\d+,"msg":"ready"/.exec(line) ?? [];
        if (ready) own.readyShards = Number(ready);
        if (!line.includes('"shards ended, starting them again"')) return;
        if (own.shardsEnded > 0) own.shardsEnded--;
        else ends.push(`shards: ${line}`);
      },
      print(line) {
        if (own.ended > 0) own.ended--;
        else ends.push(`${name}: ${line}`);
      },
    }),
  };
  return own;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
