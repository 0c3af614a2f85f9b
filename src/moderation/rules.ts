/**
 * The rules of config/safety.yaml, made into one automaton over the letters of a text. Pure, and in proportion to the text: how often a
 * letter is looked at depends on the rules alone.
 */
import type { English, SafetyFile } from '#config/safety.ts';
import { agesOf } from './ages.ts';
import { automatonOf } from './automaton.ts';
import { asItLooks, type Folded, soundOf } from './folding.ts';
import { hasSigns, isDrawn, type Reading, readingOf, type Signs, type Token } from './reading.ts';
import { typosOf } from './typos.ts';

/** One rule: it fires on `any`, if it has `both` on one of those as well. */
export interface Rule {
  readonly id: string;
  readonly says: string;
  readonly any: readonly string[];
  readonly both?: readonly string[] | undefined;
  /** it counts for negative prompts, and says this of them */
  readonly negative?: string | undefined;
  /** only where it is all that stands between two commas */
  readonly alone?: boolean;
}

/** What of a text breaks a rule; `phrase` is the rule's own word for it. */
export interface Broken {
  readonly rule: Rule;
  readonly phrase: string;
}

/** The first of these rules, in their order, that a text breaks. */
export type Rules = (readings: readonly Folded[], among?: readonly Rule[]) => Broken | undefined;

type Side = { readonly rule: Rule; readonly side: 'any' | 'both'; readonly phrase: string };
type Means = Side | 'harmless';

/** A word of the rules. */
interface Word {
  /** small, as folded, with `l` for `i` */
  readonly text: string;
  readonly letters: readonly string[];
  /** how often each stands there, once neighbours that are the same are one */
  readonly row: readonly string[];
  readonly runs: readonly number[];
  /** Latin, so that endings and glue are known */
  readonly latin: boolean;
  /** found anywhere: of a script without spaces */
  readonly anywhere: boolean;
  /** `porn*` */
  readonly open: boolean;
  /** `nud` for `nude`: only with an ending that begins with a vowel */
  readonly stem: boolean;
  /** `severedhead`: several words of a phrase */
  readonly several: boolean;
  /** `edun`: only as a whole word */
  readonly backwards: boolean;
  /** what it means by itself, and the phrases it is a part of */
  readonly means: Means[];
  readonly steps: Step[];
}

/** A word of a phrase: the phrases go on with it after `after`, as far as they are found. */
interface Step {
  readonly id: number;
  readonly after: number | null;
  /** of the phrases that end with it */
  readonly means: Means[];
  readonly close: boolean;
}

interface Found {
  readonly word: Word;
  /** tokens */
  readonly from: number;
  readonly to: number;
  /** as it is in the rules, undisguised */
  readonly plain: boolean;
}

/** What a word of four letters and more may end with. */
const ENDINGS = new Set(
  's es z zz d ed in ing ings er ers or ors y ies ly ness ish ism isms ist ists ity able like ful less est x xx xxx o os a as n en'.split(
    ' ',
  ),
);
const VOWEL_ENDING = new Set(
  'ing ings in ed er ers est ist ists ism isms ity y ish able ies ier iest ily iness'.split(' '),
);
/** Words of two letters and fewer that others are glued to. */
const SHORT = new Set(
  'a an i in on of to at is it by my no so up we he me or as be do go un re xx x the'.split(' '),
);
/** One letter may be wrong in a word of so many. */
const TYPO_MIN = 6;
/** A word of fewer has no endings, is found in no others, and not backwards. */
const PART_MIN = 4;
/** A word of so many means itself in whatever it is a part of. */
const SURE_MIN = 7;
/** Words that may stand inside a phrase. */
const GAP_MAX = 2;
const NO_SPACES = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Hangul}ー]/u;
/** Letters that are other ones upside down. */
const TURNED: Readonly<Record<string, string>> = { b: 'q', d: 'p', n: 'u', p: 'd', q: 'b', u: 'n' };

