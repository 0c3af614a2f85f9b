/**
 * Keeps the draw thread at work. While one turn is drawn the next is taken, shortly before the thread is free, and made ready; what
 * was drawn is stored beside it. So the network never waits for us, and who is next is chosen as late as can be.
 */
import { AsyncResource } from 'node:async_hooks';
import { tierRules } from '#config/tiers.ts';
import { lookAtBacklog } from '#src/backlog/flows.ts';
import { nextTurn, type Warm } from '#src/backlog/order.ts';
import { type Drawing, takeTurn } from '#src/generations/generations.ts';
import { drawTurn, type Me } from './draw.ts';

/** Turns in hand: one is drawn, the next is made ready, and two may still be on their way to storage. */
const TURNS_MAX = 4;

export interface Studio {
  /** Takes turns as long as anything waits that it can draw; resolves when nothing does, and all that was taken has ended. */
  drain(): Promise<void>;
  /** Takes no more. Resolves when what is in hand has ended. */
  close(): Promise<void>;
  /** Ends what is drawn at its next step. */
  abort(): void;
}

/**
 * @param warm what the draw thread has in memory
 * @param inHand ids of the generations that it has; grows before one is taken, and shrinks after it has ended
 */
export function openStudio(me: Me, warm: () => Warm, inHand: Set<string>): Studio {
  const forced = new AbortController();
  const ends = new Set<Promise<unknown>>();
  let closed = false;
  let running: Promise<void> | null = null;

  async function take(): Promise<Drawing[]> {
    while (!closed) {
      const look = await lookAtBacklog(me.bundle, warm());
      const turn = nextTurn(look.clock, look.flows, warm(), tierRules, look.now);
      if (!turn) return [];
      const ids = turn.pictures.map(({ id }) => id);
      for (const id of ids) inHand.add(id);
      let taken: Drawing[] | null = null;
      try {
        taken = await takeTurn(me.bundle, look, turn, me.id);
      } finally {
        const got = new Set(taken?.map(({ id }) => id));
        for (const id of ids) if (!got.has(id)) inHand.delete(id);
      }
      // Another worker was quicker, or they were cancelled since: look again.
      if (taken?.length) return taken;
    }
    return [];
  }

  /** Whichever job woke it, what is drawn is not that job's: the log says so by the context. */
  const run = AsyncResource.bind(async (): Promise<void> => {
    for (;;) {
      const drawings = await take();
      if (!drawings.length) break;
      const { nearlyDrawn, ended } = drawTurn(drawings, me, forced.signal, (id) => inHand.delete(id));
      const end = ended.finally(() => ends.delete(end));
      ends.add(end);
      await nearlyDrawn;
      if (ends.size >= TURNS_MAX) await Promise.race(ends);
    }
    await Promise.all(ends);
  });

  return {
    drain() {
      running ??= run().finally(() => {
        running = null;
      });
      return running;
    },
    async close() {
      closed = true;
      // What could not be looked for is no reason not to end.
      await running?.catch(() => {});
      await Promise.all(ends);
    },
    abort: () => forced.abort(new Error('the worker closes by force')),
  };
}
