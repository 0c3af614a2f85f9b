/** What all cards of a batch say of its pictures: the card's colour, a few words, an entry of a list. */
import type { Batch } from '#src/doors/db.ts';
import { failureSentence } from '#src/errors.ts';
import type { Picture } from '#src/generations/pictures.ts';
import { reviewChannel } from '#src/guilds.ts';
import { sayIn } from '#src/say.ts';
import type { SheetCellState } from './contact-sheet/contact-sheet.ts';
import { accents, coordinatesOf, stateOf } from './parts.ts';

/** Characters of a batch's title that a card quotes. */
export const TITLE_SHOWN = 100;

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

/** Its place in the batch's axes, or else its prompt: a person's words, to be escaped where they are shown. */
export function nameOf(picture: Picture): string {
  const axes = Object.entries(coordinatesOf(picture)).map(([axis, label]) => `${axis} ${label}`);
  return axes.join(', ') || picture.prompt;
}

/** A picture in a list to pick from. */
export function choiceOf(picture: Picture) {
  return {
    label: `${picture.index + 1}: ${nameOf(picture)}`.replace(/\s+/g, ' '),
    description: `seed ${picture.seed} · ${stateOf(picture)}`,
    value: picture.id,
  };
}

/** A part of a line, left out when there is none. */
export function some(count: number, word: string): string[] {
  return count ? [`${count} ${word}`] : [];
}
