/**
 * The life of one batch:
 *
 *   planned ──▶ open ──▶ finished
 *      │          ├────▶ stopped     no new generations; running ones finish
 *      ▼          └────▶ cancelled   running ones end at their next step as well
 *   discarded
 *
 * `endedAt` is set when the last generation has ended, in any of the three. Accepting a batch is one transaction:
 * tokens taken, batch, generations and the messages that must be seen. After it, nothing is lost. The only file that writes
 * Batch.
 */
import { config } from '#config/env.ts';
import { limits } from '#config/tiers.ts';
import { mustFit } from '#src/backlog/accepting.ts';
import { type Place, placeOf } from '#src/backlog/place.ts';
import { hashOf } from '#src/canonical.ts';
import { addDelivery, hastenCard, together, type Wake } from '#src/deliveries.ts';
import { type Batch, type BatchKind, db, isDuplicate, Prisma, type Transaction } from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';
import { metrics } from '#src/doors/metrics.ts';
import { note, span, traceparent } from '#src/doors/traces.ts';
import { UserError } from '#src/errors.ts';
import { mustStayUsable } from '#src/faces.ts';
import { createGenerations } from '#src/generations/generations.ts';
import { rulesHash } from '#src/moderation/words.ts';
import { admitUser, type Origin } from '#src/people/people.ts';
import { charge } from '#src/people/tokens.ts';
import { type Cell, type PricedCell, priceCells } from './cells.ts';

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

export interface Opened {
  readonly batch: Batch;
  readonly place: Place;
}

/**
 * Accepts a batch. One interaction delivered twice is accepted once.
 *
 * @param plannedId the plan that was shown and now runs
 * @throws {UserError} `batch_limit`, `waiting_limit`, `tier_full`, `tokens_short`, `blocked_until`, `folder_empty`,
 *                     `lora_unknown`, `plan_changed`
 */
export function openBatch(
  origin: Origin,
  request: BatchRequest,
  plannedId: string | null = null,
): Promise<Opened> {
  const { kind, tier, cells } = request;
  return span('accept', { kind, tier, pictures: cells.length }, () => open(origin, request, plannedId));
}

async function open(origin: Origin, request: BatchRequest, plannedId: string | null): Promise<Opened> {
  await admitUser(origin.actor);
  const cells = await priceCells(request.cells, request.tier);
  const { batch, wake } = await db
    .$transaction((tx) => accept(tx, origin, request, cells, plannedId))
    .catch(async (error: unknown) => {
      const first = isDuplicate(error) ? await batchOf(origin.interactionId) : null;
      if (!first) throw error;
      return { batch: first, wake: null };
    });
  wake?.();
  const { id: batchId, charged } = batch;
  note({ batchId });
  log.info({ batchId, charged, pictures: cells.length, again: wake === null }, 'accepted');
  if (wake) metrics.tokens({ reason: 'charge' }, charged);
  return { batch, place: await placeOf(batchId) };
}

async function accept(
  tx: Transaction,
  origin: Origin,
  request: BatchRequest,
  cells: readonly PricedCell[],
  plannedId: string | null,
): Promise<{ batch: Batch; wake: Wake }> {
  const { actor } = origin;
  const waiting = await tx.generation.count({
    where: { userId: actor.id, endedAt: null },
  });
  if (waiting + cells.length > limits.waiting)
    throw new UserError('waiting_limit', { waiting, max: limits.waiting });

  await mustFit(tx, config.bundle, request.tier, actor.id);

  const price = cells.reduce((sum, cell) => sum + cell.price, 0);
  const opening = {
    state: 'open',
    charged: price,
    openedAt: new Date(),
    traceparent: traceparent(),
  } as const;
  const batch = plannedId
    ? await openPlan(tx, plannedId, request, opening)
    : await createBatch(tx, origin, request, { ...opening, config: { asked: request.asked } });
  await charge(tx, actor.id, batch.id, price);
  await mustStayUsable(tx, new Set(cells.flatMap((cell) => cell.faceFolderId ?? [])));
  const waits = await createGenerations(
    tx,
    cells.map((cell, index) => ({
      batchId: batch.id,
      index,
      userId: actor.id,
      tier: request.tier,
      bundle: config.bundle,
      prompt: cell.prompt,
      parameters: cell.parameters,
      seed: BigInt(cell.seed),
      width: cell.width,
      height: cell.height,
      steps: cell.steps,
      costMs: cell.costMs,
      loras: cell.loras,
      shape: cell.shape,
      faceFolderId: cell.faceFolderId,
      faceId: cell.faceFolderId,
      ideaId: cell.ideaId,
      coordinates: cell.coordinates,
      key: cell.key,
      price: cell.price,
    })),
  );
  const to = { userId: actor.id, guildId: actor.guildId, batchId: batch.id };
  const byToken = origin.botInside ? {} : { token: origin.token, tokenExpiresAt: origin.tokenExpiresAt };
  const card = await addDelivery(tx, { ...to, ...byToken, kind: 'card', channelId: origin.channelId });
  if (request.kind === 'imagine') return { batch, wake: together(waits, card) };
  const status = await addDelivery(tx, { ...to, ...byToken, kind: 'status' });
  return { batch, wake: together(waits, card, status) };
}

