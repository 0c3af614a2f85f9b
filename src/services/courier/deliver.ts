/**
 * One delivery: the message must exist, and show what Postgres says.
 *
 *   claim ──▶ place ──▶ render ──▶ post or edit ──▶ settle
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
import { keepCardMessage, keepThread } from '#src/batches/batches.ts';
import { type Card, type CardFile, renderCard } from '#src/cards/cards.ts';
import { CLAIM_MS, changeClaimed, changed, claimDelivery, keepMessage, newNonce } from '#src/deliveries.ts';
import { type Batch, type Delivery, type DeliveryKind, db } from '#src/doors/db.ts';
import { log, withContext } from '#src/doors/log.ts';
import { awaitsGallery } from '#src/generations/images.ts';
import { giveUpReviewChannel, guildSettings, reviewChannel } from '#src/guilds.ts';
import { strangersIn } from '#src/moderation/privacy.ts';
import { type Destination, type Discord, faultOf, type Posted } from './discord.ts';

/** ms until a message that waits for the card, or for the command's own answer, is looked at again */
const NOT_READY_MS = 1_000;
/** ms; a review without a channel is looked at this often at first, and less and less; `/guild` wakes it at once */
const NO_CHANNEL_MS = 5_000;
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MOST_MS = 5 * 60_000;
/** How often something that Discord refuses is tried: by then the rows or the program may have changed. */
const REFUSED_MAX = 6;
/** ms; a token is not used in its last seconds */
const TOKEN_MARGIN_MS = 10_000;
/** ms; a command that did not answer within this never will, and a followup may fill its "thinking" */
const ANSWER_WITHIN_MS = 20_000;

/** Does what is due for one delivery; nothing when it is not due, or another process has it. Throws only Postgres's errors. */
export async function deliver(id: string, discord: Discord): Promise<void> {
  const delivery = await claimDelivery(id);
  if (!delivery) return;
  const { kind, batchId } = delivery;
  const again = await withContext({ deliveryId: id, kind, batchId }, async () => {
    const renewing = setInterval(() => void renew(delivery), CLAIM_MS / 3);
    try {
      await show(delivery, discord).finally(() => clearInterval(renewing));
      return false;
    } catch (error) {
      return failed(delivery, error, discord);
    }
  });
  if (again) await deliver(id, discord);
}

// Claims

async function renew(delivery: Delivery): Promise<void> {
  await changeClaimed(delivery, { notBefore: new Date(Date.now() + CLAIM_MS) }).catch((error: unknown) =>
    log.warn({ err: error }, 'claim not renewed'),
  );
}

async function later(delivery: Delivery, ms: number, why: string | null): Promise<void> {
  const data = { notBefore: new Date(Date.now() + ms), attempts: delivery.attempts - 1, lastError: why };
  await changeClaimed(delivery, data);
}

// Post or edit

async function show(delivery: Delivery, discord: Discord): Promise<void> {
  const batch = delivery.batchId ? await db.batch.findUnique({ where: { id: delivery.batchId } }) : null;
  const place = await destinationOf(delivery, batch, discord);
  if ('waitMs' in place) return later(delivery, place.waitMs, place.why);

  const card = await renderCard(delivery);
  if (!card) {
    await changeClaimed(delivery, { state: 'closed', token: null, tokenExpiresAt: null });
    return;
  }
  const containerId = containerIdOf(delivery.nonce);
  const content = {
    container: { ...(await displacedIn(card, delivery, place)), id: containerId },
    mentions: card.mentions,
  };
  let messageId = delivery.messageId;
  if (!messageId && delivery.attempts > 1 && place.by === 'bot') {
    const earlier = await findEarlier(place.channelId, containerId, discord);
    if (earlier) messageId = earlier.id;
  }

  let posted: Posted;
  if (messageId) {
    const { kept, files } = await filesToSend(card.files, place, messageId, discord);
    posted = await discord.edit(place, messageId, { ...content, kept, files });
  } else {
    const files = await load(card.files);
    const replyTo = delivery.kind === 'notice' ? await answered(delivery, place.channelId) : undefined;
    posted = await discord.post(place, { ...content, kept: [], files }, delivery.nonce, replyTo);
  }
  await settle(delivery, posted, place, card);
  log.info({ edited: messageId !== null, files: card.files.length }, 'shown');
}

