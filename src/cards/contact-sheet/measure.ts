/**
 * How large everything on a sheet is. What is written must be legible where Discord shows the sheet, so all of it is laid out
 * for that size, and drawn larger for whoever opens the picture.
 */
import { LINE_HEIGHT, setText } from './lettering.ts';
import type { Header, Room, SheetPlan } from './plan.ts';

/** All px. */
export interface Metrics {
  /** of the whole sheet */
  readonly width: number;
  readonly height: number;
  readonly cellWidth: number;
  readonly cellHeight: number;
  /** from one cell's top to the next one's: with gap and caption */
  readonly pitchX: number;
  readonly pitchY: number;
  /** of the first cell */
  readonly left: number;
  readonly top: number;
  readonly margin: number;
  readonly gap: number;
  /** of everything written but the title, which is larger */
  readonly fontSize: number;
  /** of each row axis's labels */
  readonly rowLabelWidths: readonly number[];
  /** of each column axis's labels */
  readonly headerHeights: readonly number[];
  readonly titleHeight: number;
}

/** Pixels of a sheet to one of those that a message shows it with: cells of a full sheet are then as wide as a thumbnail. */
const SCALE = 5;
const px = (shown: number) => Math.round(shown * SCALE);

/** What a message shows of a picture, whatever its size. */
const SHEET = { width: px(520), height: px(440) };
/** A caption's, which is the least that people read without effort. */
export const FONT = px(13);
const LINE = Math.ceil(FONT * LINE_HEIGHT);
const MARGIN = px(10);
const GAP = px(3);
/** Width of a picture. The least has room for its number, three digits. */
const CELL = { min: px(44), max: px(150) };
const CELL_HEIGHT_MIN = px(16);
/** Columns are made wider than that for labels and captions of one line, up to this. */
const LABELLED_CELL_MAX = px(64);
/** All labels left of the rows together. */
const ROW_LABELS_MAX = px(150);
const ROW_LABEL_MIN = px(36);
/** A sheet of few cells is still as wide as its title. */
const WIDTH_MIN = px(320);

export async function measureSheet(plan: SheetPlan, { subtitle }: { subtitle: string }): Promise<Metrics> {
  const { kind, rows, columns } = plan;
  const frame = await measureFrame(plan, subtitle);
  const { left, bottom, captionHeight, aspect } = frame;
  const widest = Math.min(CELL.max, Math.floor((SHEET.width - MARGIN - left + GAP) / columns) - GAP);

  // Narrower cells may break headers into more lines, which leaves less height: a few rounds come to rest.
  let cellWidth = widest;
  let cellHeight = 0;
  let headerHeights: number[] = [];
  for (let round = 0; round < 8; round++) {
    headerHeights = await headersHeights(plan, cellWidth + GAP);
    const height = SHEET.height - topOf(frame, headerHeights) - bottom + GAP;
    const highest = Math.max(CELL_HEIGHT_MIN, Math.floor(height / rows) - GAP - captionHeight);
    cellHeight = Math.min(highest, Math.round(cellWidth * aspect));
    // In lines a place may be wider than its picture: the caption below it is all the longer.
    if (kind === 'flow' || cellHeight === Math.round(cellWidth * aspect)) break;
    cellWidth = Math.floor(cellHeight / aspect);
  }

  const [pitchX, pitchY] = [cellWidth + GAP, cellHeight + GAP + captionHeight];
  const top = topOf(frame, headerHeights);
  return {
    width: Math.max(left + columns * pitchX - GAP + MARGIN, WIDTH_MIN),
    height: top + rows * pitchY - GAP + bottom,
    cellWidth,
    cellHeight,
    pitchX,
    pitchY,
    left,
    top,
    margin: MARGIN,
    gap: GAP,
    fontSize: FONT,
    rowLabelWidths: frame.rowLabelWidths,
    headerHeights,
    titleHeight: frame.titleHeight,
  };
}

