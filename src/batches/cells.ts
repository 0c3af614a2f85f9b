/** One picture of a batch, before it has a row: what it is known by, what it takes, and what it costs. */
import { randomInt } from 'node:crypto';
import { bundles } from '#config/bundles.ts';
import { limits, tiers } from '#config/tiers.ts';
import { costs, worths } from '#src/backlog/costs.ts';
import { bundleHashesNow } from '#src/backlog/fleet.ts';
import { parseLoras, sayLoras } from '#src/bundles/lora-choice.ts';
import { requireLoras } from '#src/bundles/offered-loras.ts';
import { hashOf } from '#src/canonical.ts';
import { db } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { folderHash } from '#src/faces.ts';
import { reusable } from '#src/generations/images.ts';
import type { CheckedPrompt } from '#src/moderation/words.ts';
import {
  bundleOf,
  mustGoTogether,
  parameters,
  type ResolvedParameters,
} from '#src/parameters/definitions.ts';

export interface Cell {
  readonly prompt: CheckedPrompt;
  /** every parameter, as `resolveParameters` gives them */
  readonly parameters: ResolvedParameters;
  /** 0…2³²−1 */
  readonly seed: number;
  readonly faceFolderId: string | null;
  readonly ideaId: string | null;
  /** axis → label; empty for `/imagine` */
  readonly coordinates: Readonly<Record<string, string>>;
}

export interface PricedCell extends Cell {
  readonly key: string;
  /** the one that is to draw it */
  readonly bundle: string;
  /** px */
  readonly width: number;
  /** px */
  readonly height: number;
  readonly steps: number;
  /** GPU ms that it takes alone, estimated */
  readonly costMs: number;
  /** in the order of their names; empty: none */
  readonly loras: string;
  /** pictures of one shape go through the networks together */
  readonly shape: string;
  /** tokens, if it is to be drawn */
  readonly price: number;
}

export function randomSeed(): number {
  return randomInt(2 ** 32);
}

/** px; what the shape parameter means for the bundle */
export function sizeOf(
  values: ResolvedParameters,
  bundleName = bundleOf(values),
): { width: number; height: number } {
  const bundle = bundles.get(bundleName);
  if (!bundle) throw new Error(`config/bundles.yaml has no bundle named ${bundleName}`);
  const size = bundle.shapes[String(values.shape)];
  if (!size) {
    const choices = Object.keys(bundle.shapes);
    throw new UserError('parameter_choice', { name: 'shape', choices, got: String(values.shape) });
  }
  return size;
}

/** Denoising steps, both stages together where a face is drawn. */
export function stepsOf({ parameters: values, faceFolderId }: Cell): number {
  return Number(values.steps) + (faceFolderId ? Number(values.detail_steps) : 0);
}

/** What pictures that are drawn together have in common, beside their size: the networks see them at the same timesteps. */
const SHARED = [
  'scheduler',
  'timestep_spacing',
  'steps',
  'detail_steps',
  'detail_strength',
  'detail_size',
] as const;

/** Equal for pictures that can go through the networks together. */
export function shapeOf({ parameters: values }: Pick<Cell, 'parameters'>): string {
  const { width, height } = sizeOf(values);
  return [`${width}x${height}`, ...SHARED.map((name) => values[name] ?? '')].join(' ');
}

/** Raised when the pipeline draws another picture for the same request, so that none of before is taken for it. */
const PIPELINE_VERSION = 2;

/**
 * Hash of everything that affects a cell's pixels, except the bundle's weights: those are compared separately, as only
 * workers have them.
 */
export function cellKey(
  cell: Pick<Cell, 'parameters' | 'seed'> & { readonly prompt: string },
  faceHash: string | null,
  bundle = bundleOf(cell.parameters),
): string {
  const pixels = Object.fromEntries(Object.entries(cell.parameters).filter(([name]) => changesPixels(name)));
  return hashOf({
    version: PIPELINE_VERSION,
    bundle,
    prompt: cell.prompt,
    seed: cell.seed,
    face: faceHash,
    ...sizeOf(pixels, bundle),
    pixels,
  });
}

