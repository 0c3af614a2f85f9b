/** A face test or sweep: its summary in the channel where it was asked for, and in its thread how far it is. */
import { type APIButtonComponent, type APIComponentInContainer, ButtonStyle } from 'discord-api-types/v10';
import { placeOf } from '#src/backlog/place.ts';
import type { ToldState } from '#src/backlog/reasons.ts';
import { type Batch, db } from '#src/doors/db.ts';
import { failureSentence } from '#src/errors.ts';
import { faceFound, type Picture, picturesOf } from '#src/generations/pictures.ts';
import { message, type Say, sayIn } from '#src/say.ts';
import { plain } from '#src/text.ts';
import { countOf, type SheetCellState } from './contact-sheet/request.ts';
import { going } from './drawing.ts';
import { accentOf, listed, readyWords, some, span, TITLE_SHOWN, waitWords } from './lines.ts';
import {
  bar,
  beside,
  button,
  type Card,
  card,
  gallery,
  numberOf,
  pages,
  row,
  stateOf,
  text,
  webLink,
} from './parts.ts';
import { axesOf, sheetsOf } from './sheet.ts';

/** side of the small contact sheet beside a summary, px */
const THUMBNAIL_SIDE = 640;

/** In the channel: a summary, and the way to its thread. */
export async function summaryCard(batch: Batch): Promise<Card> {
  const say = sayIn(batch.locale);
  const pictures = await picturesOf(batch.id);
  const { rows, columns } = axesOf(batch, pictures);
  const axes = [...rows, ...columns].map(
    ({ name, labels }) => `${plain(name.replaceAll('_', ' '), 40)} (${labels.length})`,
  );
  const { counts, readyAt, told } = await countsOf(say, batch, pictures);
  const best = pictures.find((picture) => picture.index === batch.best && stateOf(picture) === 'done');
  const lines = [
    `### ${plain(batch.title, TITLE_SHOWN)}`,
    [
      batch.kind === 'sweep'
        ? say('Sweep, {count, plural, one {# picture} other {# pictures}}', { count: pictures.length })
        : say('Face test, {count, plural, one {# picture} other {# pictures}}', { count: pictures.length }),
      ...(axes.length ? [axes.join(' × ')] : []),
    ].join(': '),
    counts,
    best !== undefined && say('Best: picture {number}', { number: numberOf(best) }),
    batch.threadId && say('All of it in {thread}.', { thread: `<#${batch.threadId}>` }),
  ];
  const ended = batch.endedAt !== null && pictures.some((picture) => stateOf(picture) === 'done');
  const [first] = ended ? await sheetsOf(batch, pictures) : [];
  const sheet = first?.file(THUMBNAIL_SIDE);
  return card(
    say,
    accentOf(batch, pictures),
    [
      sheet ? beside(lines, sheet) : text(...lines),
      row(...endingButtons(say, batch), ...webLink(say('Open on the web'), `/sweeps/${batch.id}`)),
      factsLine(say, batch, say('Asked by {who}', { who: `<@${batch.ownerId}>` })),
    ],
    { files: sheet ? [sheet] : [], readyAt, told },
  );
}

/** In the thread: how far it is, and the contact sheet as far as it is, one of several at a time. @param wantedPage from 0 */
export async function statusCard(batch: Batch, wantedPage: number): Promise<Card> {
  const say = sayIn(batch.locale);
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
  const running = pictures.filter((picture) => stateOf(picture) === 'running');
  const drawing = going(say, running, pictures.length === 1);
  return card(
    say,
    accentOf(batch, pictures),
    [
      text(
        `### ${plain(batch.title, TITLE_SHOWN)}`,
        batch.endedAt === null &&
          `${bar(ended / Math.max(1, pictures.length))} ${say('{ended, number} of {total, number}', { ended, total: pictures.length })}`,
        (await countsOf(say, batch, pictures)).counts,
        ...failureLines(say, pictures),
        ...drawing.lines,
      ),
      ...drawing.rows,
      gallery(files),
      pages(
        say,
        'sheet.page',
        batch.id,
        'sheet',
        page,
        sheets.map(({ numbers }) => span(say, numbers)),
      ),
      batch.kind === 'sweep' && pictures.some((picture) => stateOf(picture) === 'done')
        ? row(button('sheet.use', batch.id, say('Use these settings…')))
        : null,
      row(...endingButtons(say, batch)),
      factsLine(say, batch, chargedWords(say, batch, refunded)),
    ],
    { files: [...drawing.files, ...files] },
  );
}

