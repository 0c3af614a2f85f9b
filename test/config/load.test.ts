import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { parseYaml } from '#config/load.ts';

const Schema = z.strictObject({
  steps: z.strictObject({ min: z.number(), max: z.number() }),
  names: z.array(z.string()).default([]),
});
const saysOf = (text: string): string => {
  try {
    parseYaml(text, Schema, 'parameters.yaml');
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error('it was accepted');
};

describe("an operators' file", () => {
  it('is read by its schema', () => {
    expect(parseYaml('steps: { min: 1, max: 2 }', Schema, 'x')).toEqual({
      steps: { min: 1, max: 2 },
      names: [],
    });
  });

  it.each([
    ['that does not parse', 'steps:\n  min: 1\n max: 2\n', /^parameters\.yaml:3: /],
    ['with a key twice', 'steps: { min: 1, max: 2 }\nnames: []\nnames: [a]', /^parameters\.yaml:3: /],
    ['with the wrong type', 'steps:\n  min: 1\n  max: many', /^parameters\.yaml:3: steps\.max: /],
    [
      'with a wrong entry',
      'steps: { min: 1, max: 2 }\nnames:\n  - a\n  - 7',
      /^parameters\.yaml:4: names\.1: /,
    ],
    [
      'that lacks a key, where its parent is',
      'names: []\nsteps:\n  min: 1',
      /^parameters\.yaml:[23]: steps\.max: /,
    ],
    ['with a key nobody knows', 'steps: { min: 1, max: 2 }\nstep: 3', /^parameters\.yaml:\d: .*step/],
    ['that is empty', '', /^parameters\.yaml:1: \(file\): /],
  ])('%s is refused with its line', (_, text, says) => {
    expect(saysOf(text)).toMatch(says);
  });

  it('has every fault told at once', () => {
    expect(saysOf('steps:\n  min: a\n  max: b').split('\n')).toHaveLength(2);
  });

  it('may not use aliases: a few lines of them are gigabytes', () => {
    expect(() => parseYaml('names: &a [x]\nsteps: *a', Schema, 'x')).toThrow(/alias/i);
  });
});