/** The cells of a plan have rows of their own from now on. @throws {UserError} `plan_changed` */
async function openPlan(
  tx: Transaction,
  id: string,
  request: BatchRequest,
  opening: Prisma.BatchUpdateManyMutationInput,
): Promise<Batch> {
  const [batch] = await tx.batch.updateManyAndReturn({
    where: { id, state: 'planned', planHash: planHash(request) },
    data: { ...opening, config: { asked: request.asked } },
  });
  if (!batch) throw new UserError('plan_changed', {});
  return batch;
}

export async function createBatch(
  tx: Transaction,
  { actor, channelId, channelLocale, botInside, interactionId }: Origin,
  { kind, title, tier, production }: BatchRequest,
  more: Pick<
    Prisma.BatchUncheckedCreateInput,
    'state' | 'config' | 'planHash' | 'charged' | 'openedAt' | 'traceparent'
  >,
): Promise<Batch> {
  return tx.batch.create({
    data: {
      kind,
      title,
      ownerId: actor.id,
      guildId: actor.guildId,
      channelId,
      locale: channelLocale,
      botInside,
      interactionId,
      tier,
      production,
      ...more,
    },
  });
}

/** The batch that an interaction made when it was delivered before. */
export async function batchOf(interactionId: string): Promise<Batch | null> {
  return db.batch.findUnique({ where: { interactionId } });
}

/** A Run button carries its first 16 digits, so that what runs is what was shown, by the rules that its prompts were checked by. */
export function planHash({ kind, cells, tier, production }: BatchRequest): string {
  return hashOf({ kind, cells, tier, production, rules: rulesHash });
}

export async function discard(id: string): Promise<void> {
  await db.batch.updateMany({ where: { id, state: 'planned' }, data: { state: 'discarded' } });
}

/** @returns false when it has ended, or goes no further that way */
export async function markEnding(
  tx: Transaction,
  id: string,
  how: 'stopped' | 'cancelled',
): Promise<boolean> {
  const { count } = await tx.batch.updateMany({
    where: { id, endedAt: null, state: { in: how === 'cancelled' ? ['open', 'stopped'] : ['open'] } },
    data: { state: how },
  });
  return count > 0;
}

/**
 * Ends a batch when its last generation has ended. Called in the transaction that ends a generation; the row lock makes
 * two that end together see each other.
 */
export async function endBatchIfDone(tx: Transaction, batchId: string): Promise<Wake> {
  const nothing = () => {};
  await tx.$executeRaw`SELECT 1 FROM "Batch" WHERE id = ${batchId} FOR UPDATE`;
  const going = await tx.generation.count({ where: { batchId, endedAt: null } });
  if (going) return nothing;
  const [batch] = await tx.batch.updateManyAndReturn({
    where: { id: batchId, endedAt: null, state: { in: ['open', 'stopped', 'cancelled'] } },
    data: { endedAt: new Date() },
  });
  if (!batch) return nothing;
  await tx.batch.updateMany({ where: { id: batchId, state: 'open' }, data: { state: 'finished' } });
  if (batch.kind === 'imagine') {
    await hastenCard(tx, batchId);
    return () => tellKept(batch);
  }
  const status = await tx.delivery.findFirst({ where: { batchId, kind: 'status' } });
  const to = {
    batchId,
    userId: batch.ownerId,
    guildId: batch.guildId,
    token: status?.token ?? null,
    tokenExpiresAt: status?.tokenExpiresAt ?? null,
  };
  return together(
    () => tellKept(batch),
    await addDelivery(tx, { ...to, kind: 'pictures' }),
    await addDelivery(tx, { ...to, kind: 'manifest' }),
  );
}

/** How well what people were told of one that has ended was kept. One that was stopped was not meant. */
function tellKept({ state, tier, openedAt, promisedAt, endedAt }: Batch): void {
  if (state !== 'open' || !openedAt || !promisedAt || !endedAt) return;
  const told = promisedAt.getTime() - openedAt.getTime();
  if (told > 0) metrics.estimated({ tier }, (endedAt.getTime() - openedAt.getTime()) / told);
}

/** For a statement: keeps where its card is, and when that said that all would be ready. */
export function keepCardMessage(
  id: string,
  messageId: string,
  readyAt: Date | null,
  condition: Prisma.Sql,
): Prisma.Sql {
  return Prisma.sql`
    UPDATE "Batch" SET "messageId" = ${messageId}, "promisedAt" = coalesce("promisedAt", ${readyAt}::timestamptz)
    WHERE id = ${id} AND ${condition}`;
}

/** Keeps the thread that was started from its card; the first one counts. */
export async function keepThread(tx: Transaction, id: string, threadId: string): Promise<void> {
  await tx.batch.updateMany({ where: { id, threadId: null }, data: { threadId } });
}
