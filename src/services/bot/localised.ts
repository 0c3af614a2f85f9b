/**
 * A command as Discord shows it in each language: names, descriptions and choices beside the English ones.
 *
 * A command still arrives under its English name, whatever was typed.
 */
import {
  type RESTPostAPIApplicationCommandsJSONBody as Definition,
  Locale,
  type LocalizationMap,
} from 'discord.js';
import { catalogOf, type OtherLanguage } from '#config/locales.ts';

/** Discord's locales, and the catalog of each. */
const locales: readonly (readonly [locale: Locale, language: OtherLanguage])[] = [
  [Locale.German, 'de'],
  [Locale.French, 'fr'],
  [Locale.SpanishES, 'es'],
  [Locale.SpanishLATAM, 'es'],
  [Locale.Japanese, 'ja'],
];

/** What of a command, option or choice is said in a language; an option's own options and choices too. */
interface Part {
  readonly name: string;
  readonly description?: string;
  /** choices only */
  readonly value?: string | number;
  readonly options?: readonly Part[];
  readonly choices?: readonly Part[];
}

export function localised(definition: Definition): Definition {
  return withLocales(definition as Part) as Definition;
}

function withLocales(part: Part): Part {
  // A choice that is shown by the word it stands for, as a scheduler, is called so everywhere.
  const isChoice = part.value !== undefined;
  return {
    ...part,
    ...(!(isChoice && part.name === part.value) && {
      name_localizations: inEach(isChoice ? 'sentences' : 'names', part.name),
    }),
    ...(part.description && { description_localizations: inEach('sentences', part.description) }),
    ...(part.options && { options: part.options.map(withLocales) }),
    ...(part.choices && { choices: part.choices.map(withLocales) }),
  };
}

function inEach(kind: 'names' | 'sentences', english: string): LocalizationMap {
  return Object.fromEntries(
    locales.flatMap(([locale, language]) => {
      const said = catalogOf(language)[kind][english];
      return said === undefined ? [] : [[locale, said]];
    }),
  );
}

/** The names and sentences of a command that are to be translated. */
export function wordsOf(definition: Definition): { names: string[]; sentences: string[] } {
  const names: string[] = [];
  const sentences: string[] = [];
  const walk = ({ name, description, value, options = [], choices = [] }: Part) => {
    if (value === undefined) names.push(name);
    else if (name !== value) sentences.push(name);
    if (description) sentences.push(description);
    for (const part of [...options, ...choices]) walk(part);
  };
  walk(definition as Part);
  return { names, sentences };
}
