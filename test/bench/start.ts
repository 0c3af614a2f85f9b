/**
 * How soon services take work, and what they hold then: each alone, beside a bare import of its largest library; and the whole
 * demo as it is typed for the second time, npm and Postgres included.
 */
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { config } from '#config/env.ts';
import { prepareMachine } from '#infra/local/machine.ts';
import { NEW_SPACE, serviceProcess } from '#infra/local/processes.ts';
import { type Goal, median, say } from './goal.ts';
import { type Taken, takenBy } from './process-tree.ts';

const ROUNDS = 3;
const BARE_IMPORT = fileURLToPath(new URL('./bare-import.ts', import.meta.url));
/** Mecene loads its own with the first idea: it stands here for what that spares. */
const LARGEST: Readonly<Record<string, string>> = {
  bot: 'discord.js',
  worker: 'onnxruntime-node',
  courier: '@discordjs/rest',
  mecene: '@langchain/langgraph',
  web: 'fastify',
};
/** Connections that are only needed at the start are closed after 10 s: the most is before. */
const WATCH_MS = 12_000;
const DATA_DIR = join(config.dataDir, 'bench');

type Start = Taken & { readonly seconds: number };

export async function start(): Promise<readonly Goal[]> {
  if (process.platform !== 'linux') throw new Error('start reads /proc, which only Linux has.');
  if (config.discord.token) throw new Error('start starts the local Discord: unset DISCORD_TOKEN.');
  say('cores', String(cpus().length));

  const machine = await prepareMachine({ dataDir: DATA_DIR });
  try {
    for (const [name, library] of Object.entries(LARGEST)) {
      const service = await middle(() => startService(name, machine.env));
      const bare = await middle(() => importBare(library));
      say(name, told(service));
      say(`  import of ${library}`, told(bare));
    }
  } finally {
    await machine.close();
  }

  const demos = await rounds(startDemo);
  const seconds = median(demos.map((demo) => demo.seconds));
  const mib = Math.max(...demos.map((demo) => demo.mib));
  say('the demo, second start', told({ seconds, cpuSeconds: median(demos.map((d) => d.cpuSeconds)), mib }));
  return [
    { name: 'the demo takes commands, s', got: seconds, atMost: 6 },
    { name: 'all of the demo, GiB', got: mib / 1_024, atMost: 1.2 },
  ];
}

/** The first one does not count: what Node compiled is kept by it. */
async function rounds(once: () => Promise<Start>): Promise<Start[]> {
  await once();
  const starts: Start[] = [];
  for (let round = 0; round < ROUNDS; round++) starts.push(await once());
  return starts;
}

async function middle(once: () => Promise<Start>): Promise<Start> {
  const starts = await rounds(once);
  const of = (key: keyof Start) => median(starts.map((one) => one[key]));
  return { seconds: of('seconds'), cpuSeconds: of('cpuSeconds'), mib: of('mib') };
}

/** With the processes that it starts: the bot's shards. */
async function startService(name: string, env: Readonly<Record<string, string>>): Promise<Start> {
  const startedAt = performance.now();
  const service = serviceProcess([name], { env, onLine: () => {}, print: () => {} });
  await service.start();
  const seconds = (performance.now() - startedAt) / 1_000;
  const taken = takenBy(service.pid ?? 0);
  await service.stop();
  return { seconds, ...taken };
}

async function importBare(library: string): Promise<Start> {
  const startedAt = performance.now();
  const child = fork(BARE_IMPORT, [library], { execArgv: [NEW_SPACE] });
  await once(child, 'message');
  const seconds = (performance.now() - startedAt) / 1_000;
  const taken = takenBy(child.pid ?? 0);
  child.kill();
  await once(child, 'exit');
  return { seconds, ...taken };
}

/** Its memory is the most that it takes from when it is ready. */
async function startDemo(): Promise<Start> {
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
  process.kill(-pid, 'SIGINT');
  await once(child, 'close');
  return { seconds, cpuSeconds, mib };
}

const told = ({ seconds, cpuSeconds, mib }: Start) =>
  `${seconds.toFixed(2).padStart(6)} s, ${cpuSeconds.toFixed(2).padStart(6)} s of CPU, ${mib.toFixed(0).padStart(5)} MiB`;
