/** `/imagine`: what was asked, how it goes, and in the end the pictures with their buttons. */
import { type APIComponentInContainer, ButtonStyle } from 'discord-api-types/v10';
import { placeOf } from '#src/backlog/place.ts';
import { PICTURES_PAGE } from '#src/deliveries.ts';
import type { Batch } from '#src/doors/db.ts';
import { failureSentence } from '#src/errors.ts';
import { faceFound, type Picture, picturesOf } from '#src/generations/pictures.ts';
import { sayIn } from '#src/say.ts';
import { counted, plain, relative } from '#src/text.ts';
import type { SheetCellState } from './contact-sheet/contact-sheet.ts';
import { accentOf, choiceOf, heldSentence, hiddenWords } from './lines.ts';
import { bar, button, type Card, card, gallery, pictureFiles, row, select, stateOf, text } from './parts.ts';
import { offerLines } from './publishing.ts';

/** Characters of a prompt that the card quotes. */
const PROMPT_SHOWN = 300;
/** A message holds 40 components, and each row of buttons is up to six; more pictures are picked from a list. */
const BUTTON_ROWS_MAX = 5;

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
        : [select('pictures.pick', batch.id, 'Pick a picture…', shown.map(choiceOf))]),
      batch.endedAt || batch.state === 'cancelled'
        ? null
        : row(button('batch.cancel', batch.id, 'Cancel', ButtonStyle.Danger)),
      text(...offerLines(batch, pictures), factsLine(batch, pictures)),
    ],
    { files },
  );
}

function promptOf(pictures: readonly Picture[]): string {
  const prompts = [...new Set(pictures.map(({ prompt }) => prompt))];
  const others = prompts.length > 1 ? ` and ${prompts.length - 1} more` : '';
  return `${plain(prompts[0] ?? '', PROMPT_SHOWN)}${others}`;
}

/** How far a batch without axes is: what is being drawn or waits, or what became of it. */
async function progressLine(batch: Batch, pictures: readonly Picture[]): Promise<string> {
  const of = (state: SheetCellState) => pictures.filter((picture) => stateOf(picture) === state);
  const [only] = pictures.length === 1 ? pictures : [];
  const many = (list: readonly Picture[]) => (only ? '' : `${counted(list.length, 'picture')}: `);
  const lines: string[] = [];
  const [running, waiting, held, failed, cancelled, gone] = (
    ['running', 'waiting', 'held', 'failed', 'cancelled', 'gone'] as const
  ).map(of) as [Picture[], Picture[], Picture[], Picture[], Picture[], Picture[]];

  const goesOn = (running.length || waiting.length) && batch.state !== 'cancelled';
  const place = goesOn ? await placeOf(batch.id) : { ahead: 0, readyMs: 0 };
  if (running.length) {
    const share = running.reduce((sum, { progress }) => sum + progress, 0) / running.length;
    lines.push(`${many(running)}Drawing ${bar(share)} ${Math.floor(share * 100)} %`);
  }
  if (waiting.length && batch.state === 'open') {
    const line = running.length ? '' : `, #${place.ahead + 1} in line`;
    lines.push(`${many(waiting)}Waiting${line}`);
  }
  if (place.readyMs > 0) lines.push(`Ready about ${relative(new Date(Date.now() + place.readyMs))}`);
  if (held.length) lines.push(`${many(held)}${await heldSentence(batch)}`);
  if (failed.length) {
    const sentences = [...new Set(failed.map(({ failure }) => failureSentence(sayIn('en'), failure)))];
    lines.push(`${many(failed)}${sentences.join(' ')} Its tokens are back.`);
  }
  const faceless = of('done').filter((picture) => faceFound(picture) === false);
  if (faceless.length)
    lines.push(`${many(faceless)}${only ? 'No' : 'no'} face was found, so the face folder is not in it.`);
  if (cancelled.length) lines.push(`${many(cancelled)}Cancelled. Its tokens are back.`);
  if (gone.length) lines.push(`${many(gone)}${only ? capital(hiddenWords(only)) : 'Deleted'}.`);
  return lines.join('\n');
}

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

function capital(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
