/** Whether a text says that somebody is under 18: `aged 13`, `12 y.o.`, `in 7th grade`, `dreizehn`, `not yet eighteen`. */
import type { SafetyFile } from '#config/safety.ts';
import { asItLooks } from './folding.ts';

const ADULT = 18;
/** Below, a number that stands alone between commas is too seldom an age. */
const ALONE_FROM = 3;
const PIECE =
  /([一二三四五六七八九十]+)(?=[歳才岁歲])|(\d+(?:[.,]\d+)?)|(\p{L}+|<)|([,;:.!?…\n，。、；！？]+(?=\s|$)|\n)/gu;
const ORDINAL = /^(?:st|nd|rd|th|ste|te|er|e|eme|º|ª)$/u;
const ORDINALS = 'first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth'.split(
  ' ',
);
/** Between a number and its unit, as in `between 12 and 14 years old`. */
const TO = new Set(['to', 'or', 'and', 'bis', 'a', 'ou', 'o', 'und', 'ish', 'something', 'odd', 'full']);
/** Between `aged` and a number. */
const ABOUT = new Set(
  'about around approximately of is only just like maybe circa is at barely now the age s turning be'.split(
    ' ',
  ),
);

interface Piece {
  readonly word: string;
  /** of a number in digits or words */
  readonly number?: number;
  readonly ends?: true;
}

/** @returns whether a folded text says so */
export function agesOf(words: SafetyFile['ages']): (folded: string) => boolean {
  const numbers = new Map(Object.entries(words.numbers).map(([word, n]) => [look(word), n]));
  for (const [tens, of] of Object.entries({ twenty: 20, thirty: 30, forty: 40, fifty: 50 }))
    for (const [word, n] of Object.entries(words.numbers)) if (n < 10) numbers.set(tens + word, of + n);
  const alone = new Set(words.alone.map(look));
  const atEnd = new Set(words.yearsAtEnd.map(look));
  const [years, months, aged, under, school] = [
    words.years,
    words.months,
    words.aged,
    words.under,
    words.school,
  ].map(follows);
  const things = new Set(words.things.map(look));

  const read = (folded: string): Piece[] =>
    [...folded.matchAll(PIECE)].flatMap(([, han, digits, letters, ends]): Piece[] => {
      if (han) return [{ word: han, number: hanNumber(han) }];
      if (digits) return [{ word: digits, number: Number(digits.replace(',', '.')) }];
      if (ends) return [{ word: '', ends: true }];
      const word = letters ?? '';
      const number = numbers.get(word);
      return [number === undefined ? { word } : { word, number }];
    });

  return (folded) => {
    const pieces = read(folded);
    const at = (i: number) => pieces[i] ?? ({ word: '', ends: true } as Piece);
    const isThing = (i: number) => {
      for (let j = i + 1; j <= i + 5 && !at(j).ends; j++) if (things.has(at(j).word)) return true;
      for (let j = i - 1; j >= i - 4 && !at(j).ends; j--) if (things.has(at(j).word)) return true;
      return false;
    };
    for (const [i, { word, number, ends }] of pieces.entries()) {
      if (ends) continue;
      if (alone.has(word) && !isThing(i)) return true;
      const n = ORDINALS.indexOf(word) + 1 || number;
      if (n === undefined) {
        // `grade 7`
        const next = at(i + 1).number;
        if (school!(pieces, i) && next !== undefined && next <= 12 && at(i + 2).word !== 'leather')
          return true;
        continue;
      }
      // `twenty five`
      if (n < 10 && (at(i - 1).number ?? 0) >= 20 && !/\d/.test(word)) continue;
      let next = i + 1;
      while (
        TO.has(at(next).word) ||
        (next > i && at(next).number !== undefined && TO.has(at(next - 1).word))
      )
        next++;
      const ordinal = ORDINAL.test(at(next).word) || ORDINALS.includes(word);
      if (ordinal && n <= 12 && !isThing(i) && school!(pieces, ORDINALS.includes(word) ? i + 1 : next + 1))
        return true;
      if (n <= 12 && school!(pieces, next) && !isThing(i)) return true;
      if (ORDINAL.test(at(next).word) && n < ADULT && at(next + 1).word === 'birthday') return true;
      if (ORDINAL.test(at(next).word)) continue;

      let before = i - 1;
      while (ABOUT.has(at(before).word) && !aged!(pieces, before, -1) && i - before < 4) before--;
      if (n <= ADULT && n >= 5 && before === i - 1 && under!(pieces, before, -1) && isAge(at(next), next - i))
        return true;
      if (months!(pieces, next) && !isThing(i)) return true;
      if (n >= ADULT || isThing(i)) continue;
      if (at(i + 1).word === 'ish') return true;
      if (years!(pieces, next)) return true;
      if (atEnd.has(at(next).word) && (at(next + 1).ends || aged!(pieces, before, -1))) return true;
      if (aged!(pieces, before, -1) && isAge(at(next), next - i)) return true;
      if (n >= ALONE_FROM && at(i - 1).ends && at(i + 1).ends && Number.isInteger(n)) return true;
    }
    return false;
  };

  /** A number that is not followed by what it counts. */
  function isAge({ word, ends }: Piece, far: number): boolean {
    return ends === true || far > 1 || !NOT_AFTER.test(word) || years!([{ word }], 0) || atEnd.has(word);
  }
}

/** What an age is not followed by: `is 7 feet`, `under 12 stars`. */
const NOT_AFTER =
  /^(?:cm|m|mm|km|feet|foot|ft|inch(?:es)?|in|meters?|metres?|miles?|percent|kg|lbs?|pounds?|dollars?|euros?|k|x|times|heads?|stars?|lights?|layers?|shots?|people|persons?|men|women|steps|points?|seconds?|minutes?|hours?|days?|weeks?|o|am|pm|of|mph|degrees?|\p{L}{3,}s)$/u;

/** 十三 → 13 */
function hanNumber(han: string): number {
  const [tens, ones = ''] = han.includes('十') ? [han.split('十')[0], han.split('十')[1]] : ['', han];
  const digit = (c = '') => '一二三四五六七八九'.indexOf(c) + 1;
  return (han.includes('十') ? 10 * (tens ? digit(tens) : 1) : 0) + (ones ? digit(ones) : 0);
}

function look(word: string): string {
  return asItLooks(word) ?? word;
}

/** Whether any of these phrases stands in the pieces from a place, or ends there. */
function follows(
  phrases: readonly string[],
): (pieces: readonly Piece[], at: number, way?: 1 | -1) => boolean {
  const read = (way: 1 | -1) => {
    const byFirst = new Map<string, { rest: string[]; open: boolean }[]>();
    for (const phrase of phrases) {
      const words = phrase.replace('*', '').split(' ').map(look);
      if (way === -1) words.reverse();
      const [first = '', ...rest] = words;
      byFirst.set(first, [...(byFirst.get(first) ?? []), { rest, open: phrase.endsWith('*') }]);
    }
    const stems = [...byFirst].filter(([, all]) => all.some(({ open }) => open)).map(([stem]) => stem);
    return { byFirst, stems };
  };
  const ways = { 1: read(1), [-1]: read(-1) } as const;
  return (pieces, at, way = 1) => {
    const word = pieces[at]?.word;
    if (!word) return false;
    const { byFirst, stems } = ways[way];
    if (way === 1 && stems.some((stem) => word.startsWith(stem))) return true;
    return (byFirst.get(word) ?? []).some(({ rest }) =>
      rest.every((one, i) => pieces[at + way * (i + 1)]?.word === one),
    );
  };
}
