/**
 * Draws all pictures of a face test or sweep on one sheet, with its axes on the edges:
 *
 *              prompt  ›  seed
 *              1: a woman          2: a man
 *     steps    1        2          1        2
 *     10       ▣        ▣          ▨        held
 *     20       ▣        ▣          ▨        ▨
 *
 * Every place of the plan is there from the beginning: what is not drawn yet is hatched, what failed says why, and what is
 * held for review is grey. Cells that fill no grid (samples, one long axis) flow in lines instead, each with a caption.
 *
 * The sheet is painted into one RGB buffer by ourselves: pictures and texts are small rectangles, and copying them costs a
 * tenth of what compositing hundreds of layers does. Texts are set in DejaVu Sans, from npm: no font need be installed.
 */
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { LruCache } from '#src/lru-cache.ts';
import type { Axis } from '#src/sweeps/sweeps.ts';

/** `held`: waits for a moderator. `gone`: deleted, or rejected. `cancelled`: never drawn. */
export type SheetCellState = 'waiting' | 'running' | 'done' | 'held' | 'failed' | 'cancelled' | 'gone';

export interface SheetCell {
  /** changes when the picture does: thumbnails are kept in memory under it */
  readonly id: string;
  /** axis → label */
  readonly coordinates: Readonly<Record<string, string>>;
  readonly state: SheetCellState;
  /** px; of the picture that is there or will be */
  readonly width: number;
  /** px */
  readonly height: number;
  /** of `done`: the picture's bytes, asked for only when its thumbnail is not in memory */
  readonly load?: () => Promise<Uint8Array>;
  /** of `failed` */
  readonly code?: string;
  /** a few characters in the corner: a likeness */
  readonly note?: string;
  readonly reused?: boolean;
}

export interface SheetRequest {
  readonly title: string;
  readonly subtitle: string;
  /** slowest first; the last one changes from line to line */
  readonly rows: readonly Axis[];
  readonly columns: readonly Axis[];
  readonly cells: readonly SheetCell[];
}

export interface ContactSheet {
  /** JPEG, at most 8 MiB */
  readonly bytes: Buffer;
  /** px */
  readonly width: number;
  /** px */
  readonly height: number;
  /** for those who do not see it, at most 1,024 characters */
  readonly alt: string;
}

/** px; Discord scales larger pictures down, and viewers refuse much larger ones */
const SIDE_MAX = 4_096;
/** of all cells together: above, a sheet takes seconds and says no more */
const PIXELS_MAX = 9_000_000;
const BYTES_MAX = 8 * 1024 * 1024;
const ALT_MAX = 1_024;
/** px; of a picture on the sheet */
const CELL_MAX = 320;
const CELL_MIN = 40;
/** A single line of more cells than this is wrapped. */
const LINE_MAX = 10;
/** Rows or columns of a grid; with more, cells would be too small to see. */
const GRID_MAX = 48;
/** A grid with fewer of its places taken than this is no grid. */
const FILLED_MIN = 0.5;
/** Pictures decoded at once: sharp has four threads, and each holds a whole picture. */
const LOADS_AT_ONCE = 6;

type Colour = readonly [red: number, green: number, blue: number];
const colours = {
  page: [0x1a, 0x1b, 0x1e],
  place: [0x24, 0x25, 0x2a],
  hatch: [0x2d, 0x2f, 0x35],
  held: [0x4a, 0x4d, 0x55],
  failed: [0x34, 0x23, 0x27],
  running: [0x58, 0x65, 0xf2],
  shade: [0x10, 0x11, 0x13],
  line: [0x3a, 0x3c, 0x43],
  strong: [0xf2, 0xf3, 0xf5],
  text: [0xcd, 0xd0, 0xd6],
  quiet: [0x8b, 0x90, 0x99],
  fault: [0xf0, 0x8a, 0x8d],
} as const satisfies Record<string, Colour>;

/** @throws {Error} when there are no cells, or a picture's bytes are no picture */
export async function drawContactSheet(request: SheetRequest): Promise<ContactSheet> {
  const { cells } = request;
  if (!cells.length) throw new Error('A contact sheet needs cells');
  const plan = gridOf(request) ?? flowOf(request);
  const metrics = await measure(request, plan);
  const canvas = new Canvas(metrics.width, metrics.height);

  await paintTitle(canvas, request, metrics);
  await paintHeaders(canvas, plan, metrics);
  const legend = await paintCells(canvas, plan, metrics);
  await paintLegend(canvas, legend, metrics);

  const { width, height } = canvas;
  return { bytes: await encode(canvas), width, height, alt: altOf(request, plan) };
}

