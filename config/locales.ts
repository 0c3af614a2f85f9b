/**
 * `config/locales/<language>.json`: what the program says, in other languages than the code's English.
 *
 * JSON and not YAML, unlike what operators edit: every process reads these files, and parsing a thousand sentences as YAML takes
 * too long on a loop that answers people. `npm run words` keeps their keys equal to what the code says.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** English first: it is what the code itself says. */
export const languages = ['en', 'de', 'fr', 'es', 'ja'] as const;
export type Language = (typeof languages)[number];
export type OtherLanguage = Exclude<Language, 'en'>;

/** @param locale as Discord names it: `en-US`, `es-419`, `ja` */
export function languageOf(locale: string | null | undefined): Language {
  const [short] = (locale ?? '').split('-');
  return languages.find((language) => language === short) ?? 'en';
}

const Catalog = z.strictObject({
  /** what is typed: names of commands and options, and entries of the Apps menu */
  names: z.record(z.string(), z.string().min(1).max(32)),
  /** English sentence → the same in this language, both as ICU messages */
  sentences: z.record(z.string(), z.string().min(1)),
});
export type Catalog = z.output<typeof Catalog>;

const read = new Map<OtherLanguage, Catalog>();

/** @throws {Error} `de.json: sentences.Stop: expected string` */
export function catalogOf(language: OtherLanguage): Catalog {
  const known = read.get(language);
  if (known) return known;
  const file = new URL(`locales/${language}.json`, import.meta.url);
  const parsed = Catalog.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  if (!parsed.success) {
    const faults = parsed.error.issues.map(
      ({ path, message }) => `${language}.json: ${path.join('.')}: ${message}`,
    );
    throw new Error(faults.join('\n'));
  }
  read.set(language, parsed.data);
  return parsed.data;
}
