/**
 * Everything that is posted or edited in Discord by REST.
 *
 * What must be seen is a row (src/deliveries.ts); whose turn it is is told in lanes.ts, and how one is shown in deliver.ts. BullMQ only
 * makes it quick: lanes look for due rows by themselves, so an emptied queue loses nothing. Several couriers may run side by side.
 */
import type { REST } from '@discordjs/rest';
import { config } from '#config/env.ts';
import { refreshWaiting, wipeTokens } from '#src/deliveries.ts';
import { TokenRefused } from '#src/doors/discord.ts';
import { log } from '#src/doors/log.ts';
import { queues as ourQueues, type Queues } from '#src/doors/queue.ts';
import { endProcess } from '../run.ts';
import { repeat } from '../timers.ts';
import { deliver } from './deliver.ts';
import { makeRest, openDiscord } from './discord.ts';
import { openLanes } from './lanes.ts';

const REFRESH_EVERY_MS = 5_000;
const WIPE_EVERY_MS = 60_000;

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
  const lanes = openLanes((claimed) => deliver(claimed, discord));
  // Which one it is for does not matter: a look takes all that is due.
  const worker = queues.work('delivery', async () => lanes.wake());
  const stopRefreshing = repeat(REFRESH_EVERY_MS, refreshWaiting, 'waiting cards not refreshed');
  const stopWiping = repeat(WIPE_EVERY_MS, wipeTokens, 'old tokens not wiped');
  if (!config.staff.guildId)
    log.warn('STAFF_GUILD_ID is not set: flagged pictures from direct messages stay in quarantine, unseen');
  log.info('courier ready');

  return {
    async close() {
      await Promise.all([worker.close(), stopRefreshing(), stopWiping()]);
      await lanes.close();
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
