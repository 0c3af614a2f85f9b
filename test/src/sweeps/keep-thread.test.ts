import { execFile } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keepThread } from '#src/sweeps/keep-thread.ts';
import { parseSweep } from '#src/sweeps/parse.ts';
import { takeTurns } from '#src/turns.ts';
import { ANYBODY, refusal } from '#test/support/sweeps.ts';

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

describe('the thread that reads sweeps', () => {
  it('is one, for many texts at once and one after another, and nothing piles up on it', async () => {
    const warnings: string[] = [];
    const warn = ({ name }: Error) => void warnings.push(name);
    process.on('warning', warn);
    const numbers = Array.from({ length: 30 }, (_, i) => String(i));
    const read = (prompt: string) => parseSweep(`prompt: "${prompt}"`, `person ${prompt}`, ANYBODY, LONG_MS);
    expect((await Promise.all(numbers.map(read))).map(({ prompts: [prompt] }) => prompt)).toEqual(numbers);
    for (const n of numbers) expect(await read(n)).toMatchObject({ prompts: [n] });
    expect((await refusal(parseSweep('a: b: c', 'me', ANYBODY, LONG_MS))).code).toBe('yaml_broken');
    expect(started).toBe(1);
    process.off('warning', warn);
    expect(warnings).toEqual([]);
  });

  it('keeps no process alive', async () => {
    const code = `
      import('#src/sweeps/parse.ts')
        .then(({ parseSweep }) => parseSweep('prompt: a', 'me', { language: 'en', operator: false, folders: [] }, ${LONG_MS}))
        .then(({ prompts }) => process.stdout.write(JSON.stringify(prompts)));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--eval', code], {
      timeout: 25_000, // one that is killed is an error
    });
    expect(stdout).toBe('["a"]');
  });
});

describe('a thread that a text ends', () => {
  function keepStubborn(): (text: string, withinMs: number) => Promise<unknown> {
    const read = keepThread(new URL('../../support/stubborn-thread.ts', import.meta.url));
    const turns = takeTurns({ inAll: 10, each: 10, who: 'A thread', what: 'texts' });
    return (text, withinMs) => turns('me', () => read(text, ANYBODY, withinMs));
  }

  it.each([
    ['for ever', SHORT_MS],
    ['all memory', LONG_MS],
  ])('%s: that text is refused, those behind it are read by another thread', async (text, withinMs) => {
    const read = keepStubborn();
    const [before, refused, behind, last] = await Promise.all([
      read('before', LONG_MS),
      refusal(read(text, withinMs)),
      read('behind', LONG_MS),
      read('last', LONG_MS),
    ]);
    expect(refused).toEqual(TOO_LONG);
    expect([before, behind, last]).toMatchObject([
      { faults: ['before'] },
      { faults: ['behind'] },
      { faults: ['last'] },
    ]);
    expect(started).toBe(2);
  });

  it('by a fault of ours: the fault rises, and the next text is read', async () => {
    const read = keepStubborn();
    await expect(read('a fault of ours', LONG_MS)).rejects.toThrow('a fault of ours');
    expect(await read('next', LONG_MS)).toMatchObject({ faults: ['next'] });
    expect(started).toBe(2);
  });

  it('counts a deadline from when the thread begins on a text, not from when the text came', async () => {
    const read = keepStubborn();
    const refused = refusal(read('for ever', 2_000));
    expect(await read('slow', 1_900)).toMatchObject({ faults: ['slow'] });
    expect(await refused).toEqual(TOO_LONG);
  });
});
