/**
 * How often the rules refused, counted in memory: a prompt is checked where nothing may wait, and rule-counts.ts writes what was counted
 * now and then. Nothing of a prompt is kept, nor whose it was.
 */

/** What was said of one prompt. '' stands for nothing: no rule, no set that looks on. */
export interface Said {
  /** of the rules in force */
  readonly hash: string;
  readonly rule: string;
  /** hash of those that look on */
  readonly shadow: string;
  readonly shadowRule: string;
}

/** As many entries as there are rules, and pairs of them that differ. */
let counts = new Map<string, { readonly said: Said; count: number }>();

export function countSaid(said: Said, times = 1): void {
  const key = [said.hash, said.rule, said.shadow, said.shadowRule].join(' ');
  const known = counts.get(key);
  if (known) known.count += times;
  else counts.set(key, { said, count: times });
}

/** All that was counted since the last time. */
export function takeCounts(): ReadonlyMap<string, { readonly said: Said; readonly count: number }> {
  const taken = counts;
  counts = new Map();
  return taken;
}
