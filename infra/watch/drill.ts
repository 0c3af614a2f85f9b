/**
 * `npm run watch -- --drill`: causes alerts on the system as it runs here, looks at a real Prometheus until each fires and, once things are
 * put right, until it is quiet again, and prints a table. Windows and waiting times are shorter than usual: an hour of a service level is
 * ten seconds, a minute of everything else three. `--drill short` causes a few of them, in less than two minutes.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { APIMessage } from 'discord-api-types/v10';
import { connectPerson, type Person, textOf } from '../local/discord/person.ts';
import { descendants, pauseTree, resumeTree } from '../local/pause.ts';
import { print } from '../local/print.ts';
import { rules } from './generate.ts';
import { type Firing, nameOf, type Observer, observe } from './observer.ts';
import { alerts, type Duration, type Pace } from './source.ts';
import { type Service, type Stage, setStage } from './stage.ts';

/** The supervisor waits two seconds for shards that hang. */
const SCRAPE_S = 3;
const BURN_TIMES_FASTER = 600;
const TIMES_FASTER = 20;
/** A rate needs a few scrapes. s */
const LEAST_S = 10;
const QUIET_WITHIN_MS = 60_000;
/** After so long nothing more is waited for. ms */
const CAUSES_WITHIN_MS = 6 * 60_000;

/** Those that cannot be caused here, and why: `check.ts` has promtool fire them. */
const NOT_HERE: Readonly<Record<string, string>> = {
  MemoryShort: 'the reference bundle never needs more memory than a machine has',
  StorageNearlyFull: 'the disk of this machine is not ours to fill',
  PicturesFail: 'a picture fails as internal only when six workers in a row died of it',
  IdentifyBudget: 'seven hundred sessions take an hour: five seconds lie between two',
};

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;
const secondsOf = (duration: Duration) =>
  Number.parseFloat(duration) * SECONDS[duration.slice(-1) as keyof typeof SECONDS];
const faster = (times: number, least: number) => (duration: Duration) => {
  const seconds = secondsOf(duration);
  return seconds === 0 ? '0s' : `${Math.max(least, Math.round(seconds / times))}s`;
};
/** How long an alert waits becomes less than a window may be. */
const PACE: Pace = { burn: faster(BURN_TIMES_FASTER, LEAST_S), other: faster(TIMES_FASTER, 3) };

type See = (alert: string, labels?: Readonly<Record<string, string>>) => Promise<void>;

interface Seen {
  readonly alert: string;
  readonly cause: string;
  /** from what was done until it fired, s */
  readonly after: number;
  /** null: it did not fire */
  readonly firing: Firing | null;
}

/** @returns the exit code */
export async function drill(short: boolean): Promise<number> {
  const startedAt = Date.now();
  const dataDir = await mkdtemp(join(tmpdir(), 'atelier-drill-'));
  const stage = await setStage(
    { dataDir, bundles: ['reference'] },
    { rules: rules(PACE), scrapeS: SCRAPE_S, evaluateS: 1 },
  ).catch(async (error: unknown) => {
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  });
  const observer = observe(stage.prometheus, startedAt + CAUSES_WITHIN_MS);
  const seen: Seen[] = [];
  try {
    if (!(await isQuiet(observer))) {
      print(`Alerts fire before anything was done: ${observer.active().join(', ')}`);
      return 1;
    }
    print(`Everything runs, and nothing fires: ${seconds(startedAt)} s. Prometheus: ${stage.prometheus.url}`);
    const step = async (cause: string, work: (see: See) => Promise<unknown>) => {
      print(`… ${cause}`);
      const since = Date.now();
      await work(async (alert, labels) => {
        const firing = await observer.see(since, alert, labels);
        const after = Math.max(0, (firing?.firedAt ?? 0) - since) / 1_000;
        seen.push({ alert, cause, after, firing });
        print(`  ${alert} ${firing ? `fires after ${after.toFixed(0)} s` : 'did not fire'}`);
      });
    };
    await (short ? someOf(stage, step) : allOf(stage, step));
    await within(QUIET_WITHIN_MS, () => seen.every(({ firing }) => firing?.endedAt !== null));
    const good = report(seen, observer, short);
    print(`${seconds(startedAt)} s in all.`);
    return good ? 0 : 1;
  } finally {
    await observer.stop();
    await stage.close();
    await rm(dataDir, { recursive: true, force: true });
  }
}

type Step = (cause: string, work: (see: See) => Promise<unknown>) => Promise<void>;

/** So often somebody asks for a picture that cannot be kept. s */
const FULL_S = 4;
const seconds = (since: number) => Math.round((Date.now() - since) / 1_000);

async function someOf(stage: Stage, step: Step): Promise<void> {
  await Promise.all([
    step('mecene ends', (see) => without(stage, 'mecene', () => see('ServiceGone', { service: 'mecene' }))),
    step('shards hang', (see) => hangs(shardsOf(stage), () => see('ShardDisconnected'))),
  ]);
  await step('Postgres hangs, and visitors come', (see) => postgresHangs(stage, see));
}

