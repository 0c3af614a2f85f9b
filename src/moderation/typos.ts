/**
 * Words with one letter left out, added, exchanged, or swapped with its neighbour, found by their deletions: two words are one edit
 * apart only if they share one of them. A look-up is as long as the word, however many words there are.
 *
 * Source: Garbe's symmetric deletion (SymSpell); the distance is Damerau's, restricted to one edit.
 */
export function typosOf<T>(words: Iterable<readonly [word: string, means: T]>): (word: string) => T[] {
  const byDeletion = new Map<string, { word: string; means: T }[]>();
  let longest = 0;
  for (const [word, means] of words) {
    longest = Math.max(longest, word.length);
    for (const part of deletionsOf(word)) {
      const there = byDeletion.get(part);
      if (there) there.push({ word, means });
      else byDeletion.set(part, [{ word, means }]);
    }
  }
  return (word) => {
    if (word.length > longest + 1) return [];
    const found = new Set<T>();
    for (const part of deletionsOf(word))
      for (const near of byDeletion.get(part) ?? []) if (isOneEdit(word, near.word)) found.add(near.means);
    return [...found];
  };
}

function deletionsOf(word: string): Set<string> {
  const parts = new Set([word]);
  for (let i = 0; i < word.length; i++) parts.add(word.slice(0, i) + word.slice(i + 1));
  return parts;
}

/** At most one. */
export function isOneEdit(a: string, b: string): boolean {
  let from = 0;
  while (from < a.length && a[from] === b[from]) from++;
  let end = 0;
  while (end < Math.min(a.length, b.length) - from && a.at(-1 - end) === b.at(-1 - end)) end++;
  const [left, right] = [a.length - from - end, b.length - from - end];
  if (left <= 1 && right <= 1) return true;
  return left === 2 && right === 2 && a[from] === b[from + 1] && a[from + 1] === b[from];
}