function chargedWords(say: Say, { charged }: Batch, refunded: number): string {
  return refunded
    ? say('{charged, plural, one {# token} other {# tokens}} charged, {refunded, number} given back', {
        charged,
        refunded,
      })
    : say('{charged, plural, one {# token} other {# tokens}} charged', { charged });
}

function factsLine(say: Say, { tier, production }: Batch, first: string): APIComponentInContainer | null {
  const facts = [first, say('tier {tier}', { tier }), ...(production ? [say('production')] : [])];
  return text(`-# ${facts.join(' · ')}`);
}

/** All states of a batch with many pictures, on one line. */
async function countsOf(
  say: Say,
  batch: Batch,
  pictures: readonly Picture[],
): Promise<{ readonly counts: string; readonly readyAt: Date | null; readonly told: ToldState | null }> {
  const count = (state: SheetCellState) => pictures.filter((picture) => stateOf(picture) === state).length;
  const going = count('waiting') + count('running');
  const counted = (state: SheetCellState) => some(count(state), countOf(say, state, count(state)));
  const faceless = pictures.filter((picture) => stateOf(picture) === 'done' && faceFound(picture) === false);
  const reused = pictures.filter((picture) => picture.reused);
  const message = stateWords[batch.state];
  const parts = [
    message && say(message),
    countOf(say, 'done', count('done')),
    ...counted('running'),
    ...counted('waiting'),
    ...counted('held'),
    ...some(faceless.length, say('{count, number} with no face found', { count: faceless.length })),
    ...counted('failed'),
    ...counted('cancelled'),
    ...counted('gone'),
    ...some(reused.length, say('{count, number} reused, free', { count: reused.length })),
  ];
  const place = going && batch.state !== 'cancelled' ? await placeOf(batch.id) : null;
  const waits = place && going === pictures.length;
  if (place) parts.push(...(waits ? waitWords(say, place) : [readyWords(say, place.range)]));
  const readyAt = place && new Date(Date.now() + place.readyMs);
  return { counts: parts.filter(Boolean).join(' · '), readyAt, told: place?.told ?? null };
}

const stateWords: Readonly<Record<Batch['state'], string>> = {
  planned: message('Planned'),
  open: '',
  stopped: message('Stopped'),
  cancelled: message('Cancelled'),
  finished: '',
  discarded: message('Discarded'),
};

/** Which failures there were, the most frequent first, and of which pictures. */
function failureLines(say: Say, pictures: readonly Picture[]): string[] {
  const failed = pictures.filter(({ state }) => state === 'failed');
  return [...Map.groupBy(failed, ({ failure }) => failureSentence(say, failure))]
    .sort(([, a], [, b]) => b.length - a.length)
    .slice(0, 3)
    .map(([why, those]) => {
      const numbers = listed(those.map(numberOf));
      return `-# ${say('{count, number} failed ({numbers}): {why}', { count: those.length, numbers, why })}`;
    });
}

function endingButtons(say: Say, { id, state, endedAt }: Batch): APIButtonComponent[] {
  if (endedAt || (state !== 'open' && state !== 'stopped')) return [];
  return [
    ...(state === 'open' ? [button('batch.stop', id, say('Stop'))] : []),
    button('batch.cancel', id, say('Cancel'), ButtonStyle.Danger),
  ];
}
