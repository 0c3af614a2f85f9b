/** Services as child processes: real ones, on this file's own database. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { freePort } from '#infra/local/free-port.ts';
import { type ServiceProcess, serviceProcess } from '#infra/local/processes.ts';

const lines: string[] = [];
const said: string[] = [];
let running: ServiceProcess | undefined;
afterEach(async () => {
  await running?.stop();
  running = undefined;
  lines.length = 0;
  said.length = 0;
});

function make(names: readonly string[], env: Record<string, string> = {}, pauseMs = 500): ServiceProcess {
  running = serviceProcess(names, {
    pauseMs,
    env: { LOG_LEVEL: 'info', WEB_PORT: '0', ...env },
    onLine: (line) => lines.push(line),
    print: (line) => said.push(line),
  });
  return running;
}

async function until(isSo: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !isSo(); await sleep(20))
    if (Date.now() > deadline) throw new Error('It did not come to that.');
}
const readies = () => lines.filter((line) => line.includes('"web is ready"')).length;

it('starts a killed process again, and leaves a stopped one stopped', async () => {
  const web = make(['web']);
  await web.start();
  expect(readies()).toBe(1);
  const first = web.pid;
  process.kill(first!, 'SIGKILL');
  await until(() => readies() === 2);
  expect(web.pid).not.toBe(first);
  expect(said).toEqual(['web ended (SIGKILL), starting it again in 0.5 s']);

  await web.stop();
  expect(() => process.kill(web.pid!, 0)).toThrow();
  await sleep(700);
  expect(said).toHaveLength(1);

  await web.start();
  expect(readies()).toBe(3);
});

it('never gives one up, however often it ends, only waits for longer', async () => {
  const web = make(['web'], {}, 10);
  await web.start();
  for (let ends = 1; ends <= 8; ends++) {
    const { pid } = web;
    process.kill(pid!, 'SIGKILL');
    await until(() => web.pid !== pid);
  }
  expect(said.map((line) => line.replace(/.* in /, ''))).toEqual(
    [10, 20, 40, 80, 160, 320, 640, 1_280].map((ms) => `${ms / 1_000} s`),
  );
  await until(() => readies() === 2);
});

it('stops one that is still starting', async () => {
  const web = make(['web']);
  const started = expect(web.start()).rejects.toThrow(/^web did not start/);
  await web.stop();
  await started;
  await sleep(700);
  expect(readies()).toBe(0);
  expect(said).toEqual([]);
});

it('tells why one does not start with what it wrote last, and leaves it down', async () => {
  const both = make(['mecene', 'courier'], { DISCORD_TOKEN: '' });
  await expect(both.start()).rejects.toThrow(
    /^mecene, courier did not start \(1\)\.\n(.*\n)*mecene courier: DISCORD_TOKEN is not set/,
  );
  await sleep(700);
  expect(said).toEqual([]);
});

it('finds the next port that is free', async () => {
  const port = await freePort(20_000);
  await make(['web'], { WEB_PORT: String(port) }).start();
  expect(await freePort(port)).toBeGreaterThan(port);
});
