/** Everything that made a picture, for one person: what was asked for, what was set otherwise than usual, and what it took. */
import { mayBeShown } from '#src/generations/images.ts';
import { faceFound, type Picture } from '#src/generations/pictures.ts';
import { fitting, parameters, type ResolvedParameters, showValue } from '#src/parameters/definitions.ts';
import { block, code, counted, duration, plain, quote } from '#src/text.ts';
import { nameOf } from './lines.ts';
import { coordinatesOf, numberOf, stateOf } from './parts.ts';

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
export function detailsOf(viewerId: string, picture: Picture): string {
  const head = [
    `**Picture ${numberOf(picture)}** · ${stateOf(picture)} · ${priceOf(picture)}`,
    '**Asked for**',
  ].join('\n');
  const rest = [
    ...askedLines(viewerId, picture),
    '**Changed from the default**',
    changedLine(picture),
    '**Technical**',
    ...technicalLines(picture).map((line) => `-# ${line}`),
  ].join('\n');
  const room = Math.max(PROMPT_MIN, ANSWER_MAX - head.length - rest.length);
  const { prompt } = picture;
  return [head, block(prompt.length > room ? `${prompt.slice(0, room)}…` : prompt), rest].join('\n');
}

function priceOf({ reused, price }: Picture): string {
  return reused ? 'drawn before under the same settings, free' : counted(price, 'token');
}

function askedLines(viewerId: string, picture: Picture): string[] {
  const { seed, width, height, faceFolder, batch, tier } = picture;
  const { shape, gender, negative_prompt: negative } = picture.parameters as ResolvedParameters;
  const face =
    faceFolder && (faceFolder.ownerId === viewerId ? `Face \`${faceFolder.name}\`` : 'A face folder');
  const facts = [
    ...(face ? [`${face}${gender ? `, gender ${quote(String(gender))}` : ''}`] : []),
    `${shape ? `Shape ${quote(String(shape))}, ` : ''}${width}×${height}`,
    `Seed \`${seed}\``,
    `Tier \`${tier}\``,
    ...(batch.production ? ['Production mode'] : []),
  ];
  const place = Object.keys(coordinatesOf(picture)).length ? plain(nameOf(picture), PLACE_SHOWN) : null;
  return [
    facts.join(' · '),
    ...(place ? [`Its place: ${place}`] : []),
    ...(negative ? [`Negative prompt ${code(String(negative), NEGATIVE_SHOWN)}`] : []),
  ];
}

/** In the order of `/settings`' definitions, each with the default that it takes the place of. */
function changedLine(picture: Picture): string {
  const drawnWith = picture.parameters as ResolvedParameters;
  const shown = (name: string, value: ResolvedParameters[string]) =>
    code(showValue(name, value), VALUE_SHOWN);
  const changed = [...parameters].flatMap(([name, { title, default: byDefault }]) => {
    const value = fitting(name, drawnWith[name]);
    if (ASKED.has(name) || value === byDefault) return [];
    return `${title} ${shown(name, value)} (${shown(name, byDefault)})`;
  });
  return changed.join(' · ') || 'Nothing.';
}

function technicalLines(picture: Picture): string[] {
  const { id, image, timings, bundle, bundleHash } = picture;
  const stages = Object.entries(timings as Record<string, number>).filter(([, ms]) => Math.round(ms) > 0);
  const total = stages.reduce((sum, [, ms]) => sum + ms, 0);
  const shown = image && !image.deletedAt && mayBeShown(image, image.review);
  return [
    ...(stages.length
      ? [`Took ${duration(total)}: ${stages.map(([stage, ms]) => `${stage} ${duration(ms)}`).join(', ')}`]
      : []),
    ...(image?.likeness != null ? [`Likeness ${image.likeness.toFixed(3)}`] : []),
    ...(faceFound(picture) === false ? ['No face was found in it, so the face folder is not in it.'] : []),
    ...(image && !shown ? ['Not shown: it is deleted, or held for review.'] : []),
    [
      ...(bundleHash ? [`Bundle ${quote(bundle)} \`${bundleHash.slice(0, HASH_SHOWN)}\``] : []),
      ...(shown ? [`sha256 \`${image.sha256.slice(0, HASH_SHOWN)}\``] : []),
    ].join(' · '),
    `Id \`${id}\``,
  ].filter(Boolean);
}
