/** How fast this worker draws, measured while it does. */

/** After so many steps a measurement counts half. */
const HALF_LIFE_STEPS = 40;

export interface Pace {
  /** null before anything was drawn */
  readonly msPerStep: number | null;
  /** Time that went by, and the steps that were done in it; time beside the network belongs to steps too, with none of its own. */
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
