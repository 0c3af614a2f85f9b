/**
 * A folded text as one row of letters, without whatever stands between them, and with where words, and rows of words without spaces,
 * begin and end: so that `nu-de`, `n u d e` and `(nu)(de:1.2)` are the same letters as `nude`.
 *
 * `i` and `l` are one letter here, as `1`, `!` and `|` are either; and one letter again and again is one, with its count.
 */

/** A word as it stands: letters only. `chunk` counts what spaces part, `clause` what commas and full stops do. */
export interface Token {
  readonly letters: string;
  /** the same with its i's */
  readonly written: string;
  /** some of its letters are signs or digits */
  readonly signed: boolean;
  /** all of them are digits */
  readonly numeric: boolean;
  readonly chunk: number;
  readonly clause: number;
  /** of its first letter, and behind its last, among all letters */
  readonly from: number;
  readonly to: number;
}

export interface Reading {
  readonly tokens: readonly Token[];
  /** no two neighbours are the same */
  readonly row: readonly string[];
  /** of each of these: of its first letter, among all letters; one more at the end */
  readonly runs: readonly number[];
  readonly letters: readonly string[];
  /** letter → its token */
  readonly tokenOf: readonly number[];
  /** letter → the last one, up to it, with which a token or a chunk begins; −1: none */
  readonly tokenStart: Int32Array;
  readonly chunkStart: Int32Array;
  /** letter → the first one, from it, with which a token or a chunk ends; as many as there are: none */
  readonly tokenEnd: Int32Array;
  readonly chunkEnd: Int32Array;
  /** chunks with a letter hidden by a sign, as `p*rn`: the letters with `*` for it, and the tokens */
  readonly hidden: readonly { readonly letters: string; readonly from: number; readonly to: number }[];
}

