/**
 * Which bundle a worker draws with next, of those that it may. Within the bundle order.ts says who is next.
 *
 * 1. Of the bundles that are in memory, the one in which somebody has waited longest for a turn, as a part of their tier's target;
 *    whoever has waited for half of their tier's cap comes before all of that.
 * 2. One that is not in memory waits until somebody has waited for the tier's target in it. Where it crowds nothing out that is asked
 *    for, it is loaded so early that it is ready then, while the others are drawn. Where it does, what was loaded last is first drawn
 *    with for `STAY` times as long as loading took.
 * 3. Where nothing waits that is in memory, it is loaded at once. Only one that another worker has in memory waits for a part of the
 *    target: else the picture would be drawn there, and what is crowded out here asked for next.
 *
 * What follows: nobody waits for more than T/T′ times as long as somebody whose turn came before, with T and T′ for the targets of
 * their tiers, and both bundles in memory; at most one part in 1 + `STAY` of the time of a worker that is busy goes into loading; and
 * none is idle while anything waits that it can load, and that no other has.
 */
import { type Flow, OVERDUE, type TierRule } from './order.ts';

/** Times as long as loading a bundle took it is drawn with, before another one crowds it out. */
export const STAY = 3;
/** Part of a tier's target in which another worker that has the bundle in memory may take it. */
const PATIENCE = 1 / 4;

/** A bundle in which something waits. */
export interface Candidate {
  readonly bundle: string;
  readonly flows: readonly Pick<Flow, 'tier' | 'since'>[];
  readonly state: 'warm' | 'loading' | 'cold';
  /** it fits beside all that is in memory and asked for */
  readonly hasRoom: boolean;
  /** another worker has it in memory */
  readonly isElsewhere: boolean;
  /** ms that loading it takes, as far as is known */
  readonly loadMs: number;
}

export interface NextBundle {
  /** in memory, to draw with now; null: there is none */
  readonly draw: string | null;
  /** to be loaded now; null: none, or one is being loaded */
  readonly load: string | null;
}

/**
 * @param stayUntil when what was loaded last has been drawn with for long enough, ms
 * @param now ms
 */
export function nextBundle(
  candidates: readonly Candidate[],
  rules: readonly TierRule[],
  stayUntil: number,
  now: number,
): NextBundle {
  const first = (some: readonly Candidate[]) =>
    some
      .map((one) => ({ one, pressure: pressureOf(one, rules, now) }))
      .reduce<{ one: Candidate; pressure: Pressure } | null>(
        (most, other) => (most === null || isMore(other.pressure, most.pressure) ? other : most),
        null,
      )?.one ?? null;

  const draw = first(candidates.filter(({ state }) => state === 'warm'))?.bundle ?? null;
  if (candidates.some(({ state }) => state === 'loading')) return { draw, load: null };
  const cold = candidates.filter(({ state }) => state === 'cold');
  const due = cold.filter(({ flows, hasRoom, isElsewhere, loadMs }) => {
    if (draw === null) return !isElsewhere || longestOf(flows, rules, now) >= PATIENCE;
    if (!hasRoom && now < stayUntil) return false;
    return longestOf(flows, rules, now + (hasRoom ? loadMs : 0)) >= 1;
  });
  return { draw, load: first(due)?.bundle ?? null };
}

interface Pressure {
  /** the longest wait as a part of its tier's cap, where that is too much */
  readonly overdue: number;
  /** the longest wait as a part of its tier's target */
  readonly longest: number;
}

function pressureOf({ flows }: Candidate, rules: readonly TierRule[], now: number): Pressure {
  const parts = rules.flatMap(({ name, capMs }) =>
    capMs === null ? [] : flows.filter(({ tier }) => tier === name).map(({ since }) => (now - since) / capMs),
  );
  return {
    overdue: Math.max(0, ...parts.filter((part) => part > OVERDUE)),
    longest: longestOf(flows, rules, now),
  };
}

const isMore = (a: Pressure, b: Pressure) =>
  a.overdue !== b.overdue ? a.overdue > b.overdue : a.longest > b.longest;

/** The longest wait, as a part of its tier's target. */
function longestOf(flows: Candidate['flows'], rules: readonly TierRule[], now: number): number {
  const targets = new Map(rules.map(({ name, targetMs }) => [name, targetMs]));
  return flows.reduce((most, { tier, since }) => {
    const target = targets.get(tier);
    return target === undefined ? most : Math.max(most, (now - since) / target);
  }, 0);
}
