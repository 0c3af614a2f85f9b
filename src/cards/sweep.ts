/** The messages of one batch: its card, and in its thread the status, the pictures and the manifest. */
import { type APIComponentInContainer, ButtonStyle, ComponentType } from 'discord-api-types/v10';
import sharp from 'sharp';
import { placeOf } from '#src/backlog/place.ts';
import { hashOf } from '#src/canonical.ts';
import { PICTURES_PAGE } from '#src/deliveries.ts';
import { type Batch, db } from '#src/doors/db.ts';
import { failureSentence } from '#src/errors.ts';
import {
  countPictures,
  faceFound,
  type Picture,
  pictureBytes,
  picturesOf,
} from '#src/generations/pictures.ts';
import { type Axis, sheetAxes } from '#src/sweeps/sweeps.ts';
import { counted, plain, relative } from '#src/text.ts';
import { drawContactSheet, type SheetCell, type SheetCellState } from './contact-sheet/contact-sheet.ts';
import { buildManifest } from './manifest.ts';
import {
  accents,
  bar,
  button,
  type Card,
  type CardFile,
  card,
  gallery,
  pictureFiles,
  row,
  select,
  stateOf,
  text,
} from './parts.ts';

/** Characters of a prompt or title that a card quotes. */
const PROMPT_SHOWN = 300;
const TITLE_SHOWN = 100;
/** A message holds 40 components, and each row of buttons is up to six; more pictures are picked from a list. */
const BUTTON_ROWS_MAX = 5;
const SELECT_MAX = 25;
/** px; of the small contact sheet beside a summary */
const THUMBNAIL_SIDE = 640;
/** A face test with more columns than this has its ideas in rows. */
const FACE_COLUMNS_MAX = 24;

/** `/imagine`: what was asked, how it goes, and in the end the pictures with their buttons. */
export async function imagineCard(batch: Batch): Promise<Card> {
  const pictures = await picturesOf(batch.id);
  const shown = pictures.filter((picture) => stateOf(picture) === 'done');
  const files = pictureFiles(shown.slice(0, PICTURES_PAGE));
  const one = pictures.length === 1;
  return card(
    accentOf(batch, pictures),
    [
      text(`> ${promptOf(pictures)}`, await progressLine(batch, pictures)),
      gallery(files),
      ...(shown.length <= BUTTON_ROWS_MAX
        ? shown.map((picture) => pictureRow(picture, batch, one))
        : [select('pictures.pick', batch.id, 'Pick a picture…', shown.slice(0, SELECT_MAX).map(choiceOf))]),
      batch.endedAt || batch.state === 'cancelled'
        ? null
        : row(button('batch.cancel', batch.id, 'Cancel', ButtonStyle.Danger)),
      text(factsLine(batch, pictures)),
    ],
    { files },
  );
}

/** A face test or sweep, in the channel where it was asked for: a summary, and the way to its thread. */
export async function summaryCard(batch: Batch): Promise<Card> {
  const pictures = await picturesOf(batch.id);
  const { rows, columns } = axesOf(batch, pictures);
  const axes = [...rows, ...columns].map(
    ({ name, labels }) => `${plain(name.replaceAll('_', ' '), 40)} (${labels.length})`,
  );
  const lines = [
    `### ${plain(batch.title, TITLE_SHOWN)}`,
    `${batch.kind === 'sweep' ? 'Sweep' : 'Face test'}, ${counted(pictures.length, 'picture')}${axes.length ? `: ${axes.join(' × ')}` : ''}`,
    await countsLine(batch, pictures),
    batch.threadId && `All of it in <#${batch.threadId}>.`,
  ];
  const ended = batch.endedAt !== null && pictures.some((picture) => stateOf(picture) === 'done');
  const sheet = ended ? await sheetFile(batch, pictures, THUMBNAIL_SIDE) : null;
  return card(
    accentOf(batch, pictures),
    [
      sheet ? beside(lines, sheet) : text(...lines),
      endingRow(batch),
      text(`-# Asked by <@${batch.ownerId}> · tier ${batch.tier}${batch.production ? ' · production' : ''}`),
    ],
    { files: sheet ? [sheet] : [] },
  );
}

