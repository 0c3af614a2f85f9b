/**
 * One delivery: the message must exist, and show what Postgres says.
 *
 *   claimed ──▶ place ──▶ render ──▶ post or edit ──▶ settle
 *               │                     │
 *               └─ not ready: later   ├─ nobody knows whether it was done: later, backing off; then looked for first
 *                                     └─ not to be reached: as a direct message, and if that fails, `undelivered`
 *
 * A claim moves `notBefore` ahead and is renewed while it lasts, so one process has a row at a time, and a row whose process
 * died is free again after seconds. `attempts` numbers the claims: what an outlived one still writes finds no row.
 *
 * Nothing is posted twice. A first post carries the row's nonce, which Discord honours for some minutes; and the container
 * of every message has an id made from the nonce, by which an earlier try is found before another one posts. Followups by
 * an interaction's token (only where the bot is no member) know neither: the library does not repeat them, and one whose
 * answer was lost, by our crash or theirs, is the one message that may be seen twice rather than never.
 */
import { ComponentType } from 'discord-api-types/v10';
import { config } from '#config/env.ts';
import { keepCardMessage } from '#src/batches/batches.ts';
import { type Card, renderCard } from '#src/cards/cards.ts';
import { CLAIM_MS, type Claimed, changeClaimed, settleDelivery } from '#src/deliveries.ts';
import { type Batch, type Delivery, db } from '#src/doors/db.ts';
import { log, withContext } from '#src/doors/log.ts';
import { metrics } from '#src/doors/metrics.ts';
import { inTrace, pastSpan } from '#src/doors/traces.ts';
import type { Content, Destination, Discord, Posted, Sent } from './discord.ts';
import { failed } from './failures.ts';
import { faultOf } from './faults.ts';
import { PostedFiles, sendFitting } from './files.ts';
import type { Outcome } from './lanes.ts';
import { destinationOf, type NotYet } from './places.ts';

/** Does what is due for one delivery that this process has claimed. Throws only Postgres's errors. */
export async function deliver(claimed: Claimed, discord: Discord): Promise<Outcome> {
  const { delivery, batch } = claimed;
  return inTrace(batch?.traceparent, () =>
    withContext(subjectOf(delivery), () => deliverOne(claimed, discord)),
  );
}

/** Of a message, for the log. */
function subjectOf({ id: deliveryId, kind, batchId, reviewId, imageId }: Delivery) {
  return {
    deliveryId,
    kind,
    ...(batchId && { batchId }),
    ...(reviewId && { reviewId }),
    ...(imageId && { imageId }),
  };
}

async function deliverOne(claimed: Claimed, discord: Discord): Promise<Outcome> {
  const { delivery } = claimed;
  const renewing = setInterval(() => void renew(delivery), CLAIM_MS / 3);
  try {
    return await show(claimed, discord).finally(() => clearInterval(renewing));
  } catch (error) {
    await failed(delivery, error, discord);
    return { caughtUp: false, pauseMs: faultOf(error).retryAfterMs ?? 0 };
  }
}

// Claims

async function renew(delivery: Delivery): Promise<void> {
  await changeClaimed(delivery, { notBefore: new Date(Date.now() + CLAIM_MS) }).catch((error: unknown) =>
    log.warn({ err: error }, 'claim not renewed'),
  );
}

/** Not an attempt that failed: it is only too early. */
async function notYet(delivery: Delivery, { waitMs, why }: NotYet): Promise<Outcome> {
  const notBefore = new Date(Date.now() + waitMs);
  await changeClaimed(delivery, { notBefore, attempts: delivery.attempts - 1, lastError: why });
  metrics.delivered({ kind: delivery.kind, outcome: 'not_yet' });
  return { caughtUp: false, pauseMs: 0 };
}

// Post or edit

