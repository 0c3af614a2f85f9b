/**
 * Finds any of many phrases in a text, in one pass over its words: all phrases are one tree, word by word, and from each word of the
 * text a walk goes down it as far as the text has its words. However many phrases there are, a walk is no longer than the longest.
 */

/** A word as phrases compare it: `nuude` has the letters `nude`, in runs of 1, 2, 1 and 1. */
export interface Spelling {
  readonly letters: string;
  readonly runs: readonly number[];
}

/** Ways to read one word of a text. */
export type Readings = readonly Spelling[];

/** The words `from` to before `to` of a text are a phrase, which `means` what it was given with. */
export interface Found<T> {
  readonly from: number;
  readonly to: number;
  readonly means: T;
}

export interface PhraseTree<T> {
  /** of the phrases that end here */
  readonly means: T[];
  /** letters of the next word → the phrases that go on with it */
  readonly next: Map<string, { readonly word: Spelling; readonly tree: PhraseTree<T> }[]>;
}

export function phraseTree<T>(
  phrases: Iterable<readonly [words: readonly Spelling[], means: T]>,
): PhraseTree<T> {
  const root: PhraseTree<T> = { means: [], next: new Map() };
  for (const [words, means] of phrases) {
    let tree = root;
    for (const word of words) {
      const branches = tree.next.get(word.letters) ?? [];
      let branch = branches.find((known) => String(known.word.runs) === String(word.runs));
      if (!branch) {
        branch = { word, tree: { means: [], next: new Map() } };
        tree.next.set(word.letters, [...branches, branch]);
      }
      tree = branch.tree;
    }
    tree.means.push(means);
  }
  return root;
}

export function findPhrases<T>(tree: PhraseTree<T>, words: readonly Readings[]): Found<T>[] {
  const found: Found<T>[] = [];
  const walk = (from: number, at: number, { next }: PhraseTree<T>) => {
    for (const reading of words[at] ?? []) {
      for (const { word, tree } of next.get(reading.letters) ?? []) {
        if (!isWord(reading, word)) continue;
        for (const means of tree.means) found.push({ from, to: at + 1, means });
        walk(from, at + 1, tree);
      }
    }
  };
  for (const from of words.keys()) walk(from, from, tree);
  return found;
}

/** Repeating a letter hides nothing, and leaving one out does: `teeen` is `teen`, and `ten` is not. */
function isWord(reading: Spelling, { runs }: Spelling): boolean {
  return runs.every((run, i) => reading.runs[i]! >= run);
}

export function spell(word: string): Spelling {
  const runs: number[] = [];
  let letters = '';
  let last = '';
  for (const letter of word) {
    if (letter === last) runs[runs.length - 1]!++;
    else {
      letters += letter;
      runs.push(1);
      last = letter;
    }
  }
  return { letters, runs };
}
