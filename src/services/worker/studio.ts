/**
 * Keeps the networks at work. While one turn is drawn the next is taken, shortly before they are free, and made ready; what was drawn
 * is stored beside it, and what will be drawn with is loaded. So the networks never wait for us, and who is next is chosen as late as
 * can be.
 */
import { AsyncResource } from 'node:async_hooks';
import { tierRules } from '#config/tiers.ts';
import { type Candidate, nextBundle, STAY } from '#src/backlog/bundles-order.ts';
import { lookAtBacklogs } from '#src/backlog/flows.ts';
import { flowsAfter, nextTurn } from '#src/backlog/order.ts';
import { parseLoras } from '#src/bundles/lora-choice.ts';
import { log } from '#src/doors/log.ts';
import { type Drawing, takeTurn, wakeWorkers } from '#src/generations/generations.ts';
import { drawTurn, type Me } from './draw.ts';
import type { Pool } from './pool/pool.ts';

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

interface Taken {
  readonly bundle: string;
  readonly drawings: readonly Drawing[];
  /** of the turn after it, as far as can be seen; empty: none */
  readonly nextLoras: string;
  /** Lets the bundle go out of memory. */
  readonly free: () => void;
}

/**
 * @param inHand ids of the generations that it has; grows before one is taken, and shrinks after it has ended
 * @param elsewhere names of the bundles that other workers have in memory
 */
export function openStudio(
  { id, room, spool, pace, pool }: Pick<Me, 'id' | 'room' | 'spool' | 'pace'> & { readonly pool: Pool },
  inHand: Set<string>,
  elsewhere: () => ReadonlySet<string>,
): Studio {
  const forced = new AbortController();
  const ends = new Set<Promise<unknown>>();
  let closed = false;
  let running: Promise<void> | null = null;

  async function take(): Promise<Taken | null> {
    while (!closed) {
      const looks = await lookAtBacklogs(new Map(pool.usable.map((bundle) => [bundle, pool.warmOf(bundle)])));
      const [any] = looks.values();
      if (!any) return null;
      const asked = [...looks.keys()];
      const candidates = asked.map(
        (bundle): Candidate => ({
          bundle,
          flows: looks.get(bundle)?.flows ?? [],
          state: stateOf(pool, bundle),
          hasRoom: pool.hasRoomFor(bundle, asked),
          isElsewhere: elsewhere().has(bundle),
          loadMs: pool.loadMs(bundle),
        }),
      );
      const { lastLoad } = pool;
      const stayUntil = lastLoad ? any.now - lastLoad.agoMs + STAY * lastLoad.tookMs : 0;
      const { draw, load } = nextBundle(candidates, tierRules, stayUntil, any.now);
      const change = pool.changed();
      const isComing = load !== null || candidates.some(({ state }) => state === 'loading');
      const fits = load === null ? null : await pool.load(load);
      // Another worker's, as long as it takes it in time.
      if (draw === null && !isComing) return null;
      // What is in use makes room first: nothing more is taken until then.
      if (draw === null || fits === 'later') {
        if (!closed) await change;
        continue;
      }
      // What was crowded out just now is looked for again.
      if (pool.stateOf(draw) !== 'warm') continue;
      const free = pool.keep(draw);
      const turn = await turnOf(draw, looks.get(draw) ?? any).catch((error: unknown) => {
        free();
        throw error;
      });
      if (turn?.drawings.length) return { bundle: draw, ...turn, free };
      // Another worker was quicker, or they were cancelled since: look again.
      free();
    }
    return null;
  }

  async function turnOf(
    bundle: string,
    look: Parameters<typeof takeTurn>[1],
  ): Promise<Pick<Taken, 'drawings' | 'nextLoras'> | null> {
    const turn = nextTurn(look.clock, look.flows, pool.warmOf(bundle), tierRules, look.now);
    if (!turn) return null;
    const ids = turn.pictures.map((picture) => picture.id);
    for (const one of ids) inHand.add(one);
    let taken: Drawing[] | null = null;
    try {
      taken = await takeTurn(bundle, look, turn, id);
    } finally {
      const got = new Set(taken?.map((drawing) => drawing.id));
      for (const one of ids) if (!got.has(one)) inHand.delete(one);
    }
    if (!taken) return null;
    const flows = flowsAfter(turn, look.flows);
    wakeWorkers(flows.map(({ pictures: [first] }) => ({ ...first!, bundle })))();
    const next = nextTurn(turn.clock, flows, pool.warmOf(bundle), tierRules, look.now);
    return { drawings: taken, nextLoras: next?.loras ?? '' };
  }

  /** Whichever job woke it, what is drawn is not that job's: the log says so by the context. */
  const run = AsyncResource.bind(async (): Promise<void> => {
    for (;;) {
      const taken = await take();
      if (!taken) break;
      const { bundle, drawings, nextLoras, free } = taken;
      const me = { id, room, spool, pace, pool, bundle, ...pool.facts(bundle) };
      const { nearlyDrawn, ended } = drawTurn(drawings, me, forced.signal, {
        gone: (one) => inHand.delete(one),
        // What this turn needs comes first.
        asked: () => loadAhead(bundle, nextLoras),
      });
      const end = ended.finally(() => {
        ends.delete(end);
        free();
      });
      ends.add(end);
      await nearlyDrawn;
      if (ends.size >= TURNS_MAX) await Promise.race(ends);
    }
    await Promise.all(ends);
  });

  /** While this turn is drawn. */
  function loadAhead(bundle: string, loras: string): void {
    if (!loras) return;
    pool
      .loadLoras(bundle, parseLoras(loras))
      .catch((err: unknown) => log.warn({ err }, 'LoRAs not loaded ahead'));
  }

  return {
    drain() {
      // One that waits for something to be loaded looks again.
      pool.wake();
      running ??= run().finally(() => {
        running = null;
      });
      return running;
    },
    async close() {
      closed = true;
      pool.wake();
      // What could not be looked for is no reason not to end.
      await running?.catch(() => {});
      await Promise.all(ends);
    },
    abort: () => forced.abort(new Error('the worker closes by force')),
  };
}

function stateOf(pool: Pool, bundle: string): Candidate['state'] {
  const state = pool.stateOf(bundle);
  return state === 'failed' ? 'cold' : state;
}
