/**
 * Whose turn it is: one lane a channel, and of each lane one message at a time, in the order in which they fell due.
 *
 *   due row ──look──▶ in hand ──▶ its lane is open again, or shut until its channel takes more
 *      ▲                 └──────▶ due again: changed meanwhile, too early, or not shown
 *      └─ at a job, when the next row falls due, when a lane opens, and in any case after a while
 *
 * Discord limits each channel (5 messages in 5 s), and some are slow or fail. Taken in one line, what is for all others would wait
 * behind them. So what is due stays in Postgres until its lane is open and a hand is free: a look takes the longest due row of each
 * open lane, of the lanes that waited longest. Nothing waits inside @discordjs/rest with its files in memory and its claim
 * renewed; and what changes while its lane is shut is drawn once, as it is when it is sent.
 *
 * When a channel takes more is in the headers of its last answer (discord.ts). A limit that is met all the same, as where two
 * couriers share one bot, puts the row off and shuts the lane. Only the bot's own limit, 50 requests a second, is waited for inside
 * the library: it holds all lanes alike, and at most what is in hand waits there.
 *
 * A look is one statement. After a delivery there is none unless something was seen that could not be taken, so a message costs a
 * look, what its card reads, and a settling. Several couriers have lanes each: two may write to one channel at a time, but rows are
 * claimed, and none is shown twice.
 */
import { AsyncResource } from 'node:async_hooks';
import { type Claimed, claimDue } from '#src/deliveries.ts';
import { log } from '#src/doors/log.ts';

/** Messages in hand, each with 24 MiB of files at most. Discord takes 50 requests a second of one bot, and a third of one for each. */
const AT_ONCE = 16;
/** Between two looks: of jobs that come together one look is enough. ms */
const LOOKS_APART_MS = 20;
/** Until we look though nothing says that anything is due: a job may be lost. Sooner while there is something to come. ms */
const LOOK_AFTER_MS = 5_000;
const LOOK_SOON_MS = 1_000;

/** What became of a message. */
export interface Outcome {
  /** whether it shows all that it shall, as far as is known */
  readonly caughtUp: boolean;
  /** for which its lane is of no use; ms */
  readonly pauseMs: number;
}

export interface Lanes {
  /** Says that something may be due. */
  wake(): void;
  /** Takes nothing more, and waits for what is in hand. */
  close(): Promise<void>;
}

interface Lane {
  isBusy: boolean;
  /** ms since the epoch, as are all times here */
  opensAt: number;
  /** something of it may be due that was not taken */
  hasMore: boolean;
  readonly servedAt: number;
}

/** @param deliver does what is due for one message; when it throws, the row is as it was, and found again */
export function openLanes(deliver: (claimed: Claimed) => Promise<Outcome>): Lanes {
  /** those that are not as good as new */
  const lanes = new Map<string, Lane>();
  const inHand = new Set<Promise<void>>();
  /** lanes may have been left for want of hands */
  let isFull = false;
  let isClosed = false;
  let looking: Promise<void> | null = null;
  let lookedAt = 0;
  let nextLookAt = Number.POSITIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;

  /** Looks then, or before. */
  function lookBy(at: number): void {
    nextLookAt = Math.min(nextLookAt, at);
    if (looking || isClosed) return;
    clearTimeout(timer);
    timer = setTimeout(startLook, Math.max(nextLookAt, lookedAt + LOOKS_APART_MS) - Date.now());
  }

  /** Whoever asked for it, it is not theirs, nor are the deliveries: the log says so by the context. */
  const startLook = AsyncResource.bind(() => {
    looking = look()
      .catch((error: unknown) => {
        log.warn({ err: error }, 'could not look for deliveries');
        lookBy(Date.now() + LOOK_SOON_MS);
      })
      .finally(() => {
        looking = null;
        lookBy(nextLookAt);
      });
  });

  async function look(): Promise<void> {
    lookedAt = Date.now();
    nextLookAt = Number.POSITIVE_INFINITY;
    const hands = AT_ONCE - inHand.size;
    isFull = hands === 0;
    if (isFull) return; // the first that is free looks

    const shut = [...lanes].filter(([, { isBusy, opensAt }]) => isBusy || opensAt > lookedAt);
    for (const [, lane] of shut) lane.hasMore = true;
    const shutNames = new Set(shut.map(([name]) => name));
    const servedAt = new Map([...lanes].map(([name, lane]) => [name, lane.servedAt]));
    const { claimed, sawAll, nextAt } = await claimDue(hands, [...shutNames], servedAt);

    isFull = claimed.length === hands;
    const tookAll = sawAll && !isFull;
    for (const [name, { hasMore }] of lanes) {
      if (!shutNames.has(name) && (tookAll || !hasMore)) lanes.delete(name);
    }
    for (const one of claimed) take(one);
    // Now that their lanes are busy, the next look sees further.
    if (!sawAll && !isFull) lookBy(Date.now());

    for (const { isBusy, hasMore, opensAt } of lanes.values()) if (hasMore && !isBusy) lookBy(opensAt);
    if (nextAt) lookBy(nextAt.getTime());
    lookBy(Date.now() + (nextAt ? LOOK_SOON_MS : LOOK_AFTER_MS));
  }

  function take(claimed: Claimed): void {
    const lane: Lane = { isBusy: true, opensAt: 0, hasMore: claimed.more, servedAt: Date.now() };
    lanes.set(claimed.lane, lane);
    const work = deliver(claimed)
      .catch((error: unknown): Outcome => {
        log.warn({ err: error, deliveryId: claimed.delivery.id }, 'delivery put off');
        return { caughtUp: false, pauseMs: 0 };
      })
      .then(({ caughtUp, pauseMs }) => {
        inHand.delete(work);
        lane.isBusy = false;
        lane.opensAt = Date.now() + pauseMs;
        if (isFull || !caughtUp) lookBy(Date.now());
        else if (lane.hasMore) lookBy(lane.opensAt);
      });
    inHand.add(work);
  }

  lookBy(0);
  return {
    wake: () => lookBy(Date.now()),
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await looking;
      await Promise.all(inHand);
    },
  };
}
