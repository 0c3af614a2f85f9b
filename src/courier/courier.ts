/**
 * Everything that is posted or edited in Discord by REST.
 *
 * A delivery is a message that must exist and show what Postgres says (src/deliveries.ts). The courier takes one that is due,
 * draws it from the rows as they are now, posts it or edits it, and notes which state it showed. It may be killed anywhere:
 *
 * - nothing is lost, as what is due is looked up in Postgres, and BullMQ only makes it quick;
 * - nothing is posted twice: the message's id is kept; until it is, the row's nonce makes a second post the first one, and
 *   as Discord keeps nonces for minutes only, an older doubt is settled by looking for the message.
 */
import { DiscordAPIError, HTTPError, type RawFile, REST, type RouteLike } from '@discordjs/rest';
import {
  type APIChannel,
  type APIMessage,
  type APIThreadChannel,
  MessageFlags,
  Routes,
} from 'discord-api-types/v10';
import { config, required } from '#config/env.ts';
import { type Card, renderCard } from '../cards.ts';
import { type Batch, type Delivery, db } from '../db.ts';
import { log, withContext } from '../log.ts';
import { reviewChannel } from '../moderation.ts';
import { connectQueues, type Queues } from '../queue.ts';

const LOOK_EVERY_MS = 1_000;
const CONCURRENCY = 4;
/** Discord's own edits come this long after another at the least, ours after `EDIT_INTERVAL_MS`. */
const NOT_READY_MS = 700;
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MOST_MS = 5 * 60_000;
/** Discord checks a nonce "in the past few minutes": after this a doubtful post is looked for. */
const NONCE_TRUSTED_MS = 60_000;
/** An interaction's token is not used in its last seconds. */
const TOKEN_MARGIN_MS = 10_000;
const REVIEW_CHANNEL_RETRY_MS = 10_000;
const THREAD_NAME_MAX = 100;

/** Discord's codes for "there is no such place, or not for you". */
const UNREACHABLE = new Set([10_003, 10_008, 50_001, 50_013, 50_007, 50_083, 160_005]);
const THREAD_EXISTS = 160_004;
const UNKNOWN_TOKEN = new Set([10_015, 50_027, 10_062]);

export interface CourierOptions {
  readonly queues?: Queues;
  readonly rest?: REST;
}

export async function startCourier(options: CourierOptions = {}): Promise<{ close(): Promise<void> }> {
  const rest =
    options.rest ??
    // Its three retries repeat uploads as well, which the nonce makes harmless.
    new REST({ api: config.discord.apiUrl, version: '10', timeout: 20_000, retries: 2 }).setToken(
      required(config.discord.token, 'DISCORD_TOKEN'),
    );
  const applicationId = required(config.discord.applicationId, 'DISCORD_APPLICATION_ID');
  const queues = options.queues ?? connectQueues(config);
  const inHand = new Set<string>();
  const take = async (deliveryId: string) => {
    if (inHand.has(deliveryId)) return;
    inHand.add(deliveryId);
    try {
      await withContext({ deliveryId }, () => deliverOne(deliveryId, { rest, applicationId }));
    } finally {
      inHand.delete(deliveryId);
    }
  };

  const worker = queues.work('delivery', ({ deliveryId }) => take(deliveryId), { concurrency: CONCURRENCY });
  let stopped = false;
  let looking = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  const look = () => {
    looking = (async () => {
      const due = await dueDeliveries();
      for (let i = 0; i < due.length && !stopped; i += CONCURRENCY)
        await Promise.all(due.slice(i, i + CONCURRENCY).map(take));
    })()
      .catch((error: unknown) =>
        log.warn({ err: error }, 'looking for deliveries failed, will be tried again'),
      )
      .finally(() => {
        if (!stopped) timer = setTimeout(look, LOOK_EVERY_MS);
      });
  };
  look();

  return {
    async close() {
      stopped = true;
      clearTimeout(timer);
      await looking;
      await worker.close();
      if (!options.queues) await queues.close();
    },
  };
}

async function dueDeliveries(): Promise<string[]> {
  const rows = await db.$queryRaw<{ id: string }[]>`
    SELECT id FROM "Delivery" WHERE state = 'active' AND wanted > posted AND "notBefore" <= now()
    ORDER BY "notBefore" LIMIT 100`;
  return rows.map(({ id }) => id);
}

interface Wire {
  readonly rest: REST;
  readonly applicationId: string;
}

