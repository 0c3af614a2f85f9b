/** What all cards of a batch say of its pictures: the card's colour, a few words, an entry of a list. */
import type { Reason, Told } from '#src/backlog/place.ts';
import type { Range } from '#src/backlog/ranges.ts';
import type { Batch } from '#src/doors/db.ts';
import { failureSentence } from '#src/errors.ts';
import type { Picture } from '#src/generations/pictures.ts';
import { reviewChannel } from '#src/guilds.ts';
import { message, type Say } from '#src/say.ts';
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

/** What a picture is like, in lists and details. */
const states = {
  waiting: message('waiting'),
  running: message('running'),
  done: message('done'),
  held: message('held'),
  failed: message('failed'),
  cancelled: message('cancelled'),
  gone: message('gone'),
} as const satisfies Record<SheetCellState, string>;

export function stateWord(say: Say, picture: Picture): string {
  const message = states[stateOf(picture)];
  return say(message);
}

/** Of one that waits: where it stands, when it is ready in four of five cases, and why that is later than was told first. */
export function waitWords(say: Say, { ahead, aheadInTier, tier, range, reason }: Told): string[] {
  return [
    ahead ? say('place {place, number} in {tier}', { place: aheadInTier + 1, tier }) : say('next'),
    ...(range.toMs > 0 ? [readyWords(say, range)] : []),
    ...(reason ? [reasonWords(say, reason)] : []),
  ];
}

/** As far apart as the range is, to whole units: what is said is no narrower. */
export function readyWords(say: Say, { fromMs, toMs }: Range): string {
  const unit = units.find(({ most, ms }) => toMs <= most * ms) ?? units.at(-1)!;
  const [from, to] = [Math.floor(fromMs / unit.ms), Math.ceil(toMs / unit.ms)].map(
    (count) => count * unit.times,
  ) as [number, number];
  const [within, between] = [unit.within, unit.between];
  return from > 0 && from < to ? say(between, { from, to }) : say(within, { to });
}

const units = [
  {
    // From five seconds to five.
    ms: 5_000,
    times: 5,
    most: 18,
    within: message('ready within {to, number} s'),
    between: message('ready in {from, number}–{to, number} s'),
  },
  {
    ms: 60_000,
    times: 1,
    most: 90,
    within: message('ready within {to, number} min'),
    between: message('ready in {from, number}–{to, number} min'),
  },
  {
    ms: 3_600_000,
    times: 1,
    most: Number.POSITIVE_INFINITY,
    within: message('ready within {to, number} h'),
    between: message('ready in {from, number}–{to, number} h'),
  },
] as const;

function reasonWords(say: Say, reason: Reason): string {
  switch (reason.kind) {
    case 'passed':
      return say('{pictures, plural, one {# picture} other {# pictures}} in {tier} passed you', {
        pictures: reason.pictures,
        tier: reason.tier,
      });
    case 'workers':
      return reason.left
        ? say('{gone, plural, one {a worker} other {# workers}} left: {left, number} draw now', {
            gone: reason.gone,
            left: reason.left,
          })
        : say('no worker draws right now');
    case 'slow':
      return say('pictures take longer than usual');
  }
}

/** Why a picture is not to be seen. */
export function hiddenWords(say: Say, picture: Picture): string {
  if (isRejected(picture)) return say('kept back by the moderators');
  const state = stateOf(picture);
  if (state === 'failed') return failureSentence(say, picture.failure);
  const message = hidden[state];
  return say(message);
}

const hidden = {
  waiting: message('waiting'),
  running: message('being drawn'),
  done: message('done'),
  held: message('held for review'),
  cancelled: message('not drawn'),
  gone: message('deleted'),
} as const satisfies Record<Exclude<SheetCellState, 'failed'>, string>;

export function isRejected({ image }: Picture): boolean {
  return image?.review?.state === 'rejected';
}

/** Who looks at what was flagged; or that nobody can yet. */
export async function heldSentence(say: Say, { guildId, botInside }: Batch): Promise<string> {
  const here = botInside ? guildId : null;
  if (await reviewChannel(here))
    return say('Held for review by the moderators. You will be told what they decide.');
  if (here)
    return say(
      'Flagged, so kept back. This server has no channel for reviews yet, so nobody has seen it: whoever may Manage Server can choose one with `/guild review_channel`. You will be told what is decided.',
    );
  return guildId
    ? say(
        'Flagged, so kept back. Nobody reviews pictures from servers that I am no member of yet, so nobody sees it. Ask in other words, or in a server that I am a member of.',
      )
    : say(
        'Flagged, so kept back. Nobody reviews pictures from direct messages yet, so nobody sees it. Ask in other words, or in a server that I am a member of.',
      );
}

/** What sets it apart: its place in the batch's axes, or else its prompt. A person's words, to be escaped where they are shown. */
export function nameOf(picture: Picture): string {
  const axes = Object.entries(coordinatesOf(picture)).map(([axis, label]) => `${readable(axis)} ${label}`);
  return axes.join(', ') || picture.prompt;
}

/** Its seed, unless its name tells it: of a batch over seeds, the seed is an axis. */
export function seedOf(say: Say, picture: Picture): string[] {
  const isNamed = Object.hasOwn(coordinatesOf(picture), 'seed');
  return isNamed ? [] : [say('seed {seed}', { seed: String(picture.seed) })];
}

/** Numbers of pictures in a sentence: the first few of many. */
export function listed(numbers: readonly number[]): string {
  return numbers.slice(0, LISTED_MAX).join(', ') + (numbers.length > LISTED_MAX ? ', …' : '');
}

/** Which pictures are together somewhere. @param numbers rising */
export function span(say: Say, numbers: readonly number[]): string {
  const [first = 0, last = 0] = [numbers[0], numbers.at(-1)];
  if (numbers.length === 1) return say('picture {number}', { number: first });
  if (last - first === numbers.length - 1) return say('pictures {first}–{last}', { first, last });
  return say('{count} pictures from {first} to {last}', { count: numbers.length, first, last });
}

/** A picture in a list to pick from. */
export function choiceOf(say: Say, picture: Picture): Choice {
  return {
    label: oneLine(`${numberOf(picture)}: ${nameOf(picture)}`),
    description: [...seedOf(say, picture), stateWord(say, picture)].join(' · '),
    value: picture.id,
  };
}

/** A part of a line, left out when there is none. */
export function some(count: number, said: string): string[] {
  return count ? [said] : [];
}
