import { describe, expect, it } from 'vitest';
import { parseSweep } from '#src/sweeps/parse.ts';
import { ANYBODY, checked, MINIMAL, refusal } from '#test/support/sweeps.ts';

/** Nothing here is about a deadline, however busy the machine is. */
const LONG_MS = 600_000;
const parse = (text: string, personId = 'me') => parseSweep(text, personId, ANYBODY, LONG_MS);

describe('YAML that attacks', () => {
  it.each([
    [
      'aliases that explode',
      `a: &a [x, x]\n${Array.from({ length: 30 }, (_, i) => `b${i}: &b${i} [*${i ? `b${i - 1}` : 'a'}, *a]`).join('\n')}`,
      /line 2, column 10: aliases/,
    ],
    ['an alias as a key', '? &a x\n: 1\n? *a\n: 2', /aliases/],
    ['a key twice', `${MINIMAL}name: x\nname: y`, /line 3, column 1: the key `name` is there twice/],
    ['a merge of prototypes', '__proto__: { x: 1 }', /a key must be a word/],
    ['a list as a key', '? [1]\n: 2', /a key must be a word/],
    ['lists too deep', '['.repeat(60_000), /line 1, column \d+: it is nested too deep/],
    ['maps too deep', '{a: '.repeat(16_000), /nested too deep/],
    ['60,000 errors', `[${','.repeat(60_000)}]`, /Unexpected ,/],
    ['several documents', 'prompt: a\n---\nprompt: b', /multiple documents/],
    ['a tag bomb', '!a '.repeat(20_000), /line 1/],
    ['control characters', 'prompt: "\u0000"\n\u0007: 1', /line|not known/],
    // Places kept by whole paths would be 450 MB.
    [
      'a long key of a long list',
      `? ${'k'.repeat(30_000)}\n: [${'1,'.repeat(15_000)}]`,
      /Line 1: `k{59}…` is not known here/,
    ],
  ])('%s: refused', async (_, text, says) => {
    expect((await refusal(parse(text))).says).toMatch(says);
  });

  it('13,000 plain keys, as many as 64 KiB hold: refused, and meanwhile the event loop turns', async () => {
    const keys = Array.from({ length: 13_000 }, (_, i) => `k${(1296 + i).toString(36)}`);
    let turns = 0;
    const turn = () => {
      turns++;
      turning = setImmediate(turn);
    };
    let turning = setImmediate(turn);
    const { code } = await refusal(parse(`{${keys.join(',')}}`));
    clearImmediate(turning);
    expect(code).toBe('plan_faults');
    expect(turns).toBeGreaterThan(20);
  });

  it('of more than 64 KiB is not read at all', async () => {
    const keys = Array.from({ length: 20_000 }, (_, i) => `key${i}: 1`).join('\n');
    expect(await refusal(parse(keys))).toMatchObject({
      code: 'yaml_large',
      says: expect.stringContaining('64 KiB'),
    });
  });
});

describe('many sweeps at once', () => {
  const refusals = async (all: Promise<unknown>[]) =>
    (await Promise.allSettled(all)).flatMap((read) =>
      read.status === 'rejected' ? read.reason.userMessage : [],
    );

  it('of one person: two are read, and the others are told to wait, while somebody else is read', async () => {
    const [told, theirs] = await Promise.all([
      refusals(Array.from({ length: 40 }, () => parse(MINIMAL))),
      parse(MINIMAL, 'somebody else'),
    ]);
    expect(told).toHaveLength(38);
    expect(new Set(told)).toEqual(
      new Set([
        'I am still at 2 sweeps of yours, and that is the most at once. Wait for the answer, then try again.',
      ]),
    );
    expect(theirs).toMatchObject({ prompts: ['portrait of a woman'] });
    expect(await parse(MINIMAL)).toMatchObject({ prompts: ['portrait of a woman'] });
  });

  it('of many people: 32 wait behind the one that is read, and no more', async () => {
    const told = await refusals(Array.from({ length: 40 }, (_, n) => parse(MINIMAL, `person ${n}`)));
    expect(told).toHaveLength(7);
    expect(told[0]).toMatch(/^The thread that reads sweeps did not answer in time\./);
    expect(await parse(MINIMAL)).toMatchObject({ prompts: ['portrait of a woman'] });
  });
});

it('what the thread reads is what is read without one', async () => {
  const text = `${MINIMAL}axes: { steps: [10, 20], scheduler: [ddim, euler] }\nfaces: [ada]\nseeds: 3`;
  expect(await parse(text)).toEqual(await checked(text));
  const faulty = 'axes:\n  stepz: [1]\n  steps: [999]\nfaces: [../etc]';
  expect(await refusal(parse(faulty))).toEqual(await refusal(checked(faulty)));
});
