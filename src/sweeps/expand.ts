/** A sweep's cells. They are counted before they are made: a few lines of YAML can ask for 10¹². */
import { limits } from '#config/tiers.ts';
import { UserError } from '#src/errors.ts';
import type { CheckedPrompt } from '#src/moderation/words.ts';
import { mulberry32 } from '#src/mulberry32.ts';
import type { ResolvedParameters } from '#src/parameters/definitions.ts';
import { showValue } from '#src/parameters/definitions.ts';
import type { SweepDefinition } from './check.ts';
import { label } from './labels.ts';

export interface SweepCell {
  /** axis → label */
  readonly coordinates: Record<string, string>;
  /** what differs from the person's own values */
  readonly parameters: ResolvedParameters;
  readonly prompt: CheckedPrompt;
  readonly seed: number;
  readonly faceName: string | null;
}

/** How many pictures are asked for, without `limit`. Counts them and makes none. */
export function countCells(definition: SweepDefinition): bigint {
  const { method, axes, prompts, seeds, faces, cells, samples } = definition;
  const around = BigInt(prompts.length) * BigInt(seeds.length) * BigInt(Math.max(1, faces.length));
  if (method === 'list') return BigInt(cells.length) * around;
  const combinations = axes.reduce((product, { values }) => product * BigInt(values.length), 1n);
  const drawn = method === 'random' && BigInt(samples) < combinations ? BigInt(samples) : combinations;
  return drawn * around;
}

/**
 * The cells, first axis slowest; then faces, prompts, and seeds fastest. A `limit` of the person's own cuts them off; the
 * limit for everybody refuses them, so that nobody is surprised by half a sweep.
 *
 * @throws {UserError} `batch_limit` when there are more than anyone may ask for, before any is made
 */
export function expandSweep(definition: SweepDefinition): SweepCell[] {
  const { limit } = definition;
  const count = countCells(definition);
  if (count > limits.batch && (limit === null || limit > limits.batch))
    throw new UserError('batch_limit', { pictures: count, max: limits.batch });
  return cellsOf(definition)
    .take(limit ?? limits.batch)
    .toArray();
}

function* cellsOf(definition: SweepDefinition): Generator<SweepCell, undefined> {
  const { method, faces, prompts, promptLabels, seeds, set } = definition;
  let combinationIndex = 0;
  for (const combination of combinationsOf(definition)) {
    combinationIndex++;
    const labels = Object.entries(combination).map(
      ([name, value]) => [name, showValue(name, value)] as const,
    );
    // Samples and listed cells fill no grid: each is a place of its own.
    const place =
      method === 'grid'
        ? Object.fromEntries(labels)
        : {
            [method === 'random' ? 'sample' : 'cell']: label(
              combinationIndex,
              labels.map(([name, shown]) => `${name} ${shown}`).join(', '),
            ),
          };
    for (const faceName of faces.length ? faces : [null]) {
      for (const [promptIndex, prompt] of prompts.entries()) {
        for (const seed of seeds) {
          yield {
            coordinates: {
              ...place,
              ...(faces.length > 1 && faceName && { face: faceName }),
              ...(prompts.length > 1 && { prompt: promptLabels[promptIndex] ?? '' }),
              ...(seeds.length > 1 && { seed: String(seed) }),
            },
            parameters: { ...set, ...combination },
            prompt,
            seed,
            faceName,
          };
        }
      }
    }
  }
}

function* combinationsOf(definition: SweepDefinition): Generator<ResolvedParameters, undefined> {
  const { method, axes, cells, samples, randomSeed } = definition;
  if (method === 'list') {
    yield* cells;
    return;
  }
  const combinations = axes.reduce((product, { values }) => product * values.length, 1);
  if (method === 'random' && samples < combinations) {
    const random = mulberry32(randomSeed);
    const drawn = new Set<string>();
    while (drawn.size < samples) {
      // Each axis by itself: one random number has too few bits to point into 10¹² combinations.
      const places = axes.map(({ values }) => Math.floor(random() * values.length));
      if (drawn.has(String(places))) continue;
      drawn.add(String(places));
      yield Object.fromEntries(axes.map(({ name, values }, i) => [name, values[places[i]!]!]));
    }
    return;
  }
  yield* product(axes);
}

/** Every combination, the first axis slowest. */
function* product(axes: SweepDefinition['axes']): Generator<ResolvedParameters, undefined> {
  const [first, ...others] = axes;
  if (!first) {
    yield {};
    return;
  }
  for (const value of first.values) {
    for (const rest of product(others)) yield { [first.name]: value, ...rest };
  }
}
