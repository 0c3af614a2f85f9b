/**
 * How fast the parts are: `npm run bench [-- NAME…]`. Seconds differ from machine to machine; so what can be is measured beside
 * something known, in one run. Ends with 1 when a goal is missed.
 */

import { ack } from './ack.ts';
import { courier } from './courier.ts';
import { easel } from './easel.ts';
import { fairness } from './fairness/fairness.ts';
import { type Bench, isMet, say } from './goal.ts';
import { loop } from './loop.ts';
import { order } from './order.ts';
import { overhead } from './overhead/overhead.ts';
import { pipeline } from './pipeline.ts';
import { portrait } from './portrait.ts';
import { accept, lifecycle } from './rows.ts';
import { safety } from './safety.ts';
import { sheet } from './sheet.ts';
import { start } from './start.ts';
import { watermark } from './watermark/watermark.ts';
import { web } from './web.ts';
import { words } from './words.ts';

const benches: Readonly<Record<string, Bench>> = {
  portrait,
  pipeline,
  easel,
  sheet,
  start,
  words,
  safety,
  fairness,
  loop,
  order,
  overhead,
  ack,
  courier,
  accept,
  lifecycle,
  web,
  watermark,
};

const names = process.argv.slice(2);
if (names.every((name) => Object.hasOwn(benches, name))) {
  process.exitCode = await runAll(names.length ? names : Object.keys(benches));
} else {
  process.stderr.write(`Usage: npm run bench [-- NAME…], of ${Object.keys(benches).join(', ')}\n`);
  process.exitCode = 2;
}

/** @returns the exit code */
async function runAll(asked: readonly string[]): Promise<number> {
  const missed: string[] = [];
  for (const name of asked) {
    process.stdout.write(`\n${name}\n`);
    for (const goal of (await benches[name]?.()) ?? []) {
      const may = 'atMost' in goal ? `≤ ${goal.atMost}` : `≥ ${goal.atLeast}`;
      say(`goal: ${goal.name}`, `${goal.got.toFixed(3)} (${may})${isMet(goal) ? '' : ' MISSED'}`);
      if (!isMet(goal)) missed.push(`${name}: ${goal.name} is ${goal.got.toFixed(3)}, not ${may}`);
    }
  }
  if (missed.length) process.stderr.write(`\nMissed:\n  ${missed.join('\n  ')}\n`);
  return missed.length ? 1 : 0;
}
