import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';

let child: ChildProcess;
afterEach(() => void child.kill('SIGKILL'));

/** Started, and said to be ready. */
async function start(): Promise<void> {
  child = fork('test/src/services/fixtures/never-closes.ts', { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  expect(await once(child, 'message')).toEqual([{ ready: true, url: 'http://127.0.0.1:1' }, undefined]);
}
const says = async () => child.stdout && String((await once(child.stdout, 'data'))[0]);

it('waits while a service closes; a second Ctrl-C does not', async () => {
  await start();
  child.kill('SIGINT');
  expect(await says()).toBe('closing: SIGINT\n');
  // The parent that heard the same Ctrl-C asks for the end too, and that is no second one.
  child.kill('SIGTERM');
  child.send('still there?');
  expect(await once(child, 'message')).toEqual(['still there?', undefined]);
  child.kill('SIGINT');
  expect(await once(child, 'exit')).toEqual([1, null]);
});

it('closes when its parent is gone', async () => {
  await start();
  child.disconnect();
  expect(await says()).toBe('closing: parent gone\n');
});

describe('one that is told to end while it starts', () => {
  const startSlowly = async () => {
    child = fork('test/src/services/fixtures/starts-slowly.ts', {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    expect(await says()).toBe('starting\n');
  };

  it('is closed when it has started', async () => {
    await startSlowly();
    child.kill('SIGTERM');
    expect(await says()).toBe('closing: SIGTERM\n');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  it('ends at once for somebody at the terminal', async () => {
    await startSlowly();
    child.kill('SIGINT');
    const said: string[] = [];
    child.stdout?.on('data', (text) => said.push(String(text)));
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(said).toEqual([]);
  });
});
