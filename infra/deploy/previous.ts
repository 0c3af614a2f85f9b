/**
 * `npm run check -- previous [COMMIT]`: the version before on the tables of this one, as it is while a deploy goes on. Takes the last release (a tag
 * v…) or, without one, the commit before this, into a folder of its own, gives it this one's migrations and functions, and lets it run its
 * scripted demo: every command is typed, and pictures are drawn.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childEnv } from '#config/env.ts';
import { print } from '#infra/local/print.ts';
import { ROOT, SHORT_MS } from './place.ts';
import { run } from './shell.ts';

const git = (...args: string[]) =>
  run({ program: 'git', args, cwd: ROOT }, SHORT_MS).then((text) => text.trim());
const UNREADABLE = /^(DATABASE_URL|REDIS_URL|DISCORD_TOKEN|DATA_DIR)$/;

/** @throws {Error} when the version before does not do all of it */
export async function checkPrevious(wanted?: string): Promise<void> {
  const release = await git('describe', '--tags', '--abbrev=0', '--match', 'v*', 'HEAD^').catch(() => '');
  const commit = await git('rev-parse', '--short=12', `${wanted ?? (release || 'HEAD^')}^{commit}`);
  const dir = await mkdtemp(join(tmpdir(), 'atelier-previous-'));
  const tree = join(dir, 'tree');
  await git('worktree', 'add', '--detach', tree, commit);
  try {
    const [theirs, ours] = await Promise.all(
      [tree, ROOT].map((at) => readFile(join(at, 'package-lock.json'), 'utf8')),
    );
    if (theirs === ours) await symlink(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
    else await inTree(tree, 'npm', ['ci', '--no-audit', '--no-fund']);
    // Its own client: what it asks for is what it knows.
    await inTree(tree, process.execPath, ['node_modules/prisma/build/index.js', 'generate']);
    for (const part of ['migrations', 'functions']) {
      await rm(join(tree, 'prisma', part), { recursive: true });
      await cp(join(ROOT, 'prisma', part), join(tree, 'prisma', part), { recursive: true });
    }
    print(`${commit} on the tables of ${await git('rev-parse', '--short=12', 'HEAD')}`);
    await inTree(tree, process.execPath, ['infra/local/demo.ts', '--script'], 'inherit');
    print(`\n${commit} goes on with these tables.`);
  } finally {
    await git('worktree', 'remove', '--force', tree);
    await rm(dir, { recursive: true, force: true });
  }
}

async function inTree(
  tree: string,
  program: string,
  args: readonly string[],
  output: 'inherit' | 'ignore' = 'ignore',
): Promise<void> {
  const own = childEnv({ PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, WEB_PORT: '0', METRICS_PORT: '0' });
  const env = Object.fromEntries(Object.entries(own).filter(([name]) => !UNREADABLE.test(name)));
  const child = spawn(program, args, { cwd: tree, stdio: ['ignore', output, 'inherit'], env });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`The version before: ${program} ${args.join(' ')} ended with ${code}.`);
}
