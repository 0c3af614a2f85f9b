/**
 * Where each cell of a sheet goes, in rows and columns; how large they are is measured elsewhere (measure.ts).
 *
 * A sheet is a grid when its axes fill one: a row for every combination of the row axes that occurs, columns likewise, with
 * the labels on the edges. Otherwise its cells flow in lines, each with a caption. Pure: nothing is drawn, read or timed.
 */
import type { Axis } from '#src/sweeps/sheet-axes.ts';
import { readable, type SheetCell, type SheetRequest } from './request.ts';

export interface SheetPlan {
  readonly kind: 'grid' | 'flow';
  readonly rows: number;
  readonly columns: number;
  readonly placed: readonly Placed[];
  /** of a grid: one list an axis, outermost first */
  readonly rowHeaders: readonly (readonly Header[])[];
  readonly columnHeaders: readonly (readonly Header[])[];
  readonly rowNames: readonly string[];
  readonly columnNames: readonly string[];
}

export interface Placed {
  readonly cell: SheetCell;
  /** from 0 */
  readonly row: number;
  /** from 0 */
  readonly column: number;
  /** of a flow: what stands below the picture */
  readonly caption: string;
}

export interface Header {
  readonly text: string;
  /** first row or column that it stands at, from 0 */
  readonly from: number;
  /** rows or columns that it stands for */
  readonly span: number;
}

/** A single line of more cells than this is wrapped. */
const LINE_MAX = 10;
/** Rows or columns of a grid; with more, cells would be too small to see. */
const GRID_MAX = 48;
/** Share of a grid's places that must be taken; with fewer it is no grid. */
const FILLED_MIN = 0.5;

export function planSheet(request: SheetRequest): SheetPlan {
  return planGrid(request) ?? planFlow(request);
}

/** null when the axes leave mostly holes, give two cells the same place, or make a line too long. */
function planGrid({ rows, columns, cells }: SheetRequest): SheetPlan | null {
  if (!rows.length && !columns.length) return null;
  const rowKeys = combinations(rows, cells);
  const columnKeys = combinations(columns, cells);
  if (rowKeys.length * columnKeys.length * FILLED_MIN > cells.length) return null;
  if (Math.max(rowKeys.length, columnKeys.length) > GRID_MAX) return null;
  if (rowKeys.length === 1 && columnKeys.length > LINE_MAX) return null;
  if (columnKeys.length === 1 && rowKeys.length > LINE_MAX) return null;

  const rowOf = finder(rows, rowKeys);
  const columnOf = finder(columns, columnKeys);
  const placed = cells.map((cell) => ({ cell, row: rowOf(cell), column: columnOf(cell), caption: '' }));
  if (new Set(placed.map(({ row, column }) => `${row} ${column}`)).size < placed.length) return null;
  return {
    kind: 'grid',
    rows: rowKeys.length,
    columns: columnKeys.length,
    placed,
    rowHeaders: rows.map((_, depth) => headersOf(rowKeys, depth)),
    columnHeaders: columns.map((_, depth) => headersOf(columnKeys, depth)),
    rowNames: rows.map(({ name }) => readable(name)),
    columnNames: columns.map(({ name }) => readable(name)),
  };
}

/** Lays out the cells in lines, in their own order, each with a caption of what sets it apart. */
function planFlow({ rows, columns, cells }: SheetRequest): SheetPlan {
  const axes = [...rows, ...columns];
  const [first] = cells;
  const aspect = first ? first.width / first.height : 1;
  // About 4:3 over all, which Discord shows largest.
  const across = Math.max(1, Math.min(cells.length, Math.round(Math.sqrt((cells.length * 1.4) / aspect))));
  return {
    kind: 'flow',
    rows: Math.ceil(cells.length / across),
    columns: across,
    placed: cells.map((cell, i) => ({
      cell,
      row: Math.floor(i / across),
      column: i % across,
      caption: captionOf(cell, axes),
    })),
    rowHeaders: [],
    columnHeaders: [],
    rowNames: [],
    columnNames: [],
  };
}

/** With one axis its label says all; with several, their names are needed as well. */
function captionOf(cell: SheetCell, axes: readonly Axis[]): string {
  const [only] = axes;
  if (only && axes.length === 1) return cell.coordinates[only.name] ?? '';
  return axes.map(({ name }) => `${readable(name)} ${cell.coordinates[name] ?? '–'}`).join(' · ');
}

function labelsOf(cell: SheetCell, axes: readonly Axis[]): string[] {
  return axes.map(({ name }) => cell.coordinates[name] ?? '');
}

/** The combinations that occur, in the axes' order, the first axis slowest. */
function combinations(axes: readonly Axis[], cells: readonly SheetCell[]): string[][] {
  const found = new Map(cells.map((cell) => [labelsOf(cell, axes).join('\0'), labelsOf(cell, axes)]));
  const ranks = axes.map(({ labels }) => new Map(labels.map((label, i) => [label, i])));
  const rank = (labels: readonly string[], i: number) => ranks[i]?.get(labels[i] ?? '') ?? 0;
  return [...found.values()].sort((a, b) => {
    const different = a.findIndex((label, i) => label !== b[i]);
    return different < 0 ? 0 : rank(a, different) - rank(b, different);
  });
}

/** Tells which of the combinations a cell is, from 0. */
function finder(axes: readonly Axis[], keys: readonly string[][]): (cell: SheetCell) => number {
  const index = new Map(keys.map((key, i) => [key.join('\0'), i]));
  return (cell) => index.get(labelsOf(cell, axes).join('\0')) ?? 0;
}

/** Neighbours that agree on this axis, and on all outside it, share one header. */
function headersOf(keys: readonly (readonly string[])[], depth: number): Header[] {
  const headers: Header[] = [];
  let before: string | undefined;
  for (const [i, key] of keys.entries()) {
    const path = key.slice(0, depth + 1).join('\0');
    const last = headers.at(-1);
    if (last && path === before) headers[headers.length - 1] = { ...last, span: last.span + 1 };
    else headers.push({ text: key[depth] ?? '', from: i, span: 1 });
    before = path;
  }
  return headers;
}
