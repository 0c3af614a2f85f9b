/** Pictures that are being drawn: what is done to each, how far that is, and a small one of what it is on the way to. */
import type { APIComponentInContainer } from 'discord-api-types/v10';
import type { Picture } from '#src/generations/pictures.ts';
import { previewBytes } from '#src/generations/previews.ts';
import { message, type Say } from '#src/say.ts';
import { bar, beside, type CardFile, numberOf, text } from './parts.ts';

/** Of more, a message shows the first: as many as a worker draws together. */
const SHOWN_MAX = 4;
/** With the steps and a picture beside it, it has to fit on a phone. */
const BAR_LENGTH = 8;

/** What a part of a pipeline's work is to people. One that is not named here is drawing. */
const stages: Readonly<Record<string, string>> = {
  lora: message('Loading its LoRAs'),
  face: message('Looking at the face'),
  base: message('Sketching'),
  decode: message('Sketching'),
  detail: message('Detailing the face'),
  likeness: message('Checking'),
  safety: message('Checking'),
  storage: message('Drawn. The place where pictures are kept does not answer: it waits for that'),
};

export interface Going {
  /** of those that have no preview */
  readonly lines: readonly string[];
  /** of each of the others, with its preview beside it; and how many more there are */
  readonly rows: readonly (APIComponentInContainer | null)[];
  readonly files: readonly CardFile[];
}

/** @param running in the order of their batch. @param isOnly whether their batch has no other picture, so that it needs no number */
export function going(say: Say, running: readonly Picture[], isOnly: boolean): Going {
  const lines: string[] = [];
  const rows: Going['rows'][number][] = [];
  const files: CardFile[] = [];
  for (const picture of running.slice(0, SHOWN_MAX)) {
    const what = stageOf(say, picture);
    const which = isOnly ? what : say('Picture {number}: {what}', { number: numberOf(picture), what });
    const preview = previewFile(say, picture);
    if (!preview) {
      lines.push(`${which} ${stepsOf(picture)}`);
      continue;
    }
    rows.push(beside([which, stepsOf(picture)], preview));
    files.push(preview);
  }
  const more = running.length - SHOWN_MAX;
  if (more > 0)
    rows.push(text(say('{more, plural, one {# more is} other {# more are}} being drawn', { more })));
  return { lines, rows, files };
}

/** What is being done to a picture. */
export function stageOf(say: Say, { stage }: Pick<Picture, 'stage'>): string {
  const words = stages[stage ?? ''] ?? message('Drawing');
  return say(words);
}

/** Not broken into lines, however narrow the window. */
function stepsOf({ progress, steps }: Picture): string {
  // Its last step is told as 0.99: checks come after it.
  const step = Math.min(steps, Math.round(progress * steps));
  // It is full when the last step is done, and not before.
  const full = Math.floor((BAR_LENGTH * step) / Math.max(1, steps));
  return `${bar(full / BAR_LENGTH, BAR_LENGTH)} ${step} / ${steps}`.replaceAll(' ', '\u00a0');
}

/** Its name stands for its bytes, as every file's does, so that an edit sends a preview only when it is a new one. */
function previewFile(say: Say, picture: Picture): CardFile | null {
  const { id, preview } = picture;
  if (!preview) return null;
  const number = numberOf(picture);
  return {
    name: `preview-${number}-${preview.at.getTime().toString(36)}.webp`,
    source: 'drawn',
    description: say('Picture {number} as it is so far, small', { number }),
    bytes: () => previewBytes(id),
  };
}
