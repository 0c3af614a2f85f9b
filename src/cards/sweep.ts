/** A face test or sweep: its summary in the channel where it was asked for, and in its thread how far it is. */
import { type APIComponentInContainer, ButtonStyle, ComponentType } from 'discord-api-types/v10';
import { placeOf } from '#src/backlog/place.ts';
import { type Batch, db } from '#src/doors/db.ts';
import { failureSentence } from '#src/errors.ts';
import { faceFound, type Picture, picturesOf } from '#src/generations/pictures.ts';
import { sayIn } from '#src/say.ts';
import { counted, plain, relative } from '#src/text.ts';
import type { SheetCellState } from './contact-sheet/contact-sheet.ts';
import { accentOf, listed, some, span, TITLE_SHOWN } from './lines.ts';
import {
  bar,
  button,
  type Card,
  type CardFile,
  card,
  gallery,
  numberOf,
  pages,
  row,
  stateOf,
  text,
} from './parts.ts';
import { axesOf, sheetsOf } from './sheet.ts';

/** side of the small contact sheet beside a summary, px */
const THUMBNAIL_SIDE = 640;

/** In the channel: a summary, and the way to its thread. */
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
  const [first] = ended ? await sheetsOf(batch, pictures) : [];
  const sheet = first?.file(THUMBNAIL_SIDE);
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

/** In the thread: how far it is, and the contact sheet as far as it is, one of several at a time. @param wantedPage from 0 */
export async function statusCard(batch: Batch, wantedPage: number): Promise<Card> {
  const pictures = await picturesOf(batch.id);
  const sheets = await sheetsOf(batch, pictures);
  const page = Math.min(Math.max(0, wantedPage), sheets.length - 1);
  const files = sheets.slice(page, page + 1).map((sheet) => sheet.file());
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
      gallery(files),
      pages(
        'sheet.page',
        batch.id,
        'Sheet',
        page,
        sheets.map(({ numbers }) => span(numbers)),
      ),
      batch.kind === 'sweep' && pictures.some((picture) => stateOf(picture) === 'done')
        ? row(button('sheet.use', batch.id, 'Use these settings…'))
        : null,
      endingRow(batch),
      text(
        `-# ${counted(batch.charged, 'token')} charged${refunded ? `, ${refunded.toLocaleString('en')} given back` : ''} · tier ${batch.tier}${batch.production ? ' · production' : ''}`,
      ),
    ],
    { files },
  );
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

/** Which failures there were, the most frequent first, and of which pictures. */
function failureLines(pictures: readonly Picture[]): string[] {
  const failed = pictures.filter(({ state }) => state === 'failed');
  return [...Map.groupBy(failed, ({ failure }) => failureSentence(sayIn('en'), failure))]
    .sort(([, a], [, b]) => b.length - a.length)
    .slice(0, 3)
    .map(([sentence, those]) => `-# ${those.length} failed (${listed(those.map(numberOf))}): ${sentence}`);
}

function endingRow({ id, state, endedAt }: Batch): APIComponentInContainer | null {
  if (endedAt || (state !== 'open' && state !== 'stopped')) return null;
  return row(
    ...(state === 'open' ? [button('batch.stop', id, 'Stop')] : []),
    button('batch.cancel', id, 'Cancel', ButtonStyle.Danger),
  );
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
