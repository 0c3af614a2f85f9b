/**
 * How soon an interaction is acknowledged: `/set`, `/queue`, `/imagine` and a button, typed by many people in many guilds, while
 * 10,000 pictures wait. Our bot does the work of each; beside it, in the same run and before the same local Discord, a bare
 * discord.js client only defers. Each runs while the other has nothing to do, with a local Discord and people in processes of their own.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { childEnv } from '#config/env.ts';
import { serviceProcess } from '#infra/local/processes.ts';
import { ownPostgres } from '#test/support/own.ts';
import {
  APPLICATION_ID,
  Backlog,
  channels,
  type Load,
  Loaded,
  LocalDiscord,
  RATES,
  Report,
  TOKEN,
} from './ack/protocol.ts';
import { goFirst } from './go-first.ts';
import { type Goal, say } from './goal.ts';

/** Of each bot at each rate: in slices, in turns with the other's, so that whatever else the machine does is there for both. */
const SECONDS = 30;
const SLICE_SECONDS = 5;
const WARM_UP = { rate: 50, seconds: 8 };
/** After the last was sent. Discord itself waits for 15 minutes, people less. */
const ANSWERED_WITHIN_MS = 30_000;

type Environment = Readonly<Record<string, string>>;

interface Measured extends Report {
  /** of the machine, 0…1 */
  readonly busy: number;
  /** the latest, after when it was to be sent; ms */
  readonly latestMs: number;
}

export async function ack(): Promise<readonly Goal[]> {
  say('cores', String(cpus().length));
  const postgres = await ownPostgres();
  const env = {
    DATABASE_URL: postgres.url,
    REDIS_URL: '',
    DISCORD_TOKEN: TOKEN,
    DISCORD_APPLICATION_ID: APPLICATION_ID,
    SHARDS: '1',
    METRICS_PORT: '0',
    LOG_LEVEL: 'error',
  };
  const backlog = new Part('backlog', env);
  const scenes: Scene[] = [];
  try {
    await backlog.hear(z.literal('started'));
    const written = await backlog.ask(channels, z.object({ waiting: z.int(), buttons: Backlog }));
    say('pictures that wait', String(written.waiting));
    for (const start of [startOurs, startBare]) scenes.push(await openScene(start, env, written.buttons));
    const [ours, bare] = scenes;
    if (!ours || !bare) throw new Error('no scenes');
    for (const scene of scenes) await slice(scene, WARM_UP);
    const goals: Goal[] = [];
    for (const rate of RATES) goals.push(...(await compare(rate, ours, bare)));
    return goals;
  } finally {
    for (const scene of scenes) await scene.close();
    await backlog.close();
    await postgres.close();
  }
}

async function compare(rate: number, ours: Scene, bare: Scene): Promise<readonly Goal[]> {
  const slices: { ours: Measured[]; bare: Measured[] } = { ours: [], bare: [] };
  for (let i = 0; i < SECONDS / SLICE_SECONDS; i++) {
    slices.bare.push(await slice(bare, { rate, seconds: SLICE_SECONDS }));
    slices.ours.push(await slice(ours, { rate, seconds: SLICE_SECONDS }));
  }
  const [us, them] = [together(slices.ours), together(slices.bare)];
  tell(`ours at ${rate}/s`, us);
  say(
    '  until the answer',
    `${line(us.answered)}; ${us.sent - us.answered.length} not at all; ${us.sent - us.worked} refused, as there was no place`,
  );
  tell(`a bare bot at ${rate}/s`, them);
  return [
    {
      name: `p99 at ${rate}/s, of the bare bot's`,
      got: quantile(us.acknowledged, 0.99) / quantile(them.acknowledged, 0.99),
      atMost: 2,
    },
    { name: `the latest at ${rate}/s, ms`, got: quantile(us.acknowledged, 1), atMost: 1_000 },
    { name: `not acknowledged at ${rate}/s`, got: us.sent - us.acknowledged.length, atMost: 0 },
    { name: `not answered at ${rate}/s`, got: us.sent - us.answered.length, atMost: 0 },
  ];
}

function together(slices: readonly Measured[]): Measured {
  const sum = (key: 'sent' | 'worked' | 'busy') => slices.reduce((total, one) => total + one[key], 0);
  return {
    sent: sum('sent'),
    worked: sum('worked'),
    acknowledged: slices.flatMap(({ acknowledged }) => acknowledged),
    answered: slices.flatMap(({ answered }) => answered),
    busy: sum('busy') / slices.length,
    latestMs: Math.max(...slices.map(({ latestMs }) => latestMs)),
  };
}

