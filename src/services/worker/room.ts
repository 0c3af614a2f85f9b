/**
 * Whether there is room for pictures. Drawing what cannot be kept is work for nothing, and each picture that comes to nothing is one
 * that somebody waited for. So after two in a row a worker takes no more, and looks every few seconds whether storage takes bytes
 * again.
 */

import { log } from '#src/doors/log.ts';
import { canStore } from '#src/doors/storage.ts';
import { repeat } from '../timers.ts';

const NOT_KEPT_MAX = 2;
const LOOK_EVERY_MS = 3_000;
/** Room for a few pictures: one of 1024² takes about 2 MiB. */
const ROOM_BYTES = 8 * 2 ** 20;

export interface Room {
  readonly isFull: boolean;
  /** A picture was stored, or none was to be. */
  kept(): void;
  /** Storage was too full for one. */
  notKept(): void;
  /** No more is to be drawn until storage takes bytes again. */
  shut(): void;
  close(): Promise<void>;
}

export function watchRoom(told: { full(): Promise<void>; free(): Promise<void> }): Room {
  let notKept = 0;
  let stopLooking: (() => Promise<void>) | null = null;

  async function look(): Promise<void> {
    if (!(await canStore(ROOM_BYTES))) return;
    void stopLooking?.();
    stopLooking = null;
    log.info('there is room in storage again: pictures are taken');
    await told.free();
  }

  function shut(why: string): void {
    if (stopLooking) return;
    log.error(`${why}: this worker takes no pictures until there is room again`);
    stopLooking = repeat(LOOK_EVERY_MS, look);
    told.full().catch((error: unknown) => log.warn({ err: error }, 'not told that storage is full'));
  }

  return {
    get isFull() {
      return stopLooking !== null;
    },
    kept() {
      notKept = 0;
    },
    notKept() {
      // After it was free again for a while, one more is enough.
      notKept++;
      if (notKept >= NOT_KEPT_MAX) shut('storage is full');
    },
    shut: () => shut('storage is away, and as much as may wait here does'),
    async close() {
      await stopLooking?.();
    },
  };
}
