/**
 * What goes out of a worker's memory so that something else can come in: pure, so that it is known before anything is loaded.
 *
 * Bundles, sets of LoRAs and faces are of one kind here, and share one budget. Sets and faces live within their bundle, and go with
 * it. Who was used longest ago goes first; of what is `warm` only when nothing else is left, of what is `pinned` never.
 */

/** `pinned`: loaded at the start, and kept. `warm`: loaded at the start, and let go last. `demand`: loaded when it is asked for. */
export type Level = 'pinned' | 'warm' | 'demand';

/** What is in memory, or on its way there. */
export interface Kept {
  readonly key: string;
  /** the bundle that it lives in; null: it is one */
  readonly within: string | null;
  readonly level: Level;
  readonly bytes: number;
  /** larger: later. A bundle was used when something within it was */
  readonly usedAt: number;
  /** something is drawn with it, or it is being loaded */
  readonly inUse: boolean;
}

/** What is to be in memory together. What is there already costs nothing. */
export type Wanted = Pick<Kept, 'key' | 'within' | 'bytes'>;

export type Plan =
  /** in this order: what lives within something goes before it */
  | { readonly fits: 'now'; readonly out: readonly string[] }
  /** once something that is in use is not any more */
  | { readonly fits: 'later' }
  /** `bytes` and what is pinned are more than the budget */
  | { readonly fits: 'never'; readonly bytes: number; readonly pinned: number };

/** @param budget bytes */
export function planFor(budget: number, kept: readonly Kept[], wanted: readonly Wanted[]): Plan {
  const asked = new Set(wanted.flatMap(({ key, within }) => (within === null ? [key] : [key, within])));
  const news = wanted.filter(({ key }) => !kept.some((one) => one.key === key));
  const needed = sum(news);
  let free = budget - sum(kept) - needed;

  const stays = new Set([...kept.filter(staysFor(asked))].flatMap(({ key, within }) => [key, within ?? key]));
  const out: string[] = [];
  const going = kept.filter(({ key }) => !stays.has(key)).sort(soonerOut);
  for (const one of going) {
    if (free >= 0) break;
    if (out.includes(one.key)) continue;
    // A bundle takes all that lives within it along.
    for (const gone of [...going.filter(({ within }) => within === one.key), one]) {
      if (out.includes(gone.key)) continue;
      out.push(gone.key);
      free += gone.bytes;
    }
  }
  if (free >= 0) return { fits: 'now', out };

  const pinned = sum(kept.filter(({ key, level }) => level === 'pinned' && !asked.has(key)));
  const bytes = needed + sum(kept.filter(({ key }) => asked.has(key)));
  return bytes + pinned > budget ? { fits: 'never', bytes, pinned } : { fits: 'later' };
}

const staysFor =
  (asked: ReadonlySet<string>) =>
  ({ key, level, inUse }: Kept) =>
    inUse || level === 'pinned' || asked.has(key);

function soonerOut(a: Kept, b: Kept): number {
  return (
    Number(a.level === 'warm') - Number(b.level === 'warm') ||
    a.usedAt - b.usedAt ||
    Number(a.within === null) - Number(b.within === null)
  );
}

const sum = (all: readonly { readonly bytes: number }[]) =>
  all.reduce((total, { bytes }) => total + bytes, 0);
