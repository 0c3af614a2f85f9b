/** The pauses between starts of a process that ends by itself again and again. */

export const FIRST_PAUSE_MS = 500;
export const LONGEST_PAUSE_MS = 30_000;
/** One that ran so long was well: the next pause is a short one again. ms */
const HEALTHY_MS = 60_000;

export interface Restart {
  /** ends in a row without a healthy run, this one with them */
  readonly failures: number;
  readonly pauseMs: number;
}

/** @returns what is to be done after a process ended that ran for so many ms */
export function restarts(firstPauseMs = FIRST_PAUSE_MS): (ranMs: number) => Restart {
  let failures = 0;
  return (ranMs) => {
    failures = ranMs > HEALTHY_MS ? 1 : failures + 1;
    return { failures, pauseMs: Math.min(firstPauseMs * 2 ** (failures - 1), LONGEST_PAUSE_MS) };
  };
}
