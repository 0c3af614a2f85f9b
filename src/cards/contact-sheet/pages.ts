/**
 * The sheets that a batch needs: as many cells on each as can be told apart, and read, where Discord shows it.
 *
 * A grid is cut between two rows and between two columns, where it can be between two labels of its outermost axis. Where its
 * cells in lines need fewer sheets than a grid of them, they flow.
 */
import { roomOf } from './measure.ts';
import { combinations, gridOf, labelsOf, planFlow, planGrid, type Room, type SheetPlan } from './plan.ts';
import type { SheetRequest } from './request.ts';

/** At least one, unless there are no cells. */
export async function planSheets(request: SheetRequest): Promise<SheetPlan[]> {
  const flow = planFlow(request);
  const flowing = flowSheets(request, await roomOf(flow, request));
  const grid = planGrid(request);
  if (!grid) return flowing;
  const grids = gridSheets(request, await roomOf(grid, request));
  return grids.length <= flowing.length ? grids : flowing;
}

export function gridSheets(request: SheetRequest, room: Room): SheetPlan[] {
  const { rows, columns, cells } = request;
  const rowBlocks = blocksOf(combinations(rows, cells), room.rows);
  const columnBlocks = blocksOf(combinations(columns, cells), room.columns);
  return rowBlocks.flatMap((rowBlock) =>
    columnBlocks.flatMap((columnBlock) => {
      const here = cells.filter(
        (cell) =>
          rowBlock.has(keyOf(labelsOf(cell, rows))) && columnBlock.has(keyOf(labelsOf(cell, columns))),
      );
      return here.length ? gridOf({ ...request, cells: here }) : [];
    }),
  );
}

export function flowSheets(request: SheetRequest, room: Room): SheetPlan[] {
  const { cells } = request;
  const sheets = Math.ceil(cells.length / (room.columns * room.rows));
  const each = Math.ceil(cells.length / sheets);
  return Array.from({ length: sheets }, (_, i) =>
    planFlow({ ...request, cells: cells.slice(i * each, (i + 1) * each) }, room),
  );
}

/** Cuts lines into as few blocks as hold `max` each, about equally long; between labels of an outer axis where those fit. */
function blocksOf(keys: readonly (readonly string[])[], max: number): Set<string>[] {
  for (let depth = 1; ; depth++) {
    const groups = [...Map.groupBy(keys, (key) => keyOf(key.slice(0, depth))).values()];
    if (depth < (keys[0]?.length ?? 0) && groups.some((group) => group.length > max)) continue;
    const fewest = packed(groups, max).length;
    return packed(groups, max, Math.ceil(keys.length / fewest)).map((block) => new Set(block.map(keyOf)));
  }
}

/** Groups one after another, in blocks that are full with `max` lines, or once they have `enough`. */
function packed(
  groups: readonly (readonly string[])[][],
  max: number,
  enough = max,
): (readonly string[])[][] {
  const blocks: (readonly string[])[][] = [];
  for (const group of groups) {
    const last = blocks.at(-1);
    if (last && last.length < enough && last.length + group.length <= max) last.push(...group);
    else blocks.push([...group]);
  }
  return blocks;
}

function keyOf(labels: readonly string[]): string {
  return labels.join('\0');
}
