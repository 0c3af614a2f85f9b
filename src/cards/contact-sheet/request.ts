/** What a contact sheet is asked to show, and the words for it. */
import { message, type Say } from '#src/say.ts';
import type { Axis } from '#src/sweeps/sheet-axes.ts';

/** `held`: waits for a moderator. `gone`: deleted, or rejected. `cancelled`: never drawn. */
export type SheetCellState = 'waiting' | 'running' | 'done' | 'held' | 'failed' | 'cancelled' | 'gone';

export interface SheetCell {
  /** changes when the picture does: thumbnails are kept in memory under it */
  readonly id: string;
  /** stands in its corner; cards, forms and manifests call the picture by it */
  readonly number: number;
  /** axis → label */
  readonly coordinates: Readonly<Record<string, string>>;
  readonly state: SheetCellState;
  /** px; of the picture that is there or will be */
  readonly width: number;
  /** px */
  readonly height: number;
  /** of `done`: the picture's bytes, asked for only when its thumbnail is not in memory */
  readonly load?: () => Promise<Uint8Array>;
  /** a few characters in the corner: a likeness */
  readonly note?: string;
  readonly reused?: boolean;
}

export interface SheetRequest {
  readonly title: string;
  /** the most important first: what does not fit on one line is cut off */
  readonly subtitle: string;
  /** slowest first; the last one changes from line to line */
  readonly rows: readonly Axis[];
  readonly columns: readonly Axis[];
  readonly cells: readonly SheetCell[];
}

/** In the order of the legend. */
const stateCounts = {
  done: message('{count, number} done'),
  running: message('{count, number} drawing'),
  waiting: message('{count, number} waiting'),
  held: message('{count, number} held for review'),
  failed: message('{count, number} failed'),
  cancelled: message('{count, number} not drawn'),
  gone: message('{count, number} deleted'),
} as const satisfies Record<SheetCellState, string>;

/** How many pictures are in a state: `3 done`. */
export function countOf(say: Say, state: SheetCellState, count: number): string {
  const message = stateCounts[state];
  return say(message, { count });
}

/** The states that occur, in the order of the legend, each as `3 done`. */
export function countStates(
  say: Say,
  cells: readonly SheetCell[],
): { state: SheetCellState; words: string }[] {
  const counts = new Map<SheetCellState, number>();
  for (const { state } of cells) counts.set(state, (counts.get(state) ?? 0) + 1);
  return (Object.keys(stateCounts) as SheetCellState[]).flatMap((state) => {
    const count = counts.get(state);
    return count ? [{ state, words: countOf(say, state, count) }] : [];
  });
}

/** `guidance_scale` as people read it. */
export function readable(name: string): string {
  return name.replaceAll('_', ' ');
}