async function allOf(stage: Stage, step: Step): Promise<void> {
  const member = await connectPerson(stage.sandbox.pageUrl, { person: 'member', channel: 'portraits' });
  const moderator = await connectPerson(stage.sandbox.pageUrl, { person: 'moderator', channel: 'review' });
  const type = typist(member);
  await member.command('set', { parameter: 'steps', value: '4' });
  await member.waitForReply();
  await type('a first picture');

  await Promise.all([
    step('mecene is killed, five times', async (see) => {
      for (let i = 0; i < 5; i++) await killed(stage, 'mecene');
      await see('ProcessRestarts', { job: 'mecene' });
    }),
    step('a flagged picture waits for a moderator for two days', async (see) => {
      await type('checkered background');
      const isNew = (message: APIMessage) =>
        JSON.stringify(message.components ?? []).includes('review.approve');
      const card = await moderator.waitForMessage(isNew, { timeoutMs: 60_000 });
      await stage.sql(`UPDATE "Review" SET "createdAt" = now() - interval '2 days'`);
      await see('ReviewsOld');
      await moderator.press(card, 'v1:review.approve');
    }),
    step('the courier has a tenth of a core', (see) =>
      throttled(stage.services.courier.pid, () => see('EventLoopLate', { job: 'courier' })),
    ),
  ]);

  let bytes: Promise<void> | undefined;
  await step('the worker ends while eight pictures wait; one that was drawn is deleted', async (see) => {
    const [image] = await stage.sql(`SELECT "storageKey" FROM "Image" WHERE verdict = 'clear' LIMIT 1`);
    const file = join(stage.dir, 'files', String(image?.storageKey));
    const kept = await readFile(file);
    await without(stage, 'worker', async () => {
      await rm(file);
      for (let i = 0; i < 8; i++) await type('waits');
      await see('NoWorker', { bundle: 'reference' });
      await see('ServiceGone', { service: 'worker' });
      await see('WaitPastTarget', { tier: 'fast' });
    });
    // It goes through all files when it starts.
    bytes = see('PicturesWithoutBytes').then(() => writeFile(file, kept));
    await see('BudgetBurnsFast', { slo: 'fast' });
    await see('BudgetBurnsSlow', { slo: 'fast' });
  });

  await step('Discord answers posts with 503', async (see) => {
    const serverError = { next: 1e6, when: 'before', status: 503, route: 'POST /channels' } as const;
    stage.sandbox.misbehave({ serverError });
    const typing = keepTyping(type, 1_500);
    await Promise.all([see('DiscordFails'), see('DeliveriesLate')]);
    await typing.end();
    stage.sandbox.misbehave({ serverError: null });
  });
  await step('a wall before Discord answers posts with 429', async (see) => {
    stage.sandbox.misbehave({ wall: { next: 1e6, status: 429, retryAfterS: 1, route: 'POST /channels' } });
    const typing = keepTyping(type, 1_500);
    await see('DiscordLimits');
    await typing.end();
    stage.sandbox.misbehave({ wall: null });
  });

  await Promise.all([
    step('shards hang', (see) => hangs(shardsOf(stage), () => see('ShardDisconnected'))),
    step('mecene ends', (see) => without(stage, 'mecene', () => see('ServiceGone', { service: 'mecene' }))),
    step('the folder of pictures is gone', async (see) => {
      await bytes;
      const folder = join(stage.dir, 'files');
      await rename(folder, `${folder}.aside`);
      await writeFile(folder, '');
      await see('StorageAway');
      await rm(folder);
      await rename(`${folder}.aside`, folder);
    }),
  ]);
  if (spawnSync('prlimit', ['--version']).status === 0)
    await step('the worker may write no file of more than a KiB', async (see) => {
      limitFiles(stage, '1024');
      const typing = keepTyping(type, FULL_S * 1_000);
      await see('WorkerAside', { reason: 'storage_full' });
      limitFiles(stage, 'unlimited');
      await typing.end();
    });
  await step('Postgres hangs, and visitors come', (see) => postgresHangs(stage, see));
  // It looks for the bytes that were put back.
  await without(stage, 'worker', () => sleep(0));
  for (const person of [member, moderator]) person.close();
}

async function without(stage: Stage, name: Service, work: () => Promise<unknown>): Promise<void> {
  await stage.services[name].stop();
  try {
    await work();
  } finally {
    await stage.services[name].start();
  }
}

async function hangs(pid: number | undefined, work: () => Promise<unknown>): Promise<void> {
  if (!pid) throw new Error('There is no such process.');
  pauseTree(pid);
  try {
    await work();
  } finally {
    resumeTree(pid);
  }
}

/** The shards of the bot, without its supervisor. */
const shardsOf = ({ services }: Stage) => descendants(services.bot.pid ?? 0)[0];

