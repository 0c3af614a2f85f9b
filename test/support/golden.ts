/** Reads a folder of golden vectors: `cases.json` and `tensors.safetensors`. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { readSafetensors } from '#pipelines/safetensors.ts';

const Cases = z.object({
  set: z.string().optional(),
  cases: z.array(z.object({ name: z.string(), params: z.record(z.string(), z.unknown()) })),
});

export interface GoldenTensor {
  readonly shape: readonly number[];
  /** whatever the stored type was */
  readonly data: Float64Array;
}

export interface GoldenCase<P = Readonly<Record<string, unknown>>> {
  readonly name: string;
  readonly params: P;
  /** @throws {Error} when the case has no such tensor */
  get(tensor: string): GoldenTensor;
  has(tensor: string): boolean;
  /** names of all its tensors */
  readonly tensors: readonly string[];
}

export interface GoldenSet {
  readonly name: string;
  readonly dir: string;
  readonly cases: readonly GoldenCase[];
  /** A file of the set. */
  path(file: string): string;
  /** A case by its name, as others refer to it. @throws {Error} when there is none */
  named(name: string): GoldenCase;
}

export const goldenDir = (set: string) => join(import.meta.dirname, '../golden', set);

/** @throws {Error} when the folder has no `cases.json` or no `tensors.safetensors`, or they are no golden set */
export function openSet(dir: string): GoldenSet {
  const { set, cases } = Cases.parse(JSON.parse(readFileSync(join(dir, 'cases.json'), 'utf8')));
  const stored = readSafetensors(readFileSync(join(dir, 'tensors.safetensors')));
  const read = (name: string): GoldenTensor => {
    const tensor = stored.get(name);
    if (!tensor) throw new Error(`No golden tensor ${name}`);
    return { shape: tensor.shape, data: tensor.numbers() };
  };
  const all = cases.map(({ name, params }): GoldenCase => {
    const prefix = `${name}/`;
    return {
      name,
      params,
      get: (tensor) => read(prefix + tensor),
      has: (tensor) => stored.has(prefix + tensor),
      tensors: [...stored.keys()]
        .filter((key) => key.startsWith(prefix))
        .map((key) => key.slice(prefix.length)),
    };
  });
  return {
    name: set ?? basename(dir),
    dir,
    cases: all,
    path: (file) => join(dir, file),
    named(name) {
      const found = all.find((c) => c.name === name);
      if (!found) throw new Error(`The golden set ${set ?? dir} has no case ${name}`);
      return found;
    },
  };
}

/** Cases of one of our own sets whose params fit `schema`. */
export function golden<S extends z.ZodType>(set: string, schema: S): GoldenCase<z.output<S>>[] {
  return openSet(goldenDir(set)).cases.flatMap((c) => {
    const fits = schema.safeParse(c.params);
    return fits.success ? [{ ...c, params: fits.data }] : [];
  });
}

/** What a run of one case gave beside what the reference gives. */
export interface Comparison {
  /** the tensor, or what else was compared */
  readonly what: string;
  /** largest |got − wanted| */
  readonly absolute: number;
  /** the same over the largest |wanted|, or itself where all of those are 0 */
  readonly relative: number;
  /** what was allowed, in words */
  readonly limit: string;
  readonly passed: boolean;
}

/** Runs one case with our code. */
export type GoldenCheck = (c: GoldenCase) => Promise<Comparison[]> | Comparison[];
/** Prepares what the cases of a set share, networks for instance. */
export type GoldenRunner = (set: GoldenSet) => Promise<GoldenCheck> | GoldenCheck;

/**
 * @param limit largest |got − wanted| allowed, and more for large values: `relative` times the largest |wanted|. Another
 *              length, or a NaN, fails.
 */
export function compare(
  what: string,
  got: ArrayLike<number>,
  wanted: ArrayLike<number>,
  limit: { readonly absolute?: number; readonly relative?: number },
): Comparison {
  const { absolute = 0, relative = 0 } = limit;
  let largest = 0;
  for (let i = 0; i < wanted.length; i++) largest = Math.max(largest, Math.abs(wanted[i]!));
  const worst = distance(got, wanted);
  const words = [absolute && `${absolute}`, relative && `${relative} of the largest`].filter(Boolean);
  return {
    what,
    absolute: worst,
    relative: worst / (largest || 1),
    limit: words.join(' + ') || 'exact',
    passed: worst <= absolute + relative * largest,
  };
}

/** Two pictures, in levels of 255: the largest difference, and their mean. */
export function compareLevels(
  what: string,
  got: ArrayLike<number>,
  wanted: ArrayLike<number>,
  limit: { readonly most: number; readonly mean: number },
): Comparison {
  let sum = 0;
  for (let i = 0; i < wanted.length; i++) sum += Math.abs(got[i]! - wanted[i]!);
  const compared = compare(what, got, wanted, { absolute: limit.most });
  const mean = sum / Math.max(1, wanted.length);
  return {
    ...compared,
    limit: `${limit.most} levels, ${limit.mean} on average`,
    passed: compared.passed && mean <= limit.mean,
  };
}

/** What is not a number: true or false. */
export function holds(what: string, passed: boolean): Comparison {
  const error = passed ? 0 : Number.POSITIVE_INFINITY;
  return { what, absolute: error, relative: error, limit: 'holds', passed };
}

/** Largest |a − b|, over the largest |b| when `relative`. NaN counts as infinitely far. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>, relative = false): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < a.length; i++) {
    const d = a[i] === b[i] ? 0 : Math.abs(a[i]! - b[i]!);
    worst = Number.isNaN(d) ? Number.POSITIVE_INFINITY : Math.max(worst, d);
    largest = Math.max(largest, Math.abs(b[i]!));
  }
  return relative ? worst / Math.max(largest, 1e-12) : worst;
}
