/**
 * Where each cell of a sheet goes, in rows and columns; how large they are is measured elsewhere (measure.ts), and how many
 * cells one sheet takes as well (pages.ts).
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

/** How many cells fit across one sheet, and below one another. */
export interface Room {
  readonly columns: number;
  readonly rows: number;
}

const UNBOUNDED: Room = { columns: Number.POSITIVE_INFINITY, rows: Number.POSITIVE_INFINITY };

export interface Header {
  readonly text: string;
  /** first row or column that it stands at, from 0 */
  readonly from: number;
  /** rows or columns that it stands for */
  readonly span: number;
}

/** A single line of more cells than this is wrapped. */
const LINE_MAX = 6;
/** Share of a grid's places that must be taken; with fewer it is no grid. */
const FILLED_MIN = 0.5;

/** null when the axes leave mostly holes, give two cells the same place, or make one long line. */
export function planGrid(request: SheetRequest): SheetPlan | null {
  const { rows, columns, cells } = request;
  if (!rows.length && !columns.length) return null;
  const plan = gridOf(request);
  if (plan.rows * plan.columns * FILLED_MIN > cells.length) return null;
  if (Math.min(plan.rows, plan.columns) === 1 && cells.length > LINE_MAX) return null;
  if (new Set(plan.placed.map(({ row, column }) => `${row} ${column}`)).size < cells.length) return null;
  return plan;
}

/** A row for every combination of the row axes that these cells have, columns likewise. */
export function gridOf({ rows, columns, cells }: SheetRequest): SheetPlan {
  const rowKeys = combinations(rows, cells);
  const columnKeys = combinations(columns, cells);
  const rowOf = finder(rows, rowKeys);
  const columnOf = finder(columns, columnKeys);
  return {
    kind: 'grid',
    rows: rowKeys.length,
    columns: columnKeys.length,
    placed: cells.map((cell) => ({ cell, row: rowOf(cell), column: columnOf(cell), caption: '' })),
    rowHeaders: rows.map((_, depth) => headersOf(rowKeys, depth)),
    columnHeaders: columns.map((_, depth) => headersOf(columnKeys, depth)),
    rowNames: rows.map(({ name }) => readable(name)),
    columnNames: columns.map(({ name }) => readable(name)),
  };
}

/** Lays out the cells in lines, in their own order, each with a caption of what sets it apart. */
export function planFlow({ rows, columns, cells }: SheetRequest, room: Room = UNBOUNDED): SheetPlan {
  const axes = [...rows, ...columns];
  const [first] = cells;
  const aspect = first ? first.width / first.height : 1;
  // About 4:3 over all, which Discord shows largest.
  const wanted = Math.max(
    Math.round(Math.sqrt((cells.length * 1.4) / aspect)),
    Math.ceil(cells.length / room.rows),
  );
  const across = Math.max(1, Math.min(wanted, cells.length, room.columns));
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

/** Axes of what fills no grid: samples and listed cells. */
const LISTED = /^(sample|cell)$/;

/** With one axis its label says all; with several, their names are needed as well. */
function captionOf(cell: SheetCell, axes: readonly Axis[]): string {
  const parts = axes.map(({ name }) => {
    const label = cell.coordinates[name] ?? '–';
    // These begin with a number of their own, which beside the picture's would only mislead.
    if (LISTED.test(name)) return label.replace(/^\d+: /, '');
    return axes.length === 1 ? label : `${readable(name)} ${label}`;
  });
  return parts.join(' · ');
}

export function labelsOf(cell: SheetCell, axes: readonly Axis[]): string[] {
  return axes.map(({ name }) => cell.coordinates[name] ?? '');
}

/** The combinations that occur, in the axes' order, the first axis slowest. */
export function combinations(axes: readonly Axis[], cells: readonly SheetCell[]): string[][] {
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
