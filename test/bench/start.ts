/**
 * How soon services take work, and what they hold then: each alone, beside a bare import of its largest library, and the bot and the
 * worker beside what does as much with the library alone; and the whole demo as it is typed for the second time, npm and Postgres
 * included, and while nobody does anything.
 */
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { bundles } from '#config/bundles.ts';
import { childEnv, config } from '#config/env.ts';
import { prepareMachine } from '#infra/local/machine.ts';
import { NEW_SPACE, serviceProcess } from '#infra/local/processes.ts';
import { type Goal, median, say } from './goal.ts';
import { mibOf, type Taken, takenBy } from './process-tree.ts';

const ROUNDS = 3;
const BARE = fileURLToPath(new URL('./bare-start.ts', import.meta.url));
/** Mecene loads its own with the first idea: it stands here for what that spares. */
const LARGEST: Readonly<Record<string, string>> = {
  bot: 'discord.js',
  worker: 'onnxruntime-node',
  courier: '@discordjs/rest',
  mecene: '@langchain/langgraph',
  web: 'fastify',
};
/** What does as much as a service with the library alone; a worker's networks are open when it takes work. */
const BESIDE: Readonly<Record<string, (dir: string) => readonly string[]>> = {
  bot: () => ['login'],
  worker: (dir) => ['worker', join(dir, bundles.get('reference')?.path ?? '')],
};
/** Connections that are only needed at the start are closed after 10 s: the most is before. */
const WATCH_MS = 12_000;
const SESSIONS_APART_MS = 5_300;
const IDLE_MS = 20_000;
/** Of a cluster; what a further shard takes is told by the difference. */
const SHARDS = 16;
/** As many as the local Discord wants at least. */
const FEW_SHARDS = 2;
const DATA_DIR = join(config.dataDir, 'bench');

type Start = Taken & {
  readonly seconds: number;
  /** of the first process, without what it started */
  readonly alone: number;
};

export async function start(): Promise<readonly Goal[]> {
  if (process.platform !== 'linux') throw new Error('start reads /proc, which only Linux has.');
  if (config.discord.token) throw new Error('start starts the local Discord: unset DISCORD_TOKEN.');
  say('cores', String(cpus().length));

  const goals: Goal[] = [];
  const machine = await prepareMachine({ dataDir: DATA_DIR });
  const { env } = machine;
  try {
    for (const [name, library] of Object.entries(LARGEST)) {
      const service = await middle(() => startService(name, env));
      say(name, told(service));
      say(`  import of ${library}`, told(await middle(() => startBare(['import', library], env))));
      if (name !== 'worker') goals.push({ name: `${name}, MiB`, got: service.alone, atMost: 160 });
      const bare = BESIDE[name]?.(machine.dir);
      if (!bare) continue;
      const beside = await middle(() => startBare(bare, env));
      say(`  bare ${bare[0]}`, told(beside));
      goals.push({ name: `${name} takes work, s`, got: service.seconds, atMost: 1.3 * beside.seconds + 0.3 });
    }
    const cluster = async (shards: number) => {
      const { mib, alone } = await middle(() => startService('bot', { ...env, SHARDS: String(shards) }));
      return mib - alone;
    };
    const [few, all] = [await cluster(FEW_SHARDS), await cluster(SHARDS)];
    say(`a process of ${FEW_SHARDS} and of ${SHARDS} shards`, `${few.toFixed(0)} and ${all.toFixed(0)} MiB`);
    goals.push({ name: 'a further shard, MiB', got: (all - few) / (SHARDS - FEW_SHARDS), atMost: 40 });
  } finally {
    await machine.close();
  }

  const demos = await rounds(startDemo);
  const seconds = median(demos.map((demo) => demo.seconds));
  const mib = Math.max(...demos.map((demo) => demo.mib));
  const cpuSeconds = median(demos.map((demo) => demo.cpuSeconds));
  const idle = median(demos.map((demo) => demo.idle));
  say('the demo, second start', told({ seconds, cpuSeconds, mib }));
  return [
    ...goals,
    { name: 'the demo while nobody does anything, % of a core', got: 100 * idle, atMost: 2 },
    { name: 'the demo takes commands, s', got: seconds, atMost: 6 },
    { name: 'all of the demo, GiB', got: mib / 1_024, atMost: 1.2 },
  ];
}

