import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { claimInstance, type Instance } from '#infra/local/instance.ts';

let dir: string;
const held: Instance[] = [];
const children: ChildProcess[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-instance-'));
});
afterEach(async () => {
  for (const instance of held.splice(0)) await instance.release();
  for (const child of children.splice(0)) await kill(child);
  await rm(dir, { recursive: true, force: true });
});

async function claim(): Promise<Instance> {
  const instance = await claimInstance(dir);
  held.push(instance);
  return instance;
}

/** Claims in a process of its own, which keeps nothing of it but the process, and waits. */
async function claimElsewhere(): Promise<{ number: number; child: ChildProcess }> {
  const script = `import { claimInstance } from '#infra/local/instance.ts';
    const { number } = await claimInstance(${JSON.stringify(dir)});
    await new Promise(setImmediate);
    gc();
    console.log(number);
    setInterval(() => {}, 1_000);`;
  const child = spawn(process.execPath, ['--expose-gc', '--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const number = Number(await new Promise<Buffer>((done) => child.stdout.once('data', done)));
  return { number, child };
}
async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((done) => child.on('exit', done));
  child.kill('SIGKILL');
  await ended;
}

it('gives each running instance a folder of its own, and a stopped one its folder back', async () => {
  const first = await claim();
  expect(first).toMatchObject({ number: 1, dir: join(dir, '1') });
  expect((await claim()).number).toBe(2);
  await first.release();
  expect((await claim()).number).toBe(1);
});

it('gives all that start in the same moment the first numbers, each once', async () => {
  const [elsewhere, here] = await Promise.all([
    Promise.all([claimElsewhere(), claimElsewhere(), claimElsewhere()]),
    Promise.all(Array.from({ length: 9 }, claim)),
  ]);
  const numbers = [...elsewhere, ...here].map(({ number }) => number).sort((a, b) => a - b);
  expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
});

it('takes the folder of one that was killed', async () => {
  const { number, child } = await claimElsewhere();
  expect(number).toBe(1);
  expect((await claim()).number).toBe(2);
  await kill(child);
  expect((await claim()).number).toBe(1);
});

it('leaves the folder to one that is suspended: it goes on later', async () => {
  const { child } = await claimElsewhere();
  child.kill('SIGSTOP');
  expect((await claim()).number).toBe(2);
});

it('refuses a seventeenth, and says where the others run', async () => {
  for (let number = 1; number <= 16; number++) expect((await claim()).number).toBe(number);
  await expect(claim()).rejects.toThrow(`16 instances run under ${dir} already.`);
});
