/**
 * `npm run deploy -- STAGE [--dry-run]`: brings the commit that is checked out to a stage of stages.yaml.
 *
 *   check → build → push → lock → migrate → update → wait ──▶ done
 *                                              └────────┴───▶ roll back: what ran before runs again
 *
 * Nothing that people use changes before `migrate`; migrations leave the version before whole (`npm run check -- migrations`), so what
 * fails later is undone by starting that version again. Ends with 0, or 1 and a sentence.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { migrationFaults } from '#infra/database/expand.ts';
import { print } from '#infra/local/print.ts';
import { composePlace } from './compose.ts';
import { ecsPlace } from './ecs.ts';
import { type Place, ROOT, type Running, SHORT_MS } from './place.ts';
import { run } from './shell.ts';
import { readStage, type Stage } from './stages.ts';

const USAGE = 'Usage: npm run deploy -- STAGE [--dry-run]';
/** What each step may take for a change of code, where packages and bases are in the cache. s */
const BUDGETS = { check: 10, build: 40, push: 20, lock: 5, migrate: 15, update: 15, wait: 60 } as const;
type Step = keyof typeof BUDGETS;
const WORDS: Readonly<Record<Step, string>> = {
  check: 'secrets, images, migrations, nothing uncommitted',
  build: 'both images; packages and bases come from the cache',
  push: 'the layers that changed',
  lock: 'one deploy at a time (Postgres)',
  migrate: 'the tables first: the version before goes on with them',
  update: 'the services',
  wait: 'until all are healthy; otherwise back to the version before',
};
const POLL_MS = 1_000;

/**
 * @param interrupted when it is, nothing more is begun, and what has been is rolled back
 * @throws {Error} in words
 */
export async function deploy(
  name: string,
  isDry: boolean,
  interrupted: AbortSignal,
  stagesFile?: string,
): Promise<void> {
  const step = <T>(one: Step, work: () => Promise<T>) => taken(one, work, interrupted);
  const stage = readStage(name, stagesFile);
  const place = stage.kind === 'compose' ? composePlace(stage) : ecsPlace(name, stage);
  const tag = await tagOf(isDry);
  if (isDry) return plan(name, tag, stage.kind);

  await step('check', async () => {
    const faults = [...(await place.faults()), ...(await migrationFaults())];
    if (faults.length) throw new Error(`Nothing was changed:\n  ${faults.join('\n  ')}`);
  });
  await step('build', () => place.build(tag));
  await step('push', () => place.push(tag));
  const lock = await step('lock', () => place.lock(tag));
  try {
    const before = await place.running();
    await step('migrate', () => place.migrate(tag)).catch((error: unknown) => {
      throw new Error(`${sentence(error)}\nThe services were not changed.`, { cause: error });
    });
    const withinMs = stage.healthyWithin * 1_000;
    try {
      await step('update', () => place.update(tag));
      await step('wait', () => untilHealthy(place, withinMs, interrupted));
    } catch (error) {
      throw new Error(`${sentence(error)}\n${await rolledBack(place, before, withinMs)}`, { cause: error });
    }
  } finally {
    await lock.release();
  }
  print(`${name} runs ${tag}.`);
}

/** @returns what became of it, for the person who reads why */
async function rolledBack(place: Place, before: Running, withinMs: number): Promise<string> {
  print(before.size ? 'Rolling back …' : 'Stopping: there is no version before …');
  try {
    await place.rollBack(before);
    if (!before.size) return 'There was no version before: the services are stopped.';
    await untilHealthy(place, withinMs);
    return 'Rolled back: the version before runs, and is healthy.';
  } catch (error) {
    return `ROLLING BACK FAILED TOO, look at it now: ${sentence(error)}`;
  }
}

async function untilHealthy(place: Place, withinMs: number, interrupted?: AbortSignal): Promise<void> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const unhealthy = await place.unhealthy();
    if (!unhealthy.length) return;
    interrupted?.throwIfAborted();
    if (Date.now() > deadline)
      throw new Error(`Not healthy after ${Math.round(withinMs / 1_000)} s: ${unhealthy.join('; ')}.`);
    await sleep(POLL_MS);
  }
}

/** Of the commit: an image is named by what it was made of. */
async function tagOf(isDry: boolean): Promise<string> {
  const git = (...args: string[]) => run({ program: 'git', args, cwd: ROOT }, SHORT_MS);
  const changes = (await git('status', '--porcelain')).trim();
  if (changes && !isDry)
    throw new Error('There are changes that are not committed: an image is named by its commit.');
  return (await git('rev-parse', '--short=12', 'HEAD')).trim();
}

function plan(name: string, tag: string, kind: Stage['kind']): void {
  print(`${name} ← ${tag}, a change of code:\n`);
  const steps = Object.keys(BUDGETS) as Step[];
  for (const one of steps) print(`  ${one.padEnd(8)} ${String(BUDGETS[one]).padStart(4)} s  ${WORDS[one]}`);
  const whole = steps.reduce((sum, one) => sum + BUDGETS[one], 0);
  print(`  ${'in all'.padEnd(8)} ${String(whole).padStart(4)} s`);
  if (kind === 'ecs')
    print(
      '\nBeyond that ECS keeps both versions of the web service for as long as infra/deploy/aws says (bakeTime).',
    );
}

async function taken<T>(name: Step, work: () => Promise<T>, interrupted: AbortSignal): Promise<T> {
  const startedAt = performance.now();
  try {
    interrupted.throwIfAborted();
    const result = await work();
    const seconds = (performance.now() - startedAt) / 1_000;
    print(
      `${name.padEnd(8)} ${seconds.toFixed(1)} s${seconds > BUDGETS[name] ? ` (more than ${BUDGETS[name]})` : ''}`,
    );
    return result;
  } catch (error) {
    throw new Error(`${name}: ${sentence(error)}`, { cause: error });
  }
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  const [name, ...more] = args.filter((arg) => arg !== '--dry-run');
  if (name === undefined || more.length || name.startsWith('-')) {
    process.stderr.write(`${USAGE}\n`);
    process.exit(2);
  }
  const interrupt = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'])
    process.on(signal, () => interrupt.abort(new Error('it was interrupted.')));
  try {
    await deploy(name, args.includes('--dry-run'), interrupt.signal);
  } catch (error) {
    process.stderr.write(`\n${sentence(error)}\n`);
    process.exitCode = 1;
  }
}
