/**
 * Which prompts the rules of config/safety.yaml allow, however their words are disguised. Pure: a text and the rules, and
 * nothing else.
 *
 * Every step takes time in proportion to the text as it is when folded, and that has a limit: no prompt holds the event loop for
 * longer than a millisecond or two, whatever it is made of (`npm run bench -- words`).
 */
import type { z } from 'zod';
import { safety } from '#config/safety.ts';
import { hashOf } from '#src/canonical.ts';
import { UserError } from '#src/errors.ts';
import { message } from '#src/say.ts';
import { isKeepable } from '#src/text.ts';
import { fold } from './folding.ts';
import { findPhrases, phraseTree, type Readings, type Spelling, spell } from './phrases.ts';

/** A prompt that the rules allow. What is to be drawn takes nothing else, so none goes by unchecked and none is checked twice. */
export type CheckedPrompt = string & z.core.$brand<'checked'>;
/** Raised when the same text is read otherwise by the same rules. */
const READING_VERSION = 2;
/** Of the rules that a `CheckedPrompt` was checked by: one that was kept counts only as long as they are the same. */
export const rulesHash = hashOf({ version: READING_VERSION, ...safety });

/** Digits and signs that stand for letters. `1`, `!` and `|` are an i in one reading and an l in another. */
const STANDS_FOR: Readonly<Record<string, string>> = {
  0: 'o',
  2: 'z',
  3: 'e',
  4: 'a',
  5: 's',
  6: 'g',
  7: 't',
  8: 'b',
  9: 'g',
  '@': 'a',
  $: 's',
  '€': 'e',
  '+': 't',
};
const I_OR_L = /[1!|]/g;
const SIGN = /[02-9@$€+]/g;
const ONLY_LETTERS = /^\p{L}+$/u;
const NO_LETTERS = /[^\p{L}]+/gu;
/** One letter, or the same one again and again. */
const ONE_LETTER = /^(.)\1*$/u;
const UNDERAGE = new Set(
  (
    '1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 one two three four five six seven eight nine ten eleven twelve ' +
    'thirteen fourteen fifteen sixteen seventeen'
  ).split(' '),
);
const YEARS = new Set(['y', 'yo', 'yr', 'yrs', 'year', 'years', 'yearold', 'yearsold']);
/** A spelt word has so many pieces at least: `o k` is none. */
const SPELT_MIN = 3;

/** A prompt in a script of syllables becomes up to three times as long by folding; one made to grow, eighteen times. */
const FOLDED_MAX = 4 * safety.promptMax;

const rules = Object.entries(safety.rules).map(([id, rule]) => ({ id, ...rule }));
const rulesForNegatives = rules.filter(({ negative }) => negative);
type Rule = (typeof rules)[number];
/** What a phrase says of a text that has it. */
type Means = { readonly rule: Rule; readonly side: 'any' | 'both' } | 'harmless';

const rulePhrases = rules.flatMap((rule) =>
  (['any', 'both'] as const).flatMap((side) => (rule[side] ?? []).map((phrase) => ({ phrase, rule, side }))),
);
const wordsOf = (phrase: string) => phrase.split(' ').map(spell);
const PHRASES = phraseTree<Means>([
  ...rulePhrases.map(({ phrase, ...means }) => [wordsOf(phrase), means] as const),
  ...safety.harmless.map((phrase) => [wordsOf(phrase), 'harmless'] as const),
]);
/** Every word of the rules, taken as a phrase of letters: `n u d e`. */
const SPELT = phraseTree(
  [...new Set(rulePhrases.flatMap(({ phrase }) => phrase.split(' ')))].map(
    (word) => [lettersOf(word), spell(word)] as const,
  ),
);

/** @throws {UserError} `prompt_empty`, `prompt_long`, `text_grows`, `prompt_blocked`, `text_unkeepable` */
export function checkPrompt(text: string): CheckedPrompt {
  const { promptMax: max } = safety;
  // A character has at most two code units: most of what is too long is not even counted.
  const got = text.length > 2 * max ? text.length : [...text].length;
  if (got > max) throw new UserError('prompt_long', { max, got });
  const folded = foldedText(text, message('The prompt'));
  if (!/[^\s\p{P}]/u.test(folded)) throw new UserError('prompt_empty', {});
  const broken = firstBroken(folded, rules);
  if (broken) throw new UserError('prompt_blocked', { rule: broken.id, says: broken.says });
  return text as CheckedPrompt;
}

/**
 * A negative prompt may name what the rules refuse, as it says what to keep out of the picture; but not what only the rules with
 * `negative` refuse, since what it names can come through.
 *
 * @throws {UserError} `negative_blocked`, `text_grows`, `text_unkeepable`
 */