/** A claim that outlives its courier ends by itself: another takes the delivery after this. ms */
const CLAIM_MS = 60_000;

/** Takes a due delivery for this process: whoever moves `notBefore` first has it. */
async function claim(id: string): Promise<Delivery | null> {
  const now = new Date();
  const [claimed] = await db.$queryRaw<{ id: string }[]>`
    UPDATE "Delivery" SET "notBefore" = ${new Date(now.getTime() + CLAIM_MS)}
    WHERE id = ${id} AND state = 'active' AND wanted > posted AND "notBefore" <= ${now} RETURNING id`;
  return claimed ? db.delivery.findUnique({ where: { id } }) : null;
}

async function deliverOne(id: string, wire: Wire): Promise<void> {
  const delivery = await claim(id);
  if (!delivery) return;
  try {
    const card = await renderCard(delivery);
    if (!card) {
      await db.delivery.update({ where: { id }, data: { state: 'closed' } });
      return;
    }
    const posted = await post(delivery, card, wire);
    if (posted === 'not ready') {
      await retryIn(id, NOT_READY_MS);
      return;
    }
    await db.delivery.update({
      where: { id },
      data: {
        messageId: posted.id,
        ...(posted.channelId && { channelId: posted.channelId }),
        posted: delivery.wanted,
        postedAt: new Date(),
        notBefore: new Date(Date.now() + config.editIntervalMs),
        attempts: 0,
        lastError: null,
        ...(card.final && { token: null }),
      },
    });
  } catch (error) {
    await failed(delivery, error);
  }
}

async function retryIn(id: string, ms: number): Promise<void> {
  await db.delivery.update({ where: { id }, data: { notBefore: new Date(Date.now() + ms) } });
}

async function failed(delivery: Delivery, error: unknown): Promise<void> {
  const { id } = delivery;
  const attempts = delivery.attempts + 1;
  const lastError =
    error instanceof DiscordAPIError
      ? `${error.code}`
      : error instanceof HTTPError
        ? `HTTP ${error.status}`
        : 'internal';
  const final = error instanceof DiscordAPIError && error.status < 500 && error.status !== 429;
  log.warn({ kind: delivery.kind, attempts, lastError, ...(!final && { err: error }) }, 'not delivered');
  if (final) {
    // What Discord refuses today it refuses tomorrow: seen in /queue, from where it can be posted again.
    await db.delivery.update({
      where: { id },
      data: { state: 'undelivered', attempts, lastError, token: null },
    });
    return;
  }
  const backoff = Math.min(BACKOFF_FIRST_MS * 2 ** (attempts - 1), BACKOFF_MOST_MS);
  await db.delivery.update({
    where: { id },
    data: { attempts, lastError, notBefore: new Date(Date.now() + backoff) },
  });
}

type Posted = { readonly id: string; readonly channelId: string | null };

/** Where it goes, in this order: where it was asked for; by the interaction's token; a direct message. */
async function post(delivery: Delivery, card: Card, wire: Wire): Promise<Posted | 'not ready'> {
  const batch = delivery.batchId ? await db.batch.findUnique({ where: { id: delivery.batchId } }) : null;
  if (delivery.kind === 'review') {
    const channelId = delivery.channelId ?? (await reviewChannel(delivery.guildId));
    if (!channelId) {
      await retryIn(delivery.id, REVIEW_CHANNEL_RETRY_MS);
      return 'not ready';
    }
    return inChannel(delivery, channelId, card, wire);
  }
  if (batch && !batch.botInside) return outside(delivery, card, wire);

  const channelId = delivery.channelId ?? (batch && (await threadOf(batch, wire)));
  if (!channelId) return 'not ready';
  try {
    const posted = await inChannel(delivery, channelId, card, wire);
    if (delivery.kind === 'card' && batch && !batch.messageId) {
      await db.batch.updateMany({ where: { id: batch.id, messageId: null }, data: { messageId: posted.id } });
    }
    return posted;
  } catch (error) {
    // A message that was deleted stays deleted. A channel that was lost is told of in person.
    if (delivery.messageId || !(error instanceof DiscordAPIError) || !UNREACHABLE.has(Number(error.code)))
      throw error;
    return inPerson(delivery, card, wire);
  }
}

