/** Pictures like others: again with another seed, or varied. */
import type { BaseInteraction } from 'discord.js';
import { openBatch } from '#src/batches/batches.ts';
import { type Cell, randomSeed } from '#src/batches/cells.ts';
import { picturesTitle } from '#src/batches/imagine.ts';
import { UserError } from '#src/errors.ts';
import { type Picture, visiblePicture } from '#src/generations/pictures.ts';
import { checkNegativePrompt, checkPrompt } from '#src/moderation/words.ts';
import { fitting, parameters, type ResolvedParameters } from '#src/parameters/definitions.ts';
import { resolveParameters } from '#src/parameters/values.ts';
import type { Origin } from '#src/people/people.ts';
import type { Answer } from './command.ts';
import { accepted } from './imagine.ts';
import { outsideThreads } from './origin.ts';
import { mustPost } from './permissions.ts';

/** What is changed in a picture; `index` counts the pictures from 0. */
type Change = (
  picture: Picture,
  index: number,
) => { readonly seed: number; readonly parameters?: ResolvedParameters };

/**
 * Draws pictures like these, changed, with the tokens, tier and production mode of the person who presses.
 *
 * @throws {UserError} `face_not_yours`, `gone`, `prompt_*`, `negative_blocked`, and as `openBatch`
 */
export async function drawAlike(
  interaction: BaseInteraction,
  origin: Origin,
  generationIds: readonly string[],
  change: Change,
): Promise<Answer> {
  mustPost(interaction, 'imagine', origin.botInside);
  const place = outsideThreads(interaction, origin);
  const cells = await Promise.all(
    generationIds.map(async (id, index): Promise<Cell> => {
      const picture = await visiblePicture(origin, id);
      const { faceFolder, faceId, ideaId } = picture;
      // Consent is for the folder's owner alone; and without the folder it would be somebody else's face.
      if (faceFolder && faceFolder.ownerId !== origin.actor.id) throw new UserError('face_not_yours', {});
      if (!faceFolder && faceId !== null) throw new UserError('gone', {});
      const { seed, parameters: changed = {} } = change(picture, index);
      // By the rules of today, as is the prompt below.
      checkNegativePrompt(String((picture.parameters as ResolvedParameters).negative_prompt ?? ''));
      const { tier: _, production_mode: __, ...stored } = picture.parameters as ResolvedParameters;
      const bundle = fitting('bundle', picture.bundle);
      const values = await resolveParameters(place, { ...stored, bundle, ...changed, seed });
      return {
        prompt: checkPrompt(picture.prompt),
        parameters: values,
        seed,
        faceFolderId: faceFolder?.id ?? null,
        ideaId,
        coordinates: {},
      };
    }),
  );
  const { tier, production_mode: production } = cells[0]?.parameters ?? {};
  const batch = await openBatch(origin, {
    kind: 'imagine',
    title: picturesTitle(origin, cells.length),
    asked: { again: [...generationIds] },
    cells,
    tier: String(tier),
    production: production === true,
  });
  return accepted(origin.say, batch, cells.length);
}

/** The same pictures with new seeds, one after another. @throws {UserError} as `drawAlike` */
export async function drawAnew(
  interaction: BaseInteraction,
  origin: Origin,
  pictures: readonly Picture[],
): Promise<Answer> {
  if (!pictures.length) throw new UserError('gone', {});
  const ids = pictures.map(({ id }) => id);
  const seed = randomSeed() % (2 ** 32 - ids.length);
  return drawAlike(interaction, origin, ids, (_, index) => ({ seed: seed + index }));
}

/** The least and the greatest factor by which `vary` multiplies or divides the guidance. */
const VARY_BY = { min: 1.1, max: 1.4 };

/**
 * The same seed, so the same noise and composition; another guidance scale, so other details. Nothing is hidden: the
 * new value stands among the new picture's details.
 */
export function vary(
  picture: Pick<Picture, 'seed' | 'parameters'>,
  random = Math.random,
): ReturnType<Change> {
  const bounds = parameters.get('guidance_scale');
  if (bounds?.type !== 'number') throw new Error('config/parameters.yaml has no number guidance_scale');
  const { min, max } = bounds;
  const now = Number((picture.parameters as ResolvedParameters).guidance_scale ?? bounds.default);
  const factor = VARY_BY.min + random() * (VARY_BY.max - VARY_BY.min);
  const ways = [now * factor, now / factor].filter((value) => value >= min && value <= max);
  const chosen = ways[Math.floor(random() * ways.length)] ?? now;
  return { seed: Number(picture.seed), parameters: { guidance_scale: Number(chosen.toFixed(2)) } };
}
