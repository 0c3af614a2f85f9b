/** The process of loop.ts that is measured: it has the environment of its Postgres from the beginning, and tells its parent the goals. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loads } from '#test/src/services/bot/loads.ts';
import { type LocalBot, startLocalBot } from '#test/src/services/bot/local-bot.ts';
import { environmentFor, longestHold } from '#test/support/loop-holds.ts';
import { type Goal, median, say } from './goal.ts';

const ROUNDS = 5;
const HELD_MAX_MS = 50;
/** On a machine so slow that ordinary commands take a good part of it. */
const TIMES_QUIET = 10;

/** Each five times, beside another member's command, and that command alone. */
async function measure(local: LocalBot, folder: string): Promise<readonly Goal[]> {
  const names = ['member', 'operator', 'moderator'] as const;
  const people = await Promise.all(names.map((name) => local.as(name)));
  const other = await local.as('other');
  for (const person of [...people, other]) await person.type('settings');
  const goals: Goal[] = [];
  for (const { what, prepare } of loads) {
    const [quiet, held]: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      const put = await prepare(people);
      quiet.push(await longestHold(folder, () => other.type('settings')));
      held.push(await longestHold(folder, () => Promise.all([put(), other.type('settings')])));
    }
    const [alone, beside] = [median(quiet), median(held)];
    say(what, `${beside.toFixed(0)} ms, ${alone.toFixed(0)} without`);
    goals.push({ name: `${what}, ms`, got: beside, atMost: Math.max(HELD_MAX_MS, TIMES_QUIET * alone) });
  }
  return goals;
}

const folder = await mkdtemp(join(tmpdir(), 'atelier-holds-'));
Object.assign(process.env, environmentFor(folder));
const local = await startLocalBot();
try {
  process.send?.(await measure(local, folder));
} finally {
  await local.close();
  // Not before: a local bot sets the environment that it reads.
  await (await import('#src/doors/db.ts')).closeDb();
  await rm(folder, { recursive: true, force: true });
}
process.disconnect?.();