/** In the thread: how far it is, and the contact sheet as far as it is. */
export async function statusCard(batch: Batch): Promise<Card> {
  const pictures = await picturesOf(batch.id);
  const sheet = await sheetFile(batch, pictures);
  const { _sum } = await db.tokenEntry.aggregate({
    where: { batchId: batch.id, reason: 'refund' },
    _sum: { amount: true },
  });
  const refunded = _sum.amount ?? 0;
  const ended = pictures.filter(({ state }) => state !== 'queued' && state !== 'running').length;
  return card(
    accentOf(batch, pictures),
    [
      text(
        `### ${plain(batch.title, TITLE_SHOWN)}`,
        batch.endedAt === null &&
          `${bar(ended / Math.max(1, pictures.length))} ${ended} of ${pictures.length}`,
        await countsLine(batch, pictures),
        ...failureLines(pictures),
      ),
      gallery([sheet]),
      endingRow(batch),
      text(
        `-# ${counted(batch.charged, 'token')} charged${refunded ? `, ${refunded.toLocaleString('en')} given back` : ''} · tier ${batch.tier}${batch.production ? ' · production' : ''}`,
      ),
    ],
    { files: [sheet] },
  );
}

/** In the thread: the pictures, ten a page. @param wantedPage from 0 */
export async function picturesCard(batch: Batch, wantedPage: number): Promise<Card> {
  const total = await countPictures(batch.id);
  const pages = Math.max(1, Math.ceil(total / PICTURES_PAGE));
  const page = Math.min(Math.max(0, wantedPage), pages - 1);
  const pictures = await picturesOf(batch.id, { skip: page * PICTURES_PAGE, take: PICTURES_PAGE });
  const files = pictureFiles(pictures);
  const hidden = pictures
    .filter((picture) => stateOf(picture) !== 'done')
    .map((picture) => `-# ${picture.index + 1}: ${hiddenWords(picture)}`);
  // A select holds 25: those around this page.
  const firstPage = Math.max(0, Math.min(page - 12, pages - SELECT_MAX));
  const listed = Array.from({ length: Math.min(pages, SELECT_MAX) }, (_, i) => firstPage + i);
  return card(
    accentOf(batch, pictures),
    [
      text(
        `**Pictures ${page * PICTURES_PAGE + 1}–${page * PICTURES_PAGE + pictures.length}** of ${total}`,
        ...hidden,
      ),
      gallery(files),
      select('pictures.pick', batch.id, 'Pick a picture…', pictures.map(choiceOf)),
      pages > 1
        ? select(
            'pictures.page',
            batch.id,
            `Page ${page + 1} of ${pages}`,
            listed.map((n) => ({
              label: `Page ${n + 1}: pictures ${n * PICTURES_PAGE + 1}–${Math.min(total, (n + 1) * PICTURES_PAGE)}`,
              value: String(n),
              default: n === page,
            })),
          )
        : null,
    ],
    { files },
  );
}

/** In the thread, at the end: what it was and what came of it, as files. */
export async function manifestCard(batch: Batch): Promise<Card> {
  const pictures = await picturesOf(batch.id);
  const { csv, json, summary } = buildManifest(batch, pictures);
  const file = (extension: string, bytes: Buffer): CardFile => ({
    name: `manifest-${hashOf(bytes.toString('base64')).slice(0, 8)}.${extension}`,
    bytes: async () => bytes,
  });
  const files = [file('csv', csv), file('json', json)];
  const stages = Object.entries(summary.stageMs).map(
    ([stage, ms]) => `${plain(stage, 40)} ${ms.toLocaleString('en')} ms`,
  );
  return card(
    accentOf(batch, pictures),
    [
      text(
        `**Manifest of ${plain(batch.title, TITLE_SHOWN)}**`,
        [
          `${summary.done} of ${counted(summary.pictures, 'picture')} done`,
          ...some(summary.reused, 'reused'),
          ...some(summary.notShown, 'not shown'),
          ...some(summary.failed, 'failed'),
          ...some(summary.cancelled, 'cancelled'),
        ].join(' · '),
        summary.likeness !== null &&
          `Mean likeness ${summary.likeness.toFixed(3)}, by the recogniser that also guides the drawing`,
        stages.length > 0 && `Mean times: ${stages.join(', ')}`,
      ),
      ...files.map(
        ({ name }): APIComponentInContainer => ({
          type: ComponentType.File,
          file: { url: `attachment://${name}` },
        }),
      ),
    ],
    { files },
  );
}

// Lines of text

