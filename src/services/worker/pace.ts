/** How fast this worker draws, measured while it does. */

/** Steps after which a measurement counts half. */
const HALF_LIFE_STEPS = 40;

export interface Pace {
  /** null before anything was drawn */
  readonly msPerStep: number | null;
  /** Adds time that went by and the steps done in it. Time beside the network has no steps, and is spread over all of them. */
  measure(ms: number, steps: number): void;
}

export function makePace(): Pace {
  let ms = 0;
  let steps = 0;
  return {
    get msPerStep() {
      return steps > 0 ? ms / steps : null;
    },
    measure(moreMs, moreSteps) {
      const kept = 0.5 ** (moreSteps / HALF_LIFE_STEPS);
      ms = ms * kept + moreMs;
      steps = steps * kept + moreSteps;
    },
  };
}

/** Measures one picture by what it says of its progress, 0…1. `at` is called with each share, and with 1 once it is stored. */
export function measurePicture(
  pace: Pace,
  steps: number,
  now = () => performance.now(),
): (share: number) => void {
  let before = { ms: now(), share: 0 };
  return (share) => {
    if (share < before.share) return;
    const ms = now();
    pace.measure(ms - before.ms, (share - before.share) * steps);
    before = { ms, share };
  };
}