async function inChannel(delivery: Delivery, channelId: string, card: Card, { rest }: Wire): Promise<Posted> {
  const { messageId } = delivery;
  if (messageId) {
    const message = (await rest.patch(
      Routes.channelMessage(channelId, messageId),
      requestOf(card),
    )) as APIMessage;
    return { id: message.id, channelId };
  }
  if (delivery.attempts > 0 && Date.now() - delivery.createdAt.getTime() > NONCE_TRUSTED_MS) {
    const found = await findByNonce(delivery, channelId, rest);
    if (found)
      return inChannel({ ...delivery, messageId: found }, channelId, card, { rest, applicationId: '' });
  }
  const message = (await rest.post(
    Routes.channelMessages(channelId),
    requestOf(card, { nonce: delivery.nonce, enforce_nonce: true }),
  )) as APIMessage;
  return { id: message.id, channelId };
}

/** A message of ours that an earlier try may have posted. */
async function findByNonce(
  { nonce, createdAt }: Delivery,
  channelId: string,
  rest: REST,
): Promise<string | null> {
  const query = new URLSearchParams({ limit: '100' });
  const latest = (await rest.get(Routes.channelMessages(channelId), { query })) as APIMessage[];
  const found = latest.find(
    (m) => m.nonce === nonce && Date.parse(m.timestamp) >= createdAt.getTime() - 60_000,
  );
  return found?.id ?? null;
}

/** Where the bot is no member: the interaction's token while it lives, then a direct message. */
async function outside(delivery: Delivery, card: Card, wire: Wire): Promise<Posted> {
  const { token, tokenExpiresAt, messageId, channelId } = delivery;
  const alive =
    token !== null && tokenExpiresAt !== null && tokenExpiresAt.getTime() - TOKEN_MARGIN_MS > Date.now();
  // A row that a direct message took over stays one: its channel is the DM's.
  if (alive && !(messageId && channelId && delivery.kind !== 'card')) {
    try {
      const route: RouteLike = messageId
        ? Routes.webhookMessage(wire.applicationId, token, messageId)
        : Routes.webhook(wire.applicationId, token);
      const method = messageId ? 'PATCH' : 'POST';
      const message = (await wire.rest.request({
        ...requestOf(card),
        ...{ fullRoute: route, method: method as never, auth: false },
        ...(!messageId && { query: new URLSearchParams({ wait: 'true' }) }),
      })) as APIMessage;
      return { id: message.id, channelId: null };
    } catch (error) {
      if (!(error instanceof DiscordAPIError) || !UNKNOWN_TOKEN.has(Number(error.code))) throw error;
    }
  }
  return inPerson({ ...delivery, messageId: null }, card, wire);
}

async function inPerson(delivery: Delivery, card: Card, wire: Wire): Promise<Posted> {
  const channel = (await wire.rest.post(Routes.userChannels(), {
    body: { recipient_id: delivery.userId },
  })) as APIChannel;
  return inChannel(delivery, channel.id, card, wire);
}

/** The batch's thread, started from its card; null until the card is there. In DMs there are none: the channel itself. */
async function threadOf(batch: Batch, { rest }: Wire): Promise<string | null> {
  if (batch.threadId) return batch.threadId;
  if (!batch.guildId) return batch.channelId;
  if (!batch.messageId) return null;
  let threadId: string;
  try {
    const body = { name: batch.title.slice(0, THREAD_NAME_MAX) || 'Pictures' };
    const thread = (await rest.post(Routes.threads(batch.channelId, batch.messageId), {
      body,
    })) as APIThreadChannel;
    threadId = thread.id;
  } catch (error) {
    // Started by a try that was not heard of: a thread has the id of the message it was started from.
    if (!(error instanceof DiscordAPIError) || error.code !== THREAD_EXISTS) throw error;
    threadId = batch.messageId;
  }
  await db.batch.updateMany({ where: { id: batch.id, threadId: null }, data: { threadId } });
  // The card links to it.
  await db.delivery.updateMany({
    where: { batchId: batch.id, kind: 'card' },
    data: { wanted: { increment: 1 } },
  });
  return threadId;
}

function requestOf({ components, files, mentions = [] }: Card, more: Record<string, unknown> = {}) {
  const body = {
    ...more,
    flags: MessageFlags.IsComponentsV2,
    components,
    // Discord's own default is to notify everyone that a text names.
    allowed_mentions: { parse: [], users: [...mentions] },
    attachments: files.map(({ name, description }, id) => ({
      id: String(id),
      filename: name,
      ...(description && { description }),
    })),
  };
  return { body, files: files.map(({ name, data }): RawFile => ({ name, data })) };
}
