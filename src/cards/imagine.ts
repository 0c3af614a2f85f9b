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
import { accentOf, choiceOf, heldSentence, hiddenWords, listed } from './lines.ts';
import {
  bar,
  button,
  type Card,
  card,
  gallery,
  numberOf,
  pictureFiles,
  row,
  select,
  stateOf,
  text,
} from './parts.ts';
import { offerLines } from './publishing.ts';

/** Characters of a prompt that the card quotes. */
const PROMPT_SHOWN = 300;
/** A row holds five buttons, and *Again* is one of them; of more pictures one is picked from a list. */
const NUMBERS_MAX = 4;

export async function imagineCard(batch: Batch): Promise<Card> {
  const pictures = await picturesOf(batch.id);
  const shown = pictures.filter((picture) => stateOf(picture) === 'done');
  const files = pictureFiles(shown.slice(0, PICTURES_PAGE));
  return card(
    accentOf(batch, pictures),
    [
      text(`> ${promptOf(pictures)}`, await progressLine(batch, pictures), orderLine(shown)),
      gallery(files),
      ...(pictures.length === 1 ? rowsOfOne(batch, shown) : rowsOfSeveral(batch, shown)),
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

/** The only picture has all that can be done with it. *Delete* is kept apart from what is pressed every day. */
function rowsOfOne(batch: Batch, [picture]: readonly Picture[]): (APIComponentInContainer | null)[] {
  if (!picture) return [];
  const { id, image } = picture;
  const published = image?.visibility === 'published';
  return [
    row(
      button('picture.again', id, 'Again'),
      button('picture.vary', id, 'Vary'),
      button('picture.details', id, 'Details'),
      ...(published ? [button('picture.unpublish', id, 'Take down')] : []),
      ...(batch.production && !published
        ? [button('picture.publish', id, 'Publish', ButtonStyle.Primary)]
        : []),
    ),
    row(button('picture.delete', id, 'Delete…')),
  ];
}

/** A number opens its picture, with all that can be done with it, for who presses. */
function rowsOfSeveral(batch: Batch, shown: readonly Picture[]): (APIComponentInContainer | null)[] {
  if (!shown.length) return [];
  const again = button('pictures.again', batch.id, 'Again');
  if (shown.length > NUMBERS_MAX)
    return [select('pictures.pick', batch.id, 'Pick a picture…', shown.map(choiceOf)), row(again)];
  return [
    row(...shown.map((picture) => button('picture.open', picture.id, String(numberOf(picture)))), again),
    row(...shown.map((picture) => button('picture.vary', picture.id, `V${numberOf(picture)}`))),
    text(
      `-# A number opens its picture, with ${batch.production ? 'publish, ' : ''}details and delete; V varies it.`,
    ),
  ];
}

/** Which pictures are to be seen, where their places do not tell their numbers. */
function orderLine(shown: readonly Picture[]): string | null {
  const numbers = shown.map(numberOf);
  const gap = numbers.some((number, place) => number !== place + 1);
  return gap ? `-# Shown: ${numbers.length > 1 ? 'pictures' : 'picture'} ${listed(numbers)}` : null;
}

function capital(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
