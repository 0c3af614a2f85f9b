/**
 * Draws all pictures of a face test or sweep on one sheet, with its axes on the edges:
 *
 *              prompt  ›  seed
 *              1: a woman          2: a man
 *     steps    1        2          1        2
 *     10       ▣        ▣          ▨        held
 *     20       ▣        ▣          ▨        ▨
 *
 * Every place of the plan is there from the beginning: what is not drawn yet is hatched, what failed is red, and what is held
 * for review grey. Cells that fill no grid (samples, one long axis) flow in lines instead, each with a caption. Each
 * cell has its picture's number, and a batch has as many sheets as it takes for all of it to be read.
 *
 * Where cells go is in plan.ts and pages.ts, how large everything is in measure.ts; then frame.ts and cells.ts paint it on
 * canvas.ts.
 */
import type { MarkedFile } from '#src/marks/marks.ts';
import { type Say, sayIn } from '#src/say.ts';
import type { Axis } from '#src/sweeps/sheet-axes.ts';
import { Canvas } from './canvas.ts';
import { paintCells } from './cells.ts';
import { paintColumnHeaders, paintLegend, paintRowHeaders, paintTitle } from './frame.ts';
import { measureSheet } from './measure.ts';
import type { SheetPlan } from './plan.ts';
import { countStates, readable, type SheetRequest } from './request.ts';

export { planSheets } from './pages.ts';
export type { SheetPlan } from './plan.ts';
export type { SheetCell, SheetCellState, SheetRequest } from './request.ts';

/** Characters that Discord takes. */
const ALT_MAX = 1_024;

/** Says what is drawn into a sheet: DejaVu has no Japanese, which would come out as boxes. */
export function sayDrawn(say: Say): Say {
  return say.language === 'ja' ? sayIn('en') : say;
}

/**
 * @param plan one of `planSheets(request)`
 * @throws {Error} when a picture's bytes are no picture
 */
export async function drawSheet(say: Say, request: SheetRequest, plan: SheetPlan): Promise<MarkedFile> {
  const drawn = sayDrawn(say);
  const metrics = await measureSheet(plan, request);
  const canvas = new Canvas(metrics.width, metrics.height);
  await paintTitle(canvas, request, metrics);
  await paintColumnHeaders(canvas, plan, metrics);
  await paintRowHeaders(canvas, plan, metrics);
  await paintCells(drawn, canvas, plan, metrics);
  await paintLegend(drawn, canvas, plan, metrics);
  return canvas.encode();
}

/** What a sheet shows, in words, for those who do not see it. */
export function altOf(say: Say, { title, rows, columns }: SheetRequest, { kind, placed }: SheetPlan): string {
  const cells = placed.map(({ cell }) => cell);
  const axis = ({ name, labels }: Axis) => {
    const here = labels.filter((label) => cells.some(({ coordinates }) => coordinates[name] === label));
    const first = here.slice(0, 8).join(', ');
    const more = here.length - 8;
    return `${readable(name)} (${more > 0 ? say('{first} and {more, number} more', { first, more }) : first})`;
  };
  const counts = countStates(say, cells).map(({ words }) => words);
  const parts = [
    say('Contact sheet “{title}”: {counts}.', { title, counts: counts.join(', ') }),
    ...(kind === 'grid' && rows.length ? [say('Rows: {axes}.', { axes: rows.map(axis).join('; ') })] : []),
    ...(kind === 'grid' && columns.length
      ? [say('Columns: {axes}.', { axes: columns.map(axis).join('; ') })]
      : []),
  ];
  const text = [...parts.join(' ')];
  return text.length > ALT_MAX ? `${text.slice(0, ALT_MAX - 1).join('')}…` : text.join('');
}