/** The first one does not count: what Node compiled is kept by it. */
async function rounds<T>(once: () => Promise<T>): Promise<T[]> {
  await once();
  const starts: T[] = [];
  for (let round = 0; round < ROUNDS; round++) starts.push(await once());
  return starts;
}

async function middle(once: () => Promise<Start>): Promise<Start> {
  const starts = await rounds(once);
  const of = (key: keyof Start) => median(starts.map((one) => one[key]));
  return { seconds: of('seconds'), cpuSeconds: of('cpuSeconds'), mib: of('mib'), alone: of('alone') };
}

/** With the processes that it starts: the bot's shards. */
async function startService(name: string, env: Readonly<Record<string, string>>): Promise<Start> {
  // Discord's own pause between two sessions of a shard is nobody's start.
  if (name === 'bot') await sleep(SESSIONS_APART_MS);
  const startedAt = performance.now();
  const service = serviceProcess([name], { env, onLine: () => {}, print: () => {} });
  await service.start();
  const seconds = (performance.now() - startedAt) / 1_000;
  const taken = takenBy(service.pid ?? 0);
  const alone = mibOf(service.pid ?? 0);
  await service.stop();
  return { seconds, alone, ...taken };
}

async function startBare(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Start> {
  if (args[0] === 'login') await sleep(SESSIONS_APART_MS);
  const startedAt = performance.now();
  const child = fork(BARE, args, { execArgv: [NEW_SPACE], env: childEnv(env) });
  const ended = once(child, 'exit').then(() =>
    Promise.reject(new Error(`bare ${args.join(' ')} did not start`)),
  );
  ended.catch(() => {}); // after its start it is we who end it
  await Promise.race([once(child, 'message'), ended]);
  const seconds = (performance.now() - startedAt) / 1_000;
  const taken = takenBy(child.pid ?? 0);
  child.kill();
  await once(child, 'exit');
  return { seconds, alone: taken.mib, ...taken };
}

/** Its memory is the most that it takes from when it is ready. */
async function startDemo(): Promise<Taken & { readonly seconds: number; readonly idle: number }> {
  const startedAt = performance.now();
  const env = { ...process.env, DATA_DIR };
  const child = spawn('npm', ['run', 'demo'], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const pid = child.pid ?? 0;
  let text = '';
  const ready = new Promise<void>((done, fail) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        text += String(chunk);
        if (text.includes('Open the channel page')) done();
      });
    }
    child.on('exit', () => fail(new Error(`The demo did not start:\n${text}`)));
  });
  await ready;
  const seconds = (performance.now() - startedAt) / 1_000;
  const { cpuSeconds } = takenBy(pid);
  let mib = 0;
  for (const until = Date.now() + WATCH_MS; Date.now() < until; await sleep(500))
    mib = Math.max(mib, takenBy(pid).mib);
  const before = takenBy(pid).cpuSeconds;
  await sleep(IDLE_MS);
  const idle = (takenBy(pid).cpuSeconds - before) / (IDLE_MS / 1_000);
  process.kill(-pid, 'SIGINT');
  await once(child, 'close');
  return { seconds, cpuSeconds, mib, idle };
}

const told = ({ seconds, cpuSeconds, mib }: Taken & { readonly seconds: number }) =>
  `${seconds.toFixed(2).padStart(6)} s, ${cpuSeconds.toFixed(2).padStart(6)} s of CPU, ${mib.toFixed(0).padStart(5)} MiB`;
