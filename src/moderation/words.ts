/**
 * Which prompts the rules of config/safety.yaml allow, however their words are disguised. Pure: a text and the rules, and
 * nothing else.
 */
import { safety } from '#config/safety.ts';
import { UserError } from '#src/errors.ts';
import { isKeepable } from '#src/text.ts';

/** Letters that look like a–z and that Unicode's own decomposition leaves as they are: Cyrillic, Greek, Latin's own. */
const LOOKS_LIKE: Readonly<Record<string, string>> = Object.fromEntries(
  [
    ['аɑαᴀ∂', 'a'],
    ['ʙвβьъ', 'b'],
    ['сᴄϲ¢ç', 'c'],
    ['ԁᴅđɗ', 'd'],
    ['еєεᴇə℮ɛ', 'e'],
    ['ғƒ', 'f'],
    ['ɢɡԍ', 'g'],
    ['һнʜɦ', 'h'],
    ['іıɪιӏɩ', 'i'],
    ['јᴊ', 'j'],
    ['кκᴋ', 'k'],
    ['ʟł', 'l'],
    ['мᴍ', 'm'],
    ['ɴпην', 'n'],
    ['оοσᴏøө', 'o'],
    ['рρᴘþ', 'p'],
    ['ԛ', 'q'],
    ['гʀ', 'r'],
    ['ѕꜱʂ', 's'],
    ['тτᴛ', 't'],
    ['υᴜʊц', 'u'],
    ['ѵᴠ', 'v'],
    ['ԝωᴡш', 'w'],
    ['хχ×', 'x'],
    ['уγʏ', 'y'],
    ['ᴢʐ', 'z'],
  ].flatMap(([letters, plain]) => [...letters!].map((letter) => [letter, plain!])),
);
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
const UNDERAGE = new Set(
  (
    '1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 one two three four five six seven eight nine ten eleven twelve ' +
    'thirteen fourteen fifteen sixteen seventeen'
  ).split(' '),
);
const YEARS = new Set(['y', 'yo', 'yr', 'yrs', 'year', 'years', 'yearold', 'yearsold']);

/** A word as the rules compare it: `nuude` has the letters `nude`, in runs of 1, 2, 1 and 1. */
interface Spelling {
  readonly letters: string;
  readonly runs: readonly number[];
}

/** Ways to read one word of a prompt; one of them is as it stands. */
type Readings = readonly Spelling[];

interface Phrases {
  /** first word's letters → phrases that begin so */
  readonly starts: ReadonlyMap<string, readonly (readonly Spelling[])[]>;
}

const rules = Object.entries(safety.rules).map(([id, { says, any, both }]) => ({
  id,
  says,
  any: compile(any),
  both: both && compile(both),
}));
const harmless = compile(safety.harmless);
/** Every word of the rules, without its repeated letters. */
const RULE_WORDS = new Set(
  Object.values(safety.rules)
    .flatMap(({ any, both = [] }) => [...any, ...both])
    .flatMap((phrase) => phrase.split(' ').map((word) => spell(word).letters)),
);
const LONGEST = Math.max(...[...RULE_WORDS].map((word) => word.length));

/** @throws {UserError} `prompt_empty`, `prompt_long`, `prompt_blocked`, `text_unkeepable` */
export function checkPrompt(text: string): void {
  const { promptMax: max } = safety;
  if (!isKeepable(text)) throw new UserError('text_unkeepable', { what: 'The prompt' });
  // A character has at most two code units: most of what is too long is not even counted.
  const got = text.length > 2 * max ? text.length : [...text].length;
  if (got > max) throw new UserError('prompt_long', { max, got });
  const plain = fold(text);
  if (!/[^\s\p{P}]/u.test(plain)) throw new UserError('prompt_empty', {});
  const { words, more } = read(plain);
  const excused = places(words, harmless);
  // An empty place keeps the words around it apart: what is left is no new phrase.
  const counted = words.map((word, i) => (excused.has(i) ? [] : word));
  const has = (phrases: Phrases) => places(counted, phrases).size > 0 || places(more, phrases).size > 0;
  for (const { id, says, any, both } of rules)
    if (has(any) && (!both || has(both))) throw new UserError('prompt_blocked', { rule: id, says });
}

