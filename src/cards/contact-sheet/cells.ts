/** What stands in each place: a picture with its marks, or what there is instead of one. */
import { message, type Say } from '#src/say.ts';
import type { Canvas } from './canvas.ts';
import { type Colour, colours } from './colours.ts';
import { LINE_HEIGHT, type SetText, setText } from './lettering.ts';
import type { Metrics } from './measure.ts';
import type { Placed, SheetPlan } from './plan.ts';
import type { SheetCell, SheetCellState } from './request.ts';
import { loadThumbnail } from './thumbnails.ts';

/** px */
interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Pictures decoded at once: sharp has four threads, and each holds a whole picture. */
const LOADS_AT_ONCE = 6;

export async function paintCells(say: Say, canvas: Canvas, plan: SheetPlan, m: Metrics): Promise<void> {
  const waiting = [...plan.placed];
  await Promise.all(
    Array.from({ length: LOADS_AT_ONCE }, async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await paintPlaced(say, canvas, next, m);
    }),
  );
  if (plan.kind === 'grid') paintHoles(canvas, plan, m);
}

async function paintPlaced(
  say: Say,
  canvas: Canvas,
  { cell, row, column, caption }: Placed,
  m: Metrics,
): Promise<void> {
  const box = boxAt(row, column, m);
  if (cell.state === 'done' && cell.load) await paintPicture(canvas, cell, cell.load, box, m);
  else await paintState(say, canvas, cell, box, m);
  if (!caption) return;
  const label = await setText(caption, { size: m.fontSize, width: box.width, lines: 2, centre: true });
  canvas.text(label, box.x + (box.width - label.width) / 2, box.y + box.height + m.gap / 2, colours.text);
}

async function paintPicture(
  canvas: Canvas,
  cell: SheetCell,
  load: () => Promise<Uint8Array>,
  box: Box,
  m: Metrics,
): Promise<void> {
  const picture = await loadThumbnail(cell.id, load, box.width, box.height);
  const { width, height } = picture;
  const x = Math.round(box.x + (box.width - width) / 2);
  const y = Math.round(box.y + (box.height - height) / 2);
  canvas.picture(picture, x, y);
  canvas.round(x, y, width, height, radiusOf(box));
  await paintMarks(canvas, cell, { x, y, width, height }, m);
}

/** The number above on the left; a likeness below it; and where there is room beside the number, a sign of "drawn before". */
async function paintMarks(
  canvas: Canvas,
  { number, note, reused }: Pick<SheetCell, 'number' | 'note' | 'reused'>,
  { x, y, width, height }: Box,
  m: Metrics,
): Promise<void> {
  const set = (text: string) => setText(text, { size: m.fontSize, lines: 1, width });
  const label = await set(String(number));
  const pad = Math.round(m.fontSize * 0.2);
  const size = (mark: SetText) => ({ across: mark.width + 2 * pad, down: mark.height + 2 * pad });
  const paint = (mark: SetText, left: number, top: number) => {
    canvas.fill(left, top, size(mark).across, size(mark).down, colours.shade, 0.66);
    canvas.text(mark, left + pad, top + pad, colours.strong);
  };
  paint(label, x, y);
  if (note) {
    const mark = await set(note);
    paint(mark, x, y + height - size(mark).down);
  }
  if (reused) {
    const mark = await set('↺');
    if (size(label).across + size(mark).across < width) paint(mark, x + width - size(mark).across, y);
  }
}

/** What a place without a picture says. */
async function paintState(
  say: Say,
  canvas: Canvas,
  { number, state }: SheetCell,
  box: Box,
  m: Metrics,
): Promise<void> {
  const { x, y, width, height } = box;
  const [colour, message, inWhich] = placeholders[state];
  if (state === 'waiting' || state === 'running') canvas.hatch(x, y, width, height, m.gap * 4);
  else canvas.fill(x, y, width, height, colour);
  if (state === 'running') canvas.fill(x, y + height - m.gap, width, m.gap, colours.running);
  await paintMarks(canvas, { number }, box, m);
  if (message) await paintWord(canvas, say(message), inWhich, box, m);
  canvas.round(x, y, width, height, radiusOf(box));
}

const placeholders: Readonly<Record<SheetCellState, readonly [Colour, message: string, Colour]>> = {
  waiting: [colours.place, '', colours.quiet],
  running: [colours.place, '', colours.quiet],
  done: [colours.place, message('deleted'), colours.quiet],
  held: [colours.held, message('held'), colours.strong],
  failed: [colours.failed, message('failed'), colours.fault],
  cancelled: [colours.place, message('not drawn'), colours.quiet],
  gone: [colours.place, message('deleted'), colours.quiet],
};

/** Paints a word in the middle of what its number leaves of the box, or as much of it as fits there. */
async function paintWord(canvas: Canvas, word: string, colour: Colour, box: Box, m: Metrics): Promise<void> {
  const size = m.fontSize;
  const above = size * LINE_HEIGHT * 1.2;
  const lines = Math.max(1, Math.floor((box.height - above) / (size * LINE_HEIGHT)));
  const label = await setText(word, { size, width: box.width, lines: Math.min(3, lines), centre: true });
  const x = box.x + (box.width - label.width) / 2;
  canvas.text(label, x, box.y + above + (box.height - above - label.height) / 2, colour);
}

/** Paints a dash in each place that the plan leaves out, as after a `limit`. */
function paintHoles(canvas: Canvas, { rows, columns, placed }: SheetPlan, m: Metrics): void {
  const taken = new Set(placed.map(({ row, column }) => row * columns + column));
  for (let place = 0; place < rows * columns; place++) {
    if (taken.has(place)) continue;
    const { x, y, width, height } = boxAt(Math.floor(place / columns), place % columns, m);
    canvas.fill(x + width / 2 - 2 * m.gap, y + height / 2, 4 * m.gap, m.gap / 2, colours.line);
  }
}

function boxAt(row: number, column: number, m: Metrics): Box {
  const [x, y] = [m.left + column * m.pitchX, m.top + row * m.pitchY];
  return { x, y, width: m.cellWidth, height: m.cellHeight };
}

/** radius of a box's corners, px */
function radiusOf({ width }: Box): number {
  return Math.max(3, Math.round(width / 50));
}
