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
import { v7 as uuid } from 'uuid';
import { z } from 'zod';
import { limits } from '#config/tiers.ts';
import { audit } from '#src/audit.ts';
import { mustFit } from '#src/backlog/accepting.ts';
import { learnRange } from '#src/backlog/ranges.ts';
import type { ToldState } from '#src/backlog/reasons.ts';
import { hashOf } from '#src/canonical.ts';
import {
  addDelivery,
  changed,
  hastenCard,
  newRow,
  together,
  type Wake,
  wakeCourier,
} from '#src/deliveries.ts';
import { ask, type Batch, type BatchKind, db, Prisma, type Transaction } from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';
import { metrics } from '#src/doors/metrics.ts';
import { note, span, traceparent } from '#src/doors/traces.ts';
import { UserError } from '#src/errors.ts';
import { wakeWorkers } from '#src/generations/generations.ts';
import { rulesHash } from '#src/moderation/rule-set.ts';
import { grantsOf, type Origin } from '#src/people/people.ts';
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

export type Opened = Pick<Batch, 'id' | 'charged' | 'botInside'>;

/** A plan that was shown. */
export interface ShownPlan {
  readonly id: string;
  /** what it was said to cost: more is not taken; null: that is not known */
  readonly tokens: number | null;
}

/**
 * Accepts a batch. One interaction delivered twice is accepted once.
 *
 * @param plan the one that now runs
 * @throws {UserError} `batch_limit`, `waiting_limit`, `tier_full`, `tokens_short`, `blocked_until`, `folder_empty`,
 *                     `lora_unknown`, `plan_changed`, `plan_price`
 */
export function openBatch(
  origin: Origin,
  request: BatchRequest,
  plan: ShownPlan | null = null,
): Promise<Opened> {
  const { kind, tier, cells } = request;
  return span('accept', { kind, tier, pictures: cells.length }, () => open(origin, request, plan));
}

async function open(origin: Origin, request: BatchRequest, plan: ShownPlan | null): Promise<Opened> {
  const cells = await priceCells(request.cells, request.tier);
  for (const bundle of new Set(cells.map((cell) => cell.bundle)))
    await mustFit(bundle, request.tier, origin.actor.id);
  const batch = await accept(origin, request, cells, plan);
  const { id: batchId, charged } = batch;
  note({ batchId });
  log.info({ batchId, charged, pictures: cells.length }, 'accepted');
  return batch;
}

const Accepted = z.union([
  z.object({
    id: z.string(),
    /** tokens */
    charged: z.number(),
    /** generations that wait for a worker, and not for an equal picture */
    waiting: z.array(z.string()),
    again: z.boolean().default(false),
  }),
  z.object({ refused: z.literal('blocked_until'), until: z.coerce.date() }),
  z.object({ refused: z.literal('waiting_limit'), waiting: z.number() }),
  z.object({ refused: z.literal('tokens_short'), balance: z.number(), price: z.number() }),
  z.object({ refused: z.literal('plan_price'), price: z.number(), shown: z.number() }),
  z.object({ refused: z.enum(['gone', 'plan_changed']) }),
]);

/** In one statement, see prisma/functions/accept_batch.sql, which also knows what is free. */
async function accept(
  { actor, interactionId, channelId, channelLocale, ageRestricted, botInside, token, tokenExpiresAt }: Origin,
  request: BatchRequest,
  cells: readonly PricedCell[],
  plan: ShownPlan | null,
): Promise<Opened> {
  const { kind, title, tier, production, asked } = request;
  const byToken = botInside ? {} : { token, tokenExpiresAt };
  // Of what is asked for on the web there is no message: its page shows it.
  const deliveries =
    channelId === null
      ? []
      : [
          { ...newRow('card'), ...byToken, channelId },
          ...(kind === 'imagine' ? [] : [{ ...newRow('status'), ...byToken }]),
        ];
  const { guildId } = actor;
  const batch = {
    kind,
    title,
    tier,
    production,
    ageRestricted,
    guildId,
    channelId,
    interactionId,
    botInside,
  };
  const wanted = {
    userId: actor.id,
    locale: actor.locale,
    day: new Date().toISOString().slice(0, 10),
    grants: grantsOf(actor.id),
    waitingMax: limits.waiting,
    plannedId: plan?.id ?? null,
    planHash: plan ? planHash(request) : null,
    atMost: plan?.tokens ?? null,
    batch: { ...batch, id: uuid(), locale: channelLocale, config: { asked }, traceparent: traceparent() },
    faceFolderIds: [...new Set(cells.flatMap(({ faceFolderId }) => faceFolderId ?? []))],
    generations: cells.map((cell, index) => ({ ...cell, id: uuid(), index })),
    deliveries,
  };
  const [row] = await ask<{ accepted: unknown }>(
    Prisma.sql`SELECT accept_batch(${JSON.stringify(wanted)}::jsonb) AS accepted`,
  );
  const accepted = Accepted.parse(row?.accepted);
  if ('refused' in accepted) throw refusal(accepted);
  const { id, charged, again } = accepted;
  if (!again) {
    metrics.tokens({ reason: 'charge' }, charged);
    const waiting = new Set(accepted.waiting);
    wakeWorkers(wanted.generations.filter((generation) => waiting.has(generation.id)))();
    wakeCourier(deliveries.map((delivery) => delivery.id));
  }
  return { id, charged, botInside };
}

function refusal(said: Extract<z.output<typeof Accepted>, { refused: string }>): UserError {
  switch (said.refused) {
    case 'blocked_until':
      return new UserError('blocked_until', { until: said.until });
    case 'waiting_limit':
      return new UserError('waiting_limit', { waiting: said.waiting, max: limits.waiting });
    case 'tokens_short':
      return new UserError('tokens_short', { price: said.price, balance: said.balance });
    case 'plan_price':
      return new UserError('plan_price', { price: said.price, shown: said.shown });
    default:
      return new UserError(said.refused, {});
  }
}