/** Lower case, without accents and invisible characters, and with look-alikes as the letters that they look like. */
function fold(text: string): string {
  return [...text.normalize('NFKD').toLowerCase()]
    .filter((c) => !/[\p{M}\p{Cf}\p{Default_Ignorable_Code_Point}]/u.test(c))
    .map((c) => LOOKS_LIKE[c] ?? c)
    .join('');
}

/**
 * The words of a folded text in their order, each with its readings; and `more`: words that somebody may have taken
 * apart (`n u d e`, `nu.de`), and `underage` where an age says so. Every step is one pass over the text.
 */
function read(plain: string): { words: Readings[]; more: Readings[] } {
  const words: Readings[] = [];
  const more: Readings[] = [];
  let spelt: string[] = [];
  const endSpelling = () => {
    // The run may begin or end with a letter that is a word by itself: `a n u d e`. As many letters as the longest word
    // has, and as many again for repeats that were spelt one by one.
    for (const from of spelt.keys()) {
      const run = spelt.slice(from, from + 2 * LONGEST);
      let letters = '';
      for (const [at, piece] of run.entries()) {
        if (!letters.endsWith(piece[0]!)) letters += piece[0];
        if (at > 1 && RULE_WORDS.has(letters)) more.push([spell(run.slice(0, at + 1).join(''))]);
      }
    }
    spelt = [];
  };
  let age = false;
  for (const chunk of plain.split(/[\s,;:/()[\]{}"“”…—–]+/)) {
    const pieces = chunk.split(/[^\p{L}\p{N}@$€+!|]+/u).filter(Boolean);
    if (pieces.length > 1) more.push(readings(pieces.join('')));
    for (const piece of pieces) {
      words.push(readings(piece));
      const letters = lettersFor(piece).replace(I_OR_L, 'i');
      // One letter, or the same one repeated.
      if (new Set(letters).size === 1) spelt.push(letters);
      else endSpelling();

      const [, number, unit] = /^(\d{1,2})(\p{L}+)$/u.exec(piece) ?? [];
      if ((age && YEARS.has(piece)) || (number && unit && UNDERAGE.has(number) && YEARS.has(unit)))
        more.push([spell('underage')]);
      age = UNDERAGE.has(piece);
    }
  }
  endSpelling();
  return { words, more };
}

/** `p0rn!` is `porn` by its letters and `porni` or `pornl` by its signs; `1girl` is `girl`. */
function readings(piece: string): Readings {
  const signs = lettersFor(piece);
  const found = [
    ...piece.split(/[^\p{L}]+/u),
    ...[piece, signs, signs.replace(I_OR_L, 'i'), signs.replace(I_OR_L, 'l')].map((reading) =>
      reading.replace(/[^\p{L}]+/gu, ''),
    ),
  ];
  return [...new Set(found)].filter(Boolean).map(spell);
}

function lettersFor(piece: string): string {
  return [...piece].map((c) => STANDS_FOR[c] ?? c).join('');
}

function spell(word: string): Spelling {
  const runs: number[] = [];
  let letters = '';
  for (const letter of word) {
    if (letters.endsWith(letter)) runs.push((runs.pop() ?? 0) + 1);
    else {
      letters += letter;
      runs.push(1);
    }
  }
  return { letters, runs };
}

/** Repeating a letter hides nothing, and leaving one out does: `teeen` is `teen`, and `ten` is not. */
function isWord(reading: Spelling, word: Spelling): boolean {
  return reading.letters === word.letters && word.runs.every((run, i) => reading.runs[i]! >= run);
}

function compile(phrases: readonly string[]): Phrases {
  const starts = new Map<string, (readonly Spelling[])[]>();
  for (const phrase of phrases) {
    const words = phrase.split(' ').map(spell);
    const { letters } = words[0]!;
    starts.set(letters, [...(starts.get(letters) ?? []), words]);
  }
  return { starts };
}

/** Where in `words` a phrase stands: the index of each of its words. */
function places(words: readonly Readings[], { starts }: Phrases): Set<number> {
  const found = new Set<number>();
  for (const [at, word] of words.entries()) {
    for (const phrase of word.flatMap(({ letters }) => starts.get(letters) ?? [])) {
      const stands = phrase.every((part, i) => words[at + i]?.some((reading) => isWord(reading, part)));
      if (stands) for (const i of phrase.keys()) found.add(at + i);
    }
  }
  return found;
}
