/** `/imagine`: what was asked, how it goes, and in the end the pictures with their buttons. */
import { type APIComponentInContainer, ButtonStyle } from 'discord-api-types/v10';
import { placeOf } from '#src/backlog/place.ts';
import type { ToldState } from '#src/backlog/reasons.ts';
import { PICTURES_PAGE } from '#src/deliveries.ts';
import type { Batch } from '#src/doors/db.ts';
import { failureSentence } from '#src/errors.ts';
import { faceFound, type Picture, picturesOf } from '#src/generations/pictures.ts';
import { type Say, sayIn } from '#src/say.ts';
import { plain, relative } from '#src/text.ts';
import type { SheetCellState } from './contact-sheet/contact-sheet.ts';
import { type Going, going } from './drawing.ts';
import { accentOf, choiceOf, heldSentence, isRejected, listed, waitWords } from './lines.ts';
import {
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
  const say = sayIn(batch.locale);
  const pictures = await picturesOf(batch.id);
  const shown = pictures.filter((picture) => stateOf(picture) === 'done');
  const files = pictureFiles(say, shown.slice(0, PICTURES_PAGE));
  const { lines, rows, files: previews, readyAt, told } = await progressOf(say, batch, pictures);
  return card(
    say,
    accentOf(batch, pictures),
    [
      text(`> ${promptOf(say, pictures)}`, ...lines, orderLine(say, shown)),
      ...rows,
      gallery(files),
      ...(pictures.length === 1 ? rowsOfOne(say, batch, shown) : rowsOfSeveral(say, batch, shown)),
      batch.endedAt || batch.state === 'cancelled'
        ? null
        : row(button('batch.cancel', batch.id, say('Cancel'), ButtonStyle.Danger)),
      text(...offerLines(batch, pictures), factsLine(say, batch, pictures)),
    ],
    { files: [...previews, ...files], readyAt, told },
  );
}

function promptOf(say: Say, pictures: readonly Picture[]): string {
  const prompts = [...new Set(pictures.map(({ prompt }) => prompt))];
  const first = plain(prompts[0] ?? '', PROMPT_SHOWN);
  const more = prompts.length - 1;
  return more > 0 ? say('{first} and {more, number} more', { first, more }) : first;
}

/** How far a batch without axes is: what is being drawn or waits, or what became of it. */
async function progressOf(
  say: Say,
  batch: Batch,
  pictures: readonly Picture[],
): Promise<Going & { readonly readyAt: Date | null; readonly told: ToldState | null }> {
  const of = (state: SheetCellState) => pictures.filter((picture) => stateOf(picture) === state);
  const [only] = pictures.length === 1 ? pictures : [];
  /** Says of several how many they are. */
  const said = (list: readonly Picture[], what: string) =>
    only
      ? what
      : say('{count, plural, one {# picture} other {# pictures}}: {what}', { count: list.length, what });
  const lines: string[] = [];
  const [running, waiting, held, failed, cancelled, gone] = (
    ['running', 'waiting', 'held', 'failed', 'cancelled', 'gone'] as const
  ).map(of) as [Picture[], Picture[], Picture[], Picture[], Picture[], Picture[]];

  const goesOn = (running.length || waiting.length) && batch.state !== 'cancelled';
  const place = goesOn ? await placeOf(batch.id) : null;
  const drawing = going(say, running, only !== undefined);
  lines.push(...drawing.lines);
  if (waiting.length && batch.state === 'open') {
    const where = place && !running.length ? waitWords(say, place) : [];
    lines.push(said(waiting, [say('Waiting'), ...where].join(' · ')));
  }
  const readyAt = place && place.readyMs > 0 ? new Date(Date.now() + place.readyMs) : null;
  if (readyAt && running.length) lines.push(say('Ready about {when}', { when: relative(readyAt) }));
  if (held.length) lines.push(said(held, await heldSentence(say, batch)));
  if (failed.length) {
    const sentences = new Set(failed.map(({ failure }) => failureSentence(say, failure)));
    lines.push(said(failed, [...sentences, say('Its tokens are back.')].join(' ')));
  }
  const faceless = of('done').filter((picture) => faceFound(picture) === false);
  if (faceless.length)
    lines.push(
      only
        ? say('No face was found, so the face folder is not in it.')
        : say(
            '{count, plural, one {# picture} other {# pictures}}: no face was found, so the face folder is not in it.',
            { count: faceless.length },
          ),
    );
  if (cancelled.length) lines.push(said(cancelled, say('Cancelled. Its tokens are back.')));
  if (gone.length) {
    const kept = only && isRejected(only);
    lines.push(said(gone, kept ? say('Kept back by the moderators.') : say('Deleted.')));
  }
  return { ...drawing, lines, readyAt, told: place?.told ?? null };
}

