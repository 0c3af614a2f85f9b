/**
 * `npm run words`: finds everything that the program says, and keeps `config/locales/` in step with it. What is new is listed as
 * missing (and left out, so that it is said in English); what is said nowhere any more is dropped.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageCommands, slashCommands } from '#commands/index.ts';
import { type Catalog, catalogOf, type OtherLanguage } from '#config/locales.ts';
import { parameterEntries } from '#config/parameters.ts';
import { safety } from '#config/safety.ts';
import { tiers } from '#config/tiers.ts';
import { wordsOf } from '#src/services/bot/localised.ts';

const root = join(import.meta.dirname, '..');
const others: readonly OtherLanguage[] = ['de', 'fr', 'es', 'ja'];

/** `say('…'` and `message('…'`, where the text is written out. */
const SAID = /\b(?:say|message)\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")/g;

export interface Words {
  readonly names: ReadonlySet<string>;
  readonly sentences: ReadonlySet<string>;
}

/** All that is said, in the order of the files. */
export function words(): Words {
  const files = globSync('{commands,src}/**/*.ts', { cwd: root, exclude: ['src/say.ts'] }).sort();
  const said = files.flatMap((file) => saidIn(readFileSync(join(root, file), 'utf8')));
  const commands = [...slashCommands.values(), ...messageCommands.values()].map(({ data }) =>
    wordsOf(data.toJSON()),
  );
  return {
    names: new Set(commands.flatMap(({ names }) => names)),
    sentences: new Set([...commands.flatMap(({ sentences }) => sentences), ...configured(), ...said]),
  };
}

export function saidIn(source: string): string[] {
  return [...source.matchAll(SAID)].map(([, single, double]) => unescaped(single ?? double ?? ''));
}

/** Sentences of the operators' YAML. */
function configured(): string[] {
  return [
    ...[...parameterEntries.values()].flatMap(({ title, description }) => [title, description]),
    ...[...tiers.values()].map(({ description }) => description),
    ...Object.values(safety.rules).flatMap(({ says, negative }) => [says, ...(negative ? [negative] : [])]),
    ...Object.values(safety.negatives).map(({ says }) => says),
    ...Object.values(safety.concepts).map(({ title }) => title),
  ];
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter));
}

/** A catalog with the keys that are said, in their order, and no others. */
export function kept({ names, sentences }: Words, catalog: Catalog): Catalog {
  const only = (keys: ReadonlySet<string>, all: Readonly<Record<string, string>>) =>
    Object.fromEntries([...keys].flatMap((key) => (Object.hasOwn(all, key) ? [[key, all[key] ?? '']] : [])));
  return { names: only(names, catalog.names), sentences: only(sentences, catalog.sentences) };
}

if (import.meta.main) {
  const all = words();
  let missing = 0;
  for (const language of others) {
    const catalog = kept(all, catalogOf(language));
    const file = join(root, `config/locales/${language}.json`);
    writeFileSync(file, `${JSON.stringify(catalog, null, 2)}\n`);
    for (const kind of ['names', 'sentences'] as const) {
      for (const key of all[kind]) {
        if (Object.hasOwn(catalog[kind], key)) continue;
        missing += 1;
        process.stdout.write(`${language}.json: ${kind}: missing ${JSON.stringify(key)}\n`);
      }
    }
  }
  process.stdout.write(missing ? `${missing} to translate.\n` : 'Nothing is missing.\n');
  process.exitCode = missing ? 1 : 0;
}
