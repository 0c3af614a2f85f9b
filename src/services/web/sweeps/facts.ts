/** Everything that is told of one picture of a sweep, each fact with its name, so that two can be compared. */
import { readable } from '#src/cards/contact-sheet/request.ts';
import { coordinatesOf, stateOf } from '#src/cards/parts.ts';
import { failureSentence } from '#src/errors.ts';
import { faceFound, type Picture } from '#src/generations/pictures.ts';
import {
  fitting,
  parameters,
  type ResolvedParameters,
  showValue,
  titleOf,
} from '#src/parameters/definitions.ts';
import { sayIn } from '#src/say.ts';
import { duration } from '#src/text.ts';
import { count } from '../account/words.ts';
import type { Cell, Score } from './sweep.ts';

export interface Fact {
  readonly name: string;
  readonly value: string;
}

export interface Facts {
  /** its place in the axes, its scores, and what is told before anything else */
  readonly first: readonly Fact[];
  readonly prompt: string;
  /** null: none */
  readonly negative: string | null;
  /** parameters that are not as they are by default */
  readonly changed: readonly Fact[];
  /** the other parameters */
  readonly usual: readonly Fact[];
  readonly technical: readonly Fact[];
}

const say = sayIn('en');
/** Parameters that are told as what was asked for. */
const ASKED: ReadonlySet<string> = new Set(['seed', 'tier', 'production_mode', 'negative_prompt']);
/** Digits that tell a hash from all others that somebody has. */
const HASH_SHOWN = 12;

/** @param viewerId who reads it: a face folder's name is its owner's alone */
export function factsOf(picture: Picture, cell: Cell, scores: readonly Score[], viewerId: string): Facts {
  const { image, attempts, reused, price, prompt, bundle, bundleHash, width, height, seed } = picture;
  const isShown = stateOf(picture) === 'done';
  const place = coordinatesOf(picture);
  const drawnWith = picture.parameters as ResolvedParameters;
  const own = [...parameters].flatMap(([name, parameter]) => {
    if (ASKED.has(name) || Object.hasOwn(place, name) || !Object.hasOwn(drawnWith, name)) return [];
    const value = fitting(name, drawnWith[name]);
    const fact = { name: titleOf(say, parameter), value: showValue(name, value) };
    return { fact, isUsual: value === parameter.default };
  });
  const stages = Object.entries(picture.timings as Record<string, number>).filter(
    ([, ms]) => Math.round(ms) > 0,
  );
  const told = (name: string, value: string | null | false | undefined) => (value ? [{ name, value }] : []);
  return {
    first: [
      ...Object.entries(place).map(([axis, value]) => ({ name: titleOfAxis(axis), value })),
      ...scores.flatMap((score) => {
        const value = score.of(cell);
        return value === null ? [] : { name: score.title, value: score.show(value) };
      }),
      ...told('Face found', faceFound(picture) === false && 'no, so the face folder is not in it'),
      ...(Object.hasOwn(place, 'seed') ? [] : [{ name: 'Seed', value: String(seed) }]),
      { name: 'Size', value: `${width} × ${height} px` },
      ...told('Face', faceOf(picture, viewerId)),
      { name: 'Price', value: reused ? 'free: drawn before under the same settings' : count(price, 'token') },
    ],
    prompt,
    negative: typeof drawnWith.negative_prompt === 'string' ? drawnWith.negative_prompt : null,
    changed: own.filter(({ isUsual }) => !isUsual).map(({ fact }) => fact),
    usual: own.filter(({ isUsual }) => isUsual).map(({ fact }) => fact),
    technical: [
      ...stages.map(([stage, ms]) => ({ name: `Stage ${readable(stage)}`, value: duration(ms) })),
      ...told('Attempts', attempts > 1 && String(attempts)),
      { name: 'Bundle', value: bundleHash ? `${bundle} ${bundleHash.slice(0, HASH_SHOWN)}` : bundle },
      ...told('SHA-256', isShown && image?.sha256.slice(0, HASH_SHOWN)),
      { name: 'Id', value: picture.id },
    ],
  };
}

/** An axis as people read it: a parameter by its title, others by their own name. */
export function titleOfAxis(axis: string): string {
  const parameter = parameters.get(axis);
  if (parameter) return titleOf(say, parameter);
  const words = readable(axis);
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function faceOf({ faceId, faceFolder }: Picture, viewerId: string): string | null {
  if (!faceId) return null;
  if (!faceFolder) return 'a face folder that is gone';
  return faceFolder.ownerId === viewerId ? faceFolder.name : 'a face folder';
}

/** Why there is nothing to be seen of a picture, in a sentence; null: it can be seen. */
export function hiddenSentence(cell: Pick<Cell, 'state' | 'image' | 'failure'>): string | null {
  switch (stateOf(cell)) {
    case 'done':
      return null;
    case 'waiting':
      return 'It waits to be drawn.';
    case 'running':
      return 'It is being drawn.';
    case 'held':
      return 'Its safety check flagged it, so it is held until a moderator has decided.';
    case 'failed':
      return `${failureSentence(say, cell.failure)} Its tokens are back.`;
    case 'cancelled':
      return 'It was cancelled before it was drawn. Its tokens are back.';
    case 'gone':
      return cell.image?.review?.state === 'rejected' ? 'The moderators kept it back.' : 'It was deleted.';
  }
}
