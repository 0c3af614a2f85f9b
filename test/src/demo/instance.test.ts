import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { claimInstance, type Instance } from '#src/demo/instance.ts';

let dir: string;
const held: Instance[] = [];
const claim = async () => {
  const instance = await claimInstance(dir);
  held.push(instance);
  return instance;
};
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atelier-instance-'));
});
afterEach(async () => {
  for (const instance of held.splice(0)) await instance.release();
  await rm(dir, { recursive: true, force: true });
});

it('gives each running instance a folder of its own, and a stopped one its folder back', async () => {
  const first = await claim();
  expect(first).toMatchObject({ number: 1, dir: join(dir, '1') });
  expect((await claim()).number).toBe(2);
  await first.release();
  expect((await claim()).number).toBe(1);
});

it('gives instances that start in the same moment different folders', async () => {
  const all = await Promise.all(Array.from({ length: 5 }, claim));
  expect(new Set(all.map(({ number }) => number)).size).toBe(5);
});

it('takes the folder of one that was killed', async () => {
  const script = `import { claimInstance } from '#src/demo/instance.ts';
    await claimInstance(${JSON.stringify(dir)});
    console.log('claimed');
    setInterval(() => {}, 1_000);`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((done) => child.on('exit', done));
  try {
    await new Promise((done) => child.stdout.once('data', done));
    expect((await claim()).number).toBe(2);
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
  expect((await claim()).number).toBe(1);
});
