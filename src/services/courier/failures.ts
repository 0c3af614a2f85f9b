/**
 * What becomes of a delivery that could not be shown:
 *
 *   nobody knows ────────▶ later, backing off
 *   thread archived ─────▶ opened, then at once
 *   refused, too large ──▶ a few times, then as if out of reach
 *   out of reach ────────▶ as a direct message ──▶ `undelivered`, where that can't be either
 *                    └───▶ what is for moderators waits for their channel instead
 */
import { changeClaimed, newNonce } from '#src/deliveries.ts';
import { type Delivery, db } from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';
import { metrics } from '#src/doors/metrics.ts';
import { awaitsGallery } from '#src/generations/images.ts';
import type { Discord } from './discord.ts';
import { type Fault, faultOf } from './faults.ts';
import { backoffMs, reviewPauseMs } from './pauses.ts';

/** How often something that Discord refuses is tried: by then the rows or the program may have changed. */
const REFUSED_MAX = 6;

/** Puts it off, or finds another way for it. */
export async function failed(delivery: Delivery, error: unknown, discord: Discord): Promise<void> {
  const fault = faultOf(error);
  const { kind, code } = fault;
  const { attempts } = delivery;
  log.warn({ code, fault: kind, attempts }, 'not shown');
  metrics.delivered({ kind: delivery.kind, outcome: 'put_off' });
  switch (kind) {
    case 'unknown':
      return later(delivery, fault);
    case 'archived':
      return reopen(delivery, fault, discord);
    case 'refused':
    case 'large':
      return attempts < REFUSED_MAX ? later(delivery, fault) : elsewhere(delivery, code, discord);
    case 'unreachable':
    case 'expired':
      return elsewhere(delivery, code, discord);
  }
}

async function later(delivery: Delivery, { kind, code, retryAfterMs = 0 }: Fault): Promise<void> {
  const notBefore = new Date(Date.now() + Math.max(backoffMs(delivery), retryAfterMs));
  // What it was thought to have may be why it was refused: the next try sends all.
  const files = kind === 'refused' ? { files: [] } : {};
  await changeClaimed(delivery, { lastError: code, notBefore, ...files });
}

/** Posting would open the thread by itself, an edit does not. One that moderators locked stays closed. */
async function reopen(delivery: Delivery, fault: Fault, discord: Discord): Promise<void> {
  const { channelId, attempts } = delivery;
  if (!channelId || attempts >= REFUSED_MAX) return elsewhere(delivery, fault.code, discord);
  try {
    await discord.reopenThread(channelId);
  } catch (error) {
    const refusal = faultOf(error);
    return refusal.kind === 'unknown' ? later(delivery, refusal) : elsewhere(delivery, fault.code, discord);
  }
  await changeClaimed(delivery, { notBefore: new Date() });
}

async function elsewhere(delivery: Delivery, code: string, discord: Discord): Promise<void> {
  const forModerators = delivery.kind === 'review' || delivery.kind === 'request';
  return forModerators ? keptForModerators(delivery, code) : inPerson(delivery, code, discord);
}

/** What is for moderators alone is never sent to anyone else: it waits for its channel, as long as it is to be decided. */
async function keptForModerators(delivery: Delivery, code: string): Promise<void> {
  const { reviewId, imageId } = delivery;
  const undecided = reviewId
    ? await db.review.count({ where: { id: reviewId, state: 'pending' } })
    : await db.image.count({ where: { ...awaitsGallery, id: imageId ?? '' } });
  if (!undecided) {
    await changeClaimed(delivery, { state: 'closed', lastError: code });
    return;
  }
  const notBefore = new Date(Date.now() + reviewPauseMs(delivery));
  // Posted anew, wherever the review channel is by then.
  const anew = { channelId: null, messageId: null, nonce: newNonce(), attempts: 0 };
  await changeClaimed(delivery, { ...anew, lastError: code, notBefore });
}

async function inPerson(delivery: Delivery, code: string, discord: Discord): Promise<void> {
  let direct: string;
  try {
    direct = await discord.directChannel(delivery.userId);
  } catch (error) {
    const fault = faultOf(error);
    return fault.kind === 'unknown' ? later(delivery, fault) : giveUp(delivery, fault.code);
  }
  if (direct === delivery.channelId) return giveUp(delivery, code);
  const moved = { channelId: direct, messageId: null, nonce: newNonce(), attempts: 0, lastError: code };
  await changeClaimed(delivery, { ...moved, token: null, tokenExpiresAt: null, notBefore: new Date() });
}

async function giveUp(delivery: Delivery, code: string): Promise<void> {
  metrics.delivered({ kind: delivery.kind, outcome: 'undelivered' });
  await changeClaimed(delivery, {
    state: 'undelivered',
    lastError: code,
    token: null,
    tokenExpiresAt: null,
  });
}
