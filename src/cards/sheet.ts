/** How a batch becomes contact sheets: its axes on the edges, and a cell for each picture as far as it may be seen. */
import sharp from 'sharp';
import { hashOf } from '#src/canonical.ts';
import type { Batch } from '#src/doors/db.ts';
import { faceFound, type Picture, pictureBytes } from '#src/generations/pictures.ts';
import { markPicture } from '#src/marks/marks.ts';
import { type Say, sayIn } from '#src/say.ts';
import { type Axis, sheetAxes } from '#src/sweeps/sheet-axes.ts';
import { altOf, drawSheet, planSheets, type SheetCell, sayDrawn } from './contact-sheet/contact-sheet.ts';
import { type CardFile, coordinatesOf, numberOf, stateOf } from './parts.ts';

/** A face test with more columns than this has its ideas in rows: a sheet has room for no more. */
const FACE_COLUMNS_MAX = 8;

/** One of a batch's contact sheets. */
export interface Sheet {
  /** of the pictures on it, rising */
  readonly numbers: readonly number[];
  /** @param side px; the full size when left out */
  file(side?: number): CardFile;
}

/**
 * As many as it takes for all of it to be read. One is drawn anew at every tenth of its way, and when a picture fails or goes out
 * of sight: its name stands for what is on it, and the courier sends only names that the message does not have.
 */
export async function sheetsOf(batch: Batch, pictures: readonly Picture[]): Promise<Sheet[]> {
  const say = sayIn(batch.locale);
  const drawn = sayDrawn(say);
  const cells = pictures.map((picture) => cellOf(drawn, picture));
  const titled = { title: batch.title, ...axesOf(batch, pictures), cells };
  const about = [pictures[0]?.bundle ?? '', batch.createdAt.toISOString().slice(0, 10)];
  const request = { ...titled, subtitle: [progressOf(drawn, cells), ...about].join(' · ') };
  const plans = await planSheets(request);
  return plans.map((plan, i) => {
    const which = plans.length > 1 ? [pageOf(drawn, i + 1, plans.length)] : [];
    const sheet = { ...titled, subtitle: [progressOf(drawn, cells), ...which, ...about].join(' · ') };
    const placed = plan.placed.map(({ cell }) => cell);
    const name = fileNameOf(batch, i, placed, countDone(cells));
    return {
      numbers: placed.map(({ number }) => number).sort((a, b) => a - b),
      file: (side) => ({
        name: `${side ? 'overview' : 'contact-sheet'}-${name}.jpg`,
        source: 'composed',
        description: altOf(say, sheet, plan),
        bytes: async () => {
          const { bytes } = await drawSheet(say, sheet, plan);
          if (!side) return bytes;
          const small = sharp(bytes).resize(side, side, { fit: 'inside' }).jpeg({ quality: 85 });
          return (await markPicture(small, 'composed')).bytes;
        },
      }),
    };
  });
}

function progressOf(say: Say, cells: readonly SheetCell[]): string {
  return say('{done, number} of {total, plural, one {# picture} other {# pictures}}', {
    done: countDone(cells),
    total: cells.length,
  });
}

function pageOf(say: Say, number: number, count: number): string {
  return say('sheet {number} of {count}', { number, count });
}

function countDone(cells: readonly SheetCell[]): number {
  return cells.filter(({ state }) => state === 'done').length;
}

/** Stands for what is to be seen on a sheet. @param allDone of the whole batch, which its second line tells */
function fileNameOf(
  { id, endedAt }: Batch,
  index: number,
  cells: readonly SheetCell[],
  allDone: number,
): string {
  const unseen = cells.flatMap(({ id, state }) =>
    state === 'held' || state === 'gone' || state === 'failed' || state === 'cancelled'
      ? `${id} ${state}`
      : [],
  );
  const tenths = endedAt ? 'all' : Math.floor((10 * countDone(cells)) / Math.max(1, cells.length));
  return hashOf({ batch: id, index, tenths, unseen, done: endedAt ? allDone : null }).slice(0, 8);
}

/** A face test has its faces in rows and its ideas in columns, each with its generations side by side. */
export function axesOf({ kind }: Batch, pictures: readonly Picture[]): { rows: Axis[]; columns: Axis[] } {
  const { rows, columns } = sheetAxes(pictures.map(coordinatesOf));
  const [face, ...others] = [...rows, ...columns];
  const across = others.reduce((product, { labels }) => product * labels.length, 1);
  if (kind === 'face_test' && face?.name === 'face' && others.length && across <= FACE_COLUMNS_MAX)
    return { rows: [face], columns: others };
  return { rows, columns };
}

function cellOf(say: Say, picture: Picture): SheetCell {
  const { id, image, width, height, reused } = picture;
  const state = stateOf(picture);
  return {
    id: image?.sha256 ?? id,
    number: numberOf(picture),
    coordinates: coordinatesOf(picture),
    state,
    width,
    height,
    reused,
    ...(state === 'done' && { load: () => pictureBytes(picture) }),
    ...(image?.likeness != null && { note: image.likeness.toFixed(2) }),
    ...(faceFound(picture) === false && { note: say('no face') }),
  };
}