async function postgresHangs(stage: Stage, see: See): Promise<void> {
  await hangs(stage.postgresPid, async () => {
    const visiting = repeat(300, () =>
      fetch(`${stage.webUrl}/draw`, { signal: AbortSignal.timeout(5_000) }).catch(() => {}),
    );
    await Promise.all([see('PostgresAway'), see('BudgetBurnsFast', { slo: 'web' })]);
    await visiting.end();
  });
}

/** Ended by the hand of another; its parent starts it again. Until Prometheus has seen that. */
async function killed(stage: Stage, name: Service): Promise<void> {
  const { pid } = stage.services[name];
  if (pid) process.kill(pid, 'SIGKILL');
  while (stage.services[name].pid === pid) await sleep(100);
  const startOf = async () => {
    const query = `process_start_time_seconds{job="${name}"} > ${Date.now() / 1_000 - 30}`;
    const url = `${stage.prometheus.url}/api/v1/query?query=${encodeURIComponent(query)}`;
    return ((await (await fetch(url)).json()) as { data: { result: { value: unknown[] }[] } }).data.result[0]
      ?.value[1];
  };
  const before = await startOf();
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(200)) {
    const now = await startOf();
    if (now !== undefined && now !== before) return;
  }
}

/** It runs for 80 ms of every 800. */
async function throttled(pid: number | undefined, work: () => Promise<unknown>): Promise<void> {
  if (!pid) throw new Error('There is no such process.');
  let goesOn = true;
  const pausing = (async () => {
    while (goesOn) {
      pauseTree(pid);
      await sleep(720);
      resumeTree(pid);
      await sleep(80);
    }
  })();
  try {
    await work();
  } finally {
    goesOn = false;
    await pausing;
  }
}

function limitFiles({ services }: Stage, size: string): void {
  const { pid } = services.worker;
  for (const one of pid ? [pid, ...descendants(pid)] : [])
    spawnSync('prlimit', ['--pid', String(one), `--fsize=${size}:unlimited`]);
}

/** Each picture is a new one. */
function typist(member: Person): (prompt: string) => Promise<unknown> {
  let seed = 0;
  return async (prompt) => {
    seed++;
    const outcome = await member.command('imagine', { prompt: `${prompt} ${seed}`, seed });
    if (outcome.kind === 'failed') throw new Error(outcome.reason);
    const answer = await member.waitForReply({ timeoutMs: 30_000 });
    if (!/^Accepted/.test(textOf(answer))) throw new Error(`The answer was: ${textOf(answer)}`);
  };
}

/** One after the other. */
function repeat(everyMs: number, work: () => Promise<unknown>) {
  let goesOn = true;
  const going = (async () => {
    while (goesOn) {
      await work();
      await sleep(everyMs);
    }
  })();
  return {
    async end() {
      goesOn = false;
      await going;
    },
  };
}

const keepTyping = (type: (prompt: string) => Promise<unknown>, everyMs: number) =>
  repeat(everyMs, () => type('more'));

/** Nothing fires, or is about to, but for what has nothing to do with Atelier. */
async function isQuiet(observer: Observer): Promise<boolean> {
  // What was scraped first may not have been evaluated yet.
  await sleep(3 * SCRAPE_S * 1_000);
  const fires = () => observer.active().some((name) => !((name.split(' ')[0] ?? '') in NOT_HERE));
  return within(QUIET_WITHIN_MS, () => !fires());
}

async function within(ms: number, isSo: () => boolean): Promise<boolean> {
  for (const deadline = Date.now() + ms; Date.now() < deadline; await sleep(500)) if (isSo()) return true;
  return isSo();
}

/** @returns whether every alert that was caused fired and is quiet again */
function report(seen: readonly Seen[], observer: Observer, short: boolean): boolean {
  const rows = seen.map(({ alert, cause, after, firing }) => {
    const { endedAt = null, firedAt = 0, labels = {} } = firing ?? {};
    const ended = endedAt === null ? 'no' : `${((endedAt - firedAt) / 1_000).toFixed(0)} s`;
    return [alert, Object.values(labels).join(' '), firing ? `${after.toFixed(0)} s` : 'no', ended, cause];
  });
  print(`\n${table([['alert', 'of', 'fired after', 'fired for', 'what was done'], ...rows])}\n`);
  const expected = new Set(seen.map(({ alert }) => alert));
  const others = new Set(
    observer
      .all()
      .filter(({ alert }) => !expected.has(alert))
      .map(nameOf),
  );
  if (others.size) print(`Fired as well: ${[...others].join(', ')}`);
  const missing = alerts().filter(({ name }) => !expected.has(name));
  if (!short)
    for (const { name } of missing)
      print(`${name}: by promtool alone, as ${NOT_HERE[name] ?? 'nothing causes it here'}`);
  const unexplained = short ? [] : missing.filter(({ name }) => !(name in NOT_HERE));
  return unexplained.length === 0 && rows.every(([, , told, quiet]) => told !== 'no' && quiet !== 'no');
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
