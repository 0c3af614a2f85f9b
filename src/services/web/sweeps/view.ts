/**
 * What an address asks to see of a sweep:
 *
 *   rows, columns     names of two axes; left out: the longest in rows, the next in columns
 *   <axis>            a label of one of the others, its tab; left out: that of the picture that is open, or the first
 *   score, min, max   the number that is told of each picture, and from where to where it passes
 *   picture           number of the one that is open
 *   compare           numbers of two to see side by side, as `3,7`; of one: another is to be chosen
 *
 * What this sweep does not have is left out of the view, and a sentence says so. Other names are nothing here.
 */
import { readable } from '#src/cards/contact-sheet/request.ts';
import { numberOf } from '#src/cards/parts.ts';
import type { Axis } from '#src/sweeps/sheet-axes.ts';
import { unmarked } from '#src/text.ts';
import type { Cell, Score, Sweep } from './sweep.ts';

/** No axis may be called so: a test sees to it that no parameter is. */
export const RESERVED = ['rows', 'columns', 'score', 'min', 'max', 'picture', 'compare'] as const;

export interface View {
  /** null: nothing is varied */
  readonly rows: Axis | null;
  /** null: there is no second axis, so that pictures stand in a list */
  readonly columns: Axis | null;
  readonly tabs: readonly { readonly axis: Axis; readonly label: string }[];
  readonly scores: readonly Score[];
  /** null: no picture has one */
  readonly score: Score | null;
  readonly min: number | null;
  readonly max: number | null;
  readonly open: Cell | null;
  /** two; or one, that another is to be chosen for */
  readonly compared: readonly Cell[];
  /** what the address asks for that there is not */
  readonly faults: readonly string[];
}

export function readView(
  query: URLSearchParams,
  { axes, cells, count }: Sweep,
  scores: readonly Score[],
): View {
  const faults: string[] = [];
  const fault = (sentence: string): null => {
    faults.push(sentence);
    return null;
  };
  const given = (name: string) => query.get(name)?.trim() || null;

  const axisOf = (name: (typeof RESERVED)[number]): Axis | null => {
    const wanted = given(name);
    if (wanted === null) return null;
    const names = axes.map((axis) => readable(axis.name)).join(', ') || 'none';
    return (
      axes.find((axis) => axis.name === wanted) ??
      fault(`No axis of this sweep is called “${unmarked(wanted)}”. There is: ${names}.`)
    );
  };
  const byLength = axes.toSorted((a, b) => b.labels.length - a.labels.length);
  const firstBeside = (other: Axis | null) => byLength.find((axis) => axis !== other) ?? null;
  const wantedColumns = axisOf('columns');
  const rows = axisOf('rows') ?? firstBeside(axes.length > 1 ? wantedColumns : null);
  const columns = wantedColumns && wantedColumns !== rows ? wantedColumns : firstBeside(rows);

  const numberOfCell = (wanted: string): Cell | null => {
    const number = /^\d{1,6}$/.test(wanted) ? Number(wanted) : Number.NaN;
    const found = cells.find((cell) => numberOf(cell) === number);
    if (found) return found;
    return fault(
      count
        ? `There is no picture ${unmarked(wanted)}: they are numbered from 1 to ${count}.`
        : 'There is no picture yet.',
    );
  };
  const picture = given('picture');
  const compared = (given('compare')?.split(',') ?? []).map((one) => one.trim()).filter(Boolean);
  if (compared.length > 2) fault('Only two pictures can be compared: these are the first two.');
  const both = [...new Set(compared)].slice(0, 2).flatMap((one) => numberOfCell(one) ?? []);
  const open = picture === null || both.length ? null : numberOfCell(picture);

  const shown = open ?? both[0];
  const tabs = axes
    .filter((axis) => axis !== rows && axis !== columns)
    .map((axis) => {
      const wanted = given(axis.name);
      const first = axis.labels[0] ?? '';
      if (wanted !== null && !axis.labels.includes(wanted))
        fault(`“${unmarked(wanted)}” is no value of ${readable(axis.name)} here. “${first}” is shown.`);
      const label =
        axis.labels.find((one) => one === wanted) ??
        ((wanted === null && shown?.coordinates[axis.name]) || first);
      return { axis, label };
    });

  const bound = (name: 'min' | 'max'): number | null => {
    const wanted = given(name);
    if (wanted === null) return null;
    const number = /^-?\d{1,9}(?:[.,]\d{1,9})?$/.test(wanted) ? Number(wanted.replace(',', '.')) : Number.NaN;
    if (!Number.isNaN(number)) return number;
    return fault(
      `“${unmarked(wanted)}” is no number, so nothing is left out for being ${name === 'min' ? 'less' : 'more'} than it.`,
    );
  };
  const wantedScore = given('score');
  const score = scores.find(({ name }) => name === wantedScore) ?? scores[0] ?? null;
  if (wantedScore !== null && score?.name !== wantedScore)
    fault(`No picture of this sweep has a score called “${unmarked(wantedScore)}”.`);
  const [min, max] = score ? [bound('min'), bound('max')] : [null, null];

  return { rows, columns, tabs, scores, score, min, max, open, compared: both, faults };
}

/** Whether a picture's score is between the view's bounds. One without a score is, where there are none. */
export function passes({ score, min, max }: View, cell: Cell): boolean {
  if (!score || (min === null && max === null)) return true;
  const value = score.of(cell);
  return value !== null && value >= (min ?? value) && value <= (max ?? value);
}

/** Pictures of the tabs that are open, in the batch's order. */
export function inTabs({ tabs }: View, cells: readonly Cell[]): Cell[] {
  return cells.filter(({ coordinates }) => tabs.every(({ axis, label }) => coordinates[axis.name] === label));
}

/** The same from left to right and from top to bottom. */
export function readingOrder({ rows, columns }: View, cells: readonly Cell[]): Cell[] {
  const at = (axis: Axis | null, { coordinates }: Cell) =>
    axis ? axis.labels.indexOf(coordinates[axis.name] ?? '') : 0;
  return cells.toSorted((a, b) => at(rows, a) - at(rows, b) || at(columns, a) - at(columns, b));
}

/** What is otherwise in another view. */
export interface Change {
  readonly rows?: string;
  readonly columns?: string;
  /** axis → label */
  readonly at?: Readonly<Record<string, string>>;
  /** null: none is open any more */
  readonly picture?: number | null;
  readonly compare?: readonly number[];
  /** false: all pictures pass */
  readonly filtered?: false;
}

/** What the address of a view has after its `?`, by which the same view is found again. */
export function queryOf(view: View, change: Change = {}): URLSearchParams {
  const { rows, columns, tabs, score, min, max, open, compared } = view;
  const { picture = open && numberOf(open), compare = compared.map(numberOf) } = change;
  const query = new URLSearchParams();
  if (rows && columns) {
    query.set('rows', change.rows ?? rows.name);
    query.set('columns', change.columns ?? columns.name);
  }
  for (const { axis, label } of tabs) query.set(axis.name, change.at?.[axis.name] ?? label);
  if (score && score !== view.scores[0]) query.set('score', score.name);
  if (change.filtered !== false) {
    if (min !== null) query.set('min', String(min));
    if (max !== null) query.set('max', String(max));
  }
  if (compare.length) query.set('compare', compare.join(','));
  else if (picture !== null) query.set('picture', String(picture));
  return query;
}
