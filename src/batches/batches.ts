/**
 * The life of one batch:
 *
 *   planned ──▶ open ──▶ finished
 *      │          ├────▶ stopped     no new generations; running ones finish
 *      ▼          └────▶ cancelled   running ones end at their next step as well
 *   discarded
 *
 * `endedAt` is set when the last generation has ended, in any of the three. Accepting a batch is one transaction:
 * tokens taken, batch, generations and the messages that must be seen. After it, nothing is lost.
 */
import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { bundles } from '#config/bundles.ts';
import { config } from '#config/env.ts';
import { type ParameterJson, parameters } from '#config/parameters.ts';
import { limits, tiers } from '#config/tiers.ts';
import { requireLoras } from '#src/bundles/offered-loras.ts';
import { hashOf } from '#src/canonical.ts';
import { announce, deliver, touch } from '#src/deliveries.ts';
import { type Batch, type BatchKind, db, isDuplicate, type Prisma, type Transaction } from '#src/doors/db.ts';
import { UserError } from '#src/errors.ts';
import { folderHash } from '#src/faces.ts';
import { checkPrompt } from '#src/moderation/moderation.ts';
import { type Actor, meet } from '#src/people/people.ts';
import { balanceOf, charge, refund } from '#src/people/tokens.ts';

export type ResolvedParameters = Record<string, ParameterJson>;

/** One picture of a batch, before it has a row. */
export interface Cell {
  readonly prompt: string;
  /** every parameter, as `resolveParameters` gives them */
  readonly parameters: ResolvedParameters;
  /** 0…2³²−1 */
  readonly seed: number;
  readonly faceFolderId: string | null;
  readonly ideaId: string | null;
  /** axis → label; empty for `/imagine` */
  readonly coordinates: Readonly<Record<string, string>>;
}

/** Where and by whom it was asked. Made from an interaction in `src/services/bot/`. */
export interface Asking {
  readonly actor: Actor;
  readonly interactionId: string;
  readonly channelId: string;
  /** false: the app is only user-installed here */
  readonly botInside: boolean;
  /** needed only where the bot is no member */
  readonly token: string;
  readonly tokenExpiresAt: Date;
}

export interface BatchRequest {
  readonly kind: BatchKind;
  /** shown above the pictures; made by us, at most 80 characters */
  readonly title: string;
  /** as asked, to show and to edit again */
  readonly asked: Prisma.InputJsonObject;
  readonly cells: readonly Cell[];
  readonly tier: string;
  readonly production: boolean;
}

/** What a plan card tells before anything is charged. */
export interface Plan {
  readonly batchId: string;
  /** the first 16 digits; a Run button carries it */
  readonly hash: string;
  readonly pictures: number;
  /** drawn before, and free */
  readonly reused: number;
  readonly tokens: number;
  readonly balance: number;
  /** until the last picture, with the queue as it is now */
  readonly minutes: number;
}

export interface Opened {
  readonly batch: Batch;
  /** pictures that are drawn before this batch's first */
  readonly ahead: number;
  /** seconds until its last picture */
  readonly seconds: number;
}

export function randomSeed(): number {
  return randomInt(2 ** 32);
}