/** A word of the rules by its letters. */
function spelt(
  text: string,
): Pick<Word, 'text' | 'letters' | 'row' | 'runs' | 'latin' | 'anywhere' | 'open'> {
  const open = text.endsWith('*');
  const letters = [...plainOf(open ? text.slice(0, -1) : text)];
  const runs: number[] = [];
  for (const [i, letter] of letters.entries()) {
    if (letter === letters[i - 1]) runs[runs.length - 1]!++;
    else runs.push(1);
  }
  return {
    text: letters.join(''),
    letters,
    row: letters.filter((letter, i) => letter !== letters[i - 1]),
    runs,
    latin: /^\p{Script=Latin}+\*?$/u.test(text),
    anywhere: NO_SPACES.test(text),
    open,
  };
}

function plainOf(word: string): string {
  return (asItLooks(word) ?? word).replaceAll('i', 'l');
}

export function rulesOf(
  {
    close,
    contexts,
    fillers,
    harmless,
    names,
    negators,
    ages,
  }: Pick<SafetyFile, 'close' | 'contexts' | 'fillers' | 'harmless' | 'names' | 'negators' | 'ages'>,
  rules: readonly Rule[],
  { common, innocent }: English,
): Rules {
  const isCommon = new Set(common);
  const isInnocent = new Set([...innocent, ...names]);
  const isFiller = new Set(fillers.map(plainOf));
  const isClose = new Set(close);
  const negating = new Set(negators.map(plainOf));
  /** a rule's word → what excuses it in the same clause */
  const nearBy = new Map<string, Set<string>>();
  for (const { words, near } of contexts) {
    for (const word of words) {
      const all = nearBy.get(word) ?? new Set();
      for (const one of near) all.add(plainOf(one));
      nearBy.set(word, all);
    }
  }
  const saysUnderage = agesOf(ages);

  const words = new Map<string, Word>();
  const wordOf = (text: string, more: Partial<Word> = {}): Word => {
    const key = `${text} ${Object.keys(more)}`;
    const known = words.get(key);
    if (known) return known;
    const word: Word = {
      ...spelt(text),
      stem: false,
      several: false,
      backwards: false,
      means: [],
      steps: [],
      ...more,
    };
    words.set(key, word);
    return word;
  };
  let steps = 0;
  const next = new Map<string, Step>();
  const add = (phrase: string, means: Means) => {
    const parts = phrase.split(' ');
    if (means !== 'harmless' || parts.length === 1) {
      // Also where its words are glued together.
      const glued = parts.map((part, i) => (i < parts.length - 1 ? part.replace('*', '') : part)).join('');
      const word = parts.length > 1 ? wordOf(glued, { several: true }) : wordOf(glued);
      word.means.push(means);
      if (means !== 'harmless' && word.latin && word.letters.length >= PART_MIN && parts.length === 1) {
        wordOf([...phrase.replace('*', '')].reverse().join(''), { backwards: true }).means.push(means);
        if (/^[bdnopqsuxz]+$/.test(phrase))
          wordOf(
            [...phrase]
              .reverse()
              .map((letter) => TURNED[letter] ?? letter)
              .join(''),
            { backwards: true },
          ).means.push(means);
        if (/[^aeiou]e$/.test(phrase)) wordOf(phrase.slice(0, -1), { stem: true }).means.push(means);
        if (/[^aeiou]y$/.test(phrase)) wordOf(`${phrase.slice(0, -1)}i`, { stem: true }).means.push(means);
      }
    }
    if (parts.length === 1) return;
    const tight = isClose.has(phrase);
    let after: number | null = null;
    for (const [i, part] of parts.entries()) {
      const key = `${after} ${part} ${tight} ${means === 'harmless'}`;
      let step = next.get(key);
      if (!step) {
        step = { id: steps++, after, means: [], close: tight || means === 'harmless' };
        next.set(key, step);
        wordOf(part).steps.push(step);
      }
      if (i === parts.length - 1) step.means.push(means);
      after = step.id;
    }
  };
  for (const rule of rules) {
    for (const side of ['any', 'both'] as const)
      for (const phrase of rule[side] ?? []) add(phrase, { rule, side, phrase });
  }
  for (const phrase of harmless) add(phrase, 'harmless');

  const automaton = automatonOf([...words.values()].map((word) => [word.row, word] as const));
  const heard = [...words].flatMap(([key, word]) =>
    word.latin && !word.stem && !word.backwards && word.letters.length >= PART_MIN
      ? { ...word, ...spelt(soundOf(key.split(' ')[0] ?? '')) }
      : [],
  );
  const sounds = automatonOf(heard.map((word) => [word.row, word] as const));
  const nearWords = typosOf(
    [...words.values()]
      .filter(
        ({ letters, latin, stem, backwards }) => latin && letters.length >= TYPO_MIN && !stem && !backwards,
      )
      .map((word) => [word.text, word] as const),
  );
  const stems = [...words.values()].filter(
    ({ letters, latin, open }) => latin && open && letters.length > TYPO_MIN,
  );
  const nearStems = typosOf(stems.map((word) => [word.text, word] as const));
  const stemLengths = [
    ...new Set(stems.flatMap(({ letters }) => [letters.length - 1, letters.length, letters.length + 1])),
  ];
  const hiding = new Map<string, Word[]>();
  for (const word of words.values()) {
    if (!word.latin || word.letters.length < PART_MIN || word.stem || word.backwards) continue;
    for (let i = 1; i < word.letters.length - 1; i++) {
      for (const many of [1, 2]) {
        if (i + many >= word.letters.length) continue;
        const key = [...word.letters.slice(0, i), '*'.repeat(many), ...word.letters.slice(i + many)].join('');
        hiding.set(key, [...(hiding.get(key) ?? []), word]);
      }
    }
  }

  return (readings, among = rules) => {
    const has = new Map<Rule, { any?: string; both?: string }>();
    const put = ({ rule, side, phrase }: Side) => {
      const sides = has.get(rule) ?? {};
      sides[side] ??= phrase;
      has.set(rule, sides);
    };
    let underage = false;
    for (const { text, way: kind } of readings) {
      const ways: Signs[] = ['apart'];
      if (kind === 'looks' && hasSigns(text)) ways.push('letters');
      if (kind === 'looks' && isDrawn(text)) ways.push('drawn');
      for (const way of ways) for (const side of sidesIn(readingOf(text, way), kind, way)) put(side);
      underage ||= saysUnderage(text);
    }
    if (underage)
      for (const rule of rules)
        if (rule.both?.includes('underage')) put({ rule, side: 'both', phrase: 'underage' });
    for (const rule of among) {
      const { any, both } = has.get(rule) ?? {};
      if (any !== undefined && (!rule.both || both !== undefined)) return { rule, phrase: any };
    }
    return undefined;
  };

  /** What a reading has of the rules. */
  function sidesIn(reading: Reading, kind: Folded['way'], way: Signs): Side[] {
    const { tokens } = reading;
    const found = wordsIn(reading, kind, way);
    const meant: { means: Side; from: number; to: number }[] = [];
    const excused = new Set<number>();
    /** tokens that are a word only together: `meni no` denies nothing */
    const together = new Set<number>();
    const excuse = (from: number, to: number) => {
      for (let i = from; i < to; i++) excused.add(i);
    };
    const clauses = new Map<number, Set<string>>();
    const isInContext = (clause: number, near: ReadonlySet<string> | undefined): boolean => {
      if (!near) return false;
      if (!clauses.size)
        for (const token of tokens)
          clauses.set(token.clause, (clauses.get(token.clause) ?? new Set()).add(token.letters));
      const there = clauses.get(clause);
      for (const word of near) if (there?.has(word)) return true;
      return false;
    };
    /** step → where it was found last */
    const reached = new Map<number, { from: number; to: number }>();
    for (const one of found) {
      if (one.to - one.from > 1 && !one.word.several) for (let i = one.from; i < one.to; i++) together.add(i);
      for (const means of one.word.means) {
        if (means === 'harmless') {
          if (one.plain) excuse(one.from, one.to);
        } else if (!tokens[one.from]!.numeric || one.to - one.from > 1)
          meant.push({ means, from: one.from, to: one.to });
      }
      for (const step of one.word.steps) {
        let from = one.from;
        if (step.after !== null) {
          const before = reached.get(step.after);
          if (!before || before.to > one.from || !mayStandBetween(tokens, before.to, one.from, step.close))
            continue;
          from = before.from;
        }
        for (const means of step.means) {
          if (means !== 'harmless') meant.push({ means, from, to: one.to });
          else if (one.plain) excuse(from, one.to);
        }
        reached.set(step.id, { from, to: one.to });
      }
    }
    return meant
      .filter(({ means, from, to }) => {
        if (means.rule.alone) return standsAlone(tokens, from, to);
        for (let i = from; i < to; i++) if (excused.has(i)) return false;
        if (isInContext(tokens[from]!.clause, nearBy.get(means.phrase))) return false;
        return !isNegated(tokens, from, together);
      })
      .map(({ means }) => means);
  }

  /** Words between two parts of a phrase: a few of one clause; of those whose words are common, fillers alone. */
  function mayStandBetween(tokens: readonly Token[], from: number, to: number, tight: boolean): boolean {
    if (from === to) return true;
    if (to - from > GAP_MAX || tokens[from - 1]!.clause !== tokens[to]!.clause) return false;
    return !tight || tokens.slice(from, to).every(({ letters }) => isFiller.has(letters));
  }

  function isNegated(tokens: readonly Token[], at: number, together: ReadonlySet<number>): boolean {
    const { clause } = tokens[at]!;
    for (let i = at - 1; i >= 0 && i >= at - 1 - GAP_MAX && tokens[i]!.clause === clause; i--) {
      if (negating.has(tokens[i]!.letters)) return !together.has(i);
      if (!isFiller.has(tokens[i]!.letters)) return false;
    }
    return false;
  }

  function standsAlone(tokens: readonly Token[], from: number, to: number): boolean {
    const { clause } = tokens[from]!;
    const isPart = (i: number) => tokens[i]?.clause === clause;
    for (let i = from - 1; isPart(i); i--) if (!isFiller.has(tokens[i]!.letters)) return false;
    for (let i = to; isPart(i); i++) if (!isFiller.has(tokens[i]!.letters)) return false;
    return true;
  }

  /** Every word of the rules in a reading, in the order in which they end. */
  function wordsIn(reading: Reading, kind: Folded['way'], way: Signs): Found[] {
    const exact = kind !== 'looks';
    const { row, tokens } = reading;
    const found: Found[] = [];
    (kind === 'sounds' ? sounds : automaton).run(row, (end, word) => {
      const where = placeOf(word, end, reading, exact);
      if (where) found.push({ word, ...where });
    });
    if (!exact) {
      for (const [i, { letters, written, signed }] of tokens.entries()) {
        if (letters.length < TYPO_MIN - 1 || isCommon.has(written) || isInnocent.has(written)) continue;
        // Read before, with its signs apart.
        if (way !== 'apart' && !signed) continue;
        const near = new Set(nearWords(letters));
        for (const length of stemLengths)
          if (length < letters.length) for (const word of nearStems(letters.slice(0, length))) near.add(word);
        for (const word of near) found.push({ word, from: i, to: i + 1, plain: false });
      }
    }
    for (const { letters, from, to } of reading.hidden)
      for (const word of hiding.get(letters) ?? []) found.push({ word, from, to, plain: false });
    return found.sort((a, b) => a.to - b.to);
  }

  /** Where a word stands whose letters end with one of the row, if it is meant. */
  function placeOf(word: Word, end: number, reading: Reading, exact: boolean): Omit<Found, 'word'> | null {
    const { runs, tokenOf, tokens, tokenStart, tokenEnd, chunkStart, chunkEnd } = reading;
    const first = end - word.row.length + 1;
    const [begin, behind] = [runs[first]!, runs[end + 1]!];
    for (let i = 0; i < word.runs.length; i++) {
      // `ten` is not `teen`, and `nuuude` is `nude`. What has one too few is for `nearWords`.
      if (runs[first + i + 1]! - runs[first + i]! < word.runs[i]!) return null;
    }
    const single = first === end;
    const lastFirst = runs[first + 1]! - word.runs[0]!;
    const firstLast = runs[end]! + word.runs.at(-1)! - 1;
    // Of a word of one letter, as xxx, from the first that can be its first to the last that can be its last.
    const startOf = (starts: Int32Array) => {
      let at = single ? begin : lastFirst;
      while (single && at < behind && starts[at] !== at) at++;
      return at < behind && starts[at]! >= begin ? starts[at]! : -1;
    };
    const endOf = (ends: Int32Array) => {
      let at = single ? behind - 1 : firstLast;
      while (single && at >= begin && ends[at] !== at) at--;
      return at >= begin && ends[at]! < behind ? ends[at]! : -1;
    };
    const [from, to] = [startOf(tokenStart), endOf(tokenEnd)];
    if (from >= 0 && to - from + 1 >= word.letters.length) {
      const [a, b] = [tokenOf[from]!, tokenOf[to]!];
      if (a === b)
        return isTaken(word, tokens[a]!) ? { from: a, to: a + 1, plain: isItself(word, tokens[a]!) } : null;
      const whole = word.stem ? -1 : tokens[a]!.chunk === tokens[b]!.chunk ? from : startOf(chunkStart);
      if (whole >= 0 && (tokens[a]!.chunk === tokens[b]!.chunk || endOf(chunkEnd) >= 0))
        return { from: tokenOf[whole]!, to: b + 1, plain: false };
      if (!word.anywhere) return null;
    }
    const [a, b] = [tokenOf[lastFirst]!, tokenOf[firstLast]!];
    if (word.anywhere) return { from: a, to: b + 1, plain: true };
    if (a !== b || isInnocent.has(tokens[a]!.written)) return null;
    const { from: start, to: stop, written } = tokens[a]!;
    if (word.open && from >= 0) return { from: a, to: a + 1, plain: false };
    if (
      exact ||
      !isPart(word, written.slice(0, lastFirst - start), written.slice(firstLast + 1 - start), stop - start)
    )
      return null;
    return { from: a, to: a + 1, plain: false };
  }

  function isItself(word: Word, { letters }: Token): boolean {
    return letters === word.text;
  }

  /** A token that reads as the word. */
  function isTaken(word: Word, token: Token): boolean {
    if (word.stem) return false;
    if (word.backwards && isCommon.has(token.written)) return false;
    return isItself(word, token) && !word.backwards ? true : !isInnocent.has(token.written);
  }

  /** A word that stands in another: with an ending, or glued to other words. */
  function isPart(word: Word, left: string, right: string, length: number): boolean {
    if (!word.latin || word.backwards || word.letters.length < (word.stem ? PART_MIN - 1 : PART_MIN))
      return false;
    if (length > 200) return false;
    if (word.stem) return left === '' && VOWEL_ENDING.has(right);
    if (left === '' && ENDINGS.has(right)) return true;
    if (word.letters.length >= SURE_MIN) return true;
    const isLeft = left === '' || isGlued(left, 'left');
    const isRight = right === '' || ENDINGS.has(right) || isGlued(right, 'right');
    return isLeft && isRight;
  }

  /** Whether what is beside a word, on its left or right, is another one. */
  function isGlued(beside: string, side: 'left' | 'right'): boolean {
    if (SHORT.has(beside) || isCommon.has(beside)) return true;
    for (let length = 3; length <= Math.min(beside.length, 12); length++) {
      if (isCommon.has(side === 'left' ? beside.slice(-length) : beside.slice(0, length))) return true;
    }
    return false;
  }
}
