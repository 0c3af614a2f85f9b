/**
 * Sends webhooks, as Standard Webhooks (standardwebhooks.com) has them: signed with the key's own secret, tried again with growing
 * pauses, so often and no more. Which are due is told by rows (src/api-requests.ts), so whichever process ends, another sends them; one
 * may come twice, with the same `webhook-id`.
 */
import { createHmac } from 'node:crypto';
import { claimWebhooks, type DueWebhook, forgetRequests, settleWebhook } from '#src/api-requests.ts';
import { log } from '#src/doors/log.ts';
import { postWebhook } from '#src/doors/webhook.ts';
import { repeat } from '../../timers.ts';
import { boardsOf } from '../draw/boards.ts';
import { batchOf } from './batches.ts';

const EVERY_MS = 1_000;
const FORGET_EVERY_MS = 10 * 60_000;
/** On their way at once in a process; of one key one, so that a slow receiver delays nobody else's. */
const AT_ONCE = 16;

/** `v1,` and base64 of HMAC-SHA256. @param secret `whsec_` and base64 @param timestamp s since 1970 */
export function sign(secret: string, id: string, timestamp: number, body: string): string {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
}

/** @returns ends it: what is on its way is broken off, and sent again by another process */
export function startWebhooks(): () => Promise<void> {
  const sending = new Map<string, Promise<void>>();
  const ending = new AbortController();

  async function look(): Promise<void> {
    const room = AT_ONCE - sending.size;
    if (room <= 0) return;
    for (const due of await claimWebhooks(room, [...sending.keys()])) {
      const sent = send(due, ending.signal)
        .catch((error: unknown) =>
          log.warn({ err: error, requestId: due.id }, 'a webhook will be tried again'),
        )
        .finally(() => sending.delete(due.keyId));
      sending.set(due.keyId, sent);
    }
  }
  const stopLooking = repeat(EVERY_MS, look, 'webhooks not looked for');
  const stopForgetting = repeat(FORGET_EVERY_MS, forgetRequests, 'old requests not forgotten');

  return async () => {
    ending.abort();
    await Promise.all([stopLooking(), stopForgetting()]);
    await Promise.all(sending.values());
  };
}

async function send(due: DueWebhook, signal: AbortSignal): Promise<void> {
  const [board] = await boardsOf([due.batchId]);
  // Deleted, with somebody's data.
  if (!board) return settleWebhook(due, true);
  const id = `msg_${due.id}`;
  const now = new Date();
  const timestamp = Math.floor(now.getTime() / 1_000);
  const body = JSON.stringify({ type: 'batch.ended', timestamp: now.toISOString(), data: batchOf(board) });
  const headers = {
    'user-agent': 'Atelier',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': sign(due.secret, id, timestamp, body),
  };
  let status = 0;
  try {
    status = await postWebhook(due.url, headers, body, signal);
  } catch (error) {
    // We end: another process takes it when our claim is over.
    if (signal.aborted) return;
    log.info({ err: error, requestId: due.id }, 'a webhook was not taken');
  }
  await settleWebhook(due, status >= 200 && status < 300);
}
