/**
 * Runs every golden case of a folder with our code, and prints how far each is from the reference.
 *
 *   npm run golden -- DIR [NAME…]     DIR: one set (it has a cases.json), or a folder of sets
 *                                     NAME: only cases whose names contain one of these
 *
 * Ends with 1 when a case failed, and with 2 when there was nothing to run.
 */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { type Comparison, openSet } from '../support/golden.ts';
import { runners } from './runners.ts';

const [dir, ...names] = process.argv.slice(2);
const isSet = (path: string) => existsSync(join(path, 'cases.json'));
const say = (line: string) => process.stdout.write(`${line}\n`);
const stop = (line: string) => {
  process.stderr.write(`${line}\n`);
  process.exit(2);
};

if (!dir) stop('Usage: npm run golden -- DIR [NAME…], DIR being a golden set or a folder of sets.');
const root = resolve(dir ?? '');
const dirs = isSet(root)
  ? [root]
  : existsSync(root)
    ? readdirSync(root)
        .map((name) => join(root, name))
        .filter(isSet)
        .sort()
    : [];
if (!dirs.length) stop(`There is no cases.json in ${root}, nor in a folder of it.`);

const columns = [15, 44, 12, 12, 6] as const;
const row = (cells: readonly string[]) =>
  say(
    cells
      .map((cell, i) => (i === 2 || i === 3 ? cell.padStart(columns[i]!) : cell.padEnd(columns[i] ?? 0)))
      .join(' ')
      .trimEnd(),
  );
const number = (x: number) => (Number.isFinite(x) ? (x === 0 ? '0' : x.toExponential(2)) : String(x));
const summary: string[][] = [];
let failed = 0;
let ran = 0;

row(['set', 'case', 'absolute', 'relative', '', 'worst of']);
for (const path of dirs) {
  const set = openSet(path);
  const runner = runners[set.name] ?? runners[basename(path)];
  if (!runner) {
    const why = 'no such set is known';
    row([set.name, `${set.cases.length} cases`, '', '', 'skip', why]);
    summary.push([set.name, `${set.cases.length} cases skipped: ${why}`]);
    continue;
  }
  const check = await runner(set);
  const worst = { absolute: 0, relative: 0 };
  const counts = { passed: 0, failed: 0 };
  for (const c of set.cases) {
    if (names.length && !names.some((name) => c.name.includes(name))) continue;
    let results: Comparison[];
    let trouble = '';
    try {
      results = await check(c);
      if (!results.length) trouble = 'nothing was compared';
    } catch (error) {
      results = [];
      trouble = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    }
    ran++;
    const passed = !trouble && results.every((result) => result.passed);
    counts[passed ? 'passed' : 'failed']++;
    if (!passed) failed++;
    // Pictures are compared in levels of 255, beside which numbers would not be seen.
    const measured = results.filter(({ what }) => !what.endsWith('.png'));
    // What is nearest to its limit says most; of several failures, the first.
    const shown =
      results.find((result) => !result.passed) ??
      measured.reduce<Comparison | undefined>(
        (most, one) => (one.relative >= (most?.relative ?? 0) ? one : most),
        undefined,
      );
    const largest = (of: 'absolute' | 'relative') => Math.max(0, ...measured.map((result) => result[of]));
    worst.absolute = Math.max(worst.absolute, largest('absolute'));
    worst.relative = Math.max(worst.relative, largest('relative'));
    row([
      set.name,
      c.name,
      trouble ? '' : number(largest('absolute')),
      trouble ? '' : number(largest('relative')),
      passed ? 'pass' : 'FAIL',
      shown ? `${shown.what} (${shown.limit})` : trouble,
    ]);
  }
  summary.push([
    set.name,
    `${counts.passed + counts.failed} cases, ${counts.failed} failed`,
    number(worst.absolute),
    number(worst.relative),
  ]);
}
say('');
row(['set', 'cases', 'absolute', 'relative']);
for (const cells of summary) row(cells);
if (!ran) stop('No case was run.');
process.exitCode = failed ? 1 : 0;
