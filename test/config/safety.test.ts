import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { cleanPrompts, english, readSafety, safety } from '#config/safety.ts';
import { commonWords, innocentWords } from '#infra/innocent.ts';
import { UserError } from '#src/errors.ts';
import { gatesOf } from '#src/moderation/rule-set.ts';
import { checkNegativePrompt, checkPrompt } from '#src/moderation/words.ts';

/** What `checkPrompt` says of a prompt; null: it may be drawn. */
function says(prompt: string, check: (text: string) => unknown = checkPrompt): string | null {
  try {
    check(prompt);
    return null;
  } catch (error) {
    if (error instanceof UserError) return error.userMessage;
    throw error;
  }
}

/** A word that ends with `*` has any ending, and none. */
const plain = (phrase: string) => phrase.replaceAll('*', '');

describe('config/safety.yaml', () => {
  const rules = Object.entries(safety.rules);

  it.each(rules)(
    '%s: every word of it fires, with a word that it needs beside it',
    (_, { any, both = [''] }) => {
      const other = plain(both[0] ?? '');
      const missed = [
        ...any.map((phrase) => `a ${other} portrait, ${plain(phrase)}, oil`),
        ...both.map((word) => `a ${plain(word)} portrait, ${plain(any[0] ?? '')}, oil`),
      ].filter((prompt) => says(prompt) === null);
      expect(missed).toEqual([]);
    },
  );

  it.each(Object.entries(safety.negatives))('negatives, %s: every word of it fires', (_, { any }) => {
    expect(any.filter((phrase) => says(`blurry, ${plain(phrase)}`, checkNegativePrompt) === null)).toEqual(
      [],
    );
  });

  it.each([...rules, ...Object.entries(safety.negatives)])(
    '%s: says what is wrong, politely and as the end of a sentence',
    (_, rule) => {
      expect(rule.says).toMatch(/^it [a-z].*\.$/);
      if ('negative' in rule && rule.negative) expect(rule.negative).toMatch(/^it [a-z].*\.$/);
    },
  );

  it('lets a girl be drawn with what is harmless, and not naked', () => {
    expect(safety.harmless.filter((phrase) => says(`a girl, ${phrase}, oil`) !== null)).toEqual([]);
    expect(safety.harmless.filter((phrase) => says(`a girl, ${phrase}, naked`) === null)).toEqual([]);
  });

  it.each(rules)('%s: names nothing twice', (_, { any, both = [] }) => {
    for (const list of [any, both])
      expect(list.filter((phrase, i) => list.indexOf(phrase) !== i)).toEqual([]);
  });

  it('stops none of the clean prompts', () => {
    expect(cleanPrompts.length).toBeGreaterThanOrEqual(1_000);
    expect(cleanPrompts.filter((prompt) => says(prompt) !== null)).toEqual([]);
  });

  it('is refused with a word that is everywhere: the word is named, with how many clean prompts it would stop', () => {
    const { sexual, ...rest } = safety.rules;
    const file = {
      ...safety,
      rules: { ...rest, sexual: { ...sexual!, any: [...sexual!.any, 'portrait', 'a*'] } },
    };
    const clean = cleanPrompts.slice(0, 50);
    expect(() => gatesOf(file, 'safety.next.yaml', english, clean)).toThrow(
      /safety\.next\.yaml: rules\.sexual: `(?:portrait|a\*)` would stop \d+ of the 50 clean prompts/,
    );
    expect(() => gatesOf(safety, 'safety.yaml', english, clean)).not.toThrow();
  });
});

describe('concepts', () => {
  const file = new URL('../../config/safety.yaml', import.meta.url);
  /** The faults of the file with some words exchanged. */
  async function faultsWith(from: string, to: string): Promise<string> {
    const text = await readFile(file, 'utf8');
    expect(text).toContain(from);
    const changed = join(await mkdtemp(join(tmpdir(), 'atelier-safety-')), 'safety.yaml');
    await writeFile(changed, text.replace(from, to));
    try {
      readSafety(pathToFileURL(changed));
      return '';
    } catch (error) {
      return (error as Error).message;
    } finally {
      await rm(dirname(changed), { recursive: true });
    }
  }

  it.each([
    [
      'a phrase twice in one',
      'a severed human head',
      'a mutilated corpse with its organs exposed',
      'concepts.gore.phrases',
    ],
    ['a phrase of another', 'a severed human head', 'sexual abuse of a child', 'concepts.minors.phrases'],
    ['an ordinary phrase', 'a severed human head', 'a Portrait of a Woman', 'ordinary'],
  ])('with %s are refused, with the line and where it stood before', async (_, from, to, before) => {
    expect(await faultsWith(from, to)).toMatch(
      new RegExp(
        `^safety\\.yaml:\\d+: concepts\\.\\w+\\.phrases\\.\\d+: \`.+\` stands in ${before} already$`,
      ),
    );
    expect(await faultsWith(from, `${to} indeed`)).toBe('');
  });

  it('without a title, or with too few phrases, are refused', async () => {
    expect(await faultsWith('    title: gore\n', '')).toMatch(/^safety\.yaml:\d+: concepts\.gore\.title: /);
    expect(
      await faultsWith('title: gore\n    phrases: [', 'title: gore\n    phrases: []\n    more: ['),
    ).toMatch(/concepts\.gore\.phrases: .*>=3/);
  });

  it('are held against ordinary phrases that the rules let pass', () => {
    expect(safety.ordinary.filter((phrase) => says(phrase) !== null)).toEqual([]);
  });
});

describe('config/english', () => {
  it('is what `npm run innocent` makes of the rules', () => {
    expect(english.common).toEqual(commonWords());
    // All of them take seconds: of a word in twenty, each that the rules would catch.
    const some = innocentWords(safety, english.common, 20);
    expect(some.length).toBeGreaterThan(30);
    expect(some.filter((word) => !english.innocent.includes(word))).toEqual([]);
  });

  it('has no word that the rules name', () => {
    const named = Object.values(safety.rules).flatMap(({ any, both = [] }) => [...any, ...both]);
    expect(english.innocent.filter((word) => named.includes(word))).toEqual([]);
  });
});
