/** How a batch becomes a contact sheet: its axes on the edges, and a cell for each picture as far as it may be seen. */
import sharp from 'sharp';
import { hashOf } from '#src/canonical.ts';
import type { Batch } from '#src/doors/db.ts';
import { faceFound, type Picture, pictureBytes } from '#src/generations/pictures.ts';
import { type Axis, sheetAxes } from '#src/sweeps/sheet-axes.ts';
import { counted } from '#src/text.ts';
import { drawContactSheet, type SheetCell } from './contact-sheet/contact-sheet.ts';
import { type CardFile, coordinatesOf, stateOf } from './parts.ts';

/** A face test with more columns than this has its ideas in rows. */
const FACE_COLUMNS_MAX = 24;

/**
 * Drawn anew at every tenth of the way, and when a picture fails or goes out of sight: its name stands for what is on it, and
 * the courier sends only names that the message does not have.
 *
 * @param side px; the full size when left out
 */
export async function sheetFile(
  batch: Batch,
  pictures: readonly Picture[],
  side?: number,
): Promise<CardFile> {
  const cells = pictures.map(cellOf);
  const done = cells.filter(({ state }) => state === 'done').length;
  const unseen = cells.flatMap(({ id, state }) =>
    state === 'held' || state === 'gone' || state === 'failed' || state === 'cancelled'
      ? `${id} ${state}`
      : [],
  );
  const tenths = batch.endedAt ? 'all' : Math.floor((10 * done) / Math.max(1, cells.length));
  const shows = hashOf({ batch: batch.id, tenths, unseen, done: batch.endedAt ? done : null }).slice(0, 8);
  const day = batch.createdAt.toISOString().slice(0, 10);
  const bundle = pictures[0]?.bundle ?? '';
  const sheet = () =>
    drawContactSheet({
      title: batch.title,
      subtitle: `${day} · ${bundle} · ${done} of ${counted(cells.length, 'picture')}`,
      ...axesOf(batch, pictures),
      cells,
    });
  return {
    name: `${side ? 'overview' : 'contact-sheet'}-${shows}.jpg`,
    description: `Contact sheet: ${done} of ${counted(cells.length, 'picture')}`,
    bytes: async () => {
      const { bytes } = await sheet();
      if (!side) return bytes;
      return sharp(bytes).resize(side, side, { fit: 'inside' }).jpeg({ quality: 85 }).toBuffer();
    },
  };
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

function cellOf(picture: Picture): SheetCell {
  const { id, image, width, height, failure, reused } = picture;
  const state = stateOf(picture);
  return {
    id: image?.sha256 ?? id,
    coordinates: coordinatesOf(picture),
    state,
    width,
    height,
    reused,
    ...(state === 'done' && { load: () => pictureBytes(picture) }),
    ...(state === 'failed' && { code: failure ?? 'internal' }),
    ...(image?.likeness != null && { note: image.likeness.toFixed(2) }),
    ...(faceFound(picture) === false && { note: 'no face' }),
  };
}
