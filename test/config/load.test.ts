import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { loadYaml, parseYaml } from '#config/load.ts';
import { TiersFile } from '#config/tiers.ts';

const Schema = z.strictObject({
  steps: z.strictObject({ min: z.number(), max: z.number() }),
  names: z.array(z.string()).default([]),
});
const GOOD = 'steps: { min: 1, max: 2 }\n';

function saysOf(text: string): string {
  try {
    parseYaml(text, Schema, 'parameters.yaml');
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error('it was accepted');
}

describe("an operators' file", () => {
  it('is read by its schema', () => {
    expect(parseYaml(GOOD, Schema, 'x')).toEqual({ steps: { min: 1, max: 2 }, names: [] });
  });

  it.each([
    ['that does not parse', 'steps:\n  min: 1\n max: 2\n', 3, ''],
    ['of two documents', `${GOOD}---\n${GOOD}`, 2, ''],
    ['with a key twice', `${GOOD}names: []\nnames: [a]`, 3, 'Map keys must be unique'],
    ['with the wrong type', 'steps:\n  min: 1\n  max: many', 3, 'steps.max: '],
    ['with a wrong entry', `${GOOD}names:\n  - a\n  - 7`, 4, 'names.1: '],
    ['that lacks a key, where its parent is', 'names: []\nsteps:\n  min: 1', 2, 'steps.max: '],
    ['with a key nobody knows', `${GOOD}names: []\nstep:\n  - 3`, 3, '(file): Unrecognized key: "step"'],
    ['with one deeper down', 'steps:\n  min: 1\n  max: 2\n  mix: 3', 4, 'steps: Unrecognized key: "mix"'],
    ['that is empty', '', 1, '(file): '],
    ['with an alias, of which a few lines are gigabytes', `${GOOD}names: &a [x]\nmore: *a`, 3, 'alias'],
    ['with an alias of nothing', `names: []\nsteps: *a`, 2, 'alias'],
    ['with an alias as a key', `${GOOD}? &a names\n: []\n? *a\n: []`, 4, 'alias'],
  ])('%s is refused, with its line', (_, text, line, says) => {
    expect(saysOf(text).startsWith(`parameters.yaml:${line}: `)).toBe(true);
    expect(saysOf(text)).toContain(says);
  });

  it('has every fault told at once', () => {
    expect(saysOf('steps:\n  min: a\n  max: b')).toMatch(
      /^parameters\.yaml:2: steps\.min: .*\nparameters\.yaml:3: steps\.max: .*$/,
    );
  });

  it('is named by the last part of its path', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'atelier-yaml-'));
    try {
      const file = join(dir, 'tiers.yaml');
      await writeFile(file, '\nsteps: 3\n');
      for (const named of [file, pathToFileURL(file)])
        expect(() => loadYaml(named, Schema)).toThrow(/^tiers\.yaml:2: steps: /);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

describe('a tier', () => {
  const file = (changes: string) =>
    `tiers:\n  turbo: { description: x, tokens: 1, target: 2, within: 10, ${changes} }\ntokens: { welcome: 1, daily: 1, max: 1 }\nguests: { tokens: 1, perAddress: 1 }\nlimits: { waiting: 1, batch: 1 }\n`;
  const read = (text: string) => () => parseYaml(text, TiersFile, 'tiers.yaml');

  it.each(['0', '-1', '.nan', '.inf'])(
    'of the weight %s is refused: it would never have its turn, or alone',
    (weight) => {
      expect(read(file('weight: 1'))).not.toThrow();
      expect(read(file(`weight: ${weight}`))).toThrow(/^tiers\.yaml:2: tiers\.turbo\.weight: /);
    },
  );
});

describe('config/', () => {
  it('has a schema for each of its files, and each file keeps to it', async () => {
    const files = (await readdir('config')).filter((file) => file.endsWith('.yaml'));
    expect(files).toContain('parameters.yaml');
    for (const file of files) {
      // Reading it is what the module does when it is loaded; a bad file would end that.
      const module: object = await import(`../../config/${basename(file, '.yaml')}.ts`);
      expect(Object.keys(module), file).not.toEqual([]);
    }
  });
});
