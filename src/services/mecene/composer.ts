/**
 * The built-in composer: Mecene's writer where no language model is set. It needs no network, and the same words and seed
 * make the same idea for ever.
 *
 * It chooses a scene of config/mecene.yaml that the words hint at, or any, and one word of each list. Each choice is a hash
 * of words, seed and the list's name, so the four steps need no memory of each other.
 */
import { createHash } from 'node:crypto';
import { PRONOUNS, type Pronoun, type Scene, type Vocabulary, vocabulary } from '#config/mecene.ts';
import { type Categories, KEYWORDS, type Made, type Step, type Writer } from './graph.ts';
import { cut } from './words.ts';

/** characters of a person's words that go into the prompt: CLIP reads 77 tokens in all */
const PHRASE_MAX = 80;
/** characters of a keyword */
const KEYWORD_MAX = 40;

const DETERMINERS = new Set(
  'a an the my our your his her their its this that some two three four five many'.split(' '),
);
const HAS: Readonly<Record<Pronoun, string>> = { she: 'She has', he: 'He has', they: 'They have' };

/** A composer that draws from `vocabulary`; tests pass their own. */
export function makeComposer(from: Vocabulary = vocabulary): Writer {
  return {
    name: 'composer',
    async answer({ name, words, seed }: Step) {
      const { idea, categories, keywords, prompt } = compose(from, words, seed);
      return { imagine: { idea }, sort: categories, choose: { keywords }, write: { prompt } }[name];
    },
  };
}

function compose(from: Vocabulary, words: string, seed: bigint): Made {
  /** Two different entries of a list, the second for a little more colour. */
  const two = <T>(slot: string, list: readonly T[]): [T, T] => {
    const first = roll(words, seed, slot, list.length);
    const second = (first + 1 + roll(words, seed, `${slot}, again`, list.length - 1)) % list.length;
    return [list[first]!, list[second]!];
  };
  const one = <T>(slot: string, list: readonly T[]): T => list[roll(words, seed, slot, list.length)]!;

  const phrase = tidy(words);
  const said = new Set(phrase.toLowerCase().split(/[^\p{L}\p{M}\p{N}'’]+/u));
  const scene = one('scene', hintedScenes(from, said));
  const named = PRONOUNS.find((pronoun) =>
    [...from.people[pronoun].words, ...from.people[pronoun].cues].some((cue) => said.has(cue)),
  );
  const pronoun = named ?? one('pronoun', ['she', 'he', 'she', 'he', 'they'] as const);

  const [emotion, mood] = two('emotions', scene.emotions);
  const [color, accent] = two('colors', scene.colors);
  const [theme, otherTheme] = two('themes', scene.themes);
  const [style, otherStyle] = two('styles', from.styles);
  const [medium, otherMedium] = two('mediums', from.mediums);
  const [place, otherPlace] = two('places', scene.places);
  const time = one('time', scene.time);
  const light = one('light', scene.light);
  const hair = one('hair', from.hair[pronoun]);
  const detail = one('details', from.details[pronoun]);
  const garment = `${color} ${one('garments', from.garments)}`;

  // "winter queen" is who is portrayed; "paper moon" is what the portrait is about.
  const person = one('person', from.people[pronoun].words);
  const subject = named ? phrase : `${emotion} ${person}`;
  const about = named ? `${emotion} expression` : phrase;

  // Hair or clothes that the person named stay, with no second ones beside them.
  const hairSaid = from.hair.cues.some((cue) => said.has(cue));
  const garmentSaid = from.garments.some((worn) => said.has(worn));
  const prompt = [
    `portrait of ${withArticle(subject)}`,
    about,
    !hairSaid && hair,
    !garmentSaid && garment,
    detail,
    `${place} in the background`,
    light,
    `${style} style`,
    medium,
  ]
    .filter(Boolean)
    .join(', ');

  const who = withArticle(named ? phrase : person);
  const motif = !named && phrase ? ` Everything around recalls ${phrase}.` : '';
  const idea = one('template', [
    `Imagine ${time}: ${light} falls over ${place}, all in ${color} and ${accent}. ${capital(who)} looks out of the ` +
      `picture, ${emotion} and ${mood}. ${HAS[pronoun]} ${hair}, ${withArticle(garment)} and ${detail}.${motif} ` +
      `The portrait speaks of ${theme} and ${otherTheme}, ${style} in style, as if made in ${medium}.`,
    `A portrait about ${theme} and ${otherTheme}. ${capital(who)} is seen before ${place}; ${light} tells of ${time}.` +
      `${motif} ${HAS[pronoun]} ${hair}, ${withArticle(garment)}, ${detail}, and a look that is ${emotion} and ${mood}. ` +
      `Shades of ${color} and ${accent} hold it together, ${style} in style, in ${medium}.`,
  ]);

  const categories: Categories = {
    themes: [theme, otherTheme],
    colors: [color, accent],
    styles: [style, otherStyle],
    mediums: [medium, otherMedium],
    subjects: [keywordOf(phrase) || person, hair, garment, detail],
    emotions: [emotion, mood],
    time: [time, light],
    places: [place, otherPlace],
  };
  return { idea, categories, keywords: mostRelevant(categories), prompt };
}

/** 0 … sides − 1 */
function roll(words: string, seed: bigint, slot: string, sides: number): number {
  const digest = createHash('sha256')
    .update(JSON.stringify([words, String(seed), slot]))
    .digest();
  return digest.readUIntBE(0, 6) % sides;
}

/** The scenes with most cues among the words; all of them when there is none. */
function hintedScenes({ scenes }: Vocabulary, said: ReadonlySet<string>): Scene[] {
  const all = Object.values(scenes);
  const hints = all.map(({ cues }) => cues.filter((cue) => said.has(cue)).length);
  const max = Math.max(...hints);
  return all.filter((_, i) => hints[i] === max);
}

/** A person's words as part of a prompt: no sentence marks, and not so long that the rest is cut off. */
function tidy(words: string): string {
  const plain = words.replace(/[^\p{L}\p{M}\p{N}'’&-]+/gu, ' ').trim();
  return cut(plain, PHRASE_MAX).replace(/[^\p{L}\p{M}\p{N}]+$/u, '');
}

function keywordOf(phrase: string): string {
  return cut(phrase, KEYWORD_MAX).replace(/^[^\p{L}\p{N}]+/u, '');
}

function withArticle(noun: string): string {
  const [first = ''] = noun.toLowerCase().split(' ');
  if (DETERMINERS.has(first) || /^\d/.test(first)) return noun;
  return `${/^[aeiou]/.test(first) ? 'an' : 'a'} ${noun}`;
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** The first of each category, then all of the subjects, then the seconds. */
function mostRelevant(categories: Categories): string[] {
  const lists = Object.values(categories);
  const ranked = [
    ...lists.map(([first]) => first!),
    ...categories.subjects,
    ...lists.flatMap((list) => list.slice(1)),
  ];
  const seen = new Map(ranked.map((word) => [word.toLowerCase(), word]));
  return [...seen.values()].slice(0, KEYWORDS);
}