function factsLine(say: Say, batch: Batch, pictures: readonly Picture[]): string {
  const [first] = pictures;
  const numbers = pictures.map(({ seed }) => String(seed));
  const seeds = `${numbers.slice(0, 6).join(', ')}${numbers.length > 6 ? ' …' : ''}`;
  const facts = [
    say('Asked by {who}', { who: `<@${batch.ownerId}>` }),
    say('tier {tier}', { tier: batch.tier }),
    ...(first ? [`${first.width}×${first.height}`] : []),
    numbers.length === 1 ? say('seed {seed}', { seed: seeds }) : say('seeds {seeds}', { seeds }),
    ...(batch.production ? [say('production')] : []),
    ...(pictures.some(({ image }) => image?.visibility === 'published') ? [say('in the gallery')] : []),
    ...(pictures.some(({ reused }) => reused) ? [say('drawn before, free')] : []),
  ];
  return `-# ${facts.join(' · ')}`;
}

/** The only picture has all that can be done with it. *Delete* is kept apart from what is pressed every day. */
function rowsOfOne(
  say: Say,
  batch: Batch,
  [picture]: readonly Picture[],
): (APIComponentInContainer | null)[] {
  if (!picture) return [];
  const { id, image } = picture;
  const published = image?.visibility === 'published';
  return [
    row(
      button('picture.again', id, say('Again')),
      button('picture.vary', id, say('Vary')),
      button('picture.details', id, say('Details')),
      ...(published ? [button('picture.unpublish', id, say('Take down'))] : []),
      ...(batch.production && !published
        ? [button('picture.publish', id, say('Publish'), ButtonStyle.Primary)]
        : []),
    ),
    row(button('picture.delete', id, say('Delete…'))),
  ];
}

/** A number opens its picture, with all that can be done with it, for who presses. */
function rowsOfSeveral(
  say: Say,
  batch: Batch,
  shown: readonly Picture[],
): (APIComponentInContainer | null)[] {
  if (!shown.length) return [];
  const again = button('pictures.again', batch.id, say('Again'));
  if (shown.length > NUMBERS_MAX) {
    const choices = shown.map((picture) => choiceOf(say, picture));
    return [select('pictures.pick', batch.id, say('Pick a picture…'), choices), row(again)];
  }
  return [
    row(...shown.map((picture) => button('picture.open', picture.id, String(numberOf(picture)))), again),
    row(...shown.map((picture) => button('picture.vary', picture.id, `V${numberOf(picture)}`))),
    text(
      `-# ${
        batch.production
          ? say('A number opens its picture, with publish, details and delete; V varies it.')
          : say('A number opens its picture, with details and delete; V varies it.')
      }`,
    ),
  ];
}

/** Which pictures are to be seen, where their places do not tell their numbers. */
function orderLine(say: Say, shown: readonly Picture[]): string | null {
  const numbers = shown.map(numberOf);
  const gap = numbers.some((number, place) => number !== place + 1);
  if (!gap) return null;
  return numbers.length > 1
    ? `-# ${say('Shown: pictures {numbers}', { numbers: listed(numbers) })}`
    : `-# ${say('Shown: picture {number}', { number: listed(numbers) })}`;
}
