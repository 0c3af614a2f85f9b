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
 * Where cells go is in plan.ts, how large everything is in measure.ts; then frame.ts and cells.ts paint it on canvas.ts.
 */
import type { Axis } from '#src/sweeps/sheet-axes.ts';
import { Canvas } from './canvas.ts';
import { paintCells } from './cells.ts';
import { paintColumnHeaders, paintLegend, paintRowHeaders, paintTitle } from './frame.ts';
import { measureSheet } from './measure.ts';
import { planSheet, type SheetPlan } from './plan.ts';
import { countStates, readable, type SheetRequest } from './request.ts';

export type { SheetCell, SheetCellState, SheetRequest } from './request.ts';

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

const ALT_MAX = 1_024;

/** @throws {Error} when there are no cells, or a picture's bytes are no picture */
export async function drawContactSheet(request: SheetRequest): Promise<ContactSheet> {
  const { cells } = request;
  if (!cells.length) throw new Error('A contact sheet needs cells');
  const plan = planSheet(request);
  const metrics = await measureSheet(plan, request);

  const canvas = new Canvas(metrics.width, metrics.height);
  await paintTitle(canvas, request, metrics);
  await paintColumnHeaders(canvas, plan, metrics);
  await paintRowHeaders(canvas, plan, metrics);
  await paintCells(canvas, plan, metrics);
  await paintLegend(canvas, cells, metrics);

  const { width, height } = canvas;
  return { bytes: await canvas.encode(), width, height, alt: altOf(request, plan) };
}

/** What the sheet shows, in words. */
function altOf({ title, rows, columns, cells }: SheetRequest, { kind }: SheetPlan): string {
  const axis = ({ name, labels }: Axis) => {
    const some = labels.slice(0, 8).join(', ');
    return `${readable(name)} (${labels.length > 8 ? `${some} and ${labels.length - 8} more` : some})`;
  };
  const counts = countStates(cells).map(({ words }) => words);
  const parts = [
    `Contact sheet “${title}”: ${counts.join(', ')}.`,
    ...(kind === 'grid' && rows.length ? [`Rows: ${rows.map(axis).join('; ')}.`] : []),
    ...(kind === 'grid' && columns.length ? [`Columns: ${columns.map(axis).join('; ')}.`] : []),
  ];
  const text = [...parts.join(' ')];
  return text.length > ALT_MAX ? `${text.slice(0, ALT_MAX - 1).join('')}…` : text.join('');
}
