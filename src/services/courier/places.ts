/** Where a delivery goes: a channel, its batch's thread, or by the token of the interaction that asked for it. */
import { config } from '#config/env.ts';
import { keepThread } from '#src/batches/batches.ts';
import { changed } from '#src/deliveries.ts';
import { type Batch, type Delivery, type DeliveryKind, db } from '#src/doors/db.ts';
import { log } from '#src/doors/log.ts';
import { giveUpReviewChannel, guildSettings, reviewChannel } from '#src/guilds.ts';
import { strangersIn } from '#src/moderation/privacy.ts';
import type { Destination, Discord } from './discord.ts';
import { faultOf, Unreachable } from './faults.ts';
import { NOT_READY_MS, reviewPauseMs } from './pauses.ts';

/** ms; a token is not used in its last seconds */
const TOKEN_MARGIN_MS = 10_000;
/** ms; a command that did not answer within this never will, and a followup may fill its "thinking" */
const ANSWER_WITHIN_MS = 20_000;

export interface NotYet {
  readonly waitMs: number;
  readonly why: string | null;
}

/** @throws {Unreachable} and Discord's own */
export async function destinationOf(
  delivery: Delivery,
  batch: Batch | null,
  discord: Discord,
): Promise<Destination | NotYet> {
  const { kind, channelId, messageId } = delivery;
  const asBot = (id: string) => ({ by: 'bot', channelId: id }) as const;

  if (kind === 'review' || kind === 'request') {
    if (channelId && messageId) return asBot(channelId);
    const id = await privateReviewChannel(delivery.guildId, discord);
    return id ? asBot(id) : { waitMs: reviewPauseMs(delivery), why: 'no-review-channel' };
  }
  if (kind === 'greeting' || kind === 'warning') {
    if (!channelId) throw new Unreachable('no-channel');
    return asBot(channelId);
  }
  if (!batch) throw new Unreachable('no-batch');
  if (isDoneNote(delivery) && (await isBehind(delivery))) return { waitMs: NOT_READY_MS, why: null };
  const token = validToken(delivery);
  if (token) {
    const isYoung = Date.now() - delivery.createdAt.getTime() < ANSWER_WITHIN_MS;
    if (!messageId && isYoung && (await discord.isThinking(token)))
      return { waitMs: NOT_READY_MS, why: null };
    return { by: 'token', token, channelId: channelId ?? channelOf(batch) };
  }
  if (channelId) return asBot(channelId);
  // Where the bot was no member there is no thread. It may have been let in since.
  if (!batch.botInside) return asBot(channelOf(batch));
  if (await waitsForOther(delivery)) return { waitMs: NOT_READY_MS, why: null };
  return threadOf(batch, discord);
}

/** @throws {Unreachable} of what was asked for on the web: then they get a direct message */
function channelOf({ channelId }: Batch): string {
  if (channelId === null) throw new Unreachable('no-channel');
  return channelId;
}

/** Looked at before each post: a channel that was opened to others meanwhile shows nothing more. */
async function privateReviewChannel(guildId: string | null, discord: Discord): Promise<string | null> {
  const id = guildId ?? config.staff.guildId;
  const channelId = await reviewChannel(id);
  if (!id || !channelId) return null;
  const { view, ownerId } = await discord.look(id, channelId);
  const strangers = strangersIn(view, await guildSettings(id));
  if (!strangers.length) return channelId;
  log.warn({ guildId: id, channelId }, 'the review channel can be seen by others: given up');
  await giveUpReviewChannel({ id, ownerId, channelId }, strangers);
  return null;
}

function validToken({ token, tokenExpiresAt }: Delivery): string | null {
  return tokenExpiresAt && tokenExpiresAt.getTime() - TOKEN_MARGIN_MS > Date.now() ? token : null;
}

/** A thread holds the status, then the pictures, then the manifest: each waits for those before it. */
const STANDS_AFTER: Partial<Record<DeliveryKind, DeliveryKind[]>> = {
  pictures: ['status'],
  manifest: ['status', 'pictures'],
};

async function waitsForOther({ batchId, kind }: Delivery): Promise<boolean> {
  const earlier = STANDS_AFTER[kind] ?? [];
  const where = { batchId, kind: { in: earlier }, state: 'active', messageId: null } as const;
  return (await db.delivery.count({ where })) > 0;
}

/** That all of a batch is done. */
function isDoneNote({ kind, reviewId, imageId, messageId }: Delivery): boolean {
  return kind === 'notice' && !reviewId && !imageId && !messageId;
}

/** Whether something that it speaks of is still to be seen. */
async function isBehind({ batchId }: Delivery): Promise<boolean> {
  const { wanted } = db.delivery.fields;
  const where = { batchId, kind: { not: 'notice' }, state: 'active', posted: { lt: wanted } } as const;
  return (await db.delivery.count({ where })) > 0;
}

/**
 * The batch's thread, started from its card. Where there can be none (in direct messages, in threads and posts, without the
 * permission) it is the channel that the card is in.
 */
async function threadOf(batch: Batch, discord: Discord): Promise<Destination | NotYet> {
  if (batch.threadId) return { by: 'bot', channelId: batch.threadId };
  const card = await db.delivery.findFirst({ where: { batchId: batch.id, kind: 'card' } });
  if (!card?.messageId || !card.channelId) {
    if (card?.state === 'active') return { waitMs: NOT_READY_MS, why: null };
    throw new Unreachable('no-card');
  }
  const { channelId, messageId } = card;
  if (!batch.guildId || channelId !== batch.channelId) return { by: 'bot', channelId };
  let threadId: string;
  try {
    threadId = await discord.startThread(channelId, messageId, batch.title);
  } catch (error) {
    const { kind, code } = faultOf(error);
    if (kind === 'unknown') throw error;
    log.warn({ code }, 'no thread here');
    return { by: 'bot', channelId };
  }
  await db.$transaction(async (tx) => {
    await keepThread(tx, batch.id, threadId);
    // The card leads to it.
    await changed(tx, { id: card.id });
  });
  return { by: 'bot', channelId: threadId };
}