// Where cells go

interface Placed {
  readonly cell: SheetCell;
  /** from 0 */
  readonly row: number;
  /** from 0 */
  readonly column: number;
  /** of a sheet without axes: what stands below the picture */
  readonly caption: string;
}

interface Header {
  readonly text: string;
  /** first row or column that it stands at, from 0 */
  readonly from: number;
  /** rows or columns that it stands for */
  readonly span: number;
}

interface SheetPlan {
  readonly rows: number;
  readonly columns: number;
  readonly placed: readonly Placed[];
  /** one list an axis, outermost first */
  readonly rowHeaders: readonly (readonly Header[])[];
  readonly columnHeaders: readonly (readonly Header[])[];
  readonly rowNames: readonly string[];
  readonly columnNames: readonly string[];
}

/** A row for every combination of the row axes that occurs, columns likewise; null when that leaves mostly holes. */
function gridOf({ rows, columns, cells }: SheetRequest): SheetPlan | null {
  if (!rows.length && !columns.length) return null;
  const rowKeys = combinations(rows, cells);
  const columnKeys = combinations(columns, cells);
  if (rowKeys.length * columnKeys.length * FILLED_MIN > cells.length) return null;
  if (Math.max(rowKeys.length, columnKeys.length) > GRID_MAX) return null;
  if (rowKeys.length === 1 && columnKeys.length > LINE_MAX) return null;
  if (columnKeys.length === 1 && rowKeys.length > LINE_MAX) return null;

  const at = (axes: readonly Axis[], keys: readonly string[][]) => {
    const index = new Map(keys.map((key, i) => [key.join('\0'), i]));
    return (cell: SheetCell) => index.get(labelsOf(cell, axes).join('\0')) ?? 0;
  };
  const rowOf = at(rows, rowKeys);
  const columnOf = at(columns, columnKeys);
  const placed = cells.map((cell) => ({ cell, row: rowOf(cell), column: columnOf(cell), caption: '' }));
  if (new Set(placed.map(({ row, column }) => `${row} ${column}`)).size < placed.length) return null;
  return {
    rows: rowKeys.length,
    columns: columnKeys.length,
    placed,
    rowHeaders: rows.map((_, depth) => headersOf(rowKeys, depth)),
    columnHeaders: columns.map((_, depth) => headersOf(columnKeys, depth)),
    rowNames: rows.map(({ name }) => readable(name)),
    columnNames: columns.map(({ name }) => readable(name)),
  };
}

