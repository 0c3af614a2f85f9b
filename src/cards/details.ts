/** Everything that made a picture, for one person: what was asked for, what was set otherwise than usual, and what it took. */
import { mayBeShown } from '#src/generations/images.ts';
import { faceFound, type Picture } from '#src/generations/pictures.ts';
import {
  fitting,
  parameters,
  type ResolvedParameters,
  showValue,
  titleOf,
} from '#src/parameters/definitions.ts';
import type { Say } from '#src/say.ts';
import { block, code, duration, plain, quote } from '#src/text.ts';
import { nameOf, stateWord } from './lines.ts';
import { coordinatesOf, numberOf } from './parts.ts';

/** Characters that one answer takes, with some to spare. */
const ANSWER_MAX = 1_950;
const PROMPT_MIN = 300;
const NEGATIVE_SHOWN = 300;
const VALUE_SHOWN = 80;
const PLACE_SHOWN = 200;
/** Digits that tell a picture or a bundle from all others that somebody has. */
const HASH_SHOWN = 12;
/** What is told as asked for, whatever its default. */
const ASKED: ReadonlySet<string> = new Set([
  'seed',
  'shape',
  'gender',
  'tier',
  'production_mode',
  'negative_prompt',
]);

/** @param viewerId who reads it: the face folder's name is its owner's alone */
export function detailsOf(say: Say, viewerId: string, picture: Picture): string {
  const head = [
    [
      say('**Picture {number}**', { number: numberOf(picture) }),
      stateWord(say, picture),
      priceOf(say, picture),
    ].join(' · '),
    say('**Asked for**'),
  ].join('\n');
  const rest = [
    ...askedLines(say, viewerId, picture),
    say('**Changed from the default**'),
    changedLine(say, picture),
    say('**Technical**'),
    ...technicalLines(say, picture).map((line) => `-# ${line}`),
  ].join('\n');
  const room = Math.max(PROMPT_MIN, ANSWER_MAX - head.length - rest.length);
  const { prompt } = picture;
  return [head, block(prompt.length > room ? `${prompt.slice(0, room)}…` : prompt), rest].join('\n');
}

function priceOf(say: Say, { reused, price }: Picture): string {
  return reused
    ? say('drawn before under the same settings, free')
    : say('{price, plural, one {# token} other {# tokens}}', { price });
}

function faceOf(say: Say, viewerId: string, { faceId, faceFolder }: Picture): string | null {
  if (!faceId) return null;
  if (!faceFolder) return say('A face folder that is gone');
  if (faceFolder.ownerId !== viewerId) return say('A face folder');
  return say('Face {name}', { name: `\`${faceFolder.name}\`` });
}

function askedLines(say: Say, viewerId: string, picture: Picture): string[] {
  const { seed, width, height, batch, tier } = picture;
  const { shape, gender, negative_prompt: negative } = picture.parameters as ResolvedParameters;
  const face = faceOf(say, viewerId, picture);
  const facts = [
    ...(face
      ? [[face, ...(gender ? [say('gender {gender}', { gender: quote(String(gender)) })] : [])].join(', ')]
      : []),
    [...(shape ? [say('Shape {shape}', { shape: quote(String(shape)) })] : []), `${width}×${height}`].join(
      ', ',
    ),
    say('Seed {seed}', { seed: `\`${seed}\`` }),
    say('Tier {tier}', { tier: `\`${tier}\`` }),
    ...(batch.production ? [say('Production mode')] : []),
  ];
  const place = Object.keys(coordinatesOf(picture)).length ? plain(nameOf(picture), PLACE_SHOWN) : null;
  return [
    facts.join(' · '),
    ...(place ? [say('Its place: {place}', { place })] : []),
    ...(negative ? [say('Negative prompt {text}', { text: code(String(negative), NEGATIVE_SHOWN) })] : []),
  ];
}

/** In the order of `/settings`' definitions, each with the default that it takes the place of. */
function changedLine(say: Say, picture: Picture): string {
  const drawnWith = picture.parameters as ResolvedParameters;
  const shown = (name: string, value: ResolvedParameters[string]) =>
    code(showValue(name, value), VALUE_SHOWN);
  const changed = [...parameters].flatMap(([name, parameter]) => {
    const { default: byDefault } = parameter;
    const value = fitting(name, drawnWith[name]);
    if (ASKED.has(name) || value === byDefault) return [];
    return `${titleOf(say, parameter)} ${shown(name, value)} (${shown(name, byDefault)})`;
  });
  return changed.join(' · ') || say('Nothing.');
}

function technicalLines(say: Say, picture: Picture): string[] {
  const { id, image, timings, bundle, bundleHash } = picture;
  const stages = Object.entries(timings as Record<string, number>).filter(([, ms]) => Math.round(ms) > 0);
  const total = stages.reduce((sum, [, ms]) => sum + ms, 0);
  const shown = image && !image.deletedAt && mayBeShown(image, image.review);
  return [
    ...(stages.length
      ? [
          say('Took {total}: {stages}', {
            total: duration(total),
            stages: stages.map(([stage, ms]) => `${stage} ${duration(ms)}`).join(', '),
          }),
        ]
      : []),
    ...(image?.likeness != null ? [say('Likeness {likeness}', { likeness: image.likeness.toFixed(3) })] : []),
    ...(faceFound(picture) === false
      ? [say('No face was found in it, so the face folder is not in it.')]
      : []),
    ...(image && !shown ? [say('Not shown: it is deleted, or held for review.')] : []),
    [
      ...(bundleHash
        ? [say('Bundle {bundle}', { bundle: `${quote(bundle)} \`${bundleHash.slice(0, HASH_SHOWN)}\`` })]
        : []),
      ...(shown ? [`sha256 \`${image.sha256.slice(0, HASH_SHOWN)}\``] : []),
    ].join(' · '),
    say('Id {id}', { id: `\`${id}\`` }),
  ].filter(Boolean);
}