/** Whether another value makes another picture. The seed stands in a cell by itself. */
export function changesPixels(name: string): boolean {
  return name !== 'seed' && parameters.get(name)?.pixels !== false;
}

/**
 * Tokens for one picture.
 *
 * @param worth GPU time that it takes, as a share of the usual picture's
 * @throws {UserError} `parameter_choice`
 */
export function priceOf(worth: number, tierName: string): number {
  const tier = tiers.get(tierName);
  if (!tier)
    throw new UserError('parameter_choice', { name: 'tier', choices: [...tiers.keys()], got: tierName });
  return Math.max(1, Math.round(tier.tokens * worth));
}

/** tier → tokens for one picture with these parameters, without a face */
export async function pricesOf(values: ResolvedParameters): Promise<ReadonlyMap<string, number>> {
  const bundle = bundleOf(values);
  const worthOf = await worths(bundle);
  const worth = worthOf({ ...sizeOf(values, bundle), steps: Number(values.steps), face: false });
  return new Map([...tiers.keys()].map((name) => [name, priceOf(worth, name)]));
}

/**
 * Makes every check of cells that needs no transaction, and says what each comes to. Of equal ones the first is left: drawn again,
 * a second would cost nothing, and a flagged picture is drawn each time.
 *
 * @throws {UserError} `batch_limit`, `lora_unknown`, `folder_empty`, `gone`, `parameter_choice`,
 *   `negative_alone`
 */
export async function priceCells(cells: readonly Cell[], tier: string): Promise<PricedCell[]> {
  if (cells.length > limits.batch)
    throw new UserError('batch_limit', { pictures: cells.length, max: limits.batch });
  for (const cell of cells) mustGoTogether(cell.parameters);
  const byBundle = Map.groupBy(cells, (cell) => bundleOf(cell.parameters));
  for (const [bundle, own] of byBundle)
    await requireLoras(bundle, new Set(own.map((cell) => cell.parameters.lora)));
  const faces = new Map<string, string>();
  for (const id of new Set(cells.flatMap((cell) => cell.faceFolderId ?? [])))
    faces.set(id, await folderHash(id));

  const keyed = new Map<string, Cell>();
  for (const cell of cells) {
    const key = cellKey(cell, cell.faceFolderId ? (faces.get(cell.faceFolderId) ?? null) : null);
    if (!keyed.has(key)) keyed.set(key, cell);
  }
  const learned = new Map(
    await Promise.all(
      [...byBundle.keys()].map(
        async (bundle) => [bundle, { costOf: await costs(bundle), worthOf: await worths(bundle) }] as const,
      ),
    ),
  );
  return [...keyed].map(([key, cell]) => {
    const bundle = bundleOf(cell.parameters);
    const { costOf, worthOf } = learned.get(bundle)!;
    const toDraw = { ...sizeOf(cell.parameters), steps: stepsOf(cell), face: cell.faceFolderId !== null };
    const { width, height, steps } = toDraw;
    return {
      ...cell,
      key,
      bundle,
      width,
      height,
      steps,
      costMs: costOf(toDraw),
      loras: sayLoras(parseLoras(String(cell.parameters.lora ?? ''))),
      shape: shapeOf(cell),
      price: priceOf(worthOf(toDraw), tier),
    };
  });
}

/** Keys of those whose pictures are there, drawn with the weights that workers have now: they are free. */
export async function drawnBefore(cells: readonly PricedCell[]): Promise<Set<string>> {
  const hashes = await bundleHashesNow([...new Set(cells.map(({ bundle }) => bundle))]);
  if (!hashes.size) return new Set();
  // A key has its bundle's name in it.
  const drawn = await db.image.findMany({
    where: {
      bundleHash: { in: [...hashes.values()] },
      key: { in: cells.map(({ key }) => key) },
      ...reusable,
    },
    select: { key: true },
  });
  return new Set(drawn.map(({ key }) => key));
}