/** In lines, in the cells' own order, each with what sets it apart below. */
function flowOf({ rows, columns, cells }: SheetRequest): SheetPlan {
  const axes = [...rows, ...columns];
  const [first] = cells;
  const aspect = first ? first.width / first.height : 1;
  // About 4:3 over all, which Discord shows largest.
  const across = Math.max(1, Math.min(cells.length, Math.round(Math.sqrt((cells.length * 1.4) / aspect))));
  return {
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

/** Those that occur, in the axes' order, the first axis slowest. */
function combinations(axes: readonly Axis[], cells: readonly SheetCell[]): string[][] {
  const found = new Map(cells.map((cell) => [labelsOf(cell, axes).join('\0'), labelsOf(cell, axes)]));
  const ranks = axes.map(({ labels }) => new Map(labels.map((label, i) => [label, i])));
  const rank = (labels: readonly string[], i: number) => ranks[i]?.get(labels[i] ?? '') ?? 0;
  return [...found.values()].sort((a, b) => {
    const different = a.findIndex((label, i) => label !== b[i]);
    return different < 0 ? 0 : rank(a, different) - rank(b, different);
  });
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

function readable(axis: string): string {
  return axis.replaceAll('_', ' ');
}

// How large everything is

interface Metrics {
  /** px, of the whole sheet */
  readonly width: number;
  readonly height: number;
  /** px, of one cell */
  readonly cellWidth: number;
  readonly cellHeight: number;
  /** px, from one cell's top to the next one's: with gap and caption */
  readonly pitchX: number;
  readonly pitchY: number;
  /** px, of the first cell */
  readonly left: number;
  readonly top: number;
  readonly margin: number;
  readonly gap: number;
  /** px, of labels; the title is larger, marks in cells are smaller */
  readonly fontSize: number;
  /** px, of each row axis's labels */
  readonly rowLabelWidths: readonly number[];
  /** px, of each column axis's labels */
  readonly headerHeights: readonly number[];
  readonly titleHeight: number;
  readonly captionHeight: number;
}

const LINE = 1.35;

async function measure(request: SheetRequest, plan: SheetPlan): Promise<Metrics> {
  const { rows, columns, placed } = plan;
  const aspect = Math.max(...placed.map(({ cell }) => cell.width / cell.height));
  const flattest = Math.max(...placed.map(({ cell }) => cell.height / cell.width));

  // Labels and margins take at most a fifth of each side.
  let cellWidth = Math.min(
    CELL_MAX,
    (SIDE_MAX * 0.8) / columns - 8,
    ((SIDE_MAX * 0.8) / rows - 8) / flattest,
  );
  if (plan.rowHeaders.length + plan.columnHeaders.length === 0)
    cellWidth = Math.min(cellWidth, ((SIDE_MAX * 0.85) / rows) * Math.min(1, aspect) * 0.8);
  const pixels = cellWidth * cellWidth * flattest * rows * columns;
  if (pixels > PIXELS_MAX) cellWidth *= Math.sqrt(PIXELS_MAX / pixels);
  cellWidth = Math.max(CELL_MIN, Math.floor(cellWidth));
  const cellHeight = Math.max(CELL_MIN, Math.round(cellWidth * Math.min(flattest, 2.5)));

  const gap = Math.max(4, Math.round(cellWidth / 40));
  // A phone shows the whole sheet on 400 px: labels grow with it, as far as the cells leave room.
  const longest = Math.max(columns * cellWidth, rows * cellHeight * 0.8);
  const room = Math.min(40, cellWidth / 6.5, (rows * cellHeight) / 13);
  const fontSize = clamp(Math.round(longest / 40), 15, Math.max(15, room));
  const margin = Math.round(fontSize * 1.4);

  const rowLabelWidths: number[] = [];
  for (const [depth, headers] of plan.rowHeaders.entries()) {
    const most = Math.max(fontSize * 8, Math.min(cellWidth * 1.2, fontSize * 13, SIDE_MAX * 0.09));
    const texts = [...headers.map(({ text }) => text), plan.rowNames[depth] ?? ''];
    const widths = await Promise.all(
      texts.map(async (text) => (await setText(text, { size: fontSize })).width),
    );
    // A little more than the ink of the widest: laid out in less, it would be broken.
    rowLabelWidths.push(Math.ceil(Math.min(most, Math.max(...widths) + fontSize / 3)));
  }
  const headerHeights: number[] = [];
  for (const headers of plan.columnHeaders) {
    const heights = await Promise.all(
      headers.map(async ({ text, span }) => {
        const width = span * (cellWidth + gap) - gap;
        return (await setText(text, { size: fontSize, width, lines: 3, centre: true })).height;
      }),
    );
    headerHeights.push(Math.ceil(Math.max(...heights) + fontSize * 0.6));
  }

  const caption = placed.some((one) => one.caption) ? Math.ceil(fontSize * 0.85 * LINE * 2 + gap) : 0;
  const [rowNames, columnNames] = [plan.rowNames.length > 0, plan.columnNames.length > 0];
  const title = Math.ceil(fontSize * 1.6 * LINE + (request.subtitle ? fontSize * LINE : 0) + margin * 0.7);
  const left = margin + rowLabelWidths.reduce((sum, width) => sum + width + Math.round(fontSize * 0.9), 0);
  const headers = headerHeights.reduce((sum, height) => sum + height, 0);
  const names = columnNames || rowNames ? Math.ceil(fontSize * LINE) : 0;
  const top = margin + title + names + headers + (rowNames && !headers ? gap : 0);
  const pitchX = cellWidth + gap;
  const pitchY = cellHeight + gap + caption;
  const width = Math.max(left + columns * pitchX - gap + margin, Math.round(fontSize * 24));
  const height = top + rows * pitchY - gap + Math.ceil(fontSize * LINE) + Math.round(margin * 1.7);
  return {
    ...{ width, height, cellWidth, cellHeight, pitchX, pitchY, left, top, margin, gap, fontSize },
    ...{ rowLabelWidths, headerHeights, titleHeight: title, captionHeight: caption },
  };
}

// Painting

async function paintTitle(canvas: Canvas, request: SheetRequest, m: Metrics): Promise<void> {
  const width = canvas.width - 2 * m.margin;
  const size = m.fontSize * 1.6;
  const title = await setText(request.title, { size, width, lines: 1, bold: true, colour: colours.strong });
  canvas.text(title, m.margin, m.margin);
  if (!request.subtitle) return;
  const subtitle = await setText(request.subtitle, {
    ...{ size: m.fontSize, width, lines: 1, colour: colours.quiet },
  });
  canvas.text(subtitle, m.margin, m.margin + Math.round(size * LINE));
}

async function paintHeaders(canvas: Canvas, plan: SheetPlan, m: Metrics): Promise<void> {
  const size = m.fontSize;
  const gutter = Math.round(size * 0.9);
  let y = m.margin + m.titleHeight;
  if (plan.columnNames.length) {
    const names = plan.columnNames.join('  ›  ');
    const width = canvas.width - m.left - m.margin;
    canvas.text(
      await setText(names, { size: size * 0.9, width, lines: 1, colour: colours.quiet }),
      m.left,
      y,
    );
    y += Math.ceil(size * LINE);
  }
  for (const [depth, headers] of plan.columnHeaders.entries()) {
    const height = m.headerHeights[depth] ?? 0;
    for (const { text, from, span } of headers) {
      const width = span * m.pitchX - m.gap;
      const x = m.left + from * m.pitchX;
      const colour = depth === plan.columnHeaders.length - 1 ? colours.text : colours.strong;
      const label = await setText(text, { size, width, lines: 3, centre: true, colour });
      canvas.text(label, x + (width - label.width) / 2, y + Math.max(0, height - size * 0.45 - label.height));
      if (span > 1) canvas.fill(x, y + height - 3, width, 1, colours.line);
    }
    y += height;
  }

  let x = m.margin;
  for (const [depth, headers] of plan.rowHeaders.entries()) {
    const width = m.rowLabelWidths[depth] ?? 0;
    const name = plan.rowNames[depth] ?? '';
    const title = await setText(name, { size: size * 0.9, width, lines: 1, colour: colours.quiet });
    canvas.text(title, x, m.top - Math.ceil(size * LINE));
    for (const { text, from, span } of headers) {
      const height = span * m.pitchY - m.gap;
      const lines = Math.max(1, Math.min(6, Math.floor(height / (size * LINE))));
      const colour = depth === plan.rowHeaders.length - 1 ? colours.text : colours.strong;
      const label = await setText(text, { size, width, lines, colour });
      const top = m.top + from * m.pitchY;
      canvas.text(label, x, top + (height - label.height) / 2);
      if (span > 1) canvas.fill(x + width + gutter / 2, top, 1, height, colours.line);
    }
    x += width + gutter;
  }
}

/** @returns how many cells are in each state, for the legend */
async function paintCells(canvas: Canvas, plan: SheetPlan, m: Metrics): Promise<Map<SheetCellState, number>> {
  const counts = new Map<SheetCellState, number>();
  const taken = new Set<number>();
  const waiting = [...plan.placed];
  const paint = async ({ cell, row, column, caption }: Placed) => {
    counts.set(cell.state, (counts.get(cell.state) ?? 0) + 1);
    taken.add(row * plan.columns + column);
    const x = m.left + column * m.pitchX;
    const y = m.top + row * m.pitchY;
    await paintCell(canvas, cell, x, y, m);
    if (!caption) return;
    const style = {
      size: m.fontSize * 0.85,
      width: m.cellWidth,
      lines: 2,
      centre: true,
      colour: colours.text,
    };
    const label = await setText(caption, style);
    canvas.text(label, x + (m.cellWidth - label.width) / 2, y + m.cellHeight + m.gap);
  };
  await Promise.all(
    Array.from({ length: LOADS_AT_ONCE }, async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await paint(next);
    }),
  );
  // Places that the plan leaves out, as a `limit` does.
  if (plan.rowHeaders.length + plan.columnHeaders.length > 0) {
    for (let place = 0; place < plan.rows * plan.columns; place++) {
      if (taken.has(place)) continue;
      const [row, column] = [Math.floor(place / plan.columns), place % plan.columns];
      canvas.fill(
        m.left + column * m.pitchX + m.cellWidth / 2 - m.gap,
        m.top + row * m.pitchY + m.cellHeight / 2,
        2 * m.gap,
        2,
        colours.line,
      );
    }
  }
  return counts;
}

async function paintCell(canvas: Canvas, cell: SheetCell, x: number, y: number, m: Metrics): Promise<void> {
  const { cellWidth: w, cellHeight: h, gap } = m;
  const small = clamp(Math.round(w / 12), 10, 24);
  const centred = async (text: string, colour: Colour) => {
    const set = await setText(text, {
      ...{
        size: Math.max(small, Math.min(m.fontSize, w / 9)),
        width: w - 2 * gap,
        lines: 3,
        centre: true,
        colour,
      },
    });
    canvas.text(set, x + (w - set.width) / 2, y + (h - set.height) / 2);
  };
  const radius = Math.max(3, Math.round(w / 50));

  if (cell.state === 'done' && cell.load) {
    const picture = await thumbnail(cell, cell.load, w, h);
    const left = Math.round(x + (w - picture.width) / 2);
    const top = Math.round(y + (h - picture.height) / 2);
    canvas.picture(picture, left, top);
    canvas.round(left, top, picture.width, picture.height, radius);
    if (cell.note) {
      const note = await setText(cell.note, { size: small, lines: 1, width: w, colour: colours.strong });
      const pad = Math.round(small / 3);
      const at = top + picture.height - note.height - 3 * pad;
      canvas.fill(left + pad, at, note.width + 2 * pad, note.height + 2 * pad, colours.shade, 0.62);
      canvas.text(note, left + 2 * pad, at + pad);
    }
    if (cell.reused) {
      // "drawn before": quiet, in the corner away from the note
      const mark = await setText('↺', { size: small, lines: 1, width: w, colour: colours.strong });
      const pad = Math.round(small / 4);
      const at = left + picture.width - mark.width - 3 * pad;
      canvas.fill(at, top + pad, mark.width + 2 * pad, mark.height + 2 * pad, colours.shade, 0.55);
      canvas.text(mark, at + pad, top + 2 * pad);
    }
    return;
  }
  switch (cell.state) {
    case 'held':
      canvas.fill(x, y, w, h, colours.held);
      await centred('held', colours.strong);
      break;
    case 'failed':
      canvas.fill(x, y, w, h, colours.failed);
      await centred(readable(cell.code ?? 'failed'), colours.fault);
      break;
    case 'running':
      canvas.hatch(x, y, w, h, gap * 2);
      canvas.fill(x, y + h - Math.max(3, gap / 2), w, Math.max(3, gap / 2), colours.running);
      break;
    case 'waiting':
      canvas.hatch(x, y, w, h, gap * 2);
      break;
    case 'cancelled':
      canvas.fill(x, y, w, h, colours.place);
      await centred('not drawn', colours.quiet);
      break;
    default:
      canvas.fill(x, y, w, h, colours.place);
      await centred('deleted', colours.quiet);
  }
  canvas.round(x, y, w, h, radius);
}

const words: Record<SheetCellState, string> = {
  done: 'done',
  running: 'drawing',
  waiting: 'waiting',
  held: 'held for review',
  failed: 'failed',
  cancelled: 'not drawn',
  gone: 'deleted',
};

const swatches: Partial<Record<SheetCellState, Colour>> = { held: colours.held, failed: colours.failed };

async function paintLegend(
  canvas: Canvas,
  counts: ReadonlyMap<SheetCellState, number>,
  m: Metrics,
): Promise<void> {
  const size = m.fontSize * 0.9;
  const y = canvas.height - m.margin - Math.ceil(size);
  const swatch = Math.round(size * 0.9);
  let x = m.margin;
  for (const [state, word] of Object.entries(words) as [SheetCellState, string][]) {
    const count = counts.get(state);
    if (!count) continue;
    const label = await setText(`${count} ${word}`, {
      ...{ size, lines: 1, width: canvas.width, colour: colours.quiet },
    });
    const indent = state === 'done' ? 0 : Math.round(swatch * 1.5);
    if (x + indent + label.width > canvas.width - m.margin) return;
    if (state === 'waiting' || state === 'running') canvas.hatch(x, y, swatch, swatch, 6);
    else if (indent) canvas.fill(x, y, swatch, swatch, swatches[state] ?? colours.place);
    if (state === 'running') canvas.fill(x, y + swatch - 3, swatch, 3, colours.running);
    canvas.text(label, x + indent, y);
    x += indent + label.width + size * 1.6;
  }
}

/** One RGB picture, painted rectangle by rectangle. Positions may be fractions: they are rounded. */
class Canvas {
  readonly width: number;
  readonly height: number;
  readonly pixels: Buffer;

  constructor(width: number, height: number) {
    this.width = Math.min(SIDE_MAX, Math.round(width));
    this.height = Math.min(SIDE_MAX, Math.round(height));
    this.pixels = Buffer.alloc(this.width * this.height * 3);
    this.fill(0, 0, this.width, this.height, colours.page);
  }

  /** @param alpha 0…1 */
  fill(x: number, y: number, width: number, height: number, colour: Colour, alpha = 1): void {
    this.#each(x, y, width, height, () => alpha, colour);
  }

  /** Diagonal stripes: nothing is there yet. @param period px */
  hatch(x: number, y: number, width: number, height: number, period: number): void {
    this.fill(x, y, width, height, colours.place);
    this.#each(x, y, width, height, (dx, dy) => ((dx + dy) % period < period / 2.5 ? 1 : 0), colours.hatch);
  }

  /** Takes the corners off a rectangle that was painted. @param radius px */
  round(x: number, y: number, width: number, height: number, radius: number): void {
    for (const right of [0, 1]) {
      for (const low of [0, 1]) {
        this.#each(
          x + right * (width - radius),
          y + low * (height - radius),
          radius,
          radius,
          (dx, dy) => {
            const from = Math.hypot(right ? dx + 0.5 : radius - dx - 0.5, low ? dy + 0.5 : radius - dy - 0.5);
            return clamp(from - radius + 0.5, 0, 1);
          },
          colours.page,
        );
      }
    }
  }

  picture({ data, width, height }: Pixels, x: number, y: number): void {
    const across = Math.min(width, this.width - x);
    for (let row = 0; row < Math.min(height, this.height - y); row++) {
      const from = row * width * 3;
      data.copy(this.pixels, ((y + row) * this.width + x) * 3, from, from + across * 3);
    }
  }

  text({ data, width, height, colour }: SetText, x: number, y: number): void {
    this.#each(x, y, width, height, (dx, dy) => (data[dy * width + dx] ?? 0) / 255, colour);
  }

  #each(
    x: number,
    y: number,
    width: number,
    height: number,
    alphaAt: (dx: number, dy: number) => number,
    [red, green, blue]: Colour,
  ): void {
    const [left, top] = [Math.round(x), Math.round(y)];
    const [across, down] = [Math.round(width), Math.round(height)];
    for (let dy = Math.max(0, -top); dy < down && top + dy < this.height; dy++) {
      for (let dx = Math.max(0, -left); dx < across && left + dx < this.width; dx++) {
        const alpha = alphaAt(dx, dy);
        if (!alpha) continue;
        const at = ((top + dy) * this.width + left + dx) * 3;
        this.pixels[at] = this.pixels[at]! + (red - this.pixels[at]!) * alpha;
        this.pixels[at + 1] = this.pixels[at + 1]! + (green - this.pixels[at + 1]!) * alpha;
        this.pixels[at + 2] = this.pixels[at + 2]! + (blue - this.pixels[at + 2]!) * alpha;
      }
    }
  }
}

