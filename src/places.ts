/** Places for work that people ask for: nobody takes all of them alone. */

/** Which are taken: all that one person may have, or all there are. */
export type Full = 'each' | 'all';

export interface Places {
  /** null: one is taken now */
  take(personId: string): Full | null;
  /** who took one gives it back */
  leave(personId: string): void;
}

export function openPlaces({ each, all }: Readonly<Record<Full, number>>): Places {
  const counts = new Map<string, number>();
  let count = 0;
  return {
    take(personId) {
      const own = counts.get(personId) ?? 0;
      if (own >= each) return 'each';
      if (count >= all) return 'all';
      counts.set(personId, own + 1);
      count++;
      return null;
    },
    leave(personId) {
      count--;
      const left = (counts.get(personId) ?? 0) - 1;
      if (left > 0) counts.set(personId, left);
      else counts.delete(personId);
    },
  };
}
