/** `npm run dev` on a copy of the repository, whose files are changed under it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';

let root: string;
let dev: ChildProcess;
let all = '';
/** of it, what no test has waited for yet */
let text = '';
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'atelier-dev-'));
  const left = ['node_modules', '.git', '.atelier', 'test'];
  await cp(process.cwd(), root, { recursive: true, filter: (path) => !left.includes(basename(path)) });
  await symlink(join(process.cwd(), 'node_modules'), join(root, 'node_modules'));
  await cp(inject('bundleDir'), join(root, '.atelier/1/bundles/reference'), { recursive: true });
  dev = spawn(process.execPath, ['infra/local/dev.ts'], {
    cwd: root,
    env: { ...process.env, DATA_DIR: '.atelier', LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  dev.stdout?.on('data', (chunk: Buffer) => {
    all += String(chunk);
    text += String(chunk);
  });
  await said(/A changed service starts again/);
});
afterAll(async () => {
  dev.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});

/** Waits for it, and forgets it and what came before. */
async function said(what: RegExp): Promise<void> {
  const deadline = Date.now() + 40_000;
  for (let found: RegExpExecArray | null = null; !found; await sleep(20)) {
    found = what.exec(text);
    if (found) text = text.slice(found.index + found[0].length);
    else if (Date.now() > deadline) throw new Error(`${what} was not said. What was:\n${text}`);
  }
}

it('starts a changed service again, and no other', async () => {
  await appendFile(join(root, 'commands/imagine.ts'), '\n// changed\n');
  await said(/^bot: starting again, for commands\/imagine\.ts$/m);
  await said(/bot +info +ready \{ shards: \[ 0, 1 \]/);
  expect(all.match(/^.*: starting again/gm)).toEqual(['bot: starting again']);
}, 60_000);

it('says what is wrong with one that does not start, and tries it again at the next change', async () => {
  const file = join(root, 'src/services/web/pages.ts');
  const good = await readFile(file, 'utf8');
  await writeFile(file, `${good}\nconst broken = ;\n`);
  await said(/courier mecene web: file:\S+\/src\/services\/web\/pages\.ts:\d+$/m);
  await said(/const broken = ;/);
  await said(/^courier, mecene, web did not start \(1\)\./m);
  await writeFile(file, good);
  await said(/web +info +web is ready/);
}, 60_000);

it('ends with all that it started', async () => {
  dev.kill('SIGINT');
  expect(await once(dev, 'exit')).toEqual([0, null]);
}, 60_000);
