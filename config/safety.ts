/**
 * `config/safety.yaml`: rules for prompts, concepts that they are held against, and what image classifiers' scores mean; and the English
 * words that prompts are read by.
 */
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { loadYaml } from './load.ts';

const WORD = String.raw`\p{Ll}\p{Lo}\p{Lm}\p{M}`;
const words = z
  .array(
    z
      .string()
      .regex(
        new RegExp(`^(?:[${WORD}]{2,}|[\\p{Lo}])\\*?(?: [${WORD}]+\\*?)*$`, 'u'),
        'must be lower-case words, the first of two letters or more; `*` may end one',
      ),
  )
  .min(1);
/** As these, and one letter may begin one. */
const phrases = z
  .array(z.string().regex(new RegExp(`^[${WORD}]+(?: [${WORD}]+)*$`, 'u'), 'must be lower-case words'))
  .min(1);
const says = z.string().min(1).max(200);
const rules = <T extends z.ZodType>(rule: T) => z.record(z.string().regex(/^[a-z_]+$/), rule);
const threshold = z.number().gt(0).max(1);
const Score = z
  .strictObject({
    labels: z.array(z.string().min(1)).min(1),
    usual: threshold.optional(),
    ageRestricted: threshold.optional(),
    withFace: threshold.optional(),
    maybeMinor: threshold,
  })
  .refine(
    ({ usual = 1, ageRestricted = 1, withFace = usual, maybeMinor }) =>
      maybeMinor <= withFace && withFace <= usual && usual <= ageRestricted,
    'must rise: maybeMinor, withFace, usual, ageRestricted',
  )
  .refine(
    ({ usual, ageRestricted }) => usual !== undefined || ageRestricted === undefined,
    'is not held without a face, so there is nothing to set for age-restricted channels',
  );
/** What a picture's scores are held against. */
export type Score = z.output<typeof Score>;

/** What text encoders are asked about. */
const text = z.string().min(3).max(200);
const Concept = z.strictObject({
  /** what moderators read */
  title: z.string().min(1).max(60),
  phrases: z.array(text).min(3),
});

const SafetyFile = z
  .strictObject({
    rules: rules(z.strictObject({ says, any: words, both: words.optional(), negative: says.optional() })),
    close: words,
    fillers: z.array(z.string()),
    harmless: phrases,
    contexts: z.array(z.strictObject({ words, near: words })),
    names: words,
    negators: words,
    negatives: rules(z.strictObject({ says, any: words })),
    ages: z.strictObject({
      numbers: z.record(z.string(), z.number().int().min(1)),
      alone: words,
      years: z.array(z.string()),
      months: z.array(z.string()),
      yearsAtEnd: z.array(z.string()),
      aged: z.array(z.string()),
      under: z.array(z.string()),
      school: words,
      things: words,
    }),
    promptMax: z.number().int().positive(),
    scores: z
      .record(z.string().regex(/^[a-z]{1,20}$/), Score)
      // `/guild scores` offers them as choices, of which Discord takes so many.
      .refine((scores) => Object.keys(scores).length <= 25, 'are more than 25')
      .refine((scores) => {
        const labels = Object.values(scores).flatMap((one) => one.labels);
        return labels.length > 0 && new Set(labels).size === labels.length;
      }, 'have no label, or one label twice'),
    concepts: rules(Concept),
    ordinary: z.array(text).min(10),
  })
  .superRefine(({ concepts, ordinary }, { addIssue }) => {
    const known = new Map<string, string>();
    const each = (phrases: readonly string[], ...path: string[]) => {
      for (const [i, phrase] of phrases.entries()) {
        const place = path.join('.');
        const before = known.get(phrase.toLowerCase());
        if (before !== undefined)
          addIssue({
            code: 'custom',
            path: [...path, i],
            message: `\`${phrase}\` stands in ${before} already`,
          });
        known.set(phrase.toLowerCase(), place);
      }
    };
    each(ordinary, 'ordinary');
    for (const [name, { phrases }] of Object.entries(concepts)) each(phrases, 'concepts', name, 'phrases');
  });
export type SafetyFile = z.output<typeof SafetyFile>;

export const safety = loadYaml(new URL('./safety.yaml', import.meta.url), SafetyFile);

const NEXT = new URL('./safety.next.yaml', import.meta.url);
/** Rules that are to come, `safety.next.yaml`: they look on until staff promote them. null: there are none. */
export const nextSafety: SafetyFile | null = existsSync(NEXT) ? readSafety(NEXT) : null;

/** @throws {Error} with file, line and what was expected */
export function readSafety(file: URL): SafetyFile {
  return loadYaml(file, SafetyFile);
}

/** One a line. */
const linesOf = (file: string) =>
  readFileSync(new URL(`./english/${file}`, import.meta.url), 'utf8')
    .split('\n')
    .filter(Boolean);

export interface English {
  /** what glued words are made of */
  readonly common: readonly string[];
  /** what the rules would catch, and mean nothing by; `npm run innocent` */
  readonly innocent: readonly string[];
}
export const english: English = { common: linesOf('common.txt'), innocent: linesOf('innocent.txt') };
/** Ordinary prompts: rules that stop them are refused. */
export const cleanPrompts: readonly string[] = linesOf('prompts.txt');
