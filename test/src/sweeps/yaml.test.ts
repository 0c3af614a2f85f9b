import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UserError } from '#src/errors.ts';
import { sayIn } from '#src/say.ts';
import { readYaml } from '#src/sweeps/yaml.ts';
import { expanded } from '#test/support/sweeps.ts';

describe('a text of YAML', () => {
  it('is read with the line of every key and item, three levels deep', () => {
    const parsed = readYaml('a: 1\nb.c:\n  - x\n  - d: { e: 2,\n         f: { g: 3 } }\n', sayIn('en'));
    expect(parsed).toEqual({
      value: { a: 1, 'b.c': ['x', { d: { e: 2, f: { g: 3 } } }] },
      lines: new Map([
        ['a', { line: 1, inner: new Map() }],
        [
          'b.c',
          {
            line: 2,
            inner: new Map([
              ['0', { line: 3, inner: new Map() }],
              ['1', { line: 4, inner: new Map([['d', { line: 4, inner: new Map() }]]) }],
            ]),
          },
        ],
      ]),
    });
  });

  it.each([
    ['prompt: a\naxes: [1, 2\nsteps: 3', 3, 1, /./],
    ['a: b: c', 1, 4, /^Nested mappings/],
    ['a: 1\na: 2', 2, 1, /^the key `a` is there twice\.$/],
    ['a: &x 1\nb: *x', 2, 4, /^aliases/],
    ['a: 1\n? [1]\n: 2', 2, 3, /^a key must be a word/],
    ['__proto__: { x: 1 }', 1, 1, /^a key must be a word/],
    ['a: "\u0000"', 1, 5, /^a character here can't be kept/],
    ['a: 1 # \ud83d', 1, 8, /^a character here can't be kept/],
    ['a: "\\ud83d"', 1, 4, /^a character here can't be kept/],
    ['a: 1\n---\nb: 1', 2, 1, /multiple documents/],
  ])('%j is refused at line %i, column %i', (text, line, column, reason) => {
    expect(readYaml(text, sayIn('en'))).toEqual({ line, column, reason: expect.stringMatching(reason) });
  });

  it('is a sweep or is refused with a sentence, whatever it is', async () => {
    const piece = fc.constantFrom(
      ...['a', ': ', '\n', '- ', '[', ']', '{', '}', '&a ', '*a', '!!set ', '"', "'", '|', '>', '? ', '#'],
      ...['prompt: x\n', 'axes:\n', '  steps: ', '1', '..', ', ', '\t', '%YAML 1.1\n---\n', '<<: '],
      ...['\u0000', '💥'],
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 60 }), async (pieces) => {
        await expanded(pieces.join('')).catch((error: unknown) => expect(error).toBeInstanceOf(UserError));
      }),
      { numRuns: 300 },
    );
  });
});
