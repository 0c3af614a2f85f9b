/** `npm run …` told to end at any moment: nothing that it started goes on. Real npm, in a folder with what run.mjs looks for. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { descendants } from '#infra/local/pause.ts';

let dir: string;
let npm: ChildProcess | undefined;
let started: number[] = [];
const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
afterEach(async () => {
  for (const pid of started) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  npm?.kill('SIGKILL');
  await rm(dir, { recursive: true, force: true });
});

/** Writes its pid into the file `at`, and goes on for ever. */
const waits = `#!/usr/bin/env node
require('node:fs').writeFileSync(process.env.WAITS_AT, String(process.pid));
setInterval(() => {}, 1_000);`;

/** @param phase what it is busy with when it comes to `waits` */
async function project(phase: 'installing' | 'generating' | 'running'): Promise<void> {
  dir = await mkdtemp(join(tmpdir(), 'atelier-run-'));
  const files: Record<string, string> = {
    'package.json': JSON.stringify({ name: 'x', scripts: { demo: 'node infra/run.mjs demo' } }),
    'package-lock.json': '{}',
    'prisma/schema.prisma': '',
    'prisma/client/.schema': '',
    'node_modules/prisma/package.json': '{"name":"prisma"}',
    'node_modules/prisma/build/index.js': waits,
    'node_modules/.bin/npm': waits,
    'infra/local/demo.ts': waits,
  };
  const hash = (...names: string[]) =>
    createHash('sha256')
      .update(names.map((name) => files[name]).join(''))
      .digest('hex');
  if (phase !== 'installing') files['node_modules/.atelier-lock'] = hash('package-lock.json', 'package.json');
  if (phase === 'running') files['prisma/client/.schema'] = hash('prisma/schema.prisma', 'package-lock.json');
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(dir, name, '..'), { recursive: true });
    await writeFile(join(dir, name), text);
  }
  await chmod(join(dir, 'node_modules/.bin/npm'), 0o755);
  for (const name of ['run.mjs', 'end-with-parent.mjs'])
    await copyFile(`infra/${name}`, join(dir, 'infra', name));
}

it.each([
  ['npm', 'installing'],
  ['npm', 'generating'],
  ['npm', 'running'],
  ['its shell', 'installing'],
  ['its shell', 'generating'],
  ['its shell', 'running'],
] as const)('a SIGTERM to %s while it is %s ends all of it', async (whom, phase) => {
  await project(phase);
  const at = join(dir, 'waits');
  npm = spawn('npm', ['run', '--silent', 'demo'], {
    cwd: dir,
    stdio: 'ignore',
    env: { ...process.env, WAITS_AT: at },
  });
  const ended = once(npm, 'exit');
  await expect.poll(() => existsSync(at), { timeout: 20_000 }).toBe(true);
  started = descendants(npm.pid!);
  expect(started).toContain(Number(await readFile(at, 'utf8')));

  process.kill(whom === 'npm' ? npm.pid! : started[0]!, 'SIGTERM');
  await ended;
  await expect.poll(() => started.filter(isAlive), { timeout: 10_000 }).toEqual([]);
});