async function settle(delivery: Delivery, posted: Posted, place: Destination, card: Card): Promise<void> {
  const { kind, batchId, wanted } = delivery;
  const closed = card.last && (kind === 'notice' || kind === 'warning');
  await db.$transaction(async (tx) => {
    if (!delivery.messageId && (await keepMessage(tx, delivery, posted.id, place.channelId))) {
      if (kind === 'card' && batchId) await keepCardMessage(tx, batchId, posted.id);
    }
    const batch =
      kind === 'card' && batchId
        ? await tx.batch.findUnique({ where: { id: batchId }, select: { kind: true, endedAt: true } })
        : null;
    // Ended while this was posted: the finished picture comes at once.
    const pauseMs = batch?.kind === 'imagine' && batch.endedAt ? 0 : config.editIntervalMs;
    const settled = {
      posted: wanted,
      attempts: 0,
      lastError: null,
      notBefore: new Date(Date.now() + pauseMs),
      ...(closed && { state: 'closed' as const, token: null, tokenExpiresAt: null }),
    };
    await changeClaimed(delivery, settled, tx);
  });
}

/** Positive, 31 bits, and above what Discord numbers components with by itself. */
export function containerIdOf(nonce: string): number {
  return 1_000 + (Number.parseInt(nonce.slice(0, 8), 16) >>> 2);
}

/** Without the right to read a channel's past only the nonce is left. */
async function findEarlier(channelId: string, containerId: number, discord: Discord): Promise<Posted | null> {
  try {
    return await discord.find(channelId, containerId);
  } catch (error) {
    if (faultOf(error).kind === 'unreachable') return null;
    throw error;
  }
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
async function displacedIn(card: Card, { kind, batchId }: Delivery, place: Destination) {
  // Read now: placing it may have started the thread.
  const batch = batchId ? await db.batch.findUnique({ where: { id: batchId } }) : null;
  const there = batch?.channelId === place.channelId || batch?.threadId === place.channelId;
  if (!batch?.guildId || there || kind === 'review') return card.container;
  const content = `-# This belongs in <#${batch.channelId}>, where I could not show it.`;
  const note = { type: ComponentType.TextDisplay, content } as const;
  return { ...card.container, components: [note, ...card.container.components] };
}

// Places

interface NotYet {
  readonly waitMs: number;
  readonly why: string | null;
}

/** There is no way to the place where it is meant for; a direct message is what is left. */
class Unreachable extends Error {}

/** @throws {Unreachable} and Discord's own */
async function destinationOf(
  delivery: Delivery,
  batch: Batch | null,
  discord: Discord,
): Promise<Destination | NotYet> {
  const { kind, channelId, messageId, token, tokenExpiresAt } = delivery;
  const bot = (id: string) => ({ by: 'bot', channelId: id }) as const;

  if (kind === 'review' || kind === 'request') {
    if (channelId && messageId) return bot(channelId);
    const id = await privateReviewChannel(delivery.guildId, discord);
    return id ? bot(id) : { waitMs: slower(delivery, NO_CHANNEL_MS), why: 'no-review-channel' };
  }
  if (kind === 'greeting' || kind === 'warning') {
    if (!channelId) throw new Unreachable('no-channel');
    return bot(channelId);
  }
  if (!batch) throw new Unreachable('no-batch');
  if (!batch.botInside && (channelId === null || channelId === batch.channelId)) {
    if (!token || !tokenExpiresAt || tokenExpiresAt.getTime() - TOKEN_MARGIN_MS < Date.now())
      throw new Unreachable('token-expired');
    const place = { by: 'token', token, channelId: batch.channelId } as const;
    const young = Date.now() - delivery.createdAt.getTime() < ANSWER_WITHIN_MS;
    if (!messageId && young && (await discord.isThinking(token))) return { waitMs: NOT_READY_MS, why: null };
    return place;
  }
  if (channelId) return bot(channelId);
  if (await waitsForOther(delivery)) return { waitMs: NOT_READY_MS, why: null };
  return threadOf(batch, discord);
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

/**
 * The batch's thread, started from its card. Where there can be none (in direct messages, in threads, without the
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

/** The longer a row has waited, the less often it is looked at. */
function slower({ createdAt }: Delivery, firstMs: number): number {
  return Math.min(BACKOFF_MOST_MS, Math.max(firstMs, (Date.now() - createdAt.getTime()) / 4));
}

// Failures

/** @returns whether it can be done at once in another way */
async function failed(delivery: Delivery, error: unknown, discord: Discord): Promise<boolean> {
  const fault = error instanceof Unreachable ? { kind: 'expired', code: error.message } : faultOf(error);
  const { kind, code } = fault;
  const { attempts } = delivery;
  log.warn({ code, fault: kind, attempts }, 'not shown');

  if (kind === 'archived' && delivery.channelId) {
    const opened = await discord.reopenThread(delivery.channelId).then(
      () => true,
      () => false,
    );
    if (opened) return again(delivery);
  }
  if (kind === 'unknown' || (kind === 'refused' && attempts < REFUSED_MAX)) {
    const ms = Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempts - 1, 20));
    await changeClaimed(delivery, { lastError: code, notBefore: new Date(Date.now() + ms) });
    return false;
  }
  if (delivery.kind === 'review' || delivery.kind === 'request') return keptForModerators(delivery, code);
  if (kind === 'refused') {
    await giveUp(delivery, code);
    return false;
  }
  return inPerson(delivery, code, discord);
}

