/** What all cards of a batch say of its pictures: the card's colour, a few words, an entry of a list. */
import type { Batch } from '#src/doors/db.ts';
import { failureSentence } from '#src/errors.ts';
import type { Picture } from '#src/generations/pictures.ts';
import { reviewChannel } from '#src/guilds.ts';
import { sayIn } from '#src/say.ts';
import { oneLine } from '#src/text.ts';
import { readable, type SheetCellState } from './contact-sheet/request.ts';
import { accents, type Choice, coordinatesOf, numberOf, stateOf } from './parts.ts';

/** Characters of a batch's title that a card quotes. */
export const TITLE_SHOWN = 100;
/** Pictures that a sentence names by their numbers. */
const LISTED_MAX = 12;

export function accentOf(batch: Batch, pictures: readonly Picture[]): number {
  const has = (state: SheetCellState) => pictures.some((picture) => stateOf(picture) === state);
  if (has('running')) return accents.running;
  if (batch.endedAt === null && has('waiting')) return accents.waiting;
  if (has('done')) return accents.done;
  if (has('held')) return accents.held;
  return has('failed') ? accents.failed : accents.ended;
}

/** Why a picture is not to be seen. */
export function hiddenWords(picture: Picture): string {
  if (picture.image?.review?.state === 'rejected') return 'kept back by the moderators';
  const words: Record<SheetCellState, string> = {
    waiting: 'waiting',
    running: 'being drawn',
    done: 'done',
    held: 'held for review',
    failed: failureSentence(sayIn('en'), picture.failure),
    cancelled: 'not drawn',
    gone: 'deleted',
  };
  return words[stateOf(picture)];
}

/** Who looks at what was flagged; or that nobody can yet. */
export async function heldSentence({ guildId, botInside }: Batch): Promise<string> {
  const here = botInside ? guildId : null;
  if (await reviewChannel(here))
    return 'Held for review by the moderators. You will be told what they decide.';
  return here
    ? 'Flagged, so kept back. This server has no channel for reviews yet, so nobody has seen it: whoever may Manage Server can choose one with `/guild review_channel`. You will be told what is decided.'
    : `Flagged, so kept back. Nobody reviews pictures from ${guildId ? 'servers that I am no member of' : 'direct messages'} yet, so nobody sees it. Ask in other words, or in a server that I am a member of.`;
}

/** What sets it apart: its place in the batch's axes, or else its prompt. A person's words, to be escaped where they are shown. */
export function nameOf(picture: Picture): string {
  const axes = Object.entries(coordinatesOf(picture)).map(([axis, label]) => `${readable(axis)} ${label}`);
  return axes.join(', ') || picture.prompt;
}

/** Its seed, unless its name tells it: of a batch over seeds, the seed is an axis. */
export function seedOf(picture: Picture): string[] {
  return Object.hasOwn(coordinatesOf(picture), 'seed') ? [] : [`seed ${picture.seed}`];
}

/** Numbers of pictures in a sentence: the first few of many. */
export function listed(numbers: readonly number[]): string {
  return numbers.slice(0, LISTED_MAX).join(', ') + (numbers.length > LISTED_MAX ? ', …' : '');
}

/** Which pictures are together somewhere. @param numbers rising */
export function span(numbers: readonly number[]): string {
  const [first = 0, last = 0] = [numbers[0], numbers.at(-1)];
  if (numbers.length === 1) return `picture ${first}`;
  if (last - first === numbers.length - 1) return `pictures ${first}–${last}`;
  return `${numbers.length} pictures from ${first} to ${last}`;
}

/** A picture in a list to pick from. */
export function choiceOf(picture: Picture): Choice {
  return {
    label: oneLine(`${numberOf(picture)}: ${nameOf(picture)}`),
    description: [...seedOf(picture), stateOf(picture)].join(' · '),
    value: picture.id,
  };
}

/** A part of a line, left out when there is none. */
export function some(count: number, word: string): string[] {
  return count ? [`${count} ${word}`] : [];
}
