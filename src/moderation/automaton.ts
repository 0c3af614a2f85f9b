/**
 * Finds all of many words in one pass over a text, whatever they are and however they overlap.
 *
 * Its nodes are numbers, and what is known of them columns: a map and a list for each took 10 MiB of every process, and this half of one.
 *
 * Source: Aho & Corasick, "Efficient string matching", CACM 18 (1975), algorithms 1–3.
 */
export interface Automaton<T> {
  /** What the words that end after each letter were given with; called in the order of the letters. */
  run(letters: readonly string[], onFound: (end: number, means: T) => void): void;
}

/** The node before any letter, and what stands for no node, as none leads back to it. */
const ROOT = 0;

export function automatonOf<T>(
  words: Iterable<readonly [letters: readonly string[], means: T]>,
): Automaton<T> {
  const alphabet = new Map<string, number>();
  /** by node: by which letter it is come to; its first successor; the next one of its predecessor's */
  const [letterTo, first, next] = [[0], [ROOT], [ROOT]];
  const means = new Map<number, T[]>();

  const successor = (node: number, letter: number): number => {
    let found = first[node]!;
    while (found !== ROOT && letterTo[found] !== letter) found = next[found]!;
    return found;
  };
  for (const [letters, meaning] of words) {
    let node = ROOT;
    for (const one of letters) {
      const letter = alphabet.get(one) ?? alphabet.size;
      alphabet.set(one, letter);
      let to = successor(node, letter);
      if (to === ROOT) {
        to = letterTo.push(letter) - 1;
        first.push(ROOT);
        next.push(first[node]!);
        first[node] = to;
      }
      node = to;
    }
    const known = means.get(node);
    if (known) known.push(meaning);
    else means.set(node, [meaning]);
  }

  const columns = [letterTo, first, next].map((column) => Int32Array.from(column));
  const [letterOf, firstOf, nextOf] = columns as [Int32Array, Int32Array, Int32Array];
  /** From the root every text begins again, at most of its letters. */
  const begin = Int32Array.from({ length: alphabet.size }, (_, letter) => successor(ROOT, letter));
  /** the longest other beginning of a word that this one ends with */
  const fail = new Int32Array(letterTo.length);
  /** the next on the way of `fail` where a word ends, or this one; the root: none */
  const ends = new Int32Array(letterTo.length);

  const step = (at: number, letter: number): number => {
    for (let node = at; node !== ROOT; node = fail[node]!) {
      for (let to = firstOf[node]!; to !== ROOT; to = nextOf[to]!) if (letterOf[to] === letter) return to;
    }
    return begin[letter]!;
  };
  // Shorter beginnings first.
  const waiting = [ROOT];
  for (const node of waiting) {
    for (let to = firstOf[node]!; to !== ROOT; to = nextOf[to]!) {
      if (node !== ROOT) fail[to] = step(fail[node]!, letterOf[to]!);
      ends[to] = means.has(to) ? to : ends[fail[to]!]!;
      waiting.push(to);
    }
  }

  return {
    run(letters, onFound) {
      let node = ROOT;
      for (let i = 0; i < letters.length; i++) {
        const letter = alphabet.get(letters[i]!);
        node = letter === undefined ? ROOT : step(node, letter);
        for (let at = ends[node]!; at !== ROOT; at = ends[fail[at]!]!)
          for (const meaning of means.get(at)!) onFound(i, meaning);
      }
    },
  };
}