/** What the shape parameter means for the bundle, px. */
export function sizeOf(
  values: ResolvedParameters,
  bundleName = config.bundle,
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

/**
 * Hash of everything that affects a cell's pixels, but for the bundle's weights: those are compared apart, as only
 * workers have them.
 */
export function cellKey(cell: Cell, faceHash: string | null, bundle = config.bundle): string {
  const pixels = Object.fromEntries(
    Object.entries(cell.parameters).filter(
      ([name]) => name !== 'seed' && parameters.get(name)?.pixels !== false,
    ),
  );
  return hashOf({
    version: 1,
    bundle,
    prompt: cell.prompt,
    seed: cell.seed,
    face: faceHash,
    ...sizeOf(pixels),
    pixels,
  });
}

/** Tokens for one picture: the tier's price at 40 steps in all and the bundle's portrait size, in proportion, at least 1. */
export function priceOf(cell: Cell, tierName: string): number {
  const tier = tiers.get(tierName);
  if (!tier)
    throw new UserError('parameter_choice', { name: 'tier', choices: [...tiers.keys()], got: tierName });
  const { width, height } = sizeOf(cell.parameters);
  const steps =
    Number(cell.parameters.steps) + (cell.faceFolderId ? Number(cell.parameters.detail_steps) : 0);
  return Math.max(1, Math.round((tier.tokens * (steps / 40) * (width * height)) / (512 * 640)));
}

/**
 * Checks everything and stores the plan; nothing is charged. The cells are kept with it, so that what runs is what was
 * shown.
 *
 * @throws {UserError} any that `openBatch` throws but `tokens_short`
 */
export async function planBatch(asking: Asking, request: BatchRequest): Promise<Plan> {
  await meet(asking.actor);
  const priced = await priceCells(request);
  let batch: Batch;
  try {
    batch = await db.batch.create({
      data: {
        ...batchColumns(asking, request),
        state: 'planned',
        planHash: planHash(request),
        config: { asked: request.asked, cells: request.cells as unknown as Prisma.InputJsonArray },
      },
    });
  } catch (error) {
    // The same interaction, delivered twice: both show the plan that was stored first.
    if (!isDuplicate(error)) throw error;
    batch = await db.batch.findUniqueOrThrow({ where: { interactionId: asking.interactionId } });
  }
  const drawn = priced.filter(({ drawnBefore }) => !drawnBefore).length;
  const { seconds } = await waitFor(request.tier, asking.actor.id, drawn);
  return {
    batchId: batch.id,
    hash: (batch.planHash ?? '').slice(0, 16),
    pictures: priced.length,
    reused: priced.length - drawn,
    tokens: sum(priced.map(({ price }) => price)),
    balance: await db.$transaction((tx) => balanceOf(tx, asking.actor.id)),
    minutes: seconds / 60,
  };
}

const StoredCell = z.object({
  prompt: z.string(),
  parameters: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  seed: z.number().int(),
  faceFolderId: z.string().nullable(),
  ideaId: z.string().nullable(),
  coordinates: z.record(z.string(), z.string()),
});
const StoredPlan = z.object({ asked: z.record(z.string(), z.json()), cells: z.array(StoredCell) });

/** The plan as stored: to run it, or to edit it. @throws {UserError} `gone`, `not_yours`, `plan_changed` */
export async function storedPlan(actor: Actor, batchId: string) {
  const batch = await db.batch.findUnique({ where: { id: batchId } });
  if (!batch) throw new UserError('gone', {});
  if (batch.ownerId !== actor.id) throw new UserError('not_yours', {});
  if (batch.state !== 'planned') throw new UserError('plan_changed', {});
  return { batch, ...StoredPlan.parse(batch.config) };
}

/** Runs a plan that was shown. `hash` is what the pressed button carried. @throws {UserError} as `openBatch`, and `plan_changed` */
export async function openPlanned(asking: Asking, batchId: string, hash: string): Promise<Opened> {
  const { batch, asked, cells } = await storedPlan(asking.actor, batchId);
  const request: BatchRequest = {
    kind: batch.kind,
    title: batch.title,
    asked: asked as Prisma.InputJsonObject,
    cells,
    tier: batch.tier,
    production: batch.production,
  };
  if (batch.planHash?.slice(0, 16) !== hash) throw new UserError('plan_changed', {});
  return open(asking, request, batchId);
}

/** Throws a plan away, as Cancel and an edited plan do. @throws {UserError} as `storedPlan` */
export async function discardPlan(actor: Actor, batchId: string): Promise<void> {
  await storedPlan(actor, batchId);
  await db.batch.updateMany({ where: { id: batchId, state: 'planned' }, data: { state: 'discarded' } });
}

/**
 * Accepts a batch. One interaction delivered twice is accepted once.
 *
 * @throws {UserError} `prompt_*`, `batch_limit`, `waiting_limit`, `tokens_short`, `blocked_until`, `folder_empty`, `lora_unknown`
 */
export async function openBatch(asking: Asking, request: BatchRequest): Promise<Opened> {
  return open(asking, request, null);
}

async function open(asking: Asking, request: BatchRequest, plannedId: string | null): Promise<Opened> {
  const { actor } = asking;
  await meet(actor);
  const priced = await priceCells(request);
  const price = sum(priced.map((cell) => cell.price));

  const accept = async (tx: Transaction): Promise<Batch> => {
    const waiting = await tx.generation.count({
      where: { userId: actor.id, state: { in: ['queued', 'running'] } },
    });
    if (waiting + priced.length > limits.waiting)
      throw new UserError('waiting_limit', { waiting, max: limits.waiting });

    const opening = { state: 'open', charged: price, openedAt: new Date() } as const;
    let batch: Batch;
    if (plannedId) {
      const { count } = await tx.batch.updateMany({
        where: { id: plannedId, state: 'planned', planHash: planHash(request) },
        // The cells have rows of their own now.
        data: { ...opening, config: { asked: request.asked } },
      });
      if (!count) throw new UserError('plan_changed', {});
      batch = await tx.batch.findUniqueOrThrow({ where: { id: plannedId } });
    } else {
      batch = await tx.batch.create({
        data: { ...batchColumns(asking, request), ...opening, config: { asked: request.asked } },
      });
    }
    await charge(tx, actor.id, batch.id, price);
    await tx.generation.createMany({
      data: priced.map((cell, index) => ({
        batchId: batch.id,
        index,
        userId: actor.id,
        tier: request.tier,
        bundle: config.bundle,
        prompt: cell.prompt,
        parameters: cell.parameters,
        seed: BigInt(cell.seed),
        ...sizeOf(cell.parameters),
        faceFolderId: cell.faceFolderId,
        ideaId: cell.ideaId,
        coordinates: cell.coordinates,
        key: cell.key,
        price: cell.price,
      })),
    });
    const to = { userId: actor.id, guildId: actor.guildId, batchId: batch.id };
    const byToken = asking.botInside ? {} : { token: asking.token, tokenExpiresAt: asking.tokenExpiresAt };
    await deliver(tx, { ...to, ...byToken, kind: 'card', channelId: asking.channelId });
    if (request.kind !== 'imagine') await deliver(tx, { ...to, ...byToken, kind: 'status' });
    return batch;
  };

  let batch: Batch;
  try {
    batch = await db.$transaction(accept);
  } catch (error) {
    const twice = isDuplicate(error)
      ? await db.batch.findUnique({ where: { interactionId: asking.interactionId } })
      : null;
    if (!twice) throw error;
    batch = twice;
  }
  await announce({ batchId: batch.id });
  const drawn = priced.filter(({ drawnBefore }) => !drawnBefore).length;
  return { batch, ...(await waitFor(request.tier, actor.id, drawn, batch.id)) };
}

/** Stops a batch: waiting generations end now and are refunded. `cancel` ends running ones at their next step as well. */
export async function endBatch(batchId: string, how: 'stopped' | 'cancelled'): Promise<boolean> {
  const changed = await db.$transaction(async (tx) => {
    const { count } = await tx.batch.updateMany({
      where: {
        id: batchId,
        endedAt: null,
        state: { in: how === 'cancelled' ? ['open', 'stopped'] : ['open'] },
      },
      data: { state: how },
    });
    if (!count) return false;
    const waiting = await tx.generation.updateManyAndReturn({
      where: { batchId, state: 'queued' },
      data: { state: 'cancelled', endedAt: new Date() },
    });
    await refund(tx, waiting);
    await touch(tx, { batchId });
    await settleBatch(tx, batchId);
    return true;
  });
  if (changed) await announce({ batchId });
  return changed;
}

/**
 * Ends a batch when its last generation has ended. Called in the transaction that ends a generation; the row lock makes
 * two that end together see each other.
 */
export async function settleBatch(tx: Transaction, batchId: string): Promise<void> {
  await tx.$executeRaw`SELECT 1 FROM "Batch" WHERE id = ${batchId} FOR UPDATE`;
  const going = await tx.generation.count({ where: { batchId, state: { in: ['queued', 'running'] } } });
  if (going) return;
  const ended = await tx.batch.updateManyAndReturn({
    where: { id: batchId, endedAt: null, state: { in: ['open', 'stopped', 'cancelled'] } },
    data: { endedAt: new Date() },
  });
  const batch = ended[0];
  if (!batch) return;
  await tx.batch.updateMany({ where: { id: batchId, state: 'open' }, data: { state: 'finished' } });
  if (batch.kind === 'imagine') {
    // The picture itself need not wait for the next edit's turn. With an attempt it is in the courier's hand, which sees to it.
    const idle = { batchId, kind: 'card', state: 'active', attempts: 0 } as const;
    await tx.delivery.updateMany({ where: idle, data: { notBefore: new Date() } });
    return;
  }
  const [status] = await tx.delivery.findMany({ where: { batchId, kind: 'status' } });
  const to = {
    batchId,
    userId: batch.ownerId,
    guildId: batch.guildId,
    ...(status?.token &&
      status.tokenExpiresAt && { token: status.token, tokenExpiresAt: status.tokenExpiresAt }),
  };
  await deliver(tx, { ...to, kind: 'pictures' });
  await deliver(tx, { ...to, kind: 'manifest' });
}

export interface Place {
  /** pictures that are drawn before */
  readonly ahead: number;
  /** seconds until `pictures` more are drawn */
  readonly seconds: number;
}

/**
 * Where a person stands: as people and tiers take turns, those ahead are at most as many a person as one's own.
 * An estimate: it is shown with "about".
 */
export async function waitFor(
  tier: string,
  userId: string,
  pictures: number,
  batchId?: string,
): Promise<Place> {
  const others = await db.generation.groupBy({
    by: ['userId', 'tier'],
    where: { state: { in: ['queued', 'running'] }, ...(batchId && { batchId: { not: batchId } }) },
    _count: true,
  });
  const mine = sum(others.filter((o) => o.userId === userId && o.tier === tier).map((o) => o._count));
  const turns = mine + pictures;
  const ahead =
    mine + sum(others.filter((o) => o.userId !== userId).map((o) => Math.min(o._count, mine + 1)));
  const between = mine + sum(others.filter((o) => o.userId !== userId).map((o) => Math.min(o._count, turns)));
  const workers = Math.max(1, await liveWorkers());
  return { ahead, seconds: Math.ceil(((between + pictures) * (await secondsPerPicture())) / workers) };
}

/** ms after which a worker that was not heard of counts as gone; it renews every third of that */
export const WORKER_LOST_MS = 15_000;

async function liveWorkers(bundle = config.bundle): Promise<number> {
  return db.worker.count({ where: { bundle, seenAt: { gt: new Date(Date.now() - WORKER_LOST_MS) } } });
}

/** Mean of the last 30 pictures; before any was drawn, what config/bundles.yaml says. */
async function secondsPerPicture(bundle = config.bundle): Promise<number> {
  const [row] = await db.$queryRaw<{ seconds: number | null }[]>`
    SELECT avg(extract(epoch FROM "endedAt" - "startedAt"))::float AS seconds FROM (
      SELECT "endedAt", "startedAt" FROM "Generation"
      WHERE bundle = ${bundle} AND state = 'done' AND NOT reused AND "endedAt" > now() - interval '1 day'
      ORDER BY "endedAt" DESC LIMIT 30) AS latest`;
  return row?.seconds ?? bundles.get(bundle)?.seconds ?? 10;
}

/** The hash of the weights that workers draw with now, or drew with last. null: no worker was ever seen. */
export async function bundleHashNow(bundle = config.bundle): Promise<string | null> {
  const worker = await db.worker.findFirst({ where: { bundle }, orderBy: { seenAt: 'desc' } });
  return worker?.bundleHash ?? null;
}

interface PricedCell extends Cell {
  readonly key: string;
  readonly price: number;
  readonly drawnBefore: boolean;
}

/** Every check that needs no transaction. */
async function priceCells(request: BatchRequest): Promise<PricedCell[]> {
  const { cells, tier } = request;
  if (cells.length > limits.batch)
    throw new UserError('batch_limit', { pictures: cells.length, max: limits.batch });
  // A negative prompt may name what the rules refuse: it says what to keep out of the picture.
  for (const prompt of new Set(cells.map((cell) => cell.prompt))) checkPrompt(prompt);
  await requireLoras(new Set(cells.map((cell) => cell.parameters.lora)));
  const faces = new Map<string, string>();
  for (const id of new Set(cells.flatMap((cell) => cell.faceFolderId ?? [])))
    faces.set(id, await folderHash(id));

  const keyed = cells.map((cell) => ({
    ...cell,
    key: cellKey(cell, cell.faceFolderId ? (faces.get(cell.faceFolderId) ?? null) : null),
  }));
  const bundleHash = await bundleHashNow();
  const drawn = bundleHash
    ? await db.image.findMany({
        where: { bundleHash, key: { in: keyed.map(({ key }) => key) }, ...reusable },
        select: { key: true },
      })
    : [];
  const before = new Set(drawn.map(({ key }) => key));
  // Within one batch too: the first of two equal cells is drawn, the second is copied from it.
  return keyed.map((cell) => {
    const drawnBefore = before.has(cell.key);
    before.add(cell.key);
    return { ...cell, drawnBefore, price: drawnBefore ? 0 : priceOf(cell, tier) };
  });
}

/** Pictures whose bytes may stand for a cell of the same key. Flagged ones are drawn again: they were not seen by anyone. */
export const reusable = { deletedAt: null, verdict: 'clear' } as const satisfies Prisma.ImageWhereInput;

function planHash({ kind, cells, tier, production }: BatchRequest): string {
  return hashOf({ kind, cells, tier, production });
}

function batchColumns(asking: Asking, request: BatchRequest) {
  return {
    kind: request.kind,
    title: request.title,
    ownerId: asking.actor.id,
    guildId: asking.actor.guildId,
    channelId: asking.channelId,
    botInside: asking.botInside,
    interactionId: asking.interactionId,
    tier: request.tier,
    production: request.production,
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