/** How many cells one sheet takes, if all of these were on it. */
export async function roomOf(plan: SheetPlan, { subtitle }: { subtitle: string }): Promise<Room> {
  const frame = await measureFrame(plan, subtitle);
  const labels = plan.placed
    .map(({ caption }) => caption)
    .concat((plan.columnHeaders.at(-1) ?? []).map(({ text }) => text));
  const widest = Math.min(LABELLED_CELL_MAX, await widestOf(labels));
  const pitchX = Math.max(CELL.min, widest) + GAP;
  const pitchY = Math.round(CELL.min * frame.aspect) + GAP + frame.captionHeight;
  const headerHeights = await headersHeights(plan, pitchX);
  const width = SHEET.width - MARGIN - frame.left + GAP;
  const height = SHEET.height - topOf(frame, headerHeights) - frame.bottom + GAP;
  return {
    columns: Math.max(1, Math.floor(width / pitchX)),
    rows: Math.max(1, Math.floor(height / pitchY)),
  };
}

/** What does not depend on how large the cells are. */
interface Frame {
  readonly left: number;
  readonly bottom: number;
  readonly titleHeight: number;
  readonly namesHeight: number;
  readonly rowLabelWidths: readonly number[];
  readonly captionHeight: number;
  /** height of a cell over its width: high enough for the tallest picture, but at most 2.5 */
  readonly aspect: number;
}

async function measureFrame(plan: SheetPlan, subtitle: string): Promise<Frame> {
  const labelMax = Math.max(ROW_LABEL_MIN, ROW_LABELS_MAX / Math.max(1, plan.rowHeaders.length));
  const rowLabelWidths = await Promise.all(
    plan.rowHeaders.map(async (headers, depth) => {
      const name = await setText(plan.rowNames[depth] ?? '', { size: FONT });
      // The name may take two lines: beside the columns' headers there is room for it.
      const half = plan.columnHeaders.length
        ? await widestOf(plan.rowNames[depth]?.split(' ') ?? [])
        : name.width;
      const widest = await widestOf(headers.map(({ text }) => text));
      return Math.ceil(Math.min(labelMax, Math.max(widest, half, name.width / 2)));
    }),
  );
  const captions = await widestOf(plan.placed.map(({ caption }) => caption));
  const captionLines = captions === 0 ? 0 : captions > LABELLED_CELL_MAX ? 2 : 1;
  const hasLegend = plan.placed.some(({ cell }) => cell.state !== 'done');
  return {
    left: MARGIN + sum(rowLabelWidths.map((width) => width + gutterOf(FONT))),
    bottom: MARGIN + (hasLegend ? LINE + px(4) : 0),
    titleHeight: Math.ceil(LINE * 1.25) + (subtitle ? LINE : 0) + px(6),
    namesHeight: plan.rowNames.length || plan.columnNames.length ? LINE : 0,
    rowLabelWidths,
    captionHeight: captionLines && LINE * captionLines + px(2),
    aspect: Math.min(2.5, Math.max(...plan.placed.map(({ cell }) => cell.height / cell.width))),
  };
}

/** Between one column of row labels and the next. */
export function gutterOf(fontSize: number): number {
  return Math.round(fontSize * 0.6);
}

function topOf({ titleHeight, namesHeight }: Frame, headerHeights: readonly number[]): number {
  return MARGIN + titleHeight + namesHeight + sum(headerHeights);
}

/** A little more than the ink: laid out in less, a label would be broken. 0: all are empty. */
async function widestOf(labels: readonly string[]): Promise<number> {
  const set = await Promise.all([...new Set(labels)].map((label) => setText(label, { size: FONT })));
  const ink = Math.max(0, ...set.map(({ width }) => width));
  return ink && ink + px(3);
}

function headersHeights({ columnHeaders }: SheetPlan, pitchX: number): Promise<number[]> {
  return Promise.all(
    columnHeaders.map(async (headers: readonly Header[]) => {
      const set = await Promise.all(
        headers.map(({ text, span }) =>
          setText(text, { size: FONT, width: span * pitchX - GAP, lines: 3, centre: true }),
        ),
      );
      return Math.ceil(Math.max(...set.map(({ height }) => height)) + px(5));
    }),
  );
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
