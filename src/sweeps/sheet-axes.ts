/** Which of a sweep's axes make the rows of a contact sheet, and which the columns. */

export interface Axis {
  readonly name: string;
  readonly labels: readonly string[];
}

/** Width over height that a contact sheet should have: a card in Discord is wider than high. */
const SHEET_ASPECT = 1.2;
/** of most pictures */
const CELL_ASPECT = 0.8;

/**
 * Some of the axes make the columns, the others the rows, faster ones inside slower ones. The sheet's shape decides
 * which, as a strip of 2 × 20 cells can't be read. Takes the stored coordinates of a batch in its order, so that a sheet
 * needs no YAML.
 *
 * Postgres forgets the order of keys (jsonb sorts them), so the order of the axes is read off the cells: the sooner an
 * axis leaves its first label, the faster it is.
 */
export function sheetAxes(coordinates: readonly Readonly<Record<string, string>>[]): {
  rows: Axis[];
  columns: Axis[];
} {
  const found = new Map<string, { labels: Set<string>; leaves: number }>();
  for (const [index, cell] of coordinates.entries()) {
    for (const [name, label] of Object.entries(cell)) {
      const axis = found.get(name) ?? { labels: new Set(), leaves: 0 };
      found.set(name, axis);
      axis.labels.add(label);
      if (axis.labels.size === 2 && !axis.leaves) axis.leaves = index;
    }
  }
  const axes = [...found]
    .filter(([, { labels }]) => labels.size > 1)
    .sort(([, a], [, b]) => b.leaves - a.leaves)
    .map(([name, { labels }]) => ({ name, labels: [...labels] }));
  const count = (some: readonly Axis[]) => some.reduce((product, { labels }) => product * labels.length, 1);
  const layouts = [
    ...axes.map((_, at) => ({ rows: axes.slice(0, at), columns: axes.slice(at) })),
    ...axes.map((_, at) => ({ rows: axes.slice(at + 1), columns: axes.slice(0, at + 1) })),
  ];
  const strain = ({ rows, columns }: (typeof layouts)[number]) =>
    Math.abs(Math.log((count(columns) * CELL_ASPECT) / count(rows) / SHEET_ASPECT));
  // The first of equally good ones: sorting keeps the order of equals.
  return layouts.sort((a, b) => strain(a) - strain(b))[0] ?? { rows: [], columns: [] };
}