async function show({ delivery, batch }: Claimed, discord: Discord): Promise<Outcome> {
  const begunAt = Date.now();
  const place = await destinationOf(delivery, batch, discord);
  if ('waitMs' in place) return notYet(delivery, place);

  const card = await renderCard(delivery, batch);
  if (!card) {
    await changeClaimed(delivery, { state: 'closed', token: null, tokenExpiresAt: null });
    metrics.delivered({ kind: delivery.kind, outcome: 'closed' });
    return { caughtUp: true, pauseMs: 0 };
  }
  const containerId = containerIdOf(delivery.nonce);
  const container = { ...displacedIn(card, delivery, batch), id: containerId };
  const before = await shownBefore(delivery, place, containerId, discord);
  const replyTo = delivery.kind === 'notice' ? await answered(delivery, place.channelId) : undefined;
  const send = (content: Content) =>
    before ? discord.edit(place, before.id, content) : discord.post(place, content, delivery.nonce, replyTo);
  const sent = await sendFitting({ ...card, container }, before?.files ?? [], send);
  tellShown(delivery, batch, before ? 'edited' : 'posted', begunAt);
  const caughtUp = await settle(delivery, sent, place, card);
  log.info({ edited: before !== null, files: sent.files.length }, 'shown');
  return { caughtUp, pauseMs: sent.pauseMs };
}

/** An edit that comes so long after the batch has ended is another story than its trace's. ms */
const TRACED_MS = 60_000;

function tellShown(
  { id: deliveryId, kind, wantedAt }: Delivery,
  batch: Batch | null,
  outcome: 'posted' | 'edited',
  begunAt: number,
): void {
  const now = Date.now();
  metrics.delivered({ kind, outcome });
  metrics.seen({ kind }, (now - wantedAt.getTime()) / 1_000);
  // Those on the way to the end only say how far it is, and may be hundreds.
  const isLast = batch?.endedAt && wantedAt.getTime() < batch.endedAt.getTime() + TRACED_MS;
  if (outcome === 'posted' || isLast) pastSpan('post', begunAt, now, { deliveryId, kind, outcome });
}

/** The message as it is already: known, or made by an earlier try that did not come to tell. */
async function shownBefore(
  { messageId, files, attempts }: Delivery,
  place: Destination,
  containerId: number,
  discord: Discord,
): Promise<Posted | null> {
  if (messageId) return { id: messageId, files: PostedFiles.parse(files) };
  if (attempts === 1 || place.by === 'token') return null;
  try {
    return await discord.find(place.channelId, containerId);
  } catch (error) {
    // Without the right to read a channel's past only the nonce is left.
    if (faultOf(error).kind === 'unreachable') return null;
    throw error;
  }
}

async function settle(
  delivery: Delivery,
  { id: messageId, files }: Sent,
  { channelId }: Destination,
  { last, ...promise }: Card,
): Promise<boolean> {
  const { kind, batchId } = delivery;
  const closed = last && (kind === 'notice' || kind === 'warning');
  const isNewCard = kind === 'card' && batchId && !delivery.messageId;
  return settleDelivery(
    delivery,
    { messageId, channelId, files, closed, editAfterMs: config.editIntervalMs },
    isNewCard ? (condition) => keepCardMessage(batchId, messageId, promise, condition) : undefined,
  );
}

/** Positive, 31 bits, and above what Discord numbers components with by itself. */
export function containerIdOf(nonce: string): number {
  return 1_000 + (Number.parseInt(nonce.slice(0, 8), 16) >>> 2);
}

/** A message of this batch in that channel: a notice is shown as an answer to it. */
async function answered({ batchId }: Delivery, channelId: string): Promise<string | undefined> {
  const other = await db.delivery.findFirst({
    where: { batchId, channelId, kind: { in: ['card', 'status'] }, messageId: { not: null } },
    orderBy: { createdAt: 'asc' },
  });
  return other?.messageId ?? undefined;
}

/** The card, with a line that says where it was meant for when it goes somewhere else. */
function displacedIn({ say, container }: Card, { kind, channelId }: Delivery, batch: Batch | null) {
  const there = !channelId || channelId === batch?.channelId || channelId === batch?.threadId;
  if (!batch?.guildId || there || kind === 'review') return container;
  const sentence = say('This belongs in {channel}, where I could not show it.', {
    channel: `<#${batch.channelId}>`,
  });
  const note = { type: ComponentType.TextDisplay, content: `-# ${sentence}` } as const;
  return { ...container, components: [note, ...container.components] };
}
