/** Everything that made a picture, and what it took, for one person. */
import { mayBeShown } from '#src/generations/images.ts';
import { faceFound, type Picture } from '#src/generations/pictures.ts';
import { type ResolvedParameters, showValue } from '#src/parameters/definitions.ts';
import { block, counted, quote } from '#src/text.ts';

const PROMPT_SHOWN = 700;

/** @param viewerId who reads it: the face folder's name is its owner's alone */
export function detailsOf(viewerId: string, picture: Picture): string {
  const { prompt, seed, width, height, image, batch, faceFolder, timings, reused, tier, price, state } =
    picture;
  const { gender } = picture.parameters as ResolvedParameters;
  const values = Object.entries(picture.parameters as ResolvedParameters)
    .filter(([name]) => name !== 'seed')
    .map(([name, value]) => `${name} ${quote(showValue(name, value))}`);
  const took = Object.entries(timings as Record<string, number>).map(
    ([stage, ms]) => `${stage} ${Math.round(ms).toLocaleString('en')} ms`,
  );
  const face = faceFolder && (faceFolder.ownerId === viewerId ? `\`${faceFolder.name}\`` : 'a face folder');
  const shown = image && !image.deletedAt && mayBeShown(image, image.review);
  return [
    block(prompt.length > PROMPT_SHOWN ? `${prompt.slice(0, PROMPT_SHOWN)}…` : prompt),
    `Seed ${seed} · ${width}×${height} · ${tier}${batch.production ? ' · production' : ''} · ${state}${face ? ` · face: ${face}${gender ? `, gender ${quote(String(gender))}` : ''}` : ''}`,
    values.join(' · '),
    reused ? 'Drawn before under the same settings: free.' : `${counted(price, 'token')}`,
    ...(took.length ? [`Took ${took.join(', ')}`] : []),
    ...(image?.likeness != null ? [`Likeness ${image.likeness.toFixed(3)}`] : []),
    ...(faceFound(picture) === false ? ['No face was found in it, so the face folder is not in it.'] : []),
    ...(image && !shown ? ['Not shown: it is deleted, or held for review.'] : []),
    ...(shown ? [`sha256 \`${image.sha256}\``] : []),
    ...(picture.bundleHash ? [`Bundle ${quote(picture.bundle)} \`${picture.bundleHash.slice(0, 16)}\``] : []),
    `Id \`${picture.id}\``,
  ].join('\n');
}
