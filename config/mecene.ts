/** `config/mecene.yaml`: the vocabulary of Mecene's built-in composer. */
import { z } from 'zod';
import { loadYaml } from './load.ts';

/** What an idea is sorted into, in this order. */
export const CATEGORIES = [
  'themes',
  'colors',
  'styles',
  'mediums',
  'subjects',
  'emotions',
  'time',
  'places',
] as const;
export type Category = (typeof CATEGORIES)[number];

export const PRONOUNS = ['she', 'he', 'they'] as const;
export type Pronoun = (typeof PRONOUNS)[number];

const phrase = z.string().regex(/^[a-z][a-z' -]{0,39}$/, 'must be 1 to 40 lower-case letters');
const word = z.string().regex(/^[a-z]+$/, 'must be one word in lower case');
const few = (min: number) =>
  z
    .array(phrase)
    .min(min)
    .refine((list) => new Set(list).size === list.length, 'has a word twice');

/** Fewer than two of each could not fill fifteen keywords. */
const Scene = z.strictObject({
  cues: z.array(word).min(1),
  themes: few(2),
  colors: few(2),
  emotions: few(2),
  time: few(2),
  places: few(2),
  light: few(1),
});
const byPronoun = <T extends z.ZodType>(type: T) => z.strictObject({ she: type, he: type, they: type });

export const MeceneFile = z.strictObject({
  people: byPronoun(z.strictObject({ words: z.array(word).min(1), cues: z.array(word) })),
  hair: byPronoun(few(1)).extend({ cues: z.array(word) }),
  details: byPronoun(few(1)),
  garments: few(1),
  styles: few(2),
  mediums: few(2),
  scenes: z.record(word, Scene).refine((scenes) => Object.keys(scenes).length > 0, 'needs one scene'),
});

export type Vocabulary = z.output<typeof MeceneFile>;
export type Scene = z.output<typeof Scene>;

export const vocabulary: Vocabulary = loadYaml(new URL('./mecene.yaml', import.meta.url), MeceneFile);