/** JPEG without chroma subsampling, which would smear small coloured text. */
async function encode({ pixels, width, height }: Canvas): Promise<Buffer> {
  const raw = { width, height, channels: 3 } as const;
  for (const quality of [88, 78, 65]) {
    const bytes = await sharp(pixels, { raw }).jpeg({ quality, chromaSubsampling: '4:4:4' }).toBuffer();
    if (bytes.length <= BYTES_MAX) return bytes;
  }
  const half = sharp(pixels, { raw }).resize({ width: Math.round(width / 2) });
  return half.jpeg({ quality: 70 }).toBuffer();
}

// Pictures and texts, kept in memory: a sheet is drawn again and again while its batch goes on

interface Pixels {
  /** RGB */
  readonly data: Buffer;
  readonly width: number;
  readonly height: number;
}

/** `id size` → thumbnail */
const thumbnails = new LruCache<Pixels>(96 * 1024 * 1024);

async function thumbnail(
  { id }: SheetCell,
  load: () => Promise<Uint8Array>,
  width: number,
  height: number,
): Promise<Pixels> {
  const key = `${id} ${width}x${height}`;
  const known = thumbnails.get(key);
  if (known) return known;
  const { data, info } = await sharp(await load())
    .resize(width, height, { fit: 'inside' })
    .flatten({ background: { r: colours.page[0], g: colours.page[1], b: colours.page[2] } })
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const pixels = { data, width: info.width, height: info.height };
  thumbnails.set(key, pixels, data.length);
  return pixels;
}

