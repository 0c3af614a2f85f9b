/** What stands in each place: a picture with its marks, or what there is instead of one. */
import type { Canvas } from './canvas.ts';
import { type Colour, colours } from './colours.ts';
import { setText } from './lettering.ts';
import type { Metrics } from './measure.ts';
import type { Placed, SheetPlan } from './plan.ts';
import { readable, type SheetCell } from './request.ts';
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

export async function paintCells(canvas: Canvas, plan: SheetPlan, m: Metrics): Promise<void> {
  const waiting = [...plan.placed];
  await Promise.all(
    Array.from({ length: LOADS_AT_ONCE }, async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await paintPlaced(canvas, next, m);
    }),
  );
  if (plan.kind === 'grid') paintHoles(canvas, plan, m);
}

async function paintPlaced(
  canvas: Canvas,
  { cell, row, column, caption }: Placed,
  m: Metrics,
): Promise<void> {
  const box = boxAt(row, column, m);
  if (cell.state === 'done' && cell.load) await paintPicture(canvas, cell, cell.load, box);
  else await paintState(canvas, cell, box, m);
  if (!caption) return;
  const label = await setText(caption, { size: m.fontSize * 0.85, width: box.width, lines: 2, centre: true });
  canvas.text(label, box.x + (box.width - label.width) / 2, box.y + box.height + m.gap, colours.text);
}

async function paintPicture(
  canvas: Canvas,
  { id, note, reused }: SheetCell,
  load: () => Promise<Uint8Array>,
  box: Box,
): Promise<void> {
  const picture = await loadThumbnail(id, load, box.width, box.height);
  const left = Math.round(box.x + (box.width - picture.width) / 2);
  const top = Math.round(box.y + (box.height - picture.height) / 2);
  canvas.picture(picture, left, top);
  canvas.round(left, top, picture.width, picture.height, radiusOf(box));

  const size = clamp(Math.round(box.width / 12), 10, 24);
  if (note) {
    const label = await setText(note, { size, lines: 1, width: box.width });
    const pad = Math.round(size / 3);
    const y = top + picture.height - label.height - 3 * pad;
    canvas.fill(left + pad, y, label.width + 2 * pad, label.height + 2 * pad, colours.shade, 0.62);
    canvas.text(label, left + 2 * pad, y + pad, colours.strong);
  }
  if (reused) {
    // "drawn before": quiet, in the corner away from the note
    const mark = await setText('↺', { size, lines: 1, width: box.width });
    const pad = Math.round(size / 4);
    const x = left + picture.width - mark.width - 3 * pad;
    canvas.fill(x, top + pad, mark.width + 2 * pad, mark.height + 2 * pad, colours.shade, 0.55);
    canvas.text(mark, x + pad, top + 2 * pad, colours.strong);
  }
}

/** What a place without a picture says. */
async function paintState(canvas: Canvas, { state, code }: SheetCell, box: Box, m: Metrics): Promise<void> {
  const { x, y, width, height } = box;
  switch (state) {
    case 'held':
      canvas.fill(x, y, width, height, colours.held);
      await paintWord(canvas, 'held', colours.strong, box, m);
      break;
    case 'failed':
      canvas.fill(x, y, width, height, colours.failed);
      await paintWord(canvas, readable(code ?? 'failed'), colours.fault, box, m);
      break;
    case 'running': {
      const bar = Math.max(3, m.gap / 2);
      canvas.hatch(x, y, width, height, m.gap * 2);
      canvas.fill(x, y + height - bar, width, bar, colours.running);
      break;
    }
    case 'waiting':
      canvas.hatch(x, y, width, height, m.gap * 2);
      break;
    case 'cancelled':
      canvas.fill(x, y, width, height, colours.place);
      await paintWord(canvas, 'not drawn', colours.quiet, box, m);
      break;
    default:
      canvas.fill(x, y, width, height, colours.place);
      await paintWord(canvas, 'deleted', colours.quiet, box, m);
  }
  canvas.round(x, y, width, height, radiusOf(box));
}

/** Paints a word in the middle of the box, on three lines at most. */
async function paintWord(canvas: Canvas, word: string, colour: Colour, box: Box, m: Metrics): Promise<void> {
  const size = Math.max(clamp(Math.round(box.width / 12), 10, 24), Math.min(m.fontSize, box.width / 9));
  const label = await setText(word, { size, width: box.width - 2 * m.gap, lines: 3, centre: true });
  const x = box.x + (box.width - label.width) / 2;
  canvas.text(label, x, box.y + (box.height - label.height) / 2, colour);
}

/** Paints a dash in each place that the plan leaves out, as after a `limit`. */
function paintHoles(canvas: Canvas, { rows, columns, placed }: SheetPlan, m: Metrics): void {
  const taken = new Set(placed.map(({ row, column }) => row * columns + column));
  for (let place = 0; place < rows * columns; place++) {
    if (taken.has(place)) continue;
    const { x, y, width, height } = boxAt(Math.floor(place / columns), place % columns, m);
    canvas.fill(x + width / 2 - m.gap, y + height / 2, 2 * m.gap, 2, colours.line);
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

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
