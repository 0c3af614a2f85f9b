import { globSync, readFileSync } from 'node:fs';
import { IntlMessageFormat } from 'intl-messageformat';
import { describe, expect, it } from 'vitest';
import { helpOf } from '#commands/help.ts';
import { messageCommands, slashCommands } from '#commands/index.ts';
import { catalogOf, languageOf, type OtherLanguage } from '#config/locales.ts';
import { kept, saidIn, words } from '#infra/words.ts';
import { sayIn } from '#src/say.ts';
import { localised } from '#src/services/bot/localised.ts';

const others: readonly OtherLanguage[] = ['de', 'fr', 'es', 'ja'];
const all = words();

/** A command or an option. */
interface Named {
  readonly name: string;
  readonly options?: readonly Named[] | undefined;
}

/** Names that a message has between braces, each once, sorted. */
function valuesOf(message: string, language: string): string[] {
  const found = new Set<string>();
  const walk = (elements: ReturnType<IntlMessageFormat['getAst']>) => {
    for (const element of elements) {
      if ('options' in element) for (const { value } of Object.values(element.options)) walk(value);
      // 0 is text, 7 the # of a plural.
      if (element.type !== 0 && element.type !== 7) found.add(element.value);
    }
  };
  walk(new IntlMessageFormat(message, language, undefined, { ignoreTag: true }).getAst());
  return [...found].sort();
}

describe.each(others)('the catalog %s', (language) => {
  const catalog = catalogOf(language);

  it('has every name and sentence that is said, and none besides', () => {
    expect(Object.keys(catalog.names).sort()).toEqual([...all.names].sort());
    expect(Object.keys(catalog.sentences).sort()).toEqual([...all.sentences].sort());
  });

  it('puts the same values into each sentence, in every form of its plurals', () => {
    for (const [english, said] of Object.entries(catalog.sentences)) {
      expect(valuesOf(said, language), english).toEqual(valuesOf(english, 'en'));
    }
  });

  it('keeps markdown, line breaks and the ends of sentences', () => {
    for (const [english, said] of Object.entries(catalog.sentences)) {
      for (const mark of ['**', '\n', '```']) {
        expect(said.split(mark).length, `${mark} in ${english}`).toBe(english.split(mark).length);
      }
      expect(said.trim(), english).toBe(said);
    }
  });

  it('names commands in sentences as they are typed in that language', () => {
    for (const [english, said] of Object.entries(catalog.sentences)) {
      const typed = english.match(/`\/[a-z_]+( [a-z_]+)?/g) ?? [];
      for (const command of typed) {
        const own = command
          .slice(2)
          .split(' ')
          .map((word) => catalog.names[word] ?? word)
          .join(' ');
        expect(said, english).toContain(`\`/${own}`);
      }
    }
  });

  it('has names that Discord takes, no two alike in one list', () => {
    const isName = /^[-_'\p{L}\p{N}]{1,32}$/u;
    for (const command of slashCommands.values()) {
      const walk = ({ name, options = [] }: Named) => {
        const own = catalog.names[name] ?? '';
        expect(own, name).toMatch(isName);
        expect(own.toLocaleLowerCase(language), name).toBe(own);
        const names = options.map((option) => catalog.names[option.name]);
        expect(new Set(names).size, name).toBe(names.length);
        for (const option of options) walk(option);
      };
      walk(command.data.toJSON());
    }
    const commands = [...slashCommands.keys(), ...messageCommands.keys()].map((name) => catalog.names[name]);
    expect(new Set(commands).size).toBe(commands.length);
  });

  it('has descriptions that Discord takes', () => {
    const long = (value: unknown): string[] => {
      if (typeof value !== 'object' || value === null) return [];
      return Object.entries(value).flatMap(([key, inner]) =>
        key.endsWith('_localizations')
          ? Object.values(inner ?? {}).filter(
              (text): text is string => typeof text === 'string' && text.length > 100,
            )
          : long(inner),
      );
    };
    for (const { data } of slashCommands.values()) expect(long(localised(data.toJSON()))).toEqual([]);
  });

  it('has a /help that fits one message', () => {
    const help = helpOf(sayIn(language));
    expect(help).not.toBe(helpOf(sayIn('en')));
    expect(help.length).toBeLessThanOrEqual(2_000);
  });
});

describe('what is said', () => {
  it('is written out where it is said, so that it can be found', () => {
    for (const file of globSync('{commands,src}/**/*.ts')) {
      if (file === 'src/say.ts') continue;
      const source = readFileSync(file, 'utf8');
      // A marked message may come from a table. One that is put together, or chosen on the spot, would not be found.
      const calls = source.match(/\b(?:say|message)\(\s*(?:`|[^'"(),;]*\?\s*['"`])[^)]{0,40}/g) ?? [];
      expect(calls, file).toEqual([]);
    }
  });

  it('is found with quotes and line breaks inside', () => {
    expect(saidIn(`say('a \\'b\\'', {}); say(\n  "c 'd'",\n); message('e\\nf'); essay('no')`)).toEqual([
      "a 'b'",
      "c 'd'",
      'e\nf',
    ]);
  });

  it('names every command in /help', () => {
    const help = helpOf(sayIn('en'));
    for (const name of slashCommands.keys()) if (name !== 'help') expect(help).toContain(`\`/${name}`);
  });

  it('drops from a catalog what is said nowhere', () => {
    const one = { names: new Set(['set']), sentences: new Set(['Stop', 'New']) };
    const had = { names: { set: 'a', old: 'b' }, sentences: { Old: 'c', Stop: 'd' } };
    expect(kept(one, had)).toEqual({ names: { set: 'a' }, sentences: { Stop: 'd' } });
  });

  it('is in the language of the locale, and in English for one that nobody has translated', () => {
    expect(['de', 'en-GB', 'es-419', 'es-ES', 'fr', 'ja', 'ko', null].map(languageOf)).toEqual([
      'de',
      'en',
      'es',
      'es',
      'fr',
      'ja',
      'en',
      'en',
    ]);
  });
});
