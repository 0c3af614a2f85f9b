/** Why something is later than people were told. */
import type { Place } from './forecast.ts';

/** What was known when people were told first; kept with the batch. */
export interface ToldState {
  /** whose pictures were to be ready last; the rest is of its backlog alone */
  readonly bundle: string;
  /** until when it would be ready in all but one of ten cases, ms */
  readonly toAt: number;
  /** tier → pictures before it */
  readonly aheadBy: Readonly<Record<string, number>>;
  /** tier → pictures that had ever been begun */
  readonly begun: Readonly<Record<string, number>>;
  /** that drew */
  readonly workers: number;
}

export type Reason =
  /** so many of a tier came before it since */
  | { readonly kind: 'passed'; readonly tier: string; readonly pictures: number }
  /** so many workers left, and so many draw now */
  | { readonly kind: 'workers'; readonly gone: number; readonly left: number }
  /** pictures take longer than was expected */
  | { readonly kind: 'slow' };

/**
 * @param now what would be told now, when nothing of the batch is begun yet
 * @returns null when its place in its tier is no worse than it was, and it is not expected to be late; or when another bundle's pictures
 *   are ready last by now: of how that one's backlog was then, nothing is known
 */
export function reasonOf(
  before: ToldState,
  now: ToldState & { readonly at: number; readonly place: Place },
): Reason | null {
  if (before.bundle !== now.bundle) return null;
  const { tier, aheadInTier, ahead, readyMs } = now.place;
  const isLate = now.at + readyMs > before.toAt;
  if (!isLate && aheadInTier <= (before.aheadBy[tier] ?? 0)) return null;

  const of = (counts: Readonly<Record<string, number>>, name: string) => counts[name] ?? 0;
  const passed = Object.keys(now.aheadBy).map((name) => ({
    tier: name,
    // What was begun since, and what is to come, beside what was to come.
    pictures: of(now.begun, name) - of(before.begun, name) + of(now.aheadBy, name) - of(before.aheadBy, name),
  }));
  const most = passed.reduce((a, b) => (b.pictures > a.pictures ? b : a), { tier, pictures: 0 });
  const gone = before.workers - now.workers;
  // As parts of what is still before it: which of the two made more of it.
  const byPassing = most.pictures / Math.max(1, ahead);
  const byLeaving = gone / Math.max(1, before.workers);
  if (isLate && gone > 0 && byLeaving >= byPassing) return { kind: 'workers', gone, left: now.workers };
  if (most.pictures > 0) return { kind: 'passed', ...most };
  return isLate ? { kind: 'slow' } : null;
}
