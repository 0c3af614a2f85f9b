/**
 * What people read, in their language.
 *
 * The English sentence stands in the code, where it is said, as an ICU message: `say('{count, plural, one {# picture} other
 * {# pictures}}', { count })`. It is also the key of its translations in `config/locales/`; `npm run words` finds all of them, and
 * a test that none is missing. ICU's `select` is not used: two sentences are easier to translate than one with two ends.
 */
import { IntlMessageFormat } from 'intl-messageformat';
import { catalogOf, type Language, languageOf } from '#config/locales.ts';

type Value = string | number;

/** The names that a message has between braces; a branch of a plural has a space or `#` in it. */
type NamesIn<M extends string> = M extends `${string}{${infer Inside}}${infer Rest}`
  ? NameOf<Inside> | NamesIn<Rest>
  : never;
type NameOf<I extends string> = I extends `${infer Name},${string}`
  ? Name
  : I extends `${string}${' ' | '#' | '{'}${string}`
    ? never
    : I;
type ValuesOf<M extends string> = string extends M
  ? [values?: Readonly<Record<string, Value>>]
  : [NamesIn<M>] extends [never]
    ? []
    : [values: Readonly<Record<NamesIn<M>, Value>> & Readonly<Record<string, unknown>>];

/** Says a message in one language. Values are put in as they are: a person's words come `quote`d or `plain`. */
export interface Say {
  <const M extends string>(message: M, ...values: ValuesOf<M>): string;
  readonly language: Language;
}

/** Marks a message that is said later: a word of a table, a description. */
export const message = <const M extends string>(english: M): M => english;

const speakers = new Map<Language, Say>();

/** @param locale of whoever reads it, as `languageOf` takes it; a `Language` is one too */
export function sayIn(locale: string | null | undefined): Say {
  const language = languageOf(locale);
  const known = speakers.get(language);
  if (known) return known;
  const sentences: Readonly<Record<string, string>> = language === 'en' ? {} : catalogOf(language).sentences;
  // As many as the code has messages, so nothing is ever dropped.
  const formats = new Map<string, IntlMessageFormat>();
  const format = (english: string) => {
    const had = formats.get(english);
    if (had) return had;
    const said = Object.hasOwn(sentences, english) ? sentences[english] : undefined;
    // Discord's <t:…> and <@…> are no tags. A sentence that nobody has translated yet is said in English.
    const made = new IntlMessageFormat(said ?? english, said ? language : 'en', undefined, {
      ignoreTag: true,
    });
    formats.set(english, made);
    return made;
  };
  const say: Say = Object.assign(
    (english: string, values?: Readonly<Record<string, Value>>) => String(format(english).format(values)),
    { language },
  );
  speakers.set(language, say);
  return say;
}