export function checkNegativePrompt(text: string): void {
  const folded = foldedText(text, message('The negative prompt'));
  if (firstBroken(folded, rulesForNegatives)) throw new UserError('negative_blocked', {});
}

function foldedText(text: string, what: string): string {
  if (!isKeepable(text)) throw new UserError('text_unkeepable', { what });
  const folded = fold(text, FOLDED_MAX);
  if (folded === null) throw new UserError('text_grows', { what, max: FOLDED_MAX });
  return folded;
}

/** The first of the rules that a folded text breaks. */
function firstBroken(folded: string, among: readonly Rule[]): Rule | undefined {
  const { words, more } = read(folded);
  const phrases = findPhrases(PHRASES, words);
  const excused = new Set(phrases.flatMap((found) => (found.means === 'harmless' ? placesOf(found) : [])));
  const counting = phrases.filter((found) => !placesOf(found).some((place) => excused.has(place)));
  const has = new Map<Rule, Set<'any' | 'both'>>();
  for (const { means } of [...counting, ...findPhrases(PHRASES, more)]) {
    if (means !== 'harmless') has.set(means.rule, (has.get(means.rule) ?? new Set()).add(means.side));
  }
  return among.find((rule) => has.get(rule)?.has('any') && (!rule.both || has.get(rule)?.has('both')));
}

function placesOf({ from, to }: { from: number; to: number }): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

/**
 * The words of a folded text in their order, each with its readings; and `more`: words that somebody may have taken
 * apart (`n u d e`, `nu.de`), and `underage` where an age says so.
 */
function read(folded: string): { words: Readings[]; more: Readings[] } {
  const words: Readings[] = [];
  const more: Readings[] = [];
  let spelt: string[] = [];
  let age = false;
  for (const chunk of folded.split(/[\s,;:/()[\]{}"“”…—–]+/)) {
    const pieces = chunk.split(/[^\p{L}\p{N}@$€+!|]+/u).filter(Boolean);
    if (pieces.length > 1) more.push(readings(pieces.join('')));
    for (const piece of pieces) {
      words.push(readings(piece));
      const letters = lettersFor(piece).replace(I_OR_L, 'i');
      if (ONE_LETTER.test(letters)) spelt.push(letters);
      else if (spelt.length) {
        more.push(...speltWords(spelt));
        spelt = [];
      }

      const [, number, unit] = /^(\d{1,2})(\p{L}+)$/u.exec(piece) ?? [];
      if ((age && YEARS.has(piece)) || (number && unit && UNDERAGE.has(number) && YEARS.has(unit)))
        more.push([spell('underage')]);
      age = UNDERAGE.has(piece);
    }
  }
  more.push(...speltWords(spelt));
  return { words, more };
}

/** The rules' words in a row of letters that stand alone. The row may have others around it, as in `a n u d e`. */
function speltWords(pieces: readonly string[]): Readings[] {
  const row: { letter: string; run: number; pieces: number }[] = [];
  for (const piece of pieces) {
    const { letters: letter, runs } = spell(piece);
    const last = row.at(-1);
    if (last?.letter === letter) {
      last.run += runs[0]!;
      last.pieces++;
    } else row.push({ letter, run: runs[0]!, pieces: 1 });
  }
  const found = findPhrases(
    SPELT,
    row.map(({ letter, run }) => [{ letters: letter, runs: [run] }]),
  );
  const isSpelt = ({ from, to }: { from: number; to: number }) =>
    row.slice(from, to).reduce((sum, { pieces }) => sum + pieces, 0) >= SPELT_MIN;
  return found.filter(isSpelt).map(({ means }) => [means]);
}

function lettersOf(word: string): Spelling[] {
  const { letters, runs } = spell(word);
  return [...letters].map((letter, i) => ({ letters: letter, runs: [runs[i]!] }));
}

/** `p0rn!` is `porn` by its letters and `porni` or `pornl` by its signs; `1girl` is `girl`. */
function readings(piece: string): Readings {
  if (ONLY_LETTERS.test(piece)) return [spell(piece)];
  const signs = lettersFor(piece);
  const found = [
    ...piece.split(NO_LETTERS),
    ...[piece, signs, signs.replace(I_OR_L, 'i'), signs.replace(I_OR_L, 'l')].map((reading) =>
      reading.replace(NO_LETTERS, ''),
    ),
  ];
  return [...new Set(found)].filter(Boolean).map(spell);
}

function lettersFor(piece: string): string {
  return piece.replace(SIGN, (sign) => STANDS_FOR[sign]!);
}
