/** `npm run watch -- --rules`: what promtool says of the rules, and whether each alert fires on what it must and is quiet else. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { print } from '../local/print.ts';
import { cases, promtoolTests } from './cases.ts';
import { rules } from './generate.ts';
import { findBinary } from './prometheus.ts';
import { alerts } from './source.ts';

/** @returns the exit code */
export async function checkRules(): Promise<number> {
  const promtool = findBinary('promtool');
  const dir = await mkdtemp(join(tmpdir(), 'atelier-rules-'));
  try {
    await writeFile(join(dir, 'rules.yaml'), rules());
    await writeFile(join(dir, 'cases.yaml'), stringify(promtoolTests('rules.yaml')));
    for (const args of [
      ['check', 'rules', '--lint=all', '--lint-fatal', 'rules.yaml'],
      ['test', 'rules', 'cases.yaml'],
    ]) {
      const { status, stdout, stderr } = spawnSync(promtool, args, { cwd: dir, encoding: 'utf8' });
      print(`promtool ${args.join(' ')}\n${stdout}${stderr}`.trimEnd());
      if (status !== 0) return 1;
    }
    const without = alerts().filter(({ name }) => !cases.some(({ alert }) => alert === name));
    print(
      `${alerts().length} alerts, ${cases.length} cases; without any: ${without.map(({ name }) => name).join(', ') || 'none'}`,
    );
    return without.length ? 1 : 0;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
