/** Pictures of one prompt, as `/imagine`, the web and the API ask for them: what was asked, made into a batch's request. */
import { UserError } from '#src/errors.ts';
import { usableFolder } from '#src/faces.ts';
import { checkPrompt } from '#src/moderation/words.ts';
import { type ParameterJson, parseParameter, type ResolvedParameters } from '#src/parameters/definitions.ts';
import { resolveParameters } from '#src/parameters/values.ts';
import type { Origin } from '#src/people/people.ts';
import type { AskedAt } from '#src/production.ts';
import { sayIn } from '#src/say.ts';
import type { BatchRequest } from './batches.ts';
import { type Cell, randomSeed } from './cells.ts';

export const COUNT_MAX = 4;
export const SEEDS = 2 ** 32;

export interface Wish {
  readonly prompt: string;
  /** name of one of their face folders; null: none */
  readonly face: string | null;
  readonly count: number;
  /** parameters that they gave with it; the others are as they set them */
  readonly given: Readonly<Record<string, ParameterJson>>;
}

/**
 * Makes every check that needs no batch.
 *
 * @param at where production mode is asked for: in a thread, its channel
 * @throws {UserError} of prompts, of `usableFolder`, of `parseParameter`; `parameter_range` of the count
 */
export async function imagineRequest(origin: Origin, at: AskedAt, wish: Wish): Promise<BatchRequest> {
  const { face, count } = wish;
  const prompt = checkPrompt(wish.prompt.trim());
  const folder = face === null ? null : await usableFolder(origin.actor.id, face);
  if (!(count >= 1 && count <= COUNT_MAX))
    throw new UserError('parameter_range', { name: 'count', min: 1, max: COUNT_MAX, got: count });

  const given: ResolvedParameters = {};
  for (const [name, value] of Object.entries(wish.given)) given[name] = parseParameter(name, value);
  const parameters = await resolveParameters(at, given);
  const first = typeof parameters.seed === 'number' ? parameters.seed : randomSeed();
  const cells = Array.from({ length: count }, (_, i): Cell => {
    const seed = (first + i) % SEEDS;
    return { prompt, parameters, seed, faceFolderId: folder?.id ?? null, ideaId: null, coordinates: {} };
  });
  return {
    kind: 'imagine',
    title: picturesTitle(origin, count),
    asked: { prompt, face, ...given, count },
    cells,
    tier: String(parameters.tier),
    production: parameters.production_mode === true,
  };
}

/** A batch's title, which everybody in the channel reads. */
export function picturesTitle({ channelLocale }: Pick<Origin, 'channelLocale'>, count: number): string {
  const say = sayIn(channelLocale);
  return say('{count, plural, one {# picture} other {# pictures}}', { count });
}