export async function createBatch(
  tx: Transaction,
  { actor, channelId, channelLocale, ageRestricted, botInside, interactionId }: Origin,
  { kind, title, tier, production }: BatchRequest,
  more: Pick<Prisma.BatchUncheckedCreateInput, 'state' | 'config' | 'planHash' | 'charged' | 'openedAt'>,
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
      ageRestricted,
      ...more,
    },
  });
}

/** The batch that an interaction made when it was delivered before. */
export async function batchOf(interactionId: string): Promise<Batch | null> {
  return db.batch.findUnique({ where: { interactionId } });
}

/** Locks what somebody asked for and has not ended, before its pictures: as those do that cancel it. */
export async function lockBatches(tx: Transaction, ownerId: string): Promise<void> {
  await tx.$executeRaw`
    SELECT 1 FROM "Batch" WHERE "ownerId" = ${ownerId} AND "endedAt" IS NULL ORDER BY id FOR NO KEY UPDATE`;
}

/** What a guest asked for is this person's from now on. */
export async function moveBatches(tx: Transaction, guestId: string, personId: string): Promise<void> {
  await tx.batch.updateMany({ where: { ownerId: guestId }, data: { ownerId: personId } });
}

/** A Run button carries its first 16 digits, so that what runs is what was shown, by the rules that its prompts were checked by. */
export function planHash({ kind, cells, tier, production }: BatchRequest): string {
  return hashOf({ kind, cells, tier, production, rules: rulesHash() });
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
  const kept = keptOf(batch);
  const { kind, ownerId: userId, guildId } = batch;
  const shown = await tx.delivery.findFirst({
    where: { batchId, kind: kind === 'imagine' ? 'card' : 'status', state: 'active' },
  });
  const to = {
    batchId,
    userId,
    guildId,
    token: shown?.token ?? null,
    tokenExpiresAt: shown?.tokenExpiresAt ?? null,
  };
  const wakes: Wake[] = [() => void (kept && tellKept(batch.tier, kept))];
  if (kind === 'imagine') await hastenCard(tx, batchId);
  else
    wakes.push(
      await addDelivery(tx, { ...to, kind: 'pictures' }),
      await addDelivery(tx, { ...to, kind: 'manifest' }),
    );
  if (shown && tookLong(batch))
    wakes.push(await addDelivery(tx, { ...to, kind: 'notice', channelId: shown.channelId }));
  return together(...wakes);
}

/** Whoever asked for what took longer than this is looking elsewhere by now: told with a message of its own when it is done. ms */
export const NOTE_AFTER_MS = 60_000;

/** From when it was accepted. Who stopped or cancelled it knows that it has ended. */
function tookLong({ state, openedAt, endedAt }: Batch): boolean {
  return (
    state === 'open' &&
    openedAt !== null &&
    endedAt !== null &&
    endedAt.getTime() - openedAt.getTime() > NOTE_AFTER_MS
  );
}

/** What people were told first of one that has ended, and what it took. One that was stopped was not meant. */
function keptOf({ state, openedAt, promisedAt, endedAt }: Batch): Kept | null {
  if (state !== 'open' || !openedAt || !promisedAt || !endedAt) return null;
  const toldMs = promisedAt.getTime() - openedAt.getTime();
  return toldMs > 0 ? { toldMs, tookMs: endedAt.getTime() - openedAt.getTime() } : null;
}

interface Kept {
  readonly toldMs: number;
  readonly tookMs: number;
}

/** Others are told by it how far off such a forecast is. To be called once it is committed. */
export function tellKept(tier: string, { toldMs, tookMs }: Kept): void {
  metrics.estimated({ tier }, tookMs / toldMs);
  learnRange(tier, toldMs, tookMs / toldMs);
}

/** For a statement: keeps where its card is, and what that said first of when all would be ready. */
export function keepCardMessage(
  id: string,
  messageId: string,
  { readyAt, told }: { readonly readyAt: Date | null; readonly told: ToldState | null },
  condition: Prisma.Sql,
): Prisma.Sql {
  return Prisma.sql`
    UPDATE "Batch" SET "messageId" = ${messageId}, "promisedAt" = coalesce("promisedAt", ${readyAt}::timestamptz),
      told = coalesce(told, ${told && JSON.stringify(told)}::jsonb)
    WHERE id = ${id} AND ${condition}`;
}

/** Keeps the thread that was started from its card; the first one counts. */
export async function keepThread(tx: Transaction, id: string, threadId: string): Promise<void> {
  await tx.batch.updateMany({ where: { id, threadId: null }, data: { threadId } });
}

/**
 * Marks a picture as the best of its batch, in place of another, and has the card say so. The same again changes nothing.
 *
 * @param index of the picture; null: none is marked any more
 */
export async function markBest(
  actorId: string,
  { id, guildId }: Pick<Batch, 'id' | 'guildId'>,
  index: number | null,
): Promise<void> {
  const wake = await db.$transaction(async (tx): Promise<Wake> => {
    const [row] = await tx.$queryRaw<Pick<Batch, 'best'>[]>`
      SELECT best FROM "Batch" WHERE id = ${id} FOR NO KEY UPDATE`;
    if (!row || row.best === index) return () => {};
    await tx.batch.update({ where: { id }, data: { best: index } });
    const told = (best: number | null) => ({ index: best });
    await audit(tx, {
      actorId,
      action: 'best.set',
      subject: `batch:${id}`,
      guildId,
      before: told(row.best),
      after: told(index),
    });
    return changed(tx, { batchId: id, kind: 'card' });
  });
  wake();
}
