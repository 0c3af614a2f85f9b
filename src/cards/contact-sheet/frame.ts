/** What stands around the cells: the title above, the axes' names and labels on the edges, the legend below. */
import type { Say } from '#src/say.ts';
import type { Canvas } from './canvas.ts';
import { type Colour, colours } from './colours.ts';
import { LINE_HEIGHT, setText } from './lettering.ts';
import { gutterOf, type Metrics } from './measure.ts';
import type { SheetPlan } from './plan.ts';
import { countStates, type SheetCellState, type SheetRequest } from './request.ts';

/** Thickness of the lines that join labels, px. */
const HAIRLINE = 4;

export async function paintTitle(
  canvas: Canvas,
  { title, subtitle }: SheetRequest,
  { margin, fontSize }: Metrics,
): Promise<void> {
  const width = canvas.width - 2 * margin;
  const size = fontSize * 1.25;
  canvas.text(await setText(title, { size, width, lines: 1, bold: true }), margin, margin, colours.strong);
  if (!subtitle) return;
  const below = margin + Math.round(size * LINE_HEIGHT);
  canvas.text(await setText(subtitle, { size: fontSize, width, lines: 1 }), margin, below, colours.quiet);
}

/** Above the columns: all axes' names on one line, then a line of labels an axis. */
export async function paintColumnHeaders(canvas: Canvas, plan: SheetPlan, m: Metrics): Promise<void> {
  const size = m.fontSize;
  let y = m.margin + m.titleHeight;
  if (plan.columnNames.length) {
    const names = plan.columnNames.join('  ›  ');
    const width = canvas.width - m.left - m.margin;
    canvas.text(await setText(names, { size, width, lines: 1 }), m.left, y, colours.quiet);
    y += Math.ceil(size * LINE_HEIGHT);
  }
  for (const [depth, headers] of plan.columnHeaders.entries()) {
    const height = m.headerHeights[depth] ?? 0;
    const colour = depth === plan.columnHeaders.length - 1 ? colours.text : colours.strong;
    for (const { text, from, span } of headers) {
      const width = span * m.pitchX - m.gap;
      const x = m.left + from * m.pitchX;
      const label = await setText(text, { size, width, lines: 3, centre: true });
      const lowered = Math.max(0, height - size * 0.3 - label.height);
      canvas.text(label, x + (width - label.width) / 2, y + lowered, colour);
      if (span > 1) canvas.fill(x, y + height - m.gap, width, HAIRLINE, colours.line);
    }
    y += height;
  }
}

/** Left of the rows: a column of labels an axis, its name on top. */
export async function paintRowHeaders(canvas: Canvas, plan: SheetPlan, m: Metrics): Promise<void> {
  const size = m.fontSize;
  const gutter = gutterOf(size);
  let x = m.margin;
  for (const [depth, headers] of plan.rowHeaders.entries()) {
    const width = m.rowLabelWidths[depth] ?? 0;
    const lines = plan.columnHeaders.length ? 2 : 1;
    const name = await setText(plan.rowNames[depth] ?? '', { size, width, lines });
    canvas.text(name, x, m.top - Math.round(size * 0.3) - name.height, colours.quiet);
    const colour = depth === plan.rowHeaders.length - 1 ? colours.text : colours.strong;
    for (const { text, from, span } of headers) {
      const height = span * m.pitchY - m.gap;
      const lines = Math.max(1, Math.min(6, Math.floor(height / (size * LINE_HEIGHT))));
      const label = await setText(text, { size, width, lines });
      const top = m.top + from * m.pitchY;
      canvas.text(label, x, top + (height - label.height) / 2, colour);
      if (span > 1) canvas.fill(x + width + gutter / 2, top, HAIRLINE, height, colours.line);
    }
    x += width + gutter;
  }
}

const swatches: Partial<Record<SheetCellState, Colour>> = { held: colours.held, failed: colours.failed };

/** How many cells are in each state, as far as they fit on the last line; nothing when all are done. */
export async function paintLegend(
  say: Say,
  canvas: Canvas,
  { placed }: SheetPlan,
  m: Metrics,
): Promise<void> {
  const cells = placed.map(({ cell }) => cell);
  if (cells.every(({ state }) => state === 'done')) return;
  const size = m.fontSize;
  const y = canvas.height - m.margin - Math.ceil(size * LINE_HEIGHT);
  const swatch = Math.round(size * 0.8);
  const swatchY = y + Math.round(size * 0.2);
  let x = m.margin;
  for (const { state, words } of countStates(say, cells)) {
    const label = await setText(words, { size, lines: 1, width: canvas.width });
    const indent = state === 'done' ? 0 : Math.round(swatch * 1.4);
    if (x + indent + label.width > canvas.width - m.margin) return;
    if (state === 'waiting' || state === 'running') canvas.hatch(x, swatchY, swatch, swatch, m.gap * 2);
    else if (indent) canvas.fill(x, swatchY, swatch, swatch, swatches[state] ?? colours.place);
    if (state === 'running') canvas.fill(x, swatchY + swatch - m.gap, swatch, m.gap, colours.running);
    canvas.text(label, x + indent, y, colours.quiet);
    x += indent + label.width + size;
  }
}