function tell(who: string, { sent, acknowledged, busy, latestMs }: Measured): void {
  say(who, `${line(acknowledged)}; ${sent - acknowledged.length} of ${sent} not at all`);
  say('  machine', `${Math.round(100 * busy)} % busy; the latest was sent ${latestMs.toFixed(0)} ms late`);
}

function line(values: readonly number[]): string {
  const ms = (q: number) => quantile(values, q).toFixed(1);
  return `p50 ${ms(0.5)}, p90 ${ms(0.9)}, p99 ${ms(0.99)}, max ${ms(1)} ms`;
}

/** A bot, its local Discord and its people. */
interface Scene {
  readonly discord: Part;
  readonly people: Part;
  readonly isBare: boolean;
  close(): Promise<void>;
}

type Start = (env: Environment) => Promise<() => Promise<unknown>>;

async function openScene(start: Start, env: Environment, buttons: z.output<typeof Backlog>): Promise<Scene> {
  const discord = new Part('discord', {}, true);
  const people = new Part('load', env, true);
  const local = await discord.hear(LocalDiscord);
  await people.ask({ discord: local, buttons }, z.literal('ready'));
  const stop = await start({ ...env, DISCORD_API_URL: local.apiUrl });
  return {
    discord,
    people,
    isBare: start === startBare,
    async close() {
      await stop();
      await people.close();
      await discord.close();
    },
  };
}

async function slice({ discord, people, isBare }: Scene, load: z.output<typeof Load>): Promise<Measured> {
  await discord.ask('begin', Report);
  const before = cpuTimes();
  const { latestMs, refused } = await people.ask(load, Loaded);
  const after = cpuTimes();
  if (refused.length) throw new Error(`People could not even ask: ${refused.slice(0, 3).join('\n')}`);
  const busy = (after.busy - before.busy) / (after.all - before.all);
  // Until all are answered, or it is too late.
  for (const end = Date.now() + ANSWERED_WITHIN_MS; ; await sleep(100)) {
    const report = await discord.ask('report', Report);
    const { length } = isBare ? report.acknowledged : report.answered;
    if (length === report.sent || Date.now() > end) return { ...report, busy, latestMs };
  }
}

const quantile = (values: readonly number[], q: number) =>
  [...values].sort((a, b) => a - b)[Math.max(0, Math.ceil(q * values.length) - 1)] ?? Number.NaN;

/** ms, of all cores */
function cpuTimes() {
  const all = cpus().map(({ times }) => times);
  const sum = (pick: (times: (typeof all)[number]) => number) =>
    all.reduce((total, times) => total + pick(times), 0);
  const idle = sum((times) => times.idle);
  const total = sum(({ user, nice, sys, irq, idle: none }) => user + nice + sys + irq + none);
  return { busy: total - idle, all: total };
}

const startOurs: Start = async (env) => {
  const service = serviceProcess(['bot'], {
    env,
    onLine: (line) => process.stderr.write(`${line}\n`),
    print: () => {},
  });
  await service.start();
  return () => service.stop();
};

const startBare: Start = async (env) => {
  const bare = new Part('bare', env);
  await bare.hear(z.literal('ready'));
  return () => bare.close();
};

/** A process of the bench, that answers what it is asked, one thing after the other. */
class Part {
  readonly #child: ChildProcess;

  /** @param isElsewhere it stands for what is on other machines, and is not to wait for what the bots leave of this one */
  constructor(name: string, env: Environment, isElsewhere = false) {
    const file = fileURLToPath(new URL(`./ack/${name}.ts`, import.meta.url));
    this.#child = fork(file, { env: childEnv(env) });
    if (isElsewhere) goFirst(this.#child.pid ?? 0);
  }

  async hear<T>(type: z.ZodType<T>): Promise<T> {
    const [message] = (await once(this.#child, 'message')) as [unknown];
    return type.parse(message);
  }

  async ask<T>(what: unknown, type: z.ZodType<T>): Promise<T> {
    const heard = this.hear(type);
    this.#child.send(what as object);
    return heard;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    if (this.#child.connected) this.#child.disconnect();
    await ended;
  }
}
