/**
 * Everything that is posted or edited in Discord by REST.
 *
 * What must be seen is a row (src/deliveries.ts); how one is shown is told in deliver.ts. BullMQ only makes it quick: the
 * courier looks for due rows itself every second, so an emptied queue loses nothing. Several couriers may run side by side.
 */
import type { REST } from '@discordjs/rest';
import { config } from '#config/env.ts';
import { dueDeliveries, refreshWaiting, wipeTokens } from '#src/deliveries.ts';
import { TokenRefused } from '#src/doors/discord.ts';
import { log } from '#src/doors/log.ts';
import { queues as ourQueues, type Queues } from '#src/doors/queue.ts';
import { endProcess } from '../run.ts';
import { repeat } from '../timers.ts';
import { deliver } from './deliver.ts';
import { makeRest, openDiscord } from './discord.ts';

const LOOK_EVERY_MS = 1_000;
/** Messages in hand at once; Discord takes 50 requests a second of one bot. */
const AT_ONCE = 6;
const REFRESH_EVERY_MS = 5_000;
const WIPE_EVERY_MS = 60_000;
/** Rows taken at one look; the others are due at the next. */
const LOOK_AT = 60;

export interface CourierOptions {
  /** with the bot's token; made from the configuration when left out */
  readonly rest?: REST;
  /** this process's own when left out */
  readonly queues?: Queues;
}

/** @throws {Error} naming the variable, when Discord's are not set */
export async function startCourier({
  rest = makeRest(endOfToken),
  queues = ourQueues(),
}: CourierOptions = {}): Promise<{ close(): Promise<void> }> {
  const discord = openDiscord(rest);
  const inHand = new Map<string, Promise<void>>();
  const take = (id: string): Promise<void> => {
    const known = inHand.get(id);
    if (known) return known;
    const taken = deliver(id, discord)
      // Postgres was away: the row is as it was, and the next look finds it.
      .catch((error: unknown) => log.warn({ err: error, deliveryId: id }, 'delivery put off'))
      .finally(() => inHand.delete(id));
    inHand.set(id, taken);
    return taken;
  };

  const worker = queues.work('delivery', ({ deliveryId }) => take(deliveryId), { concurrency: AT_ONCE });

  let closed = false;
  const refresh = every(REFRESH_EVERY_MS, refreshWaiting);
  const wipe = every(WIPE_EVERY_MS, wipeTokens);
  const look = async () => {
    await refresh();
    await wipe();
    const due = await dueDeliveries(LOOK_AT);
    const lanes = Array.from({ length: AT_ONCE }, async () => {
      for (let id = due.shift(); id && !closed; id = due.shift()) await take(id);
    });
    await Promise.all(lanes);
  };
  const stopLooking = repeat(LOOK_EVERY_MS, look, 'could not look for deliveries');
  if (!config.staff.guildId)
    log.warn('STAFF_GUILD_ID is not set: flagged pictures from direct messages stay in quarantine, unseen');
  log.info('courier ready');

  return {
    async close() {
      closed = true;
      await Promise.all([worker.close(), stopLooking()]);
      await Promise.all(inHand.values());
    },
  };
}

/** Started again, it may have another token; meanwhile nothing is lost. */
function endOfToken(): void {
  const reason = new TokenRefused().message;
  log.error(reason);
  process.stderr.write(`\ncourier: ${reason}\n`);
  endProcess();
}

/** Does `work` at the first call, and then at most once in `ms`. */
function every(ms: number, work: () => Promise<void>): () => Promise<void> {
  let after = 0;
  return async () => {
    if (Date.now() < after) return;
    await work();
    after = Date.now() + ms;
  };
}