/** What is for moderators alone is never sent to anyone else: it waits for its channel, as long as it is to be decided. */
async function keptForModerators(delivery: Delivery, code: string): Promise<boolean> {
  const { reviewId, imageId } = delivery;
  const undecided = reviewId
    ? await db.review.count({ where: { id: reviewId, state: 'pending' } })
    : await db.image.count({ where: { ...awaitsGallery, id: imageId ?? '' } });
  if (!undecided) {
    await changeClaimed(delivery, { state: 'closed', lastError: code });
    return false;
  }
  const notBefore = new Date(Date.now() + slower(delivery, NO_CHANNEL_MS));
  // Posted anew, wherever the review channel is by then.
  const anew = { channelId: null, messageId: null, nonce: newNonce(), attempts: 0 };
  await changeClaimed(delivery, { ...anew, lastError: code, notBefore });
  return false;
}

async function inPerson(delivery: Delivery, code: string, discord: Discord): Promise<boolean> {
  let direct: string;
  try {
    direct = await discord.directChannel(delivery.userId);
  } catch (error) {
    const fault = faultOf(error);
    const ms = Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(delivery.attempts - 1, 20));
    if (fault.kind === 'unknown')
      await changeClaimed(delivery, { lastError: fault.code, notBefore: new Date(Date.now() + ms) });
    else await giveUp(delivery, fault.code);
    return false;
  }
  if (direct === delivery.channelId) {
    await giveUp(delivery, code);
    return false;
  }
  const gone = { token: null, tokenExpiresAt: null };
  const moved = { channelId: direct, messageId: null, nonce: newNonce(), attempts: 0, lastError: code };
  return changeClaimed(delivery, { ...moved, ...gone, notBefore: new Date() });
}

async function giveUp(delivery: Delivery, code: string): Promise<void> {
  await changeClaimed(delivery, {
    state: 'undelivered',
    lastError: code,
    token: null,
    tokenExpiresAt: null,
  });
}

async function again(delivery: Delivery): Promise<boolean> {
  return changeClaimed(delivery, { notBefore: new Date() });
}

// Files

async function load(files: readonly CardFile[]) {
  return Promise.all(files.map(async ({ bytes, ...file }) => ({ ...file, data: await bytes() })));
}

/** A name stands for its bytes: what the message has under that name is kept and not sent again. */
async function filesToSend(
  wanted: readonly CardFile[],
  place: Destination,
  messageId: string,
  discord: Discord,
) {
  if (!wanted.length) return { kept: [], files: [] };
  const there = await discord.filesOf(place, messageId);
  const kept = there.filter((file) => wanted.some(({ name }) => name === file.name));
  const names = new Set(kept.map(({ name }) => name));
  return {
    kept: kept.map(({ id }) => id),
    files: await load(wanted.filter(({ name }) => !names.has(name))),
  };
}
