/**
 * How large everything on a sheet is: cells as large as Discord shows them, labels that a phone can show, and around them the
 * room that the texts take when they are set.
 */
import { LINE_HEIGHT, setText } from './lettering.ts';
import type { Header, SheetPlan } from './plan.ts';

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
  /** of labels; the title is larger, marks in cells are smaller */
  readonly fontSize: number;
  /** of each row axis's labels */
  readonly rowLabelWidths: readonly number[];
  /** of each column axis's labels */
  readonly headerHeights: readonly number[];
  readonly titleHeight: number;
}

/** px; Discord scales larger pictures down, and viewers refuse much larger ones */
const SIDE_MAX = 4_096;
/** all cells together; a sheet with more takes seconds and says no more */
const PIXELS_MAX = 9_000_000;
/** width of a picture on the sheet, px */
const CELL_MAX = 320;
const CELL_MIN = 40;

export async function measureSheet(plan: SheetPlan, { subtitle }: { subtitle: string }): Promise<Metrics> {
  const { rows, columns, placed } = plan;
  const { cellWidth, cellHeight } = cellSize(plan);
  const gap = Math.max(4, Math.round(cellWidth / 40));
  // A phone shows the whole sheet on 400 px: labels grow with it, as far as the cells leave room.
  const longest = Math.max(columns * cellWidth, rows * cellHeight * 0.8);
  const room = Math.max(15, Math.min(40, cellWidth / 6.5, (rows * cellHeight) / 13));
  const fontSize = Math.min(room, Math.max(15, Math.round(longest / 40)));
  const lineHeight = fontSize * LINE_HEIGHT;
  const margin = Math.round(fontSize * 1.4);

  const labelMax = Math.max(fontSize * 8, Math.min(cellWidth * 1.2, fontSize * 13, SIDE_MAX * 0.09));
  const rowLabelWidths = await Promise.all(
    plan.rowHeaders.map((headers, depth) =>
      labelsWidth([...headers.map(({ text }) => text), plan.rowNames[depth] ?? ''], fontSize, labelMax),
    ),
  );
  const pitchX = cellWidth + gap;
  const headerHeights = await Promise.all(
    plan.columnHeaders.map((headers) => headersHeight(headers, fontSize, (span) => span * pitchX - gap)),
  );

  const captioned = placed.some(({ caption }) => caption);
  const pitchY = cellHeight + gap + (captioned ? Math.ceil(lineHeight * 0.85 * 2 + gap) : 0);
  const titleHeight = Math.ceil(lineHeight * 1.6 + (subtitle ? lineHeight : 0) + margin * 0.7);
  const left = margin + sum(rowLabelWidths.map((width) => width + Math.round(fontSize * 0.9)));
  const headers = sum(headerHeights);
  const names = plan.kind === 'grid' ? Math.ceil(lineHeight) : 0;
  const top = margin + titleHeight + names + headers + (plan.rowNames.length && !headers ? gap : 0);
  const width = Math.max(left + columns * pitchX - gap + margin, Math.round(fontSize * 24));
  const height = top + rows * pitchY - gap + Math.ceil(lineHeight) + Math.round(margin * 1.7);
  return {
    width: Math.min(SIDE_MAX, Math.round(width)),
    height: Math.min(SIDE_MAX, Math.round(height)),
    cellWidth,
    cellHeight,
    pitchX,
    pitchY,
    left,
    top,
    margin,
    gap,
    fontSize,
    rowLabelWidths,
    headerHeights,
    titleHeight,
  };
}

/** One size for all: high enough for the tallest picture at the cell's width, but at most 2.5 times as high as wide. */
function cellSize({ kind, rows, columns, placed }: SheetPlan): { cellWidth: number; cellHeight: number } {
  const widest = Math.max(...placed.map(({ cell }) => cell.width / cell.height));
  const tallest = Math.max(...placed.map(({ cell }) => cell.height / cell.width));

  // Labels and margins take at most a fifth of each side.
  let width = Math.min(CELL_MAX, (SIDE_MAX * 0.8) / columns - 8, ((SIDE_MAX * 0.8) / rows - 8) / tallest);
  if (kind === 'flow') width = Math.min(width, ((SIDE_MAX * 0.85) / rows) * Math.min(1, widest) * 0.8);
  const pixels = width * width * tallest * rows * columns;
  if (pixels > PIXELS_MAX) width *= Math.sqrt(PIXELS_MAX / pixels);
  const cellWidth = Math.max(CELL_MIN, Math.floor(width));
  return { cellWidth, cellHeight: Math.max(CELL_MIN, Math.round(cellWidth * Math.min(tallest, 2.5))) };
}

async function labelsWidth(labels: readonly string[], size: number, max: number): Promise<number> {
  const set = await Promise.all(labels.map((label) => setText(label, { size })));
  // A little more than the ink of the widest: laid out in less, it would be broken.
  return Math.ceil(Math.min(max, Math.max(...set.map(({ width }) => width)) + size / 3));
}

async function headersHeight(
  headers: readonly Header[],
  size: number,
  widthOf: (span: number) => number,
): Promise<number> {
  const set = await Promise.all(
    headers.map(({ text, span }) => setText(text, { size, width: widthOf(span), lines: 3, centre: true })),
  );
  return Math.ceil(Math.max(...set.map(({ height }) => height)) + size * 0.6);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