interface SetText {
  /** coverage, one byte a pixel */
  readonly data: Buffer;
  readonly width: number;
  readonly height: number;
  readonly colour: Colour;
}

interface TextStyle {
  /** px */
  readonly size: number;
  /** px; lines are broken there */
  readonly width?: number;
  /** at most; what does not fit ends in … */
  readonly lines?: number;
  readonly bold?: boolean;
  readonly centre?: boolean;
  readonly colour?: Colour;
}

const FONT = fileURLToPath(import.meta.resolve('dejavu-fonts-ttf/ttf/DejaVuSans.ttf'));
const FONT_BOLD = fileURLToPath(import.meta.resolve('dejavu-fonts-ttf/ttf/DejaVuSans-Bold.ttf'));
const texts = new LruCache<Omit<SetText, 'colour'>>(16 * 1024 * 1024);

async function setText(text: string, style: TextStyle): Promise<SetText> {
  const { colour = colours.text, ...shape } = style;
  // A label of millions of characters is never read, but would be laid out.
  const line = [
    ...text
      .replace(/[\s\p{Cc}]+/gu, ' ')
      .trim()
      .slice(0, 600),
  ].slice(0, 300);
  const key = JSON.stringify([line.join(''), shape]);
  const known = texts.get(key);
  if (known) return { ...known, colour };

  const fits = async (length: number) => {
    const cut = length < line.length ? `${line.slice(0, length).join('').trimEnd()}…` : line.join('');
    const set = await layOutText(cut, shape);
    const tooWide = shape.width !== undefined && set.width > shape.width;
    const tooHigh = shape.lines !== undefined && set.height > shape.size * LINE * (shape.lines + 0.15);
    return { set, fits: !tooWide && !tooHigh };
  };
  let best = await fits(line.length);
  if (!best.fits) {
    // The longest beginning that fits, by halving; a single character is shown even where it does not.
    let [low, high] = [1, line.length - 1];
    best = await fits(1);
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      const tried = await fits(middle);
      if (tried.fits) [low, best] = [middle, tried];
      else high = middle - 1;
    }
  }
  texts.set(key, best.set, best.set.data.length + 200);
  return { ...best.set, colour };
}

