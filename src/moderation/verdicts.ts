/** What the image classifier's scores mean. */
import { safety } from '#config/safety.ts';
import type { Verdict } from '#src/doors/db.ts';

export interface ImageVerdict {
  readonly verdict: Verdict;
  readonly scores: Record<string, number>;
  readonly rule: string | null;
}

/** What the classifier's scores mean. A classifier that failed, or said nothing of use, means flagged. */
export function verdictOf(scores: Readonly<Record<string, number>> | null): ImageVerdict {
  const { label, threshold } = safety.classifier;
  const score = scores?.[label];
  if (!scores || score === undefined || !Object.values(scores).every((s) => s >= 0 && s <= 1)) {
    return { verdict: 'flagged', scores: {}, rule: 'classifier-failed' };
  }
  const flagged = score >= threshold;
  return {
    verdict: flagged ? 'flagged' : 'clear',
    scores: { ...scores },
    rule: flagged ? `classifier-${label}` : null,
  };
}