/** Digits and signs that stand for letters. Those that are an i or an l are neither here. */
const STANDS_FOR: Readonly<Record<string, string>> = {
  0: 'o',
  1: 'l',
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
  '£': 'l',
  '¥': 'y',
  '+': 't',
  '!': 'l',
  '|': 'l',
  '(': 'c',
  '<': 'c',
  '#': 'h',
};
export const hasSigns = (text: string) => /[\d@$€£¥+!|]|[(<#]\p{L}/u.test(text);
/** Several signs that draw one letter. The longer stand first. */
const DRAWN: readonly (readonly [drawn: string, letter: string])[] = [
  ['|\\/|', 'm'],
  ['/\\/\\', 'm'],
  ['\\/\\/', 'w'],
  ['|/\\|', 'w'],
  ['|\\|', 'n'],
  ['/\\/', 'n'],
  ['|_|', 'u'],
  ['(_)', 'u'],
  ['|-|', 'h'],
  ['|)', 'd'],
  ['|]', 'd'],
  ['|3', 'b'],
  ['|2', 'r'],
  ['|>', 'p'],
  ['|<', 'k'],
  ['|{', 'k'],
  ['|_', 'l'],
  ['_|', 'j'],
  ['/\\', 'a'],
  ['\\/', 'v'],
  ['()', 'o'],
  ['[]', 'o'],
  ['><', 'x'],
];
const IS_DRAWN = /[|/\\][\\/_)\]3<>{|-]|\(\)|\[\]|><|_\|/;

const TOKEN_START = 1;
const TOKEN_END = 2;
const CHUNK_START = 4;
const CHUNK_END = 8;
const CHUNK = /\S+/g;
const PLAIN = /^[a-z]+[,.;:!?]?$/;
const NUMBER = /^(?!(?:\d|\d{3,})[,.;:!?]?$)[\d.,:/%-]{2,}$/;
const LETTER = /\p{L}/u;
/** `:1.3` before a bracket and after a word, as prompts weigh words. */
const WEIGHT = /(?::\s*|(?<=[)\]}])\s?|\^)[-+]?\d*\.?\d+(?=[)\]}>\s,]|$)/g;
const POSSESSIVE = /['’`´]s(?!\p{L})/gu;
const ENDS_CLAUSE = /[,;:.!?…\n，。、；！？]/u;
/** Signs that stand for one letter that nobody shall read. */
const HIDES = /(?<=\p{L})[*#?%&^~_•×-]{1,2}(?=\p{L})/gu;

/** What digits and signs are: `apart` they part words as all others do; `drawn`, several can be one letter as well. */
export type Signs = 'apart' | 'letters' | 'drawn';

export function readingOf(folded: string, signs: Signs): Reading {
  let text = folded.replace(WEIGHT, (weight) => (/\s$/.test(weight) ? ' ' : '')).replace(POSSESSIVE, '');
  if (signs === 'drawn') for (const [drawn, letter] of DRAWN) text = text.replaceAll(drawn, letter);
  const tokens: Token[] = [];
  const letters: string[] = [];
  const tokenOf: number[] = [];
  /** letter → what begins and ends with it */
  const marks: number[] = [];
  const hidden: { letters: string; from: number; to: number }[] = [];
  /** of each token, the letters that are none for a sign */
  const insides: { first: number; last: number }[] = [];
  let clause = 0;
  let chunk = 0;
  let before = 0;

  for (const { 0: word, index } of text.matchAll(CHUNK)) {
    if (text.slice(before, index).includes('\n')) clause++;
    before = index + word.length;
    const [first, firstToken] = [letters.length, tokens.length];
    let token = '';
    let written = '';
    let signed = false;
    let numeric = true;
    let length = 0;
    let inside: { first: number; last: number } | undefined;
    const close = () => {
      if (!token) return;
      const from = letters.length - length;
      // `p0rn!` ends with its n as well as with its sign, `1girl` begins with its g.
      for (const at of [from, inside?.first ?? from]) marks[at]! |= TOKEN_START;
      for (const at of [letters.length - 1, inside?.last ?? letters.length - 1]) marks[at]! |= TOKEN_END;
      insides.push(inside ?? { first: from, last: letters.length - 1 });
      tokens.push({ letters: token, written, signed, numeric, chunk, clause, from, to: letters.length });
      token = '';
      written = '';
      signed = false;
      numeric = true;
      length = 0;
      inside = undefined;
    };
    // A number is none of letters; one digit alone may be, as in `n u d 3`.
    const asLetters = signs !== 'apart' && !NUMBER.test(word);
    for (const c of word) {
      const isLetter = (c >= 'a' && c <= 'z') || (c > '\x7f' && LETTER.test(c));
      const letter = isLetter ? c : asLetters ? STANDS_FOR[c] : undefined;
      if (letter === undefined) {
        close();
        continue;
      }
      if (!isLetter) signed = true;
      if (c < '0' || c > '9') numeric = false;
      else if (inside) inside.last = letters.length;
      else inside = { first: letters.length, last: letters.length };
      tokenOf.push(tokens.length);
      const plain = letter === 'i' ? 'l' : letter;
      letters.push(plain);
      marks.push(0);
      token += plain;
      length++;
      written += letter;
    }
    close();
    if (letters.length > first) {
      for (const at of [first, insides[firstToken]!.first]) marks[at]! |= CHUNK_START;
      for (const at of [letters.length - 1, insides.at(-1)!.last]) marks[at]! |= CHUNK_END;
      if (signs === 'apart' && !PLAIN.test(word) && HIDES.test(word)) {
        const shown = word.replace(HIDES, (sign) => '*'.repeat(sign.length)).replace(/[^\p{L}*]+/gu, '');
        hidden.push({ letters: shown.replaceAll('i', 'l'), from: firstToken, to: tokens.length });
      }
      HIDES.lastIndex = 0;
      chunk++;
    }
    if (ENDS_CLAUSE.test(word.at(-1)!)) clause++;
  }

  const row: string[] = [];
  const runs: number[] = [];
  for (const [i, letter] of letters.entries()) {
    if (letter === row.at(-1)) continue;
    row.push(letter);
    runs.push(i);
  }
  runs.push(letters.length);
  return {
    tokens,
    row,
    runs,
    letters,
    tokenOf,
    tokenStart: upTo(marks, TOKEN_START),
    chunkStart: upTo(marks, CHUNK_START),
    tokenEnd: from(marks, TOKEN_END),
    chunkEnd: from(marks, CHUNK_END),
    hidden,
  };
}

export const isDrawn = (text: string) => IS_DRAWN.test(text);

/** letter → the last one up to it with this mark */
function upTo(marks: readonly number[], mark: number): Int32Array {
  const found = new Int32Array(marks.length);
  for (let i = 0, last = -1; i < marks.length; i++) {
    if (marks[i]! & mark) last = i;
    found[i] = last;
  }
  return found;
}

/** letter → the first one from it with this mark */
function from(marks: readonly number[], mark: number): Int32Array {
  const found = new Int32Array(marks.length);
  for (let i = marks.length - 1, next = marks.length; i >= 0; i--) {
    if (marks[i]! & mark) next = i;
    found[i] = next;
  }
  return found;
}