/** What is being drawn, waits, or became of a batch without axes. */
async function progressLine(batch: Batch, pictures: readonly Picture[]): Promise<string> {
  const of = (state: SheetCellState) => pictures.filter((picture) => stateOf(picture) === state);
  const [only] = pictures.length === 1 ? pictures : [];
  const many = (list: readonly Picture[]) => (only ? '' : `${counted(list.length, 'picture')}: `);
  const lines: string[] = [];
  const [running, waiting, held, failed, cancelled, gone] = (
    ['running', 'waiting', 'held', 'failed', 'cancelled', 'gone'] as const
  ).map(of) as [Picture[], Picture[], Picture[], Picture[], Picture[], Picture[]];

  const place = running.length || waiting.length ? await placeOf(batch.id) : { ahead: 0, readyMs: 0 };
  if (running.length) {
    const share = running.reduce((sum, { progress }) => sum + progress, 0) / running.length;
    lines.push(`${many(running)}Drawing ${bar(share)} ${Math.floor(share * 100)} %`);
  }
  if (waiting.length && batch.state === 'open') {
    const { ahead } = place;
    lines.push(`${many(waiting)}Waiting${running.length ? '' : `, #${ahead + 1} in line`}`);
  }
  if (place.readyMs > 0) lines.push(`Ready about ${relative(new Date(Date.now() + place.readyMs))}`);
  if (held.length)
    lines.push(`${many(held)}Held for review by the moderators. You will be told what they decide.`);
  if (failed.length) {
    const sentences = [...new Set(failed.map(({ failure }) => failureSentence(failure)))];
    lines.push(`${many(failed)}${sentences.join(' ')} Its tokens are back.`);
  }
  const faceless = of('done').filter((picture) => faceFound(picture) === false);
  if (faceless.length)
    lines.push(`${many(faceless)}${only ? 'No' : 'no'} face was found, so the face folder is not in it.`);
  if (cancelled.length) lines.push(`${many(cancelled)}Cancelled. Its tokens are back.`);
  if (gone.length) lines.push(`${many(gone)}${only ? capital(hiddenWords(only)) : 'Deleted'}.`);
  return lines.join('\n');
}

/** All states of a batch with many pictures, on one line. */
async function countsLine(batch: Batch, pictures: readonly Picture[]): Promise<string> {
  const count = (state: SheetCellState) => pictures.filter((picture) => stateOf(picture) === state).length;
  const going = count('waiting') + count('running');
  const parts = [
    ...(batch.state === 'finished' ? [] : [stateWords[batch.state]]),
    `${count('done')} done`,
    ...some(count('running'), 'drawing'),
    ...some(count('waiting'), 'waiting'),
    ...some(count('held'), 'held for review'),
    ...some(
      pictures.filter((picture) => stateOf(picture) === 'done' && faceFound(picture) === false).length,
      'with no face found',
    ),
    ...some(count('failed'), 'failed'),
    ...some(count('cancelled'), 'not drawn'),
    ...some(count('gone'), 'deleted'),
    ...some(pictures.filter(({ reused }) => reused).length, 'reused, free'),
  ];
  if (going && batch.state !== 'cancelled') {
    const { readyMs } = await placeOf(batch.id);
    parts.push(`ready about ${relative(new Date(Date.now() + readyMs))}`);
  }
  return parts.filter(Boolean).join(' · ');
}

const stateWords: Readonly<Record<Batch['state'], string>> = {
  planned: 'Planned',
  open: '',
  stopped: 'Stopped',
  cancelled: 'Cancelled',
  finished: '',
  discarded: 'Discarded',
};

function factsLine(batch: Batch, pictures: readonly Picture[]): string {
  const [first] = pictures;
  const seeds = pictures.map(({ seed }) => String(seed));
  const facts = [
    `Asked by <@${batch.ownerId}>`,
    `tier ${batch.tier}`,
    ...(first ? [`${first.width}×${first.height}`] : []),
    `${seeds.length === 1 ? 'seed' : 'seeds'} ${seeds.slice(0, 6).join(', ')}${seeds.length > 6 ? ' …' : ''}`,
    ...(batch.production ? ['production'] : []),
    ...(pictures.some(({ image }) => image?.visibility === 'published') ? ['in the gallery'] : []),
    ...(pictures.some(({ reused }) => reused) ? ['drawn before, free'] : []),
  ];
  return `-# ${facts.join(' · ')}`;
}

/** Which failures there were, the most frequent first. */
function failureLines(pictures: readonly Picture[]): string[] {
  const counts = new Map<string, number>();
  for (const { state, failure } of pictures) {
    if (state !== 'failed') continue;
    const sentence = failureSentence(failure);
    counts.set(sentence, (counts.get(sentence) ?? 0) + 1);
  }
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .slice(0, 3)
    .map(([sentence, count]) => `-# ${count} failed: ${sentence}`);
}

function hiddenWords(picture: Picture): string {
  if (picture.image?.review?.state === 'rejected') return 'kept back by the moderators';
  const words: Record<SheetCellState, string> = {
    waiting: 'waiting',
    running: 'being drawn',
    done: 'done',
    held: 'held for review',
    failed: failureSentence(picture.failure),
    cancelled: 'not drawn',
    gone: 'deleted',
  };
  return words[stateOf(picture)];
}

function promptOf(pictures: readonly Picture[]): string {
  const prompts = [...new Set(pictures.map(({ prompt }) => prompt))];
  const others = prompts.length > 1 ? ` and ${prompts.length - 1} more` : '';
  return `${plain(prompts[0] ?? '', PROMPT_SHOWN)}${others}`;
}

function accentOf(batch: Batch, pictures: readonly Picture[]): number {
  const has = (state: SheetCellState) => pictures.some((picture) => stateOf(picture) === state);
  if (has('running')) return accents.running;
  if (batch.endedAt === null && has('waiting')) return accents.waiting;
  if (has('done')) return accents.done;
  if (has('held')) return accents.held;
  return has('failed') ? accents.failed : accents.ended;
}

// Buttons and lists

function pictureRow(picture: Picture, batch: Batch, one: boolean): APIComponentInContainer | null {
  const label = (word: string) => (one ? word : `${picture.index + 1} · ${word}`);
  const { visibility } = picture.image ?? {};
  return row(
    button('picture.again', picture.id, label('Again')),
    button('picture.vary', picture.id, label('Vary')),
    button('picture.details', picture.id, label('Details')),
    ...(batch.production && visibility === 'private'
      ? [button('picture.publish', picture.id, label('Publish'), ButtonStyle.Primary)]
      : []),
    ...(visibility === 'published' ? [button('picture.unpublish', picture.id, label('Take down'))] : []),
    button('picture.delete', picture.id, label('Delete'), ButtonStyle.Danger),
  );
}

function endingRow({ id, state, endedAt }: Batch): APIComponentInContainer | null {
  if (endedAt || (state !== 'open' && state !== 'stopped')) return null;
  return row(
    ...(state === 'open' ? [button('batch.stop', id, 'Stop')] : []),
    button('batch.cancel', id, 'Cancel', ButtonStyle.Danger),
  );
}

function choiceOf(picture: Picture) {
  const axes = Object.entries(coordinatesOf(picture)).map(([axis, label]) => `${axis} ${label}`);
  return {
    label: `${picture.index + 1}: ${axes.join(', ') || picture.prompt}`.replace(/\s+/g, ' '),
    description: `seed ${picture.seed} · ${stateOf(picture)}`,
    value: picture.id,
  };
}

/** Text with a small picture to its right. */
function beside(lines: readonly (string | null | false)[], { name, description }: CardFile) {
  const media = { url: `attachment://${name}` };
  return {
    type: ComponentType.Section as const,
    components: [{ type: ComponentType.TextDisplay as const, content: lines.filter(Boolean).join('\n') }],
    accessory: { type: ComponentType.Thumbnail as const, media, ...(description && { description }) },
  };
}

// The contact sheet

/**
 * Drawn at every tenth of the way, and when a picture fails or goes out of sight: a name stands for what is on it, and the
 * courier sends only names that the message does not have.
 *
 * @param side px; the full size when left out
 */
async function sheetFile(batch: Batch, pictures: readonly Picture[], side?: number): Promise<CardFile> {
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

function cellOf(picture: Picture): SheetCell {
  const { id, image, width, height, failure, reused } = picture;
  const state = stateOf(picture);
  return {
    id: image?.sha256 ?? id,
    ...{ coordinates: coordinatesOf(picture), state, width, height, reused },
    ...(state === 'done' && { load: () => pictureBytes(picture) }),
    ...(state === 'failed' && { code: failure ?? 'internal' }),
    ...(image?.likeness != null && { note: image.likeness.toFixed(2) }),
    ...(faceFound(picture) === false && { note: 'no face' }),
  };
}

/** A face test has its faces in rows and its ideas in columns, each with its generations side by side. */
function axesOf({ kind }: Batch, pictures: readonly Picture[]): { rows: Axis[]; columns: Axis[] } {
  const { rows, columns } = sheetAxes(pictures.map(coordinatesOf));
  const [face, ...others] = [...rows, ...columns];
  const across = others.reduce((product, { labels }) => product * labels.length, 1);
  if (kind === 'face_test' && face?.name === 'face' && others.length && across <= FACE_COLUMNS_MAX)
    return { rows: [face], columns: others };
  return { rows, columns };
}

function coordinatesOf({ coordinates }: Picture): Record<string, string> {
  return coordinates as Record<string, string>; // written by us, as text by axis
}

function some(count: number, word: string): string[] {
  return count ? [`${count} ${word}`] : [];
}

function capital(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
