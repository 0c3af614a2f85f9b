/**
 * Plans: batches that are shown with their price before anything is charged. Their cells are kept, so that what runs is what
 * was shown.
 */
import { z } from 'zod';
import { forecastOf } from '#src/backlog/place.ts';
import type { Range } from '#src/backlog/ranges.ts';
import { type Batch, db, isDuplicate, type Prisma } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { type Actor, admitUser, type Origin } from '#src/people/people.ts';
import { balanceOf } from '#src/people/tokens.ts';
import {
  type BatchRequest,
  batchOf,
  createBatch,
  discard,
  type Opened,
  openBatch,
  planHash,
} from './batches.ts';
import { type Cell, drawnBefore, priceCells } from './cells.ts';

/** What a plan card tells. */
export interface Plan {
  readonly batchId: string;
  /** the first 16 digits; a Run button carries it */
  readonly hash: string;
  readonly pictures: number;
  /** cells that were left out, as another is the same picture */
  readonly equal: number;
  /** drawn before, and free */
  readonly reused: number;
  readonly tokens: number;
  readonly balance: number;
  /** when the last picture would be ready in four of five cases, with the backlog as it is now; null: there is nothing to draw */
  readonly range: Range | null;
}

/**
 * Checks everything and stores the plan; nothing is charged.
 *
 * @throws {UserError} all that `openBatch` throws, except `tokens_short`
 */
export async function planBatch(origin: Origin, request: BatchRequest): Promise<Plan> {
  await admitUser(origin.actor);
  const cells = await priceCells(request.cells, request.tier);
  const shownCells = cells.map(
    ({ key, bundle, width, height, steps, costMs, loras, shape, price, ...cell }): Cell => cell,
  );
  const before = await drawnBefore(cells);
  const toDraw = cells.filter(({ key }) => !before.has(key));
  const tokens = toDraw.reduce((sum, { price }) => sum + price, 0);
  const batch = await createBatch(db, origin, request, {
    state: 'planned',
    planHash: planHash({ ...request, cells: shownCells }),
    config: { asked: request.asked, cells: shownCells as unknown as Prisma.InputJsonArray, tokens },
  }).catch(async (error: unknown) => {
    // The same interaction, delivered twice: both show the plan that was stored first.
    const first = isDuplicate(error) ? await batchOf(origin.interactionId) : null;
    if (!first) throw error;
    return first;
  });
  const parts = [...Map.groupBy(toDraw, ({ bundle }) => bundle)].map(([bundle, own]) => ({
    bundle,
    pictures: own.length,
    costMs: own.reduce((sum, { costMs }) => sum + costMs, 0),
  }));
  const place = parts.length
    ? await forecastOf({ userId: origin.actor.id, tier: request.tier, parts })
    : null;
  return {
    batchId: batch.id,
    hash: shown(batch),
    pictures: cells.length,
    equal: request.cells.length - cells.length,
    reused: cells.length - toDraw.length,
    tokens,
    balance: await db.$transaction((tx) => balanceOf(tx, origin.actor.id)),
    range: place?.range ?? null,
  };
}

const shown = ({ planHash }: Batch) => (planHash ?? '').slice(0, 16);

const StoredCell = z.object({
  // Only as long as the rules are the same does the plan's hash still fit.
  prompt: z.string().brand<'checked'>(),
  parameters: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  seed: z.number().int(),
  faceFolderId: z.string().nullable(),
  ideaId: z.string().nullable(),
  coordinates: z.record(z.string(), z.string()),
});
const StoredPlan = z.object({
  asked: z.record(z.string(), z.json()),
  cells: z.array(StoredCell),
  /** its price, as it was shown; plans of before have none */
  tokens: z.number().nullable().default(null),
});

/** The plan as stored: to run it, or to edit it. @throws {UserError} `gone`, `not_yours`, `plan_changed` */
export async function storedPlan(actor: Actor, batchId: string) {
  const batch = await db.batch.findUnique({ where: { id: batchId } });
  if (!batch) throw new UserError('gone', {});
  if (batch.ownerId !== actor.id) throw new UserError('not_yours', {});
  if (batch.state !== 'planned') throw new UserError('plan_changed', {});
  return { batch, ...StoredPlan.parse(batch.config) };
}

/**
 * Runs a plan that was shown.
 *
 * @param hash what the pressed button carried
 * @param production what counts here now: it may have been switched since
 * @throws {UserError} as `openBatch`, and `plan_production`
 */
export async function openPlanned(
  origin: Origin,
  batchId: string,
  hash: string,
  production: boolean,
): Promise<Opened> {
  const { batch, asked, cells, tokens } = await storedPlan(origin.actor, batchId);
  if (shown(batch) !== hash) throw new UserError('plan_changed', {});
  if (batch.production !== production) throw new UserError('plan_production', { on: production });
  const { kind, title, tier } = batch;
  const request = { kind, title, asked: asked as Prisma.InputJsonObject, cells, tier, production };
  return openBatch(origin, request, { id: batchId, tokens });
}

/** Throws a plan away, as Cancel and an edited plan do. @throws {UserError} as `storedPlan` */
export async function discardPlan(actor: Actor, batchId: string): Promise<void> {
  await storedPlan(actor, batchId);
  await discard(batchId);
}
