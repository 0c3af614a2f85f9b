/** What a bench gives back, and what all of them say things with. */

/** Something measured, with what it may be. */
export type Goal = { readonly name: string; readonly got: number } & (
  | { readonly atMost: number }
  | { readonly atLeast: number }
);

/** Prints what it measured, side by side in one run. */
export type Bench = () => Promise<readonly Goal[]>;

export function isMet(goal: Goal): boolean {
  return 'atMost' in goal ? goal.got <= goal.atMost : goal.got >= goal.atLeast;
}

export const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

export const say = (what: string, value: string) => process.stdout.write(`  ${what.padEnd(32)} ${value}\n`);
