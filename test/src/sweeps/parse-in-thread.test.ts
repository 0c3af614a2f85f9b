import { execFile } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keepThread, parseInThread } from '#src/sweeps/parse-in-thread.ts';
import { refusal } from '#test/support/sweeps.ts';

/** Of what ends by itself, however busy the machine is. */
const LONG_MS = 600_000;
/** Of what never ends. */
const SHORT_MS = 100;
const TOO_LONG = { code: 'yaml_broken', says: expect.stringContaining('it takes too long to read') };

let started = 0;
const count = () => void started++;
beforeEach(() => {
  started = 0;
  subscribe('worker_threads', count);
});
afterEach(() => void unsubscribe('worker_threads', count));

describe('the thread that reads YAML', () => {
  it('is one, for many texts at once and one after another, and nothing piles up on it', async () => {
    const warnings: string[] = [];
    const warn = ({ name }: Error) => void warnings.push(name);
    process.on('warning', warn);
    const numbers = Array.from({ length: 30 }, (_, i) => i);
    const read = await Promise.all(numbers.map((n) => parseInThread(`n: ${n}`, LONG_MS)));
    expect(read.map(({ value }) => value)).toEqual(numbers.map((n) => ({ n })));
    for (const n of numbers) expect(await parseInThread(`${n}`, LONG_MS)).toMatchObject({ value: n });
    expect((await refusal(parseInThread('a: b: c', LONG_MS))).code).toBe('yaml_broken');
    expect(started).toBe(1);
    process.off('warning', warn);
    expect(warnings).toEqual([]);
  });

  it('lets 32 texts wait behind the one that is read, and no more', async () => {
    const read = await Promise.allSettled(
      Array.from({ length: 34 }, (_, n) => parseInThread(`${n}`, LONG_MS)),
    );
    expect(read.slice(0, 33).every(({ status }) => status === 'fulfilled')).toBe(true);
    expect(read[33]).toMatchObject({ status: 'rejected', reason: { code: 'busy' } });
    expect(await parseInThread('again', LONG_MS)).toMatchObject({ value: 'again' });
  });

  it('keeps no process alive', async () => {
    const code = `
      import('#src/sweeps/parse-in-thread.ts')
        .then(({ parseInThread }) => parseInThread('a: 1', ${LONG_MS}))
        .then(({ value }) => process.stdout.write(JSON.stringify(value)));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--eval', code], {
      timeout: 25_000, // one that is killed is an error
    });
    expect(stdout).toBe('{"a":1}');
  });
});

describe('a thread that a text ends', () => {
  const stubborn = new URL('../../support/stubborn-thread.ts', import.meta.url);

  it.each([
    ['for ever', SHORT_MS],
    ['all memory', LONG_MS],
  ])('%s: that text is refused, those behind it are read by another thread', async (text, withinMs) => {
    const read = keepThread(stubborn);
    const [before, refused, behind, last] = await Promise.all([
      read('before', LONG_MS),
      refusal(read(text, withinMs)),
      read('behind', LONG_MS),
      read('last', LONG_MS),
    ]);
    expect(refused).toEqual(TOO_LONG);
    expect([before, behind, last]).toMatchObject([
      { value: 'before' },
      { value: 'behind' },
      { value: 'last' },
    ]);
    expect(started).toBe(2);
  });

  it('by a fault of ours: the fault rises, and the next text is read', async () => {
    const read = keepThread(stubborn);
    await expect(read('a fault of ours', LONG_MS)).rejects.toThrow('a fault of ours');
    expect(await read('next', LONG_MS)).toMatchObject({ value: 'next' });
    expect(started).toBe(2);
  });

  it('counts a deadline from when the thread begins on a text, not from when the text came', async () => {
    const read = keepThread(stubborn);
    const refused = refusal(read('for ever', 2_000));
    expect(await read('slow', 1_900)).toMatchObject({ value: 'slow' });
    expect(await refused).toEqual(TOO_LONG);
  });
});