/** Pango, by sharp. At 72 dpi a point is a pixel. */
async function layOutText(
  text: string,
  { size, width, bold = false, centre = false }: TextStyle,
): Promise<Omit<SetText, 'colour'>> {
  if (!text) return { data: Buffer.alloc(0), width: 0, height: 0 };
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const { data, info } = await sharp({
    text: {
      text: `<span${bold ? ' weight="bold"' : ''}>${escaped}</span>`,
      font: `DejaVu Sans ${bold ? 'Bold ' : ''}${size.toFixed(1)}`,
      fontfile: bold ? FONT_BOLD : FONT,
      dpi: 72,
      rgba: true,
      ...(width !== undefined && { width: Math.max(1, Math.floor(width)), wrap: 'word-char' }),
      ...(centre && { align: 'centre' as const }),
    },
  })
    .extractChannel('alpha')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

/** What the sheet shows, in words. */
function altOf({ title, rows, columns, cells }: SheetRequest, plan: SheetPlan): string {
  const axis = ({ name, labels }: Axis) => {
    const some = labels.slice(0, 8).join(', ');
    return `${readable(name)} (${labels.length > 8 ? `${some} and ${labels.length - 8} more` : some})`;
  };
  const counts = (Object.keys(words) as SheetCellState[]).flatMap((state) => {
    const count = cells.filter((cell) => cell.state === state).length;
    return count ? `${count} ${words[state]}` : [];
  });
  const parts = [
    `Contact sheet “${title}”: ${counts.join(', ')}.`,
    ...(plan.rowHeaders.length && rows.length ? [`Rows: ${rows.map(axis).join('; ')}.`] : []),
    ...(plan.columnHeaders.length && columns.length ? [`Columns: ${columns.map(axis).join('; ')}.`] : []),
  ];
  const text = [...parts.join(' ')];
  return text.length > ALT_MAX ? `${text.slice(0, ALT_MAX - 1).join('')}…` : text.join('');
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
